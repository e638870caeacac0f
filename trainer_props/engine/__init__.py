"""The engine: judge again what failed, explore without raising, keep a ledger, shrink each violation by itself, tell whoever listens."""

from trainer_props.engine.events import Finding, Finished, FirstSeen, Listener, Progress, Replayed, Result, Shrunk, Started, Violation
from trainer_props.engine.replaying import Replay
from trainer_props.engine.session import Plan, Session

__all__ = [
    "Finding",
    "Finished",
    "FirstSeen",
    "Listener",
    "Plan",
    "Progress",
    "Replay",
    "Replayed",
    "Result",
    "Session",
    "Shrunk",
    "Started",
    "Violation",
]
