"""What every kind of device needs to say."""

from __future__ import annotations

from trainer_props import compat


class NoSuchDevices(compat.Unsupported):
    """A scenario asks for devices that nobody knows, or that this machine can't serve; the message says which."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)
        self.field = "devices"
