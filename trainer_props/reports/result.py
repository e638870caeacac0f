"""The JSON result of the contract, made from what the engine found."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainer_props import serialization
from trainer_props.engine.events import Finding, Result, Violation
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES

FORMAT = 1
_PACKAGES = ("transformers", "accelerate", "torch", "hypothesis", "trainer-props")


def fingerprint(finding: Finding) -> str:
    """A short text from property, verdict and symptom, not from the numbers: it names a violation."""
    text = f"{finding.property}/{finding.verdict}/{finding.quantity}/{finding.symptom}"
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def violation_id(finding: Finding) -> str:
    """The id of a violation."""
    return f"{finding.property}--{fingerprint(finding)}"


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package.replace("-", "_")] = version(package)
        except PackageNotFoundError:
            found[package.replace("-", "_")] = "not installed"
    return {**found, "python": platform.python_version()}


def to_data(result: Result, *, command: str, subject: str, profile: str) -> dict[str, Any]:
    """A result as the data of the contract, format 1."""
    return {
        "format": FORMAT,
        "command": command,
        "subject": subject,
        "profile": profile,
        "seed": result.seed,
        "interrupted": result.interrupted,
        "versions": versions(),
        "seconds": round(result.seconds, 3),
        "runs": result.runs,
        "evaluations": result.evaluations,
        "experiments": [
            {"name": each.name, "examples": each.examples, "refused": each.refused, "rejected": each.rejected,
             "could_not_run": each.could_not_run, "seconds": round(each.seconds, 3)}
            for each in result.experiments.values()
        ],
        "properties": [
            {"id": each.id, "chapter": PROPERTIES[each.id].chapter, "experiment": PROPERTIES[each.id].experiments[0],
             "experiments": list(PROPERTIES[each.id].experiments), "evaluated": each.evaluated, "not_applicable": each.not_applicable,
             "violated": each.violated, "known": each.known}
            for each in result.properties.values()
        ],
        "violations": [_violation(each) for each in result.violations],
        "known_bugs": [
            {"id": bug, "property": examples[0].property, "seen": result.known_seen[bug], "fixed": False, "link": KNOWN_BUGS[bug].link}
            for bug, examples in sorted(result.known.items())
        ],
        "coverage": result.coverage,
        "refusals": result.refusals,
        "impossible": result.impossible,
        "errors": result.errors,
    }


def _violation(violation: Violation) -> dict[str, Any]:
    finding = violation.finding
    return {
        "id": violation_id(finding), "property": finding.property, "verdict": finding.verdict, "known_bug": finding.known_bug,
        "accepted": False, "quantity": finding.quantity, "symptom": finding.symptom, "expected": finding.expected,
        "observed": finding.observed, "divergence": finding.divergence, "case": finding.case.to_json(),
        "shrunk": {"seconds": round(violation.seconds, 3), "complete": violation.complete, "runs": violation.runs},
        "script": None, "script_verified": False, "regression": None,
    }


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write a result so that at any instant the file is whole.

    Raises:
        OSError: it can't be written.
    """
    text = serialization.dumps(_plain(data), indent=2) + "\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _plain(value: Any) -> Any:
    """JSON-like data of anything that a property may have compared."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=repr)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return repr(value)
