"""The JSON result of the contract, made from what the engine found."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer_props import serialization
from trainer_props.engine.coverage import never_tried, pairs_never_tried
from trainer_props.engine.events import Result, Violation
from trainer_props.engine.ledger import Key
from trainer_props.keeper import Kept
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import fingerprint, versions, violation_id
from trainer_props.reports.reading import FORMAT

__all__ = ["FORMAT", "fingerprint", "to_data", "versions", "violation_id", "write"]


def to_data(
    result: Result, *, command: str, subject: str, profile: str, kept: Mapping[Key, Kept] | None = None, repeat: str = ""
) -> dict[str, Any]:
    """A result as the data of the contract, format 1.

    Args:
        kept: what is on disk of the violations, by the key of each as it was first seen.
        repeat: the command line that does the same once more, or an empty text.
    """
    return {
        "format": FORMAT,
        "command": command,
        "repeat": repeat,
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
        "violations": [_violation(each, (kept or {}).get(each.first.key, Kept())) for each in result.violations],
        "known_bugs": [
            {"id": bug, "property": result.known[bug][0].property if bug in result.known else KNOWN_BUGS[bug].properties[0],
             "seen": result.known_seen.get(bug, 0), "fixed": bug in result.fixed, "link": KNOWN_BUGS[bug].link,
             "sentence": KNOWN_BUGS[bug].sentence}
            for bug in sorted({*result.known, *result.fixed})
        ],
        "coverage": result.coverage,
        "never_tried": never_tried(result.coverage),
        "pairs_never_tried": pairs_never_tried(result.coverage),
        "examples": [{"id": Path(each.id).stem, "file": each.id, "status": each.status, "reason": each.reason} for each in result.replayed],
        "refusals": result.refusals,
        "impossible": result.impossible,
        "errors": result.errors,
    }


def _violation(violation: Violation, kept: Kept) -> dict[str, Any]:
    finding = violation.finding
    known = PROPERTIES.get(finding.property)
    return {
        "id": violation_id(finding), "property": finding.property, "verdict": finding.verdict, "known_bug": finding.known_bug,
        "accepted": False, "quantity": finding.quantity, "symptom": finding.symptom, "expected": finding.expected,
        "observed": finding.observed, "divergence": finding.divergence, "case": finding.case.to_json(),
        "shrunk": {"seconds": round(violation.seconds, 3), "complete": violation.complete, "runs": violation.runs},
        "script": _path(kept.script), "script_verified": kept.verified, "regression": _path(kept.regression),
        "statement": known.statement if known is not None else "", "source": known.source if known is not None else "",
        "notes": list(violation.notes), "timeline": [dataclasses.asdict(each) for each in violation.timeline],
    }


def _path(path: Path | None) -> str | None:
    return str(path) if path is not None else None


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write a result so that at any instant the file is whole.

    Raises:
        OSError: it can't be written.
    """
    text = serialization.dumps(serialization.plain(data), indent=2) + "\n"
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
