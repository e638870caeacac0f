"""Which parts of a smallest case matter: each setting is given other values, as this session drew them, and the case is judged again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.engine.judging import Judged
from trainer_props.engine.plainer import OPTIONS
from trainer_props.experiments.sense import makes_sense

MOST_VALUES: Final = 3
"""Other values of a setting that are tried: after so many that fail alike, few readers doubt the next."""
_LEAST_VALUES: Final = 2
_PARTS: Final = ("data", "model", "components")
_UNINTERESTING: Final = ("seed",)


def notes(finding: Finding, known: Iterable[Case], judge: Callable[[Case], Judged], held: Collection[str] = ()) -> tuple[str, ...]:
    """A sentence for each setting of the case whose value does not matter, or matters in a way that could be seen.

    Args:
        finding: the violation on its smallest case.
        known: cases of this session; their values are the ones tried.
        judge: runs and judges a case; may raise to give up.
        held: names of arguments that stay as they are.
    """
    drawn = _drawn(known)
    sentences = []
    for name, value in _settings(finding.case):
        if name in held or OPTIONS.get(name) in finding.case.scenario.arguments:  # other values have other options
            continue
        fails, holds = [], []
        for other in _others(value, drawn.get(name, ())):
            varied = _varied(finding.case, name, other)
            if not makes_sense(varied):
                continue
            judged = judge(varied)
            if any(each.key == finding.key for each in judged.findings):
                fails.append(other)
            elif finding.property in judged.holds:
                holds.append(other)
        sentence = _sentence(name, value, fails, holds)
        if sentence:
            sentences.append(sentence)
    return tuple(sentences)


def _sentence(name: str, value: Any, fails: Sequence[Any], holds: Sequence[Any]) -> str:
    if len(fails) + len(holds) < _LEAST_VALUES:
        return ""
    if not holds:
        return f"every other {name} tried fails too: {_listed(fails)}"
    if not fails:
        return f"{name}={serialization.code(value)} matters: no violation with {_listed(holds)}"
    return f"{name} may also be {_listed(fails)}, but not {_listed(holds)}"


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(serialization.code(value) for value in values)


def _settings(case: Case) -> Iterator[tuple[str, Any]]:
    """What is not default in a case: `argument` or `part.field`, and its value."""
    scenario = case.scenario
    whole = list(scenario.arguments.items())
    whole += [(f"{part}.{name}", value) for part in _PARTS for name, value in getattr(scenario, part).non_defaults()]
    return ((name, value) for name, value in whole if name.rpartition(".")[2] not in _UNINTERESTING)


def _varied(case: Case, name: str, value: Any) -> Case:
    """The case with another value of a setting."""
    scenario = case.scenario
    part, _, field = name.rpartition(".")
    if part:
        scenario = scenario.replace(**{part: getattr(scenario, part).replace(**{field: value})})
    else:
        scenario = scenario.with_arguments(**{name: value})
    varied: Case = case.replace(scenario=scenario)
    return varied


def _drawn(known: Iterable[Case]) -> dict[str, list[Any]]:
    """The values that were drawn of each setting, most frequent first."""
    counts: dict[str, Counter[str]] = {}
    values: dict[str, Any] = {}
    for case in known:
        for name, value in _settings(case):
            text = serialization.dumps(value)
            values[text] = value
            counts.setdefault(name, Counter())[text] += 1
    return {name: [values[text] for text, _ in counter.most_common()] for name, counter in counts.items()}


def _others(value: Any, drawn: Sequence[Any]) -> list[Any]:
    """Values to try instead: of numbers the nearest, of anything else the most frequent."""
    others = [each for each in drawn if type(each) is type(value) and each != value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        others.sort(key=lambda each: abs(each - value))
    return others[:MOST_VALUES]
