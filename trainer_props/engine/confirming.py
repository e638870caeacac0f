"""Whether what an emulation of devices shows is also there where real processes can show it."""

from __future__ import annotations

from collections.abc import Callable

from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.engine.judging import Judged
from trainer_props.experiments import EXPERIMENTS
from trainer_props.properties import PROPERTIES


def confirmation(finding: Finding, first: Finding, judge: Callable[[Case], Judged]) -> tuple[str, ...]:
    """A sentence that says whether the same case on other devices shows the violation too; none if its experiment knows no others, or its
    property speaks only of these.

    Args:
        finding: the violation on its smallest case.
        first: the one that was found first: its case may show there what the smallest can't, such as one row for two processes.
        judge: runs and judges a case by the property of the finding.
    """
    why: list[str] = []
    for each in {each.case.key: each for each in (finding, first)}.values():
        other = EXPERIMENTS[each.case.experiment].confirmed_by(each.case)
        if other is None or other.experiment not in PROPERTIES[finding.property].experiments:
            return ()
        judged, where = judge(other), f"{other.scenario.devices.count} devices of kind {other.scenario.devices.kind}"
        filled = other.scenario.data.n > each.case.scenario.data.n
        if filled:
            where = f"{where}, with {other.scenario.data.n} samples,"
        if any(found.key == finding.key for found in judged.findings):
            return (f"confirmed: {where} show it too",)
        reason = judged.could_not_run or judged.refused or dict(judged.not_applicable).get(finding.property)
        if not reason:
            about = f"devices of kind {each.case.scenario.devices.kind}{', or a last batch that is not full' if filled else ''}"
            return (f"not confirmed: {where} do not show it, so it is about {about}",)
        why.append(f"not confirmed: {where} can't show it: {reason}")
    return (why[0],)
