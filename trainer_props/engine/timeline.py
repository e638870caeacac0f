"""The timeline of a run, for a reader: update by update, which samples went in, what came out, what followed."""

from __future__ import annotations

from trainer_props.engine.events import Moment
from trainer_props.record import MicroBatch, Record, Update

MOST_MOMENTS = 60
"""Smallest cases have a handful of updates; of a run that never ends, the beginning tells enough."""

_FOLLOWS = {"on_log": "log", "on_evaluate": "evaluate", "on_save": "save", "on_epoch_end": "end of epoch", "on_train_end": "end"}


def timeline(record: Record) -> tuple[Moment, ...]:
    """What a run did: its updates in order, the first `MOST_MOMENTS` of them.

    What happened before the first update, and micro-batches after the last one, stand in moments of their own (`update` 0 and one more
    than the last).
    """
    happened = _happened(record)
    logged = {entry["step"]: entry["loss"] for entry in record.log_history if "loss" in entry and "step" in entry}
    moments = []
    if happened.get(0):
        moments.append(Moment(0, 0, (), (), (), None, None, happened[0], logged.get(0)))
    first = 0
    for update in record.updates:
        window = record.batches[first : update.batches]
        moments.append(_moment(update.step, window, update, happened.get(update.step, ()), logged.get(update.step)))
        first = update.batches
    left = record.batches[first:]
    if left:
        moments.append(_moment(len(record.updates) + 1, left, None, (), None))
    return tuple(moments[:MOST_MOMENTS])


def _moment(number: int, window: list[MicroBatch], update: Update | None, happened: tuple[str, ...], loss: float | None) -> Moment:
    norm = None if update is None or update.gradient is None else float(update.gradient.norm())
    rates = () if update is None else update.learning_rates
    return Moment(
        update=number,
        epoch=window[0].epoch if window else 0,
        batches=tuple(batch.samples for batch in window),
        sizes=tuple(batch.size for batch in window),
        losses=tuple(batch.loss for batch in window),
        learning_rate=rates[0] if rates else None,
        gradient_norm=norm,
        happened=happened,
        loss=loss,
    )


def _happened(record: Record) -> dict[int, tuple[str, ...]]:
    """What followed each update, in order; what an evaluation, or the end, logs goes with it."""
    found: dict[int, list[str]] = {}
    before = ""
    for event in record.events:
        name = _FOLLOWS.get(event.name)
        if name is not None:
            names = found.setdefault(event.step, [])
            if before == "on_log" and name in ("evaluate", "end"):
                names.pop()  # what was logged are the metrics, or the summary
            names.append(name)
        before = event.name
    return {step: tuple(names) for step, names in found.items()}
