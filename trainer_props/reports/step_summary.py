"""The summary of a step of GitHub Actions: a few lines of Markdown that are read in ten seconds."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer_props.reports import headline
from trainer_props.reports.reading import replayable

VARIABLE: Final = "GITHUB_STEP_SUMMARY"

_MOST = 20
_LONGEST = 300


@dataclass(frozen=True)
class Failure:
    """What is to be said of one new violation.

    Attributes:
        name: of the violation, as `trainer-props replay` takes it.
        property, verdict: as the JSON result has them.
        what: what differs and in what way, in a few words.
        case: the smallest case, as JSON data.
    """

    name: str
    property: str
    verdict: str
    what: str
    case: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, violation: Mapping[str, Any]) -> Failure:
        """A failure from an entry of `violations` of the JSON result."""
        what = " ".join(str(violation[key]) for key in ("quantity", "symptom") if violation.get(key))
        place = f", first at {violation['divergence']}" if violation.get("divergence") else ""
        name = replayable(str(violation["id"]), violation.get("regression"))
        return cls(name, str(violation["property"]), str(violation["verdict"]), what + place, violation["case"])


def wanted() -> bool:
    """Whether the program runs in a step that shows a summary."""
    return bool(os.environ.get(VARIABLE))


def of_result(data: Mapping[str, Any]) -> str:
    """The summary of a JSON result."""
    new = [each for each in data["violations"] if not each.get("accepted")]
    errors = data.get("errors", ())
    campaign = data.get("campaign")
    head = headline.found(len(new), len(campaign["still_there"]) if campaign else 0)
    if errors and not new:
        head = "could not be checked" if not data["evaluations"] else "nothing new, but not all could be done"
    facts = f" in {_code(data['subject'])}: {data['runs']} runs, {data['evaluations']} evaluations, seed {data['seed']}"
    more = ", **interrupted**" if data.get("interrupted") else ""
    known = {each["id"]: each["seen"] for each in data.get("known_bugs", ()) if not each.get("fixed")}
    verdict = f"{_badge(failed=bool(new or errors))} **{head}**{facts}{more}"
    lines = summary(verdict, [Failure.of(each) for each in new], known, errors)
    if fixed := [each["id"] for each in data.get("known_bugs", ()) if each.get("fixed")]:
        lines += f"\n**fixed upstream**: {', '.join(_code(each) for each in fixed)}\n"
    if lost := [each for each in data.get("examples", ()) if each["status"] == "CANNOT RUN"]:
        first = f"{_code(lost[0]['id'])}{': ' + _text(lost[0]['reason']) if lost[0]['reason'] else ''}"
        lines += f"\nearlier failures that could not be judged: {len(lost)}, first {first}\n"
    if campaign:
        hours = f"{campaign['seconds'] / 3600:.1f} hours"
        lines += f"\nthe campaign so far: {campaign['runs']} runs, {campaign['evaluations']} evaluations in {hours}\n"
        if there := campaign["still_there"]:
            named = ", ".join(f"{_code(each['property'])} (since {each['since'][:10]})" for each in there[:_MOST])
            lines += f"\nfound by earlier starts, and still there: {named}{', ...' if len(there) > _MOST else ''}\n"
    return lines


def of_tests(outcomes: Sequence[Mapping[str, Any]], known: Mapping[str, int]) -> str:
    """The summary of tests under pytest.

    Args:
        outcomes: of each `check()`: its subject, experiment, runs, evaluations and violations.
        known: how often each known bug was seen.
    """
    new = [violation for each in outcomes for violation in each["violations"]]
    head = headline.found(len(new))
    runs, evaluations = (sum(each[key] for each in outcomes) for key in ("runs", "evaluations"))
    number = f"{len(outcomes)} check{'' if len(outcomes) == 1 else 's'}"
    facts = f" in {', '.join(_code(each) for each in sorted({each['subject'] for each in outcomes}))}"
    return summary(
        f"{_badge(failed=bool(new))} **{head}**{facts}: {number}, {runs} runs, {evaluations} evaluations",
        [Failure.of(each) for each in new], known,
    )  # fmt: skip


def of_replay(outcomes: Sequence[tuple[str, str, str]]) -> str:
    """The summary of replayed examples.

    Args:
        outcomes: of each its status (FIXED, FAILING, KNOWN, CANNOT RUN), its id, and the reason (may be empty).
    """
    counts: dict[str, int] = {}
    for status, _, _ in outcomes:
        counts[status] = counts.get(status, 0) + 1
    failing = [each for each in outcomes if each[0] == "FAILING"]
    head = ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "nothing to replay"
    lines = ["### trainer-props", "", f"{_badge(failed=bool(failing))} **replay: {head}**", ""]
    for status, identifier, reason in [each for each in outcomes if each[0] in {"FAILING", "CANNOT RUN"}][:_MOST]:
        lines.append(f"- {status} {_code(identifier)}{': ' + _text(reason) if reason else ''}")
        if status == "FAILING":
            lines.append(f"  - {_code(f'trainer-props replay {shlex.quote(identifier)}')}")
    return "\n".join(lines).rstrip() + "\n"


def summary(verdict: str, failures: Sequence[Failure], known: Mapping[str, int], errors: Sequence[str] = ()) -> str:
    """A summary from its parts.

    Args:
        verdict: the first line, as Markdown.
        known: how often each known bug was seen.
        errors: what went wrong with the check itself.
    """
    lines = ["### trainer-props", "", verdict]
    for each in failures[:_MOST]:
        lines += ["", f"- {_text(each.verdict)} {_code(each.property)}: {_text(each.what)}"]
        lines += [f"  - smallest case: {_code(_case(each.case))}"] if each.case else []
        lines.append(f"  - {_code(f'trainer-props replay {shlex.quote(each.name)}')}")
    if len(failures) > _MOST:
        lines += ["", f"and {len(failures) - _MOST} more"]
    if errors:
        lines += ["", f"error of the check itself: {_text(errors[0])}"]
    if known:
        lines += ["", "known bugs seen: " + ", ".join(f"{_code(bug)} ({times})" for bug, times in sorted(known.items()))]
    return "\n".join(lines) + "\n"


def of_trouble(text: str) -> str:
    """The summary of a command that could not do what it was asked for.

    Args:
        text: why, in a line.
    """
    return f"### trainer-props\n\n{_badge(failed=True)} **nothing was done**: {_text(text)}\n"


def append(markdown: str) -> str:
    """Append Markdown to the summary of the step, if there is one.

    Returns:
        Why it could not be written, in one line; an empty text if all went well. A check never fails for it.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return ""
    try:
        with Path(name).open("ab") as file:
            file.write(f"{markdown}\n".encode("utf-8", "backslashreplace"))
    except OSError as error:
        return f"{VARIABLE} {name}: {error.strerror or error}"
    return ""


def _badge(*, failed: bool) -> str:
    return "\N{CROSS MARK}" if failed else "\N{WHITE HEAVY CHECK MARK}"


def _case(case: Mapping[str, Any]) -> str:
    """A case in one line: experiment, then what is not default."""
    scenario = case.get("scenario", {})
    parts = [str(case.get("experiment", "train_once"))]
    groups = {**(scenario if isinstance(scenario, Mapping) else {}), "parameters": case.get("parameters", {})}
    for group, values in groups.items():
        if isinstance(values, Mapping) and values:
            prefix = "" if group in {"arguments", "parameters"} else f"{group}."
            parts.append(", ".join(f"{prefix}{name}={value!r}" for name, value in values.items()))
    return "; ".join(parts)


def _text(text: str) -> str:
    """A text that Markdown shows as it is, in one line."""
    line = _cut(text)
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _code(text: str) -> str:
    """A text as code, in one line, whatever backticks it has."""
    line = _cut(text)
    fence = "`" * (max((len(each) for each in re.findall("`+", line)), default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def _cut(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
