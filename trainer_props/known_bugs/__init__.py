"""The known bugs of released versions."""

from trainer_props.known_bugs import arguments, checkpoints, devices, evaluation, losses, resume, streams, training  # noqa: F401  they register
from trainer_props.known_bugs.registry import KNOWN_BUGS, KnownBug, explain

__all__ = ["KNOWN_BUGS", "KnownBug", "explain"]
