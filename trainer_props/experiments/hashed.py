"""What lets runs of a subject be remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer_props.subjects import Subject


class Hashed:
    """A subject as part of the key of a cache: it is the one that made its Trainers."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashed) and self.subject is other.subject

    def __hash__(self) -> int:
        return id(self.subject)
