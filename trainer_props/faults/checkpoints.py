"""Faults in checkpoints: when they are written, what is in them, which is the best, and which are deleted."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import with_flow
from trainer_props.faults.registry import fault


@fault(property="checkpoints.rotation_keeps_the_newest_and_the_best")
def rotation_deletes_the_best() -> Any:
    """Rotation is not told which checkpoint is the best, and deletes it when it is the oldest."""
    from transformers import Trainer

    class DeletesTheBest(Trainer):
        _save_checkpoint = rewritten(
            Trainer, "_save_checkpoint", "best_model_checkpoint=self.state.best_model_checkpoint", "best_model_checkpoint=None"
        )

    return DeletesTheBest


@fault(property="checkpoints.rotation_keeps_the_newest_and_the_best")
def rotation_before_saving() -> Any:
    """Rotation counts the checkpoints before the new one is written, so that one too many is left."""
    from transformers import Trainer

    class OneTooMany(Trainer):
        _save_checkpoint = rewritten(
            Trainer,
            "_save_checkpoint",
            "save_total_limit=self.args.save_total_limit",
            "save_total_limit=self.args.save_total_limit and self.args.save_total_limit + 1",
        )

    return OneTooMany


@fault(property="checkpoints.a_save_leaves_its_checkpoint")
def checkpoint_named_after_the_epoch() -> Any:
    """A checkpoint gets the number of the epoch in its name instead of that of the step."""
    from transformers import Trainer

    class NamedAfterTheEpoch(Trainer):
        _save_checkpoint = rewritten(Trainer, "_save_checkpoint", "-{self.state.global_step}", "-{int(self.state.epoch)}")

    return NamedAfterTheEpoch


@fault(property="checkpoints.best_checkpoint_exists")
def best_checkpoint_named_before_it_is_written() -> Any:
    """An evaluation that is the best names the checkpoint of its step, whether or not one is written."""
    from transformers import Trainer

    class NamedEarly(Trainer):
        def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
            best = super()._determine_best_metric(*args, **kwargs)
            if best:
                self.state.best_model_checkpoint = str(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")
            return bool(best)

    return NamedEarly


@fault(property="checkpoints.best_checkpoint_is_the_best_saved")
def newest_checkpoint_taken_for_the_best() -> Any:
    """Every checkpoint that is written becomes the best one."""
    from transformers import Trainer

    class NewestIsBest(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            super()._save_checkpoint(*args, **kwargs)
            self.state.best_model_checkpoint = str(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")

    return NewestIsBest


@fault(property="checkpoints.best_metric_is_the_best_of_all")
def direction_ignored() -> Any:
    """The lowest value is the best, also where `greater_is_better`."""
    from transformers import Trainer

    class LowestIsBest(Trainer):
        def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
            asked, self.args.greater_is_better = self.args.greater_is_better, False
            try:
                return bool(super()._determine_best_metric(*args, **kwargs))
            finally:
                self.args.greater_is_better = asked

    return LowestIsBest


@fault(property="checkpoints.best_metric_is_the_best_of_all")
def latest_metric_taken_for_the_best() -> Any:
    """`state.best_metric` follows every evaluation."""
    from transformers import Trainer

    class Latest(Trainer):
        def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
            self.state.best_metric = None
            return bool(super()._determine_best_metric(*args, **kwargs))

    return Latest


@fault(property="checkpoints.best_step_is_that_of_the_best_metric")
def best_step_follows_every_evaluation() -> Any:
    """`state.best_global_step` is the step of the latest evaluation."""
    from transformers import Trainer

    class Latest(Trainer):
        def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
            best = bool(super()._determine_best_metric(*args, **kwargs))
            if self.state.best_global_step is not None:
                self.state.best_global_step = self.state.global_step
            return best

    return Latest


@fault(property="checkpoints.best_step_is_that_of_the_best_metric")
def tie_taken_for_an_improvement() -> Any:
    """An evaluation that is as good as the best one takes its place."""
    from transformers import Trainer

    class TiesWin(Trainer):
        _determine_best_metric = rewritten(
            Trainer,
            "_determine_best_metric",
            "np.greater if self.args.greater_is_better else np.less",
            "np.greater_equal if self.args.greater_is_better else np.less_equal",
        )

    return TiesWin


@fault(property="checkpoints.best_model_is_loaded")
def best_model_only_announced() -> Any:
    """The best checkpoint is loaded into a copy of the model."""
    from transformers import Trainer

    class IntoACopy(Trainer):
        def _load_best_model(self) -> None:
            model, self.model = self.model, copy.deepcopy(self.model)
            super()._load_best_model()
            self.model = model

    return IntoACopy


@fault(property="checkpoints.checkpoints_are_complete")
def random_states_not_saved() -> Any:
    """Checkpoints have no random states."""
    from transformers import Trainer

    class NoRandomStates(Trainer):
        def _save_rng_state(self, output_dir: str) -> None:
            pass

    return NoRandomStates


@fault(property="checkpoints.checkpoints_are_complete")
def save_only_model_leaves_out_the_state() -> Any:
    """With `save_only_model` a checkpoint has no state of the Trainer either."""
    from transformers import Trainer

    class ModelAlone(Trainer):
        _save_checkpoint = rewritten(
            Trainer, "_save_checkpoint", "self.state.save_to_json(", "self.args.save_only_model or self.state.save_to_json("
        )

    return ModelAlone


@fault(property="checkpoints.checkpoints_are_written_when_due")
def final_checkpoint_forgotten() -> Any:
    """A plan by steps saves at its multiples only, and not at the end of the run."""
    from transformers import DefaultFlowCallback

    class NoFinalSave(DefaultFlowCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control = super().on_step_end(args, state, control, **kwargs)
            if args.save_strategy == "steps" and state.global_step % state.save_steps != 0:
                control.should_save = False
            return control

    return with_flow(NoFinalSave)


@fault(property="checkpoints.checkpoints_are_written_when_due")
def every_evaluation_taken_for_the_best() -> Any:
    """`save_strategy="best"` saves after every evaluation."""
    from transformers import Trainer

    class AlwaysBest(Trainer):
        def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
            super()._determine_best_metric(*args, **kwargs)
            return True

    return AlwaysBest


@fault(property="checkpoints.checkpoints_hold_the_weights")
def weights_saved_in_half_precision() -> Any:
    """Weights are cast to bfloat16 before they are written."""
    import torch
    from transformers import Trainer

    class HalfPrecision(Trainer):
        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            exact = state_dict if state_dict is not None else self.model.state_dict()
            super()._save(output_dir, {name: weight.to(torch.bfloat16).to(weight.dtype) for name, weight in exact.items()})

    return HalfPrecision


@fault(property="checkpoints.checkpoints_left_at_the_end")
def limit_of_one_leaves_two() -> Any:
    """In the end the newest checkpoint is left beside the best one, also with `save_total_limit=1`."""
    from transformers import Trainer

    class LeavesTwo(Trainer):
        _finalize_training = rewritten(Trainer, "_finalize_training", "self.args.save_total_limit == 1", "self.args.save_total_limit == 0")

    return LeavesTwo


@fault(property="checkpoints.saved_state_is_the_state")
def state_saved_from_before_the_log() -> Any:
    """A checkpoint holds the state as it was before the log and the evaluation of its step."""
    from transformers import Trainer

    class Before(Trainer):
        def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
            self._before = copy.deepcopy(self.state)
            super()._maybe_log_save_evaluate(*args, **kwargs)

        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            super()._save_checkpoint(*args, **kwargs)
            written = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}" / "trainer_state.json"
            if written.exists():
                self._before.save_to_json(str(written))

    return Before


@fault(property="checkpoints.saved_state_knows_the_best")
def best_metric_of_the_save_before() -> Any:
    """A checkpoint that is saved after an evaluation is written before it is known whether that is the best."""
    from transformers import Trainer

    class TooEarly(Trainer):
        def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
            self._before = self.state.best_metric, self.state.best_global_step
            return bool(super()._determine_best_metric(*args, **kwargs))

        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            super()._save_checkpoint(*args, **kwargs)
            written = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}" / "trainer_state.json"
            if written.exists() and hasattr(self, "_before"):
                state = copy.deepcopy(self.state)
                state.best_metric, state.best_global_step = self._before
                state.save_to_json(str(written))

    return TooEarly


@fault(property="checkpoints.saved_state_knows_the_best")
def infinite_metrics_written_as_null() -> Any:
    """Strict JSON has no infinities: they are written to `trainer_state.json` as null."""
    import math

    from transformers import Trainer

    class AsNull(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            best = self.state.best_metric
            if best is not None and math.isinf(best):
                self.state.best_metric = None
            super()._save_checkpoint(*args, **kwargs)
            self.state.best_metric = best

    return AsNull
@fault(property="checkpoints.a_saved_model_loads_as_it_was")
def saved_in_half_precision() -> Any:
    """Weights are rounded to sixteen bits when they are written."""
    from transformers import Trainer

    class Rounded(Trainer):
        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            weights = self.model.state_dict() if state_dict is None else state_dict
            super()._save(output_dir, {name: value.half() if value.is_floating_point() else value for name, value in weights.items()})

    return Rounded


@fault(property="checkpoints.saving_and_loading_raise_nothing")
def weights_saved_under_another_name() -> Any:
    """The weights are written to a file of another name than the one that is looked for."""
    from pathlib import Path

    from transformers import Trainer

    class Renamed(Trainer):
        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            super()._save(output_dir, state_dict)
            Path(str(output_dir), "model.safetensors").rename(Path(str(output_dir), "weights.safetensors"))

    return Renamed
