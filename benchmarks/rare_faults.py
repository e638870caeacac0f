"""Regressions that show in about one of 20,000 cases (`rare.py`): how rare they are, and how long a campaign looks for them.

    python benchmarks/rare_faults.py share [--cases 200000] [--state FILE]
    python benchmarks/rare_faults.py find [--minutes 20] [--repeats 3] [--jobs 2] [--often] [--fault NAME]... [--state FOLDER]

`share` draws cases plainly, the same number from each experiment that trains, and counts those in each region; those that are there are
run and judged, since a region also holds cases in which nothing can be seen (two runs that are compared, and are wrong alike). `find`
starts `trainer-props fuzz` on each of them and stops it at the first violation, which has to be in the region; a campaign that finds
nothing within twice the minutes is given up. Both go on from their state when they are started again, in the middle of a search too.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import rare
import stopping

from trainer_props.case import Case
from trainer_props.engine.drawing import draw
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import Store
from trainer_props.running import prepared
from trainer_props.subjects import load

PORTION: Final = 20
"""Cases of an experiment that are drawn in one go: few, so that they are drawn afresh and not from each other."""


_TELLS: Final = 25
"""Rounds after which the benchmark says how far it is."""


def save(path: Path, state: Any) -> None:
    """Write a state so that at any instant it is whole."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(state, indent=1), encoding="utf-8")
    partial.replace(path)


def share(number: int, path: Path) -> int:
    """Draw, count, print."""
    state: dict[str, Any] = {"rounds": 0, "cases": 0, "inside": {}, "shown": {}}
    if path.exists():
        state = json.loads(path.read_text(encoding="utf-8"))
    subjects = {name: load(f"rare:{name}") for name in rare.RARE}
    trained = [each for each in EXPERIMENTS.values() if each.models]
    with prepared():
        while state["cases"] < number:
            inside: list[tuple[str, Case]] = []

            def count(case: Case, inside: list[tuple[str, Case]] = inside) -> None:
                state["cases"] += 1
                inside += [(name, case) for name, each in rare.RARE.items() if each.covers(case.scenario)]

            for index, experiment in enumerate(trained):
                draw(experiment.cases(Held()), count, number=state["rounds"] * len(trained) + index, max_examples=PORTION)
            for name, case in inside:
                judged = judge(case, subjects[name], [each for each in PROPERTIES.values() if case.experiment in each.experiments])
                shows = any(finding.known_bug is None for finding in judged.findings)
                state["inside"][name] = state["inside"].get(name, 0) + 1
                state["shown"][name] = state["shown"].get(name, 0) + shows
            state["rounds"] += 1
            save(path, state)
            if state["rounds"] % _TELLS == 0:
                print(f"{state['cases']} of {number} cases", file=sys.stderr, flush=True)
    print(f"{state['cases']} cases, drawn plainly")
    for name in rare.RARE:
        print(f"  {name:26} in the region {one_in(state, 'inside', name):>14}, shows in {one_in(state, 'shown', name):>14}")
    return 0


def one_in(state: dict[str, Any], what: str, name: str) -> str:
    """A share in words."""
    times = state[what].get(name, 0)
    return f"1 of {state['cases'] / times:,.0f} ({times})" if times else "none"


def find(options: argparse.Namespace, folder: Path) -> int:
    """Search for each fault, print, and say by the exit code whether the median is within the time."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "searches.json"
    searches: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    limit = 120.0 * options.minutes
    for repeat in range(options.repeats):
        for name in options.fault or rare.RARE:
            subject = f"Often_{name}" if options.often else name
            key = f"{subject}-{repeat}"
            search = searches.setdefault(key, {"seconds": 0.0, "found": None})
            while search["found"] is None and search["seconds"] < limit:
                begun, before = time.monotonic(), search["seconds"]
                process = started(folder / key, subject, repeat, (limit - before) / 3600, options.jobs)
                try:
                    listen(process, folder / key, name, search, before, begun, lambda: save(path, searches))
                finally:
                    end(process)
                    save(path, searches)
                if process.returncode == 2:
                    raise SystemExit(f"{key}: the campaign could not go on")
            print(f"{key}: {search['found'] or 'nothing'} after {search['seconds'] / 60:.1f} min", flush=True)
    prefix = "Often_" if options.often else ""
    asked = [f"{prefix}{name}-{repeat}" for name in options.fault or rare.RARE for repeat in range(options.repeats)]
    times = [searches[key]["seconds"] if searches[key]["found"] else float("inf") for key in asked]
    median = statistics.median(times) / 60
    wrong = [key for key in asked if searches[key].get("outside")]
    print(f"{sum(time < float('inf') for time in times)} of {len(times)} found, median {median:.1f} min, bound {options.minutes:g} min")
    if wrong:
        print(f"violations outside of the region: {', '.join(wrong)}")
    return 0 if median <= options.minutes and not wrong else 1


def started(folder: Path, subject: str, seed: int, hours: float, jobs: int) -> subprocess.Popen[str]:
    """A campaign."""
    words = ["fuzz", f"rare:{subject}", "--hours", f"{hours:.5f}", "--jobs", str(jobs), "--state", str(folder / "state"), "--regressions",
             str(folder / "examples")]  # fmt: skip
    if not (folder / "state").exists():
        words += ["--seed", str(seed)]
    return subprocess.Popen(  # noqa: S603  our own words
        [sys.executable, "-c", "from trainer_props.cli import main; main()", *words], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parent, env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def listen(
    process: subprocess.Popen[str], folder: Path, name: str, search: dict[str, Any], before: float, begun: float, keep: Any
) -> None:
    """Read what it prints until something is found; the time is kept at each line, of which there is one a minute."""
    assert process.stdout is not None
    for line in process.stdout:
        search["seconds"] = before + time.monotonic() - begun
        keep()
        if line.startswith(("violated ", "crashed ", "hung ", "nondeterministic ")):
            search["found"] = line.strip()
            cases = [each.example.case for each in Store(folder / "examples").read().examples]
            if not any(rare.RARE[name].covers(case.scenario, often=True) for case in cases):
                search["outside"] = True
            return


def end(process: subprocess.Popen[str]) -> None:
    """Stop a campaign as Ctrl-C does."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def main() -> int:
    """Do one or the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("share", "find"))
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--often", action="store_true", help="regions that are ten times as large")
    parser.add_argument("--fault", action="append", choices=sorted(rare.RARE))
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes its campaign along, as Ctrl-C does
    with tempfile.TemporaryDirectory() as name:
        if options.what == "share":
            return share(options.cases, options.state or Path(name, "share.json"))
        return find(options, (options.state or Path(name)).absolute())


if __name__ == "__main__":
    stopping.run(main)
