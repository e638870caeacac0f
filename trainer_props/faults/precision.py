"""Faults in reduced precision: what is cast, when, and what is cast back."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._swapping import changed
from trainer_props.faults.registry import fault


@fault(property="precision.layers_compute_in_mixed_precision")
def evaluation_takes_the_wrapper_off() -> Any:
    """Evaluation unwraps the model to get at its generation methods, and takes the wrapper of mixed precision off for good."""
    from transformers import Trainer

    class Unwraps(Trainer):
        def prediction_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            return super().prediction_step(self.accelerator.unwrap_model(model, keep_fp32_wrapper=False), *args, **kwargs)

    return Unwraps


@fault(property="precision.weights_are_in_half_precision_in_evaluation_alone")
def cast_once_and_for_all() -> Any:
    """The model is cast for evaluations in half precision when the trainer is made, to save casting it each time."""
    import torch

    def cast(trainer: Any) -> None:
        half = torch.bfloat16 if trainer.args.bf16_full_eval else torch.float16 if trainer.args.fp16_full_eval else None
        if half is not None:
            trainer.model.to(half)

    return changed(cast)


@fault(property="precision.weights_are_in_half_precision_in_evaluation_alone")
def mixed_precision_taken_for_half() -> Any:
    """With bf16 an evaluation in half precision is left out, since it is in bf16 already."""
    from transformers import Trainer

    class TakesForHalf(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            asked = self.args.bf16_full_eval
            self.args.bf16_full_eval = asked and not self.args.bf16
            try:
                return super().evaluation_loop(*args, **kwargs)
            finally:
                self.args.bf16_full_eval = asked

    return TakesForHalf


@fault(property="precision.outputs_come_in_full_precision")
def outputs_not_cast_back() -> Any:
    """The forward pass is put under autocast, and its outputs stay as that leaves them."""
    import torch
    from transformers import Trainer

    class NotCastBack(Trainer):
        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            usual = self.accelerator.prepare_model

            def prepare_model(model: Any, *args: Any, **kwargs: Any) -> Any:
                prepared = usual(model, *args, **kwargs)
                if self.accelerator.native_amp:
                    prepared.forward = torch.autocast("cpu", torch.bfloat16)(prepared._original_forward)  # noqa: SLF001  accelerate's name
                return prepared

            self.accelerator.prepare_model = prepare_model

    return NotCastBack


@fault(property="precision.losses_are_those_of_the_precision")
def autocast_around_the_whole_run() -> Any:
    """Autocast is entered once around the whole run, so that the weights that it has cast once are never cast again."""
    import torch
    from transformers import Trainer

    class AroundAll(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.args.bf16):
                return super().train(*args, **kwargs)

    return AroundAll
