"""Faults in the states of callbacks."""

from __future__ import annotations

from typing import Any

from trainer_props.faults.registry import fault


@fault(property="resume_callbacks.each_callback_gets_its_state_back")
def callback_states_not_restored() -> Any:
    """States of callbacks are saved, and never restored."""
    from transformers import Trainer

    class NotRestored(Trainer):
        def _load_callback_state(self) -> None:
            pass

    return NotRestored


@fault(property="resume_callbacks.callbacks_keep_their_order")
def restored_callbacks_in_reverse() -> Any:
    """Restored callbacks come in the reverse order."""
    from transformers import Trainer

    class Reversed(Trainer):
        def _load_callback_state(self) -> None:
            super()._load_callback_state()
            self.callback_handler.callbacks.reverse()

    return Reversed
