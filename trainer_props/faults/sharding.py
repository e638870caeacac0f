"""Faults of the data, counts and state of several processes. On one device none of them does anything."""

from __future__ import annotations

import functools
from typing import Any

from trainer_props.faults._shards import shards, with_batches
from trainer_props.faults.registry import fault


@fault(property="sharding.ranks_take_turns_and_begin_again")
def ranks_counted_from_the_end() -> Any:
    """The first rank takes the batches of the last, and so on."""
    from transformers import Trainer

    class FromTheEnd(Trainer):
        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            sampler = shards(self, loader)
            if sampler is not None:
                sampler.process_index = sampler.num_processes - 1 - sampler.process_index
            return loader

    return FromTheEnd


@fault(property="sharding.micro_batches_are_shared_evenly")
def last_rank_ends_a_row_early() -> Any:
    """The last micro-batch of the last rank lacks a row, if it has several."""

    def shortened(batches: list[Any], sampler: Any) -> list[Any]:
        last = sampler.process_index == sampler.num_processes - 1 and batches and len(batches[-1]) > 1
        return [*batches[:-1], batches[-1][:-1]] if last else batches

    return with_batches(shortened)


@fault(property="sharding.windows_have_rows_of_their_own")
def every_second_batch_is_the_one_before() -> Any:
    """Of two micro-batches in a row each rank takes the first one twice."""
    return with_batches(lambda batches, sampler: [batches[index - index % 2] for index in range(len(batches))])


@fault(property="sharding.items_are_counted_on_all_ranks")
def items_added_up_once_more() -> Any:
    """The items of all ranks are added up over the ranks once more."""
    from transformers import Trainer

    class OnceMore(Trainer):
        def _get_num_items_in_batch(self, *args: Any, **kwargs: Any) -> Any:
            items = super()._get_num_items_in_batch(*args, **kwargs)
            return items if items is None or self.args.world_size == 1 else items * self.args.world_size

    return OnceMore


@fault(property="sharding.tokens_seen_are_those_of_all_ranks")
def tokens_of_the_own_rank() -> Any:
    """The tokens that were seen are those of the rank itself."""
    from transformers import Trainer

    class Own(Trainer):
        def _track_num_input_tokens(self, inputs: Any) -> None:
            gather = self.accelerator.gather
            self.accelerator.gather = lambda tokens: tokens
            super()._track_num_input_tokens(inputs)
            self.accelerator.gather = gather

    return Own


@fault(property="sharding.ranks_agree_on_the_run")
def logs_of_the_first_rank_alone() -> Any:
    """Only the first rank keeps the history of its logs."""
    from transformers import Trainer

    class FirstAlone(Trainer):
        def log(self, *args: Any, **kwargs: Any) -> None:
            super().log(*args, **kwargs)
            if not self.is_world_process_zero():
                self.state.log_history.clear()

    return FirstAlone


@fault(property="sharding.workers_have_seeds_of_their_own")
def workers_seeded_without_their_rank() -> Any:
    """The seeds of workers do not depend on the rank."""
    from transformers import Trainer
    from transformers.trainer_utils import seed_worker

    class WithoutRank(Trainer):
        def get_train_dataloader(self) -> Any:
            loader: Any = super().get_train_dataloader()
            if loader.worker_init_fn is not None:
                seeded = functools.partial(seed_worker, num_workers=self.args.dataloader_num_workers, rank=0)
                loader.base_dataloader.worker_init_fn = seeded
            return loader

    return WithoutRank


@fault(property="sharding.prepared_loaders_share_out_their_rows")
def prepared_loaders_keep_short_batches() -> Any:
    """Loaders that are prepared for several ranks forget that they drop a short last batch."""
    from transformers import Trainer

    class Keeps(Trainer):
        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            usual = self.accelerator.prepare_data_loader

            def prepare_data_loader(*args: Any, **kwargs: Any) -> Any:
                loader = usual(*args, **kwargs)
                if self.args.world_size > 1:
                    loader._drop_last = False  # noqa: SLF001  it has no other name
                    for each in (loader.batch_sampler, loader.dataset):
                        if hasattr(each, "process_index"):
                            each.drop_last = False
                return loader

            self.accelerator.prepare_data_loader = prepare_data_loader

    return Keeps


@fault(property="sharding.one_rank_writes_what_all_share")
def optimizer_written_by_every_rank() -> Any:
    """Every rank writes the state of the optimizer."""
    from pathlib import Path

    import torch
    from transformers import Trainer

    class Writes(Trainer):
        def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
            super()._save_optimizer_and_scheduler(output_dir)
            if not self.args.should_save:
                Path(output_dir).mkdir(parents=True, exist_ok=True)
                torch.save(self.optimizer.state_dict(), Path(output_dir, "optimizer.pt"))

    return Writes
