"""Faults that show when a run is to save memory."""

from __future__ import annotations

from typing import Any

from trainer_props.faults.registry import fault


@fault(property="save_memory.finishes_with_less_memory")
def reentrant_looked_up_though_not_given() -> Any:
    """How to checkpoint is looked up among keyword arguments that nobody has to give."""
    from transformers import Trainer

    class LooksUp(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            if self.args.activation_checkpointing:
                self._reentrant = self.args.activation_checkpointing_kwargs["use_reentrant"]
            return super().train(*args, **kwargs)

    return LooksUp


@fault(property="save_memory.ends_at_the_same_step")
def batch_doubled_with_the_memory_saved() -> Any:
    """In bf16 there is room for twice as many samples, and micro-batches become as large."""
    from transformers import Trainer

    class Doubles(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.args.bf16:
                self.args.per_device_train_batch_size *= 2
                self._train_batch_size *= 2

    return Doubles


@fault(property="save_memory.micro_batches_have_the_same_samples")
def tried_in_order_where_memory_is_short() -> Any:
    """Where memory is short, samples come in the order of the data, so that it can be told at which one it ran out."""
    from torch.utils.data import SequentialSampler
    from transformers import Trainer

    class InOrder(Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            usual = super()._get_train_sampler(*args)
            short = self.args.bf16 or self.args.activation_checkpointing
            return SequentialSampler(self.train_dataset) if short and usual is not None else usual

    return InOrder


@fault(property="save_memory.learning_rates_are_the_same")
def schedule_longer_in_bf16() -> Any:
    """In bf16 the schedule is one update longer, for a first one that may be skipped, as that of fp16 may."""
    from transformers import Trainer

    class Longer(Trainer):
        def create_scheduler(self, num_training_steps: int, *args: Any, **kwargs: Any) -> Any:
            return super().create_scheduler(num_training_steps + int(self.args.bf16), *args, **kwargs)

    return Longer


@fault(property="save_memory.log_history_has_the_same_entries")
def no_norm_logged_in_bf16() -> Any:
    """In bf16 the gradient norm is not logged, since JSON has no such number."""
    from transformers import Trainer

    class NoNorm(Trainer):
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            kept = {name: value for name, value in logs.items() if name != "grad_norm" or not self.args.bf16}
            super().log(kept, *args, **kwargs)

    return NoNorm


@fault(property="save_memory.weights_keep_their_type")
def model_cast_to_bf16() -> Any:
    """`bf16` casts the whole model, so that optimizer and weights are in half precision too."""
    import torch
    from transformers import Trainer

    class Casts(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.args.bf16:
                self.model.to(torch.bfloat16)

    return Casts


@fault(property="save_memory.weights_are_the_same_where_nothing_is_rounded")
def gradients_kept_in_bf16() -> Any:
    """In bf16 gradients are kept in half precision between micro-batches, whatever the precision of the model."""
    from transformers import Trainer

    class Keeps(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            if self.args.bf16:
                for parameter in self.model.parameters():
                    if parameter.grad is not None:
                        parameter.grad.copy_(parameter.grad.bfloat16())
            return loss

    return Keeps


@fault(property="save_memory.first_gradient_is_close_in_bf16")
def clipping_left_to_a_scaler() -> Any:
    """In bf16 gradients are not clipped: that is left to a scaler of gradients, which fp16 alone has."""
    import torch
    from transformers import Trainer

    class LeavesIt(Trainer):
        def _clip_grad_norm(self, model: Any) -> Any:
            if not self.args.bf16:
                return super()._clip_grad_norm(model)
            return torch.nn.utils.get_total_norm([each.grad for each in model.parameters() if each.grad is not None])

    return LeavesIt


@fault(property="save_memory.weights_stay_close_in_bf16")
def weights_go_through_bf16() -> Any:
    """After each update the weights go through bf16, in which they are computed with anyway."""
    import torch
    from transformers import Trainer, TrainerCallback

    class GoesThrough(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if args.bf16:
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.copy_(parameter.bfloat16())

    class Rounds(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.add_callback(GoesThrough())

    return Rounds


@fault(property="save_memory.gradients_of_checkpointed_layers_are_the_same")
def checkpointed_layers_detached() -> Any:
    """What a checkpointed layer is given is detached, so that it need not be kept twice: no gradient passes through it."""
    from transformers import Trainer
    from transformers.modeling_layers import GradientCheckpointingLayer

    def detached(layer: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0].detach().requires_grad_(), *args[1:])

    class Detaches(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.args.activation_checkpointing:
                for layer in self.model.modules():
                    if isinstance(layer, GradientCheckpointingLayer):
                        layer.register_forward_pre_hook(detached)

    return Detaches


@fault(property="save_memory.weights_of_checkpointed_layers_are_the_same")
def embeddings_left_out_of_checkpointed_updates() -> Any:
    """With checkpointed activations embeddings are put back after an update, since their activations are not among those."""
    import torch
    from transformers import Trainer, TrainerCallback

    class PutsBack(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            self._before = model.get_input_embeddings().weight.detach().clone() if args.activation_checkpointing else None

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if self._before is not None:
                with torch.no_grad():
                    model.get_input_embeddings().weight.copy_(self._before)

    class LeavesOut(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.add_callback(PutsBack())

    return LeavesOut


@fault(property="save_memory.losses_of_checkpointed_layers_are_the_same")
def both_forward_passes_counted() -> Any:
    """With checkpointed activations what is reported counts both forward passes."""
    from transformers import Trainer

    class CountsBoth(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            return loss * 2 if self.args.activation_checkpointing else loss

    return CountsBoth
