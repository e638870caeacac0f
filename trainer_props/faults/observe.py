"""Faults by which a run depends on how it is observed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults.registry import fault


@fault(property="observe.finishes_however_observed")
def checkpoint_named_after_the_last_log() -> Any:
    """A save looks at the last entry of the log history, though there may be none."""
    from transformers import Trainer

    class LooksAtTheLog(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
            self._loss_of_the_checkpoint = self.state.log_history[-1].get("loss")
            return super()._save_checkpoint(*args, **kwargs)

    return LooksAtTheLog


@fault(property="observe.ends_at_the_same_step")
def evaluation_counted_as_a_step() -> Any:
    """An evaluation in the middle of training is counted as an update."""
    from transformers import Trainer

    class Counts(Trainer):
        def _evaluate(self, *args: Any, **kwargs: Any) -> Any:
            metrics = super()._evaluate(*args, **kwargs)
            self.state.global_step += 1
            return metrics

    return Counts


@fault(property="observe.micro_batches_have_the_same_samples")
def order_drawn_from_the_global_generator() -> Any:
    """The order of an epoch is drawn from torch's global generator, which evaluations use too."""
    import torch
    from torch.utils.data import Sampler
    from transformers import Trainer

    class Shuffled(Sampler[int]):
        def __init__(self, length: int) -> None:
            self._length = length

        def __len__(self) -> int:
            return self._length

        def __iter__(self) -> Iterator[int]:
            return iter(torch.randperm(self._length).tolist())

    class Global(Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            usual = super()._get_train_sampler(*args)
            return usual if usual is None else Shuffled(len(usual))

    return Global


@fault(property="observe.learning_rates_are_the_same")
def schedule_stepped_by_logs() -> Any:
    """The schedule makes a step with every log of a loss."""
    from transformers import Trainer

    class StepsWithLogs(Trainer):
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            super().log(logs, *args, **kwargs)
            if "loss" in logs:
                self.lr_scheduler.step()

    return StepsWithLogs


@fault(property="observe.gradients_are_the_same")
def gradients_of_the_evaluation_left_behind() -> Any:
    """An evaluation leaves a gradient behind, which goes into the next update."""
    import torch
    from transformers import Trainer

    class LeavesGradients(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            metrics = super().evaluate(*args, **kwargs)
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.full_like(parameter, metrics["eval_loss"])
            return metrics

    return LeavesGradients


@fault(property="observe.weights_are_the_same")
def weights_rounded_by_saving() -> Any:
    """The weights are rounded to half precision for a checkpoint, and stay so."""
    import torch
    from transformers import Trainer

    class Rounds(Trainer):
        def _save_checkpoint(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_(parameter.half())
            return super()._save_checkpoint(model, *args, **kwargs)

    return Rounds


@fault(property="observe.weights_are_the_same")
def generator_seeded_by_saving() -> Any:
    """A save seeds the global generators anew, so that its checkpoint can be resumed from a known state."""
    from transformers import Trainer, set_seed

    class Seeds(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
            set_seed(self.args.seed)
            return super()._save_checkpoint(*args, **kwargs)

    return Seeds


@fault(property="observe.gradients_are_the_same")
def dropout_switched_off_by_evaluation() -> Any:
    """An evaluation sets the rate of all dropout to 0, and nothing sets it back."""
    import torch
    from transformers import Trainer

    class SwitchesOff(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            for module in self.model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            return super().evaluation_loop(*args, **kwargs)

    return SwitchesOff


@fault(property="observe.train_loss_is_the_same")
def logged_losses_forgotten() -> Any:
    """The training loss that is returned forgets the losses that were logged."""
    from transformers import Trainer

    class Forgets(Trainer):
        _finalize_training = rewritten(Trainer, "_finalize_training", "self._total_loss_scalar +=", "self._total_loss_scalar =")

    return Forgets


@fault(property="observe.logged_numbers_are_the_same")
def gradient_norm_of_the_log_before() -> Any:
    """What is logged as gradient norm is that of the log before."""
    from transformers import Trainer

    class OneBehind(Trainer):
        _norm: float | None = None

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if "grad_norm" in logs:
                self._norm, norm = logs["grad_norm"], self._norm
                logs = {**logs, "grad_norm": logs["grad_norm"] if norm is None else norm}
            super().log(logs, *args, **kwargs)

    return OneBehind


@fault(property="observe.the_same_is_returned")
def last_evaluation_among_the_metrics() -> Any:
    """The metrics of the last evaluation slip into those that `train()` returns."""
    from transformers import Trainer

    class Slips(Trainer):
        _evaluated: dict[str, float] | None = None

        def _evaluate(self, *args: Any, **kwargs: Any) -> Any:
            self._evaluated = super()._evaluate(*args, **kwargs)
            return self._evaluated

        def train(self, *args: Any, **kwargs: Any) -> Any:
            output = super().train(*args, **kwargs)
            output.metrics.update(self._evaluated or {})
            return output

    return Slips
