"""Results of several workers, added up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer_props.engine.events import Result
from trainer_props.engine.ledger import EXAMPLES_OF_A_KNOWN_BUG, size
from trainer_props.experiments import EXPERIMENTS


def add(total: Result, result: Result) -> None:
    """Add what another worker found to `total`; seed, seconds, interruption and what was replayed are left to whoever knows them."""
    total.runs += result.runs
    total.evaluations += result.evaluations
    for name, experiment in result.experiments.items():
        mine = total.experiments.setdefault(name, type(experiment)(name))
        for each in ("examples", "refused", "rejected", "could_not_run", "seconds"):
            setattr(mine, each, getattr(mine, each) + getattr(experiment, each))
    for identifier, count in result.properties.items():
        other = total.properties.setdefault(identifier, type(count)(identifier))
        for each in ("evaluated", "not_applicable", "violated", "known"):
            setattr(other, each, getattr(other, each) + getattr(count, each))
        _add(other.reasons, count.reasons)
    for bug, findings in result.known.items():
        total.known[bug] = sorted([*total.known.get(bug, ()), *findings], key=lambda finding: size(finding.case))[:EXAMPLES_OF_A_KNOWN_BUG]
    for counts, more in ((total.known_seen, result.known_seen), (total.refusals, result.refusals), (total.impossible, result.impossible)):
        _add(counts, more)
    for kind, names in result.coverage.items():
        for name, values in names.items():
            _add(total.coverage.setdefault(kind, {}).setdefault(name, {}), values)
    total.violations += result.violations
    total.errors += result.errors


def nothing_trained(result: Result) -> str:
    """Why not one training run could be judged, though some were tried; an empty text if one was."""
    counts = [each for each in result.experiments.values() if EXPERIMENTS[each.name].trains]
    reasons = result.refusals | result.impossible
    if not counts or not reasons or any(each.examples for each in counts):
        return ""
    return f"not one training run could be judged: {max(reasons, key=lambda text: reasons[text])}"


def _add(counts: dict[str, int], more: Mapping[str, Any]) -> None:
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number
