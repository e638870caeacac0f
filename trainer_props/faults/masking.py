"""Faults in what is masked: each is a collator that the faulty trainer brings along."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._bringing import bringing, with_source
from trainer_props.faults.registry import fault

_LM = "DataCollatorForLanguageModeling"
_PLM = "DataCollatorForPermutationLanguageModeling"


@fault(property="masking.labels_are_the_chosen_tokens")
def labels_taken_after_masking() -> Any:
    """Labels share their memory with the inputs, so that what is to be predicted is the mask."""
    return with_source(_LM, "torch_mask_tokens", "labels = inputs.clone()", "labels = inputs")


@fault(property="masking.special_tokens_are_never_chosen")
def special_tokens_by_half() -> Any:
    """Special tokens are chosen half as often as others, and not never."""
    return with_source(
        _LM, "torch_mask_tokens", "probability_matrix.masked_fill_(no_mask_mask, value=0.0)",
        "probability_matrix.masked_fill_(no_mask_mask, value=self.mlm_probability / 2)",
    )  # fmt: skip


@fault(property="masking.tokens_are_chosen_with_mlm_probability")
def always_fifteen_percent() -> Any:
    """The paper's 15 % of the tokens are chosen, whatever `mlm_probability` says."""
    return with_source(_LM, "torch_mask_tokens", "torch.full(labels.shape, self.mlm_probability)", "torch.full(labels.shape, 0.15)")


@fault(property="masking.chosen_tokens_are_masked_replaced_or_kept")
def random_part_of_the_rest() -> Any:
    """`random_replace_prob` is taken for the part of what masking leaves, so that more stays than should."""
    return with_source(_LM, "torch_mask_tokens", "self.random_replace_prob / remaining_prob", "self.random_replace_prob")


@fault(property="masking.random_tokens_are_any_of_the_tokenizer")
def added_tokens_never_drawn() -> Any:
    """Random tokens are drawn from the words of the model: what was added to the tokenizer never comes up."""
    return with_source(_LM, "torch_mask_tokens", "torch.randint(len(self.tokenizer),", "torch.randint(self.tokenizer.vocab_size,")


@fault(property="masking.same_seed_same_choice")
def replacements_from_the_global_generator() -> Any:
    """What is chosen follows from the seed, and what is put there comes from the global generator."""
    return with_source(
        _LM, "torch_mask_tokens", "dtype=torch.long, generator=self.generator)", "dtype=torch.long)"
    )  # fmt: skip


@fault(property="masking.another_seed_another_choice")
def workers_forget_the_seed() -> Any:
    """A worker of a DataLoader masks with its number for a seed."""
    return with_source(_LM, "create_rng", "self.seed + worker_info.id", "worker_info.id")


@fault(property="masking.seeded_collators_draw_from_their_own")
def seeds_the_global_generator() -> Any:
    """A seed is given to the global generator, from which a model draws its dropout too."""
    from transformers import DataCollatorForLanguageModeling

    class SeedsAll(DataCollatorForLanguageModeling):
        def get_generator(self, seed: int) -> Any:
            import torch

            return torch.manual_seed(seed) if self.return_tensors == "pt" else super().get_generator(seed)

    return bringing(SeedsAll)


@fault(property="masking.every_batch_is_masked_anew")
def generator_made_for_every_batch() -> Any:
    """The generator of a seed is made anew for each batch, so that a sample is masked in the same places in every epoch."""
    return with_source(_LM, "torch_call", "if self.seed is not None and self.generator is None:", "if self.seed is not None:")


@fault(property="masking.workers_choose_on_their_own")
def workers_share_a_seed() -> Any:
    """Every worker of a DataLoader masks with the very seed."""
    return with_source(_LM, "create_rng", "self.seed + worker_info.id", "self.seed")


@fault(property="masking.words_are_chosen_whole")
def first_token_of_a_word_alone() -> Any:
    """Of a word that is chosen only its first token is masked."""
    return with_source(
        _LM, "torch_mask_tokens", "masked_indices = torch.BoolTensor(self._whole_word_mask(word_ids, masked_indices))", "pass"
    )  # fmt: skip


@fault(property="masking.permuted_targets_are_hidden")
def predictions_in_reverse() -> Any:
    """The i-th prediction is of the i-th token from the end."""
    return with_source(_PLM, "torch_mask_tokens", "= torch.eye(labels.size(1))", "= torch.eye(labels.size(1)).flip(0)")


@fault(property="masking.permuted_tokens_stand_in_an_order")
def tokens_see_themselves() -> Any:
    """A chosen token may attend to itself."""
    return with_source(
        _PLM, "torch_mask_tokens", "perm_index.reshape((labels.size(1), 1)) <=", "perm_index.reshape((labels.size(1), 1)) <"
    )  # fmt: skip


@fault(property="masking.permuted_spans_are_as_long_as_promised")
def spans_begin_at_their_context() -> Any:
    """A span stands at the beginning of its context, not anywhere in it."""
    return with_source(
        _PLM, "torch_mask_tokens", "cur_len + torch.randint(context_length - span_length + 1, (1,)).item()", "cur_len"
    )  # fmt: skip
