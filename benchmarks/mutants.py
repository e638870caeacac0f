"""How many one-token regressions of transformers and accelerate a check finds, and how soon.

    python benchmarks/mutants.py CORPUS [--seconds 120] [--seed N] [--state FILE] [--jobs N] [--area GLOB]... [--table FILE] [MUTANT ...]

CORPUS is a folder with `mutants.json` (what is changed where) and `mutate.py` (which does it). Each mutant is planted in a forked child of
a process that has imported everything and done nothing else, and a default check runs on the stock Trainer there until its first new
violation: nothing depends on the order. One that can't be planted in a function that exists already is planted at import, in a process of
its own; what that takes to start is not counted.

What was done so far is kept in the state file, if one is named: started again, with the same seed and budget, it goes on from there. Prints
a line for each mutant and a table by area, which `--table` also writes as Markdown. Exits 1 if a mutant could not be planted.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import stopping

from trainer_props.engine.side_by_side import Lost, side_by_side

KILLED: Final = "killed"
SURVIVED: Final = "survived"
FAILED: Final = "not planted"
_FRESH: Final = "--planted-at-import"
_GRACE: Final = 180.0
"""Seconds that a check may take on top of its budget: a hang takes a minute to be told from slowness."""


@dataclass(frozen=True)
class Row:
    """What became of a mutant.

    Attributes:
        outcome: killed, survived or not planted.
        seconds: from the beginning of the check to the first new violation; of a survivor, to the end.
        runs: of cases, until then.
        killer: the property that was violated, or the reason why it could not be planted.
    """

    mutant: str
    area: str
    outcome: str
    seconds: float = 0.0
    runs: int = 0
    killer: str = ""


def load(corpus: Path) -> ModuleType:
    """The tool of a corpus.

    Raises:
        SystemExit: there is none.
    """
    spec = importlib.util.spec_from_file_location("mutate", corpus / "mutate.py")
    if spec is None or spec.loader is None or not (corpus / "mutants.json").is_file():
        raise SystemExit(f"{corpus} does not hold mutate.py and mutants.json")
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate"] = module
    spec.loader.exec_module(module)
    return module


def check(mutant: str, area: str, seconds: float, seed: int) -> Row:
    """A check of the stock Trainer with all that is in force, until its first new violation."""
    from trainer_props import subjects
    from trainer_props.engine import Plan, events
    from trainer_props.engine.supervisor import supervise

    begun = time.monotonic()
    seen: list[tuple[float, str]] = []

    def listen(event: events.EngineEvent) -> None:
        if isinstance(event, events.FirstSeen) and event.finding.known_bug is None:
            seen.append((time.monotonic() - begun, event.finding.property))

    plan = Plan(seconds=seconds, seed=seed, first_failure=True, shrink_seconds=None)
    result = supervise(subjects.load(subjects.DEFAULT), plan, listen)
    found = [each.finding.property for each in result.violations if each.finding.known_bug is None]
    if seen or found:
        after, killer = seen[0] if seen else (time.monotonic() - begun, found[0])
        return Row(mutant, area, KILLED, after, result.runs, killer)
    return Row(mutant, area, SURVIVED, time.monotonic() - begun, result.runs)


def at_import(corpus: Path, mutant: str, area: str, seconds: float, seed: int) -> Row:
    """The check in a process of its own, which plants the mutant before it imports anything."""
    command = [sys.executable, __file__, str(corpus), _FRESH, mutant, "--seconds", str(seconds), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * _GRACE, check=False)  # noqa: S603  ourselves
    if done.returncode != 0:
        return Row(mutant, area, FAILED, killer=done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return Row(**{**json.loads(done.stdout.splitlines()[-1]), "area": area})


def judge(tool: ModuleType, corpus: Path, mutant: str, seconds: float, seed: int) -> Row:
    """What becomes of a mutant, which stays in force in this process."""
    area = tool.catalogue()[mutant]["area"]
    try:
        tool.apply(mutant)
    except tool.MutationError as error:
        if "import-time" in str(error):
            return at_import(corpus, mutant, area, seconds, seed)
        return Row(mutant, area, FAILED, killer=str(error))
    return check(mutant, area, seconds, seed)


def table(rows: Sequence[Row], seconds: float, seed: int) -> Iterator[str]:
    """Markdown: the areas, then the mutants."""
    yield f"A default check of {seconds:g} s each, seed {seed}."
    yield ""
    yield "| area | killed | of | median seconds |"
    yield "|---|---|---|---|"
    for area in [*sorted({row.area for row in rows}), "all"]:
        own = [row for row in rows if area in (row.area, "all")]
        killed = [row.seconds for row in own if row.outcome == KILLED]
        yield f"| {area} | {len(killed)} | {len(own)} | {format(statistics.median(killed), '.1f') if killed else ''} |"
    yield ""
    yield "| mutant | area | outcome | seconds | runs | property |"
    yield "|---|---|---|---|---|---|"
    for row in sorted(rows, key=lambda row: (row.area, row.mutant)):
        yield f"| {row.mutant} | {row.area} | {row.outcome} | {row.seconds:.1f} | {row.runs} | {row.killer} |"


class State:
    """What is done already, in a file or nowhere."""

    def __init__(self, path: Path | None, seconds: float, seed: int | None) -> None:
        self._path, self.rows = path, dict[str, Row]()
        self.seconds, self.seed = seconds, random.SystemRandom().randrange(2**32) if seed is None else seed
        if path is not None and path.exists():
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["seconds"] != seconds or seed not in (None, data["seed"]):
                raise SystemExit(f"{path} was made with --seconds {data['seconds']:g} --seed {data['seed']}")
            self.seed = data["seed"]
            self.rows = {name: Row(**row) for name, row in data["rows"].items()}

    def add(self, row: Row) -> None:
        """Keep a row, at once and whole."""
        self.rows[row.mutant] = row
        if self._path is not None:
            data = {"seconds": self.seconds, "seed": self.seed, "rows": {name: asdict(row) for name, row in self.rows.items()}}
            written = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            written.write_text(json.dumps(data, indent=1), encoding="utf-8")
            written.replace(self._path)


def main() -> int:
    """Judge the mutants, print a line for each and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--seconds", type=float, default=120.0, help="budget of each check")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="checks side by side")
    parser.add_argument("--area", action="append", default=[], metavar="GLOB")
    parser.add_argument("--table", type=Path, help="write the table there")
    parser.add_argument(_FRESH, action="store_true", dest="fresh", help=argparse.SUPPRESS)
    parser.add_argument("mutants", nargs="*", metavar="MUTANT")
    options = parser.parse_intermixed_args()
    corpus = options.corpus.resolve()
    tool = load(corpus)
    if options.fresh:
        tool.install(options.mutants[0])
        print(json.dumps(asdict(check(options.mutants[0], "", options.seconds, options.seed))))
        return 0
    catalogue: dict[str, Any] = tool.catalogue()
    unknown = [name for name in options.mutants if name not in catalogue]
    if unknown:
        parser.error(f"there is no mutant {unknown[0]!r}")
    areas = options.area or ["*"]
    chosen = [name for name in options.mutants or catalogue if any(fnmatch.fnmatch(catalogue[name]["area"], glob) for glob in areas)]
    state = State(options.state, options.seconds, options.seed)
    print(f"seed {state.seed}, {options.seconds:g} s each", flush=True)
    _import_everything()
    left = [name for name in chosen if name not in state.rows]
    work = {name: functools.partial(judge, tool, corpus, name, state.seconds, state.seed) for name in left}
    for name, outcome in side_by_side(work, options.jobs):
        # a check says of everything how it ended; one that is gone itself has told nobody
        lost = isinstance(outcome, Lost)
        row = Row(name, catalogue[name]["area"], SURVIVED, killer=f"the check was lost: {outcome.message}") if lost else outcome
        state.add(row)
        print(f"{row.mutant:10} {row.area:24} {row.outcome:11} {row.seconds:6.1f} s {row.runs:5} runs  {row.killer}", flush=True)
    rows = [state.rows[name] for name in chosen if name in state.rows]
    lines = list(table(rows, state.seconds, state.seed))
    print("\n".join(["", *lines[2 : lines.index("", 2)]]))
    if options.table is not None:
        options.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if any(row.outcome == FAILED for row in rows) else 0


def _import_everything() -> None:
    from trainer_props import subjects
    from trainer_props.engine import supervisor  # noqa: F401

    subjects.load(subjects.DEFAULT)


if __name__ == "__main__":
    stopping.run(main)
