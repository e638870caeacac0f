"""One case, judged: run its experiment once and let every applicable property judge the record. Nothing raises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer_props import compat, zoo
from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.experiments import EXPERIMENTS
from trainer_props.judgement import NotApplicable, Violated
from trainer_props.known_bugs import explain
from trainer_props.properties import Property
from trainer_props.record import Observation, all_records, first_record
from trainer_props.running.output import NO_ROOM, is_for_want_of_room
from trainer_props.subjects import Subject

_NO_ROOM = "no room is left on the disk where output directories are made: free some, or set TMPDIR to another place"
_REFUSALS = ("ValueError", "TypeError", "NotImplementedError")


@dataclass(frozen=True)
class Judged:
    """The outcome of a case.

    Attributes:
        holds: ids of the properties that hold.
        not_applicable: (id, reason) pairs.
        findings: what is violated.
        refused: the subject's message, if it refused the case at construction.
        could_not_run: why the case can't run here.
        errors: failures of our own properties.
        near: (id, part) pairs: of a property that holds by numbers that are not quite equal, how large a part their deviation is of what
            is allowed.
    """

    case: Case
    holds: tuple[str, ...] = ()
    not_applicable: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    refused: str | None = None
    could_not_run: str | None = None
    errors: tuple[str, ...] = ()
    near: tuple[tuple[str, float], ...] = ()


def judge(case: Case, subject: Subject, properties: Sequence[Property]) -> Judged:
    """Run the case and judge it by the properties of its experiment."""
    experiment = EXPERIMENTS[case.experiment]
    try:
        record = experiment.run(case, subject)
    except (compat.Unsupported, zoo.MissingPackage) as error:
        return Judged(case, could_not_run=str(error))
    except OSError as error:
        if not is_for_want_of_room(error):
            raise
        return Judged(case, could_not_run=_NO_ROOM)
    if any(each.failure is not None and each.failure.kind == NO_ROOM for each in all_records(record)):
        return Judged(case, could_not_run=_NO_ROOM)
    failure = first_record(record).failure
    if is_refused(record) and failure is not None:
        return Judged(case, refused=f"{failure.kind}: {failure.message}")
    return judge_record(record, case, properties)


def is_refused(record: Observation) -> bool:
    """Whether the subject refused the scenario at construction, by an error that says so. Of several runs the first one tells: what it
    took and a later one of the same case refuses is for the properties to judge.
    """
    failure = first_record(record).failure
    return failure is not None and failure.where == "construction" and failure.kind in _REFUSALS


def judge_record(record: Observation, case: Case, properties: Sequence[Property]) -> Judged:
    """Judge what was recorded of this case; violations that a known bug explains are marked as such."""
    holds: list[str] = []
    inapplicable: list[tuple[str, str]] = []
    findings: list[Finding] = []
    errors: list[str] = []
    near: list[tuple[str, float]] = []
    for each in properties:
        if case.experiment not in each.experiments:
            continue
        bug = None
        try:
            judgement = each(record, case.scenario)
            if isinstance(judgement, Violated):
                bug = explain(each.id, judgement, record, case.scenario)
        except Exception as error:  # noqa: BLE001 - what fails itself here is our fault, and must not pass for the subject's
            errors.append(f"property {each.id} failed on {case!r}: {type(error).__name__}: {error}")
            continue
        if isinstance(judgement, Violated):
            findings.append(
                Finding(
                    each.id,
                    judgement.verdict,
                    judgement.quantity,
                    judgement.symptom,
                    judgement.expected,
                    judgement.observed,
                    judgement.divergence,
                    bug.id if bug else None,
                    case,
                    judgement.check,
                )
            )
        elif isinstance(judgement, NotApplicable):
            inapplicable.append((each.id, judgement.reason))
        else:
            holds.append(each.id)
            if judgement.nearness > 0:
                near.append((each.id, judgement.nearness))
    return Judged(case, tuple(holds), tuple(inapplicable), tuple(findings), errors=tuple(errors), near=tuple(near))
