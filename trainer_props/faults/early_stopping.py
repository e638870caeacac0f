"""Faults in early stopping."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._swapping import exchanging
from trainer_props.faults.registry import fault


@fault(property="early_stopping.stops_when_patience_is_spent")
def patience_off_by_one() -> Any:
    """Training stops once more evaluations than `early_stopping_patience` have not improved."""
    from transformers import EarlyStoppingCallback

    class OneMore(EarlyStoppingCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:
            asked = self.early_stopping_patience
            self.early_stopping_patience = asked + 1
            super().on_evaluate(args, state, control, metrics, **kwargs)
            self.early_stopping_patience = asked

    return exchanging(EarlyStoppingCallback, lambda usual: OneMore(usual.early_stopping_patience, usual.early_stopping_threshold))


@fault(property="early_stopping.stops_when_patience_is_spent")
def threshold_ignored() -> Any:
    """Any improvement counts, also one below `early_stopping_threshold`."""
    from transformers import EarlyStoppingCallback

    return exchanging(EarlyStoppingCallback, lambda usual: EarlyStoppingCallback(usual.early_stopping_patience, 0.0))


@fault(property="early_stopping.stops_when_patience_is_spent")
def patience_not_restored_by_improvement() -> Any:
    """The evaluations that have not improved are counted over the whole run, not in a row."""
    from transformers import EarlyStoppingCallback

    class NotInARow(EarlyStoppingCallback):
        def check_metric_value(self, args: Any, state: Any, control: Any, metric_value: Any) -> None:
            before = self.early_stopping_patience_counter
            super().check_metric_value(args, state, control, metric_value)
            self.early_stopping_patience_counter = max(before, self.early_stopping_patience_counter)

    return exchanging(EarlyStoppingCallback, lambda usual: NotInARow(usual.early_stopping_patience, usual.early_stopping_threshold))
