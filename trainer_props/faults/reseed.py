"""Faults in seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainer_props.faults.registry import fault


@fault(property="reseed.another_data_seed_gives_another_order")
def order_of_a_fixed_seed() -> Any:
    """The generator of the sampler is made with a seed of its own, the same in every run."""
    import torch
    from torch.utils.data import Sampler
    from transformers import Trainer

    class Shuffled(Sampler[int]):
        def __init__(self, length: int) -> None:
            self._length, self._generator = length, torch.Generator().manual_seed(0)

        def __len__(self) -> int:
            return self._length

        def __iter__(self) -> Iterator[int]:
            return iter(torch.randperm(self._length, generator=self._generator).tolist())

    class Fixed(Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            usual = super()._get_train_sampler(*args)
            return usual if usual is None else Shuffled(len(usual))

    return Fixed


@fault(property="reseed.evaluations_go_by_the_data_seed")
def evaluations_go_by_the_seed() -> Any:
    """Samples of evaluations are grouped with a generator of `seed`, whatever `data_seed` says."""
    from transformers import Trainer

    class OfTheSeed(Trainer):
        def _get_eval_sampler(self, *args: Any) -> Any:
            given, self.args.data_seed = self.args.data_seed, None
            sampler = super()._get_eval_sampler(*args)
            self.args.data_seed = given
            return sampler

    return OfTheSeed
