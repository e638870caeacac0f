"""Replaying: cases that failed once are judged again before anything is drawn. Where they are kept is not known here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trainer_props.arguments import nearest
from trainer_props.case import Case
from trainer_props.engine.events import CANNOT_RUN, FAILING, FIXED, KNOWN, Finding, Replayed
from trainer_props.engine.judging import Judged
from trainer_props.experiments import EXPERIMENTS
from trainer_props.properties import PROPERTIES


@dataclass(frozen=True)
class Replay:
    """A case to judge again.

    Attributes:
        id: under which the outcome is told.
        case: what to run.
        property: the one that it violated; None if that is not known, since the run was cut off: then whatever is chosen for the
            experiment judges it, or all that belongs there.
        attempts: how often to run it at most, until it fails.
        shrunk: the case is a smallest one.
    """

    id: str
    case: Case
    property: str | None = None
    attempts: int = 1
    shrunk: bool = True


def by_case(replays: Iterable[Replay]) -> list[list[Replay]]:
    """Those with equal cases together, in order: such a case is run once."""
    groups: dict[str, list[Replay]] = {}
    for each in replays:
        groups.setdefault(each.case.key, []).append(each)
    return list(groups.values())


def unknown(replay: Replay) -> str | None:
    """Why a case can't be judged by this version, or None."""
    experiment, identifier = replay.case.experiment, replay.property
    if experiment not in EXPERIMENTS:
        return f"there is no experiment {experiment!r}{nearest(experiment, list(EXPERIMENTS))}"
    if identifier is None:
        return None
    if identifier not in PROPERTIES:
        return f"there is no property {identifier!r}{nearest(identifier, list(PROPERTIES))}"
    if experiment not in PROPERTIES[identifier].experiments:
        return f"{identifier} is not judged in {experiment}"
    return None


def findings_of(replay: Replay, judged: Judged) -> list[Finding]:
    """What the outcome says against the property of a replay, or against any if that is not known."""
    return [finding for finding in judged.findings if replay.property in (None, finding.property)]


def outcome(replay: Replay, judged: Judged, *, known: bool) -> Replayed:
    """What has become of a case.

    Args:
        known: whether what a known bug explains is told apart.
    """
    against = findings_of(replay, judged)
    new = [finding for finding in against if finding.known_bug is None or not known]
    if against:
        finding = (new or against)[0]
        return Replayed(replay.id, FAILING if new else KNOWN, finding, finding.known_bug or in_words(finding))
    if judged.could_not_run is not None:
        return Replayed(replay.id, CANNOT_RUN, None, judged.could_not_run)
    if judged.refused is not None:
        return Replayed(replay.id, CANNOT_RUN, None, f"refused by the subject: {judged.refused}")
    for identifier, reason in judged.not_applicable:
        if identifier == replay.property:
            return Replayed(replay.id, CANNOT_RUN, None, f"not applicable: {reason}")
    if replay.property is not None and replay.property not in judged.holds:
        return Replayed(replay.id, CANNOT_RUN, None, judged.errors[0] if judged.errors else f"{replay.property} was not judged")
    return Replayed(replay.id, FIXED, None, "")


def in_words(finding: Finding) -> str:
    """A finding in a line: what differs, in what way, and where first."""
    where = f" ({finding.divergence})" if finding.divergence else ""
    return f"{finding.quantity} {finding.symptom}{where}"
