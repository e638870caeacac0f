"""One self-contained HTML page of a JSON result: nothing is fetched, nothing but the page's own script can run."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainer_props.reports import comparing, headline, plots, reading
from trainer_props.reports.comparing import Comparison, show

REMEDY: Final = "pip install 'trainer-props[html]'"

_NEEDED = ("jinja2", "matplotlib")
_MOST_PICTURED = 30
_MOST_VALUES = 8
_FAILING: Final = "FAILING"
_COUNTED: Final = ("arguments", "models", "datasets", "devices", "components")


class MissingExtraError(ImportError):
    """The packages that the page is made with are not installed; the message has the remedy."""


@dataclass(frozen=True)
class Bar:
    """One value of an argument, how often it was tried, and its share (percent) of the most tried one."""

    value: str
    times: int
    share: float


@dataclass(frozen=True)
class Tried:
    """What was tried of an argument, a model or a data set."""

    name: str
    times: int
    bars: tuple[Bar, ...]
    more: int


@dataclass(frozen=True)
class Part:
    """A violation, as the page shows it.

    Attributes:
        anchor: the name of its part within the page.
        comparison: expected and observed.
        groups: what is not default in its case, as (group, [(name, value)]).
        timeline, values, course: pictures, or None.
        replay, script: commands.
    """

    violation: reading.Violation
    anchor: str
    comparison: Comparison
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    timeline: plots.Picture | None
    values: plots.Picture | None
    course: plots.Picture | None
    replay: str
    script: str


def require() -> None:
    """Make sure that a page can be made.

    Raises:
        MissingExtraError: a package is missing; the message is one line.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"HTML needs {' and '.join(missing)}: {REMEDY}")


def html(data: Mapping[str, Any] | reading.Result) -> str:
    """The page of a result.

    Args:
        data: the JSON result of the contract, or what `reading` made of it.

    Raises:
        MissingExtraError: jinja2 or matplotlib is missing.
        reading.UnreadableResult: the data are no result of format 1.
    """
    require()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    result = data if isinstance(data, reading.Result) else reading.parse(data)
    environment = Environment(
        loader=PackageLoader("trainer_props.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters.update(breakable=_breakable, link=_link, plural=_plural, prose=_prose)
    environment.tests["address"] = _is_address
    script = environment.loader.get_source(environment, "page.js")[0] if environment.loader is not None else ""
    parts = tuple(_parts(result))
    page = environment.get_template("page.html.jinja")
    return page.render(
        result=result, parts=parts, verdict=verdict(result), kind=_kind(result), repeat=_repeat(result),
        versions=dict(sorted(result.versions.items(), key=lambda item: (item[0] != "transformers", item[0]))),
        experiments=result.experiments, coverage={kind: _tried(result, kind) for kind in _COUNTED if result.coverage.get(kind)},
        pairs=_pairs(result),
        first_of={each.violation.property: each.anchor for each in reversed(parts)}, lost=_lost(result), unpictured=_MOST_PICTURED,
        # what the browser gets to see of our script, so that it runs no other
        digest=base64.b64encode(hashlib.sha256(_shipped(script).encode()).digest()).decode(), script=_shipped(script),
    )  # fmt: skip


def write(path: Path, data: Mapping[str, Any] | reading.Result) -> None:
    """Write the page of a result.

    Raises:
        MissingExtraError, reading.UnreadableResult: as `html`.
        OSError: it can't be written.
    """
    path.write_text(html(data), encoding="utf-8")


def verdict(result: reading.Result) -> str:
    """What was found, in one line."""
    if result.command == "replay":
        counts = Counter(each.status for each in result.examples)
        text = f"replay: {', '.join(f'{number} {status}' for status, number in sorted(counts.items())) or 'nothing to replay'}"
    else:
        still_there = len(result.campaign.still_there) if result.campaign is not None else 0
        text = f"{headline.found(len(result.new), still_there)} in {result.subject}"
    if result.errors:
        text += f", {_plural(len(result.errors), 'error')} of the check itself"
    return text + (", interrupted" if result.interrupted else "")


def _kind(result: reading.Result) -> str:
    if result.new or any(each.status == _FAILING for each in result.examples):
        return "violated"
    return "unsure" if result.errors or result.interrupted else "holds"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _repeat(result: reading.Result) -> str:
    if result.repeat:
        return result.repeat
    if result.command == "replay":
        return " ".join(["trainer-props replay", *(shlex.quote(each.file or each.id) for each in result.examples)])
    return f"trainer-props {result.command} {shlex.quote(result.subject)} --profile {shlex.quote(result.profile)} --seed {result.seed}"


def _shipped(script: str) -> str:
    """A script as it stands in the page, without the line breaks around it."""
    return script.strip()


def _is_address(text: str) -> bool:
    return re.match(r"https?://[^\s]+$", text) is not None


def _breakable(name: str) -> Any:
    """A long name that a narrow page may break after its dots and underscores; copied, it is the name."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(each) for each in re.split(r"(?<=[._])(?=\w)", name))


def _prose(text: str) -> Any:
    """A sentence; what it has in backticks is code."""
    from markupsafe import Markup, escape

    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return text
    return Markup().join(Markup("<code>{}</code>").format(each) if index % 2 else escape(each) for index, each in enumerate(pieces))


def _link(text: str) -> Any:
    """A text as a link if it is an address of the web; a result from elsewhere may hold anything."""
    from markupsafe import Markup

    if not _is_address(text):
        return text
    return Markup('<a href="{0}" rel="noreferrer noopener">{0}</a>').format(text)


def _lost(result: reading.Result) -> list[tuple[str, int, str]]:
    """Cases that say nothing: why, how often, and the reason most often given."""
    found = []
    for word, counts in (("were refused by the subject", result.refusals), ("could not run here", result.impossible)):
        if counts:
            found.append((word, sum(counts.values()), show(max(counts, key=lambda text: counts[text]))))
    return found


def _tried(result: reading.Result, kind: str) -> tuple[Tried, ...]:
    found = []
    for name, values in sorted(result.coverage[kind].items()):
        most = sorted(values.items(), key=lambda item: (-item[1], item[0]))
        largest = max(1, most[0][1]) if most else 1
        bars = tuple(Bar(show(value), times, max(0.0, 100 * times / largest)) for value, times in most[:_MOST_VALUES])
        found.append(Tried(name, sum(values.values()), bars, len(most) - len(bars)))
    return tuple(found)


def _pairs(result: reading.Result) -> plots.Picture | None:
    number = sum(len(others) for others in result.coverage.get("pairs", {}).values())
    label = f"pairs of arguments: {number} were tried together, {len(result.pairs_never_tried)} were not"
    return plots.pairs(result.coverage.get("pairs", {}), result.pairs_never_tried, name="pairs", label=label)


def _parts(result: reading.Result) -> Iterator[Part]:
    taken: set[str] = set()
    for number, violation in enumerate(result.violations, 1):
        slug = re.sub(r"[^\w.-]", "-", violation.id, flags=re.ASCII)[:120]
        anchor = slug if slug not in taken else f"{slug}-{number}"
        taken.add(anchor)
        comparison = comparing.compare(violation)
        timeline, values, course = _pictures(violation, comparison, f"v{number}") if number <= _MOST_PICTURED else (None, None, None)
        name = shlex.quote(reading.replayable(violation.id, violation.regression))
        yield Part(
            violation, anchor, comparison, tuple(_groups(violation.case)), timeline, values, course,
            f"trainer-props replay {name}", f"trainer-props script {name}",
        )  # fmt: skip


def _pictures(
    violation: reading.Violation, comparison: Comparison, name: str
) -> tuple[plots.Picture | None, plots.Picture | None, plots.Picture | None]:
    """The timeline, the compared series, and the course of the run, as far as there are any."""
    where = comparing.place(violation, comparison.first)
    marked, batch = (where.moment, where.batch) if where is not None else (None, None)
    timeline = course = values = None
    if violation.timeline:
        timeline = plots.timeline(violation.timeline, marked=marked, batch=batch, name=f"{name}-timeline", label="timeline of the run")
        course = plots.course(violation.timeline, marked=marked, name=f"{name}-course", label="course of the run over updates")
    if comparison.series is not None and max(map(len, comparison.series)) > 1:
        unit = re.sub(r" \d+$", "", violation.divergence) if re.fullmatch(r"[a-z -]{1,40} \d+", violation.divergence) else "element"
        values = plots.series(
            *comparison.series, first=comparison.first, unit=unit, start=1 if unit == "update" else 0, name=f"{name}-values",
            label="expected and observed values",
        )  # fmt: skip
    return timeline, values, course


def _groups(case: Mapping[str, Any]) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """What a case has that is not default: the parts of its scenario, then what else the experiment was given."""
    scenario = case.get("scenario", {})
    groups: dict[str, Any] = {"experiment": case.get("experiment", "train_once")}
    if isinstance(scenario, Mapping):
        groups |= scenario
    groups |= {name: value for name, value in case.items() if name not in {"format", "experiment", "scenario"}}
    for group, value in groups.items():
        if isinstance(value, Mapping):
            if value:
                yield show(group), tuple((show(name), _code(item)) for name, item in sorted(value.items(), key=lambda item: str(item[0])))
        else:
            yield show(group), (("", show(value) if group == "experiment" else _code(value)),)


def _code(value: Any) -> str:
    return repr(show(value)) if isinstance(value, str) else show(value)
