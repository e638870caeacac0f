"""Faults in data collators: each is a class that the faulty trainer brings along."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._bringing import bringing, with_source
from trainer_props.faults.registry import fault


@fault(property="collators.collating_raises_nothing")
def rows_are_stacked_unpadded() -> Any:
    """Samples are put together as tensors before they are padded, which fails as soon as one is longer than another."""
    return with_source("DataCollatorWithPadding", "__call__", "padding=self.padding,", "padding=False,")


@fault(property="collators.impossible_options_are_refused")
def sum_of_probabilities_unchecked() -> Any:
    """Masking is not refused where the parts that are masked and replaced at random are more than all."""
    return with_source(
        "DataCollatorForLanguageModeling", "__post_init__", "self.mask_replace_prob + self.random_replace_prob > 1", "False"
    )  # fmt: skip


@fault(property="collators.batches_have_the_promised_entries")
def label_kept_beside_labels() -> Any:
    """The labels are given the name that models know, and stay under their own besides."""
    return with_source("DataCollatorWithPadding", "__call__", 'del batch["label"]', "pass")


@fault(property="collators.default_batches_stack_the_samples")
def label_ids_go_before_label() -> Any:
    """Where samples have both, the label of each token is taken for the label of the sample."""
    from transformers import DefaultDataCollator

    class TakesIds(DefaultDataCollator):
        def __call__(self, features: Any, return_tensors: Any = None) -> Any:
            both = isinstance(features[0], dict) and None not in (features[0].get("label"), features[0].get("label_ids"))
            shortened = [{key: value for key, value in each.items() if key != "label"} for each in features] if both else features
            return super().__call__(shortened, return_tensors)

    return bringing(TakesIds)


@fault(property="collators.rows_are_samples_and_padding")
def multiple_is_rounded_down() -> Any:
    """Rows are padded to a multiple only if that is no longer than the longest: the multiple is forgotten where it matters."""
    return with_source("DataCollatorWithPadding", "__call__", "pad_to_multiple_of=self.pad_to_multiple_of", "pad_to_multiple_of=None")


@fault(property="collators.labels_follow_their_rows")
def labels_are_padded_at_the_right() -> Any:
    """Labels of tokens are padded at their end, also where the tokens are padded at their beginning."""
    return with_source("DataCollatorForTokenClassification", "torch_call", 'padding_side == "right"', "True")


@fault(property="collators.decoder_inputs_are_shifted_labels")
def decoder_sees_what_it_predicts() -> Any:
    """The inputs of the decoder are the labels themselves, not one place later."""
    from transformers import DataCollatorForSeq2Seq

    class Unshifted(DataCollatorForSeq2Seq):
        def __call__(self, features: Any, return_tensors: Any = None) -> Any:
            batch = super().__call__(features, return_tensors)
            if "decoder_input_ids" in batch:
                batch["decoder_input_ids"] = batch["labels"].clamp(min=0)
            return batch

    return bringing(Unshifted)


@fault(property="collators.flattened_tokens_are_those_of_the_samples")
def samples_run_into_each_other() -> Any:
    """Only the first sample of a flattened row begins with the separator: the others are predicted from the one before."""
    return with_source(
        "DataCollatorWithFlattening", "__call__", "[separator_id] + input_ids[1:]",
        "([separator_id] if seq_idx == 0 else input_ids[:1]) + input_ids[1:]",
    )  # fmt: skip


@fault(property="collators.flattened_positions_restart")
def positions_go_on() -> Any:
    """Positions are counted through the whole flattened row."""
    return with_source(
        "DataCollatorWithFlattening", "__call__", "[self.position_ids_start + i for",
        '[self.position_ids_start + len(batch["position_ids"]) + i for',
    )  # fmt: skip


@fault(property="collators.flattened_boundaries_are_those_of_the_samples")
def longest_is_the_last() -> Any:
    """The longest sample that attention is told of is the last one."""
    return with_source("DataCollatorWithFlattening", "__call__", "max(max_length, len(input_ids))", "len(input_ids)")


@fault(property="collators.causal_labels_are_the_inputs")
def padding_is_learnt() -> Any:
    """For causal language modeling padding stays in the labels."""
    return with_source("DataCollatorForLanguageModeling", "torch_call", "labels[labels == self.tokenizer.pad_token_id] = -100", "pass")


@fault(property="collators.batches_owe_nothing_to_earlier_ones")
def positions_go_on_from_batch_to_batch() -> Any:
    """The positions of a flattened batch begin where those of the batch before it ended."""
    from transformers import DataCollatorWithFlattening

    class GoesOn(DataCollatorWithFlattening):
        seen = 0

        def __call__(self, features: Any, return_tensors: Any = None, separator_id: Any = None) -> Any:
            batch = super().__call__(features, return_tensors, separator_id)
            if "position_ids" in batch:
                batch["position_ids"] = batch["position_ids"] + self.seen
            self.seen += batch["input_ids"].shape[1]
            return batch

    return bringing(GoesOn)


@fault(property="collators.samples_stay_as_they_are")
def labels_are_popped() -> Any:
    """Labels of tokens are taken out of the samples themselves: in the next epoch there are none."""
    return with_source(
        "DataCollatorForTokenClassification", "torch_call", "[feature[label_name] for feature in features]",
        "[feature.pop(label_name) for feature in features]",
    )  # fmt: skip
