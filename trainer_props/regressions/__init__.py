"""Regression examples: violations that are stored as text, replayed, and kept as guards."""

from trainer_props.regressions.example import Example, InvalidExample, fingerprint, violation_id
from trainer_props.regressions.folder import InvalidFolder, regressions_folder
from trainer_props.regressions.ignored import ignored_by_git
from trainer_props.regressions.pending import Left, Pending, adopt, damaged, discard
from trainer_props.regressions.store import Contents, NoSuchExample, Skipped, Store, Stored, read_example
from trainer_props.regressions.versions import versions

__all__ = [
    "Contents", "Example", "InvalidExample", "InvalidFolder", "Left", "NoSuchExample", "Pending", "Skipped", "Store", "Stored", "adopt",
    "damaged", "discard", "fingerprint", "ignored_by_git", "read_example", "regressions_folder", "versions", "violation_id",
]
