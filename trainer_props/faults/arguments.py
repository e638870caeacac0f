"""Faults in TrainingArguments: each is a class of arguments that the faulty trainer brings along."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any

from trainer_props.faults.registry import fault


def _bringing(kind: type[Any]) -> Callable[[Any, str], Any]:
    """A factory of stock Trainers whose arguments are of a class."""
    from transformers import Trainer

    def make(parts: Any, output_dir: str) -> Any:
        return Trainer(**{**parts.trainer_kwargs(output_dir), "args": kind(**parts.training_arguments_kwargs(output_dir))})

    return make


@fault(property="arguments.valid_values_are_accepted")
def options_are_looked_up_blindly() -> Any:
    """A table of sampling strategies is made for the documentation's first two, and a look-up of another one fails."""
    from transformers import TrainingArguments

    class LooksUp(TrainingArguments):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.shuffles = {"random": True, "sequential": False}[self.train_sampling_strategy]

    return _bringing(LooksUp)


@fault(property="arguments.given_values_stay_and_others_follow")
def evaluations_are_not_switched_on() -> Any:
    """`do_eval` stays what a script said, since it belongs to scripts, whatever plan of evaluations there is."""
    from transformers import TrainingArguments

    class Keeps(TrainingArguments):
        def __post_init__(self) -> None:
            said = self.do_eval
            super().__post_init__()
            self.do_eval = said

    return _bringing(Keeps)


@fault(property="arguments.copies_equal_the_original")
def zero_is_not_written_down() -> Any:
    """`to_dict` leaves out what is empty or zero, to keep the file short: what is read back has the defaults there."""
    from transformers import TrainingArguments

    class Short(TrainingArguments):
        def to_dict(self) -> dict[str, Any]:
            return {name: value for name, value in super().to_dict().items() if value or value is False}

    return _bringing(Short)


@fault(property="arguments.copies_equal_the_original")
def json_is_rounded() -> Any:
    """`to_json_string` writes numbers with four decimals."""
    from transformers import TrainingArguments

    class Rounds(TrainingArguments):
        def to_json_string(self) -> str:
            rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in self.to_dict().items()}
            return json.dumps(rounded, indent=2)

    return _bringing(Rounds)


@fault(property="arguments.replacing_values_is_building_with_them")
def seed_is_remembered() -> Any:
    """`data_seed` is filled in from `seed`, so that replacing the seed leaves the data in the old order."""
    from transformers import TrainingArguments

    class Remembers(TrainingArguments):
        def __post_init__(self) -> None:
            super().__post_init__()
            if self.data_seed is None:
                self.data_seed = self.seed

    return _bringing(Remembers)


@fault(property="arguments.sanitized_values_are_plain")
def sanitized_keeps_lists() -> Any:
    """`to_sanitized_dict` is `to_dict`: lists and None go to the trackers as they are."""
    from transformers import TrainingArguments

    class Unsanitized(TrainingArguments):
        def to_sanitized_dict(self) -> dict[str, Any]:
            return dict(self.to_dict())

    return _bringing(Unsanitized)


@fault(property="arguments.building_again_changes_nothing")
def batch_size_grows() -> Any:
    """The batch size of evaluation is multiplied by the accumulation each time the arguments are set up: again in every copy."""
    from transformers import TrainingArguments

    class Multiplies(TrainingArguments):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.per_device_eval_batch_size *= self.gradient_accumulation_steps

    return _bringing(Multiplies)


@fault(property="arguments.copying_changes_nothing")
def writing_rounds_the_original() -> Any:
    """`to_json_string` rounds the learning rate to four decimals in the arguments themselves, so that it reads well."""
    from transformers import TrainingArguments

    class Tidies(TrainingArguments):
        def to_json_string(self) -> str:
            self.learning_rate = round(self.learning_rate, 4)
            return str(super().to_json_string())

    return _bringing(Tidies)


@fault(property="arguments.copying_changes_nothing")
def given_options_are_consumed() -> Any:
    """Options of the scheduler are popped out of the dict that was handed in."""
    from transformers import TrainingArguments

    class Consumes(TrainingArguments):
        def __post_init__(self) -> None:
            super().__post_init__()
            if isinstance(self.lr_scheduler_kwargs, dict):
                given, self.lr_scheduler_kwargs = self.lr_scheduler_kwargs, dict(self.lr_scheduler_kwargs)
                given.clear()

    return _bringing(Consumes)


@fault(property="arguments.setters_set_what_they_are_told")
def betas_are_exchanged() -> Any:
    """`set_optimizer` takes the first beta for the second."""
    from transformers import TrainingArguments

    class Exchanges(TrainingArguments):
        def set_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            super().set_optimizer(*args, **kwargs)
            self.adam_beta1, self.adam_beta2 = self.adam_beta2, self.adam_beta1
            return self

    return _bringing(Exchanges)


@fault(property="arguments.silent_setters_keep_their_documented_defaults")
def set_dataloader_forks() -> Any:
    """`set_dataloader` loads with two workers where it is not told how many."""
    from transformers import TrainingArguments

    class Forks(TrainingArguments):
        @functools.wraps(TrainingArguments.set_dataloader)
        def set_dataloader(self, *args: Any, num_workers: int = 2, **kwargs: Any) -> Any:
            return super().set_dataloader(*args, num_workers=num_workers, **kwargs)

    return _bringing(Forks)


@fault(property="arguments.bad_values_are_refused")
def warmup_is_clamped() -> Any:
    """A negative `warmup_steps` is quietly taken for 0."""
    from transformers import TrainingArguments

    class Clamps(TrainingArguments):
        def __post_init__(self) -> None:
            if isinstance(self.warmup_steps, (int, float)):
                self.warmup_steps = max(0, self.warmup_steps)
            super().__post_init__()

    return _bringing(Clamps)


@fault(property="arguments.bad_values_are_refused")
def unknown_optimizers_fall_back() -> Any:
    """An unknown optimizer is replaced by the default one."""
    from transformers import TrainingArguments
    from transformers.training_args import OptimizerNames

    default: Any = next(each.default for each in dataclasses.fields(TrainingArguments) if each.name == "optim")

    class FallsBack(TrainingArguments):
        def __post_init__(self) -> None:
            if self.optim not in {each.value for each in OptimizerNames}:
                self.optim = default
            super().__post_init__()

    return _bringing(FallsBack)


@fault(property="arguments.plans_that_fit_are_accepted")
def saves_have_to_be_evaluations() -> Any:
    """With the best model to load, saving is only allowed at the very steps of evaluations, and not at every second of them."""
    from transformers import TrainingArguments

    class Strict(TrainingArguments):
        def __post_init__(self) -> None:
            super().__post_init__()
            by_steps = self.load_best_model_at_end and self.eval_strategy == self.save_strategy == "steps"
            if by_steps and self.save_steps != self.eval_steps:
                raise ValueError("--load_best_model_at_end requires save_steps to be eval_steps")

    return _bringing(Strict)


@fault(property="arguments.plans_that_do_not_fit_are_refused")
def intervals_are_compared_before_they_are_known() -> Any:
    """Whether intervals fit is asked before the default of `eval_steps` is filled in: what is not given fits everything."""
    from transformers import TrainingArguments

    class TooEarly(TrainingArguments):
        def _validate_args(self) -> None:
            best, self.load_best_model_at_end = self.load_best_model_at_end, self.load_best_model_at_end and self._said
            super()._validate_args()
            self.load_best_model_at_end = best

        def __post_init__(self) -> None:
            self._said = self.eval_steps is not None
            super().__post_init__()

    return _bringing(TooEarly)
