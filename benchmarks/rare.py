"""Five regressions that show in about one of 20,000 cases each, as a module to import: `trainer-props fuzz rare:WarmupCountedTwice`.

Each is a mistake that a reviewer could pass in code that serves a combination of options, and is confined to that combination: its region.
`rare:Often_WarmupCountedTwice` is the same mistake in a region more than ten times as large, for comparisons that can't wait so long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from transformers import Trainer

from trainer_props.scenario import Scenario

Argument = Callable[[str], Any]
_OFTEN: Final = "Often_"


@dataclass(frozen=True)
class Rare:
    """A regression.

    Attributes:
        sentence: what it does.
        property: id of one that must see it.
        often: whether a run with these arguments and this many devices is in the larger region.
        rarely: what makes that region more than ten times smaller.
        make: the trainer class, from a function that says whether a trainer is in the region.
    """

    sentence: str
    property: str
    often: Callable[[Argument], bool]
    rarely: Callable[[Argument], bool]
    make: Callable[[Callable[[Trainer], bool]], type[Trainer]]

    def covers(self, scenario: Scenario, *, often: bool = False) -> bool:
        """Whether a scenario is in the region."""
        def argument(name: str) -> Any:
            return scenario.components.loss != "model" if name == "compute_loss_func" else scenario.argument(name)

        return self.often(argument) and (often or self.rarely(argument))

    def subject(self, name: str, *, often: bool) -> type[Trainer]:
        """The trainer class, known by this name here."""
        def inside(trainer: Trainer) -> bool:
            def argument(field: str) -> Any:
                return trainer.compute_loss_func is not None if field == "compute_loss_func" else getattr(trainer.args, field)

            return self.often(argument) and (often or self.rarely(argument))

        made = self.make(inside)
        made.__module__, made.__name__, made.__qualname__ = __name__, name, name
        return made


def _is_ratio(value: Any) -> bool:
    return isinstance(value, float) and 0.0 < value < 1.0


def _warmup_counted_twice(inside: Callable[[Trainer], bool]) -> type[Trainer]:
    class WarmupCountedTwice(Trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            scheduler = super().create_scheduler(num_training_steps, optimizer)
            if inside(self) and num_training_steps > 1:
                scheduler.step()
            return scheduler

    return WarmupCountedTwice


def _dropped_rows_counted(inside: Callable[[Trainer], bool]) -> type[Trainer]:
    class DroppedRowsCounted(Trainer):
        def get_batch_samples(self, *args: Any) -> Any:
            batches, items = super().get_batch_samples(*args)
            if items is not None and inside(self):
                items = items + 1
            return batches, items

    return DroppedRowsCounted


def _default_norm_while_decaying(inside: Callable[[Trainer], bool]) -> type[Trainer]:
    class DefaultNormWhileDecaying(Trainer):
        def _clip_grad_norm(self, model: Any) -> Any:
            if not inside(self):
                return super()._clip_grad_norm(model)
            asked, self.args.max_grad_norm = self.args.max_grad_norm, 1.0
            try:
                return super()._clip_grad_norm(model)
            finally:
                self.args.max_grad_norm = asked

    return DefaultNormWhileDecaying


def _whole_batches_averaged(inside: Callable[[Trainer], bool]) -> type[Trainer]:
    class WholeBatchesAveraged(Trainer):
        def evaluation_loop(self, dataloader: Any, *args: Any, **kwargs: Any) -> Any:
            output = super().evaluation_loop(dataloader, *args, **kwargs)
            for name in [each for each in output.metrics if each.endswith("_loss")] if inside(self) else []:
                whole = -(-output.num_samples // self.args.per_device_eval_batch_size) * self.args.per_device_eval_batch_size
                output.metrics[name] *= output.num_samples / (whole + 1)
            return output

    return WholeBatchesAveraged


def _first_log_left_in_the_sum(inside: Callable[[Trainer], bool]) -> type[Trainer]:
    class FirstLogLeftInTheSum(Trainer):
        def _maybe_log_save_evaluate(self, tr_loss: Any, *args: Any, **kwargs: Any) -> None:
            keeps = self.state.global_step == 1 and inside(self)
            super()._maybe_log_save_evaluate(tr_loss.clone() if keeps else tr_loss, *args, **kwargs)

    return FirstLogLeftInTheSum


RARE: Final[Mapping[str, Rare]] = {
    "WarmupCountedTwice": Rare(
        "With a warmup that is a ratio of fractional epochs, a cosine begins one step late.",
        "optimization.learning_rates_follow_schedule",
        lambda get: get("lr_scheduler_type") == "cosine" and _is_ratio(get("warmup_steps")) and get("max_steps") <= 0
        and get("num_train_epochs") % 1 != 0,
        lambda get: get("weight_decay") > 0,
        _warmup_counted_twice,
    ),
    "DroppedRowsCounted": Rare(
        "A loss function of the user's own is told one label too many where rows are dropped and gradients are clipped and accumulated.",
        "loss.num_items_count_labels_of_window",
        lambda get: bool(get("compute_loss_func")) and get("gradient_accumulation_steps") > 2 and bool(get("dataloader_drop_last"))
        and 0.0 < get("max_grad_norm") < 1.0,
        lambda get: get("logging_strategy") == "epoch" and get("max_steps") > 0 and get("per_device_train_batch_size") > 1,
        _dropped_rows_counted,
    ),
    "DefaultNormWhileDecaying": Rare(
        "While weights decay and the learning rate warms up by a ratio, gradients are clipped to the default norm.",
        "optimization.applied_gradient_is_clipped",
        lambda get: 0.0 < get("max_grad_norm") < 1.0 and get("weight_decay") > 0 and _is_ratio(get("warmup_steps"))
        and get("seed") != 42,
        lambda get: bool(get("dataloader_drop_last")) and get("eval_strategy") != "no" and get("per_device_train_batch_size") > 1,
        _default_norm_while_decaying,
    ),
    "WholeBatchesAveraged": Rare(
        "Where predictions are moved in parts and kept apart, the evaluation loss is a mean over one row more than whole batches have.",
        "evaluation.eval_loss_is_the_mean_over_samples",
        lambda get: bool(get("eval_accumulation_steps")) and not get("eval_do_concat_batches") and bool(get("dataloader_drop_last"))
        and bool(get("include_for_metrics")),
        lambda get: get("data_seed") is not None,
        _whole_batches_averaged,
    ),
    "FirstLogLeftInTheSum": Rare(
        "What the first step logs stays in the sum where infinite losses are not filtered and the interval is a ratio.",
        "logs.logged_loss_is_the_mean_since_the_last_log",
        lambda get: bool(get("logging_first_step")) and _is_ratio(get("logging_steps")) and not get("logging_nan_inf_filter")
        and get("gradient_accumulation_steps") == 2,
        lambda get: get("seed") != 42 and get("eval_strategy") != "no",
        _first_log_left_in_the_sum,
    ),
}
"""By the name under which this module has them."""


def __getattr__(name: str) -> Any:
    rare = RARE.get(name.removeprefix(_OFTEN))
    if rare is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = rare.subject(name, often=name.startswith(_OFTEN))
    globals()[name] = made  # one class for one name
    return made


def __dir__() -> list[str]:
    return [*globals(), *RARE, *(f"{_OFTEN}{name}" for name in RARE)]
