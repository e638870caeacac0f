"""Faults in the count of floating-point operations."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults.registry import fault


@fault(property="operations.total_flos_is_the_sum_of_all_micro_batches")
def operations_stored_again() -> Any:
    """What was stored in the state is not taken off what is still to be stored."""
    from transformers import Trainer

    class StoresAgain(Trainer):
        def store_flos(self) -> None:
            counted = self.current_flos
            super().store_flos()
            self.current_flos = counted

    return StoresAgain


@fault(property="operations.checkpoints_hold_the_sum_so_far")
def operations_stored_at_the_end() -> Any:
    """Operations are added to the state when training is over, so that checkpoints lack them."""
    from transformers import Trainer

    class AtTheEnd(Trainer):
        def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
            super().store_flos()
            return super()._finalize_training(*args, **kwargs)

        def store_flos(self) -> None:
            pass

    return AtTheEnd


@fault(property="operations.a_micro_batch_counts_six_for_each_weight_and_token")
def operations_of_the_forward_pass() -> Any:
    """Two operations are counted for each weight and token: the forward pass alone."""
    from transformers import Trainer

    class ForwardAlone(Trainer):
        floating_point_ops = rewritten(Trainer, "floating_point_ops", "return 6 *", "return 2 *")

    return ForwardAlone
