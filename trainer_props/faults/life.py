"""Faults that show in the life of a job: in its third run, in a Trainer that trains again, after a loss."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import with_handler
from trainer_props.faults.registry import fault


@fault(property="life.runs_end_as_asked")
def training_is_going_on_for_ever() -> Any:
    """A Trainer whose training was ended by an exception says, when it is to train again, that it is training."""
    from transformers import Trainer

    class Busy(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            if self.is_in_train:
                raise RuntimeError("this Trainer is training")
            return super().train(*args, **kwargs)

    return Busy


@fault(property="life.goes_on_from_the_newest_checkpoint")
def pointer_to_the_newest_checkpoint() -> Any:
    """A file says which checkpoint is the newest; if that one was deleted, training begins anew."""
    from transformers import Trainer

    class Pointing(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
            super()._save_checkpoint(*args, **kwargs)
            Path(str(self.args.output_dir), "newest").write_text(f"checkpoint-{self.state.global_step}", encoding="utf-8")

        def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
            if resume_from_checkpoint is True:
                folder = Path(str(self.args.output_dir))
                pointed = folder / (folder / "newest").read_text(encoding="utf-8")
                resume_from_checkpoint = str(pointed) if pointed.is_dir() else None
            return super().train(resume_from_checkpoint, *args, **kwargs)

    return Pointing


@fault(property="life.makes_the_updates_that_are_left")
def stop_stays_in_force() -> Any:
    """A Trainer that was told to stop stops again, after one update, when it trains again."""
    from transformers.trainer_callback import CallbackHandler

    class Remembers(CallbackHandler):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            stopped = control.should_training_stop
            control = super().on_train_begin(args, state, control, **kwargs)
            control.should_training_stop = stopped and state.global_step > 0
            return control

    return with_handler(Remembers)


@fault(property="life.checkpoints_are_those_of_the_plan")
def rotation_of_own_checkpoints() -> Any:
    """`save_total_limit` counts the checkpoints that this process has written, and leaves those of the runs before."""
    from transformers import Trainer

    class Own(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
            limit, self.args.save_total_limit = self.args.save_total_limit, None
            try:
                super()._save_checkpoint(*args, **kwargs)
            finally:
                self.args.save_total_limit = limit
            self._written = [*getattr(self, "_written", []), Path(str(self.args.output_dir), f"checkpoint-{self.state.global_step}")]
            for old in self._written[:-limit] if limit else []:
                shutil.rmtree(old, ignore_errors=True)

    return Own


@fault(property="life.updates_have_the_samples_of_one_run")
def epochs_counted_by_the_trainer() -> Any:
    """The order of the samples is that of the epochs which this Trainer has begun since it was made."""
    from transformers import Trainer

    class Counting(Trainer):
        _begun = None
        _usual = rewritten(Trainer, "_run_epoch", "train_dataloader.set_epoch(epoch)", "train_dataloader.set_epoch(self._begun)")

        def _run_epoch(self, *args: Any, epoch: int, **kwargs: Any) -> Any:
            self._begun = epoch if self._begun is None else self._begun + 1
            return self._usual(*args, epoch=epoch, **kwargs)

    return Counting


@fault(property="life.updates_have_the_weights_of_one_run")
def trained_weights_are_kept() -> Any:
    """A Trainer that has trained keeps its weights when it is to resume from a checkpoint."""
    from transformers import Trainer

    class Keeps(Trainer):
        def _load_from_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            if not self.state.global_step:
                super()._load_from_checkpoint(*args, **kwargs)

    return Keeps


@fault(property="life.updates_have_the_learning_rates_of_one_run")
def schedule_of_the_last_run() -> Any:
    """A resumed schedule makes as many steps as the run that wrote the checkpoint had made, as if that had been the first."""
    from transformers import Trainer

    class LastRun(Trainer):
        def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
            super()._save_optimizer_and_scheduler(output_dir)
            Path(output_dir, "steps").write_text(str(self.state.global_step - self._initial_global_step), encoding="utf-8")

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            super()._load_optimizer_and_scheduler(checkpoint)
            if checkpoint is not None and self.lr_scheduler is not None:
                steps = int(Path(checkpoint, "steps").read_text(encoding="utf-8"))
                self.lr_scheduler.last_epoch = steps - 1
                self.lr_scheduler.step()

    return LastRun


@fault(property="life.log_history_has_each_entry_once")
def history_outlives_the_crash() -> Any:
    """A Trainer that resumes adds to the log history that it has, and not to that of the checkpoint."""
    from transformers import Trainer

    class Outlives(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            before = self.state.log_history
            found = super()._init_training_state(*args, **kwargs)
            self.state.log_history = before or self.state.log_history
            return found

    return Outlives


@fault(property="life.evaluations_are_those_of_one_run")
def evaluation_loss_is_a_running_mean() -> Any:
    """`eval_loss` is the mean of all evaluations that this Trainer has made."""
    from transformers import Trainer

    class Running(Trainer):
        def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            name = f"{metric_key_prefix}_loss"
            if name in output.metrics:
                self._seen = [*getattr(self, "_seen", []), output.metrics[name]]
                output.metrics[name] = sum(self._seen) / len(self._seen)
            return output

    return Running


@fault(property="life.a_checkpoint_evaluates_as_the_run_did")
def checkpoints_in_half_precision() -> Any:
    """Checkpoints have the weights as they are in half precision."""
    from transformers import Trainer

    class Half(Trainer):
        def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
            weights = state_dict if state_dict is not None else self.model.state_dict()
            super()._save(output_dir, {name: value.bfloat16().to(value.dtype) for name, value in weights.items()})

    return Half


@fault(property="life.the_state_is_that_of_one_run")
def epochs_that_were_left() -> Any:
    """`num_train_epochs` of the state is what was left when the last run began."""
    from transformers import Trainer

    class Left(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            epochs_trained, batches = super()._init_training_state(*args, **kwargs)
            self.state.num_train_epochs -= epochs_trained
            return epochs_trained, batches

    return Left
