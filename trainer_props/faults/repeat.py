"""Faults that show when a run is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from trainer_props.faults.registry import fault


@fault(property="repeat.finishes_a_second_time")
def data_let_go_after_training() -> Any:
    """The training data are let go when training ends, to free memory."""
    from transformers import Trainer

    class LetsGo(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            output = super().train(*args, **kwargs)
            self.train_dataset = None
            return output

    return LetsGo


@fault(property="repeat.the_same_seed_gives_the_same_weights")
def noise_of_all_trainers() -> Any:
    """Gradients get a little noise from a generator that all Trainers of a process share."""
    import torch
    from transformers import Trainer

    class Noisy(Trainer):
        _noise = torch.Generator().manual_seed(0)

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad += 0.01 * torch.randn(parameter.shape, generator=self._noise)
            return loss

    return Noisy


@fault(property="repeat.the_same_seed_gives_the_same_weights")
def full_determinism_adds_the_rank() -> Any:
    """With `full_determinism` each process adds its rank, counted from 1, to the seed."""
    from transformers import Trainer, set_seed

    class AddsTheRank(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.args.full_determinism:
                set_seed(self.args.seed + self.args.process_index + 1)

    return AddsTheRank


@fault(property="repeat.the_same_seed_gives_the_same_logs")
def history_of_all_trainers() -> Any:
    """The log history is a list that all Trainers of a process share."""
    from transformers import Trainer

    class Shares(Trainer):
        _history: ClassVar[list[dict[str, Any]]] = []

        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._init_training_state(*args, **kwargs)
            self.state.log_history = self._history
            return found

    return Shares


@fault(property="repeat.the_order_is_that_of_the_data_seed")
def order_of_the_seed() -> Any:
    """The order of the samples follows from `seed`, whatever `data_seed` says."""
    import torch
    from torch.utils.data import Sampler
    from transformers import Trainer

    class Shuffled(Sampler[int]):
        def __init__(self, length: int, seed: int) -> None:
            self._length, self._generator = length, torch.Generator().manual_seed(seed)

        def __len__(self) -> int:
            return self._length

        def __iter__(self) -> Iterator[int]:
            return iter(torch.randperm(self._length, generator=self._generator).tolist())

    class OfTheSeed(Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            usual = super()._get_train_sampler(*args)
            return usual if usual is None else Shuffled(len(usual), self.args.seed)

    return OfTheSeed


@fault(property="repeat.a_second_train_begins_at_step_0")
def steps_counted_on() -> Any:
    """A second `train()` counts its updates on from the first."""
    from transformers import Trainer

    class CountsOn(Trainer):
        def _init_training_state(self, max_steps: int, *args: Any, **kwargs: Any) -> Any:
            done = self.state.global_step
            found = super()._init_training_state(max_steps, *args, **kwargs)
            self.state.global_step, self.state.max_steps = done, done + max_steps
            return found

    return CountsOn


@fault(property="repeat.a_second_train_makes_as_many_updates")
def updates_before_count() -> Any:
    """The updates of a first `train()` count against what a second one may make, which makes one at least."""
    from transformers import Trainer

    class CountsAgainst(Trainer):
        def _init_training_state(self, max_steps: int, *args: Any, **kwargs: Any) -> Any:
            done = self.state.global_step
            found = super()._init_training_state(max_steps, *args, **kwargs)
            self.state.max_steps = max(1, max_steps - done)
            return found

    return CountsAgainst


@fault(property="repeat.a_second_train_has_its_own_history")
def history_goes_on() -> Any:
    """The log history of a second `train()` goes on after that of the first."""
    from transformers import Trainer

    class GoesOn(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            before = self.state.log_history
            found = super()._init_training_state(*args, **kwargs)
            self.state.log_history = before
            return found

    return GoesOn


@fault(property="repeat.a_second_train_has_the_same_schedule")
def schedule_goes_on() -> Any:
    """The schedule of the first `train()` goes on in the second."""
    from transformers import Trainer

    class GoesOn(Trainer):
        def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
            self._created_lr_scheduler = False
            return super()._prepare_for_training(*args, **kwargs)

    return GoesOn


@fault(property="repeat.a_second_train_goes_on_from_the_weights")
def weights_of_the_construction() -> Any:
    """Every `train()` begins with the weights that the model had when the Trainer was made."""
    import copy

    from transformers import Trainer

    class Restores(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._given = copy.deepcopy(self.model.state_dict())

        def train(self, *args: Any, **kwargs: Any) -> Any:
            self.model.load_state_dict(self._given)
            return super().train(*args, **kwargs)

    return Restores
