"""What runs on several devices cost, what they leave of a session, and what becomes of them when a rank is killed.

    python benchmarks/devices.py [--scenarios 40] [--kills 100] [--session 60] [--seed 0] [--json FILE]

All figures come from one process and the ranks that it starts. Runs are drawn by the experiments on several devices; each is run in turn on
one device with the batches of all, and on several; medians over all runs are compared, of the whole group where ranks are processes.

Then sessions of so many seconds with all experiments take turns with such that leave out those on several devices, twice each: how many
runs of the other experiments they come to in a second, what part of the time those on several devices take, and how many cases there were
on each number of devices. Pools start anew in each.

Then ranks are killed or stopped at random moments of runs, one in each; the time to the verdict is taken, and the next run has to work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import stopping

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine import Plan, Session
from trainer_props.engine.drawing import draw
from trainer_props.engine.events import CaseStarted, EngineEvent
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.alone import on_one_device
from trainer_props.running import Errand, prepared, run_on_devices
from trainer_props.running.devices import gloo
from trainer_props.scenario import Data, Devices, Scenario

MOST = {"data_parallel": 1.5, "gloo": 4.0}
"""A run on two devices costs so many runs on one."""
MOST_SECONDS = 10.0
LEAST_LEFT = 0.75
"""Of the runs on one device that a second of a session would bring without the experiments on several."""
COVERED = (1, 2, 3, 4)
_EXPERIMENTS = {"data_parallel": "train_on_devices", "gloo": "train_in_processes"}
_ON_SEVERAL = {name for name, experiment in EXPERIMENTS.items() if "single" not in experiment.devices}
_STOPPED = 0.1
"""The share of ranks that are stopped and not killed: the verdict takes seconds, since nothing moves until then."""


def costs(kind: str, number: int, seed: int, subject: subjects.Subject) -> dict[str, float]:
    """Milliseconds of the median run on one device and on two of a kind, and their ratio."""
    cases: dict[str, Case] = {}
    held = Held(devices=((kind, 2),))
    draw(EXPERIMENTS[_EXPERIMENTS[kind]].cases(held), lambda case: cases.setdefault(case.key, case), number=seed, max_examples=2 * number)
    one, several = [], []
    for case in list(cases.values())[:number]:
        for _ in range(2):  # what a first run imports, or a pool that is started, is no cost of a run
            one.append(_milliseconds(on_one_device(case.scenario), subject))
            several.append(_milliseconds(case.scenario, subject))
        del one[-2], several[-2]
    alone, spread = statistics.median(one), statistics.median(several)
    return {"one": round(alone, 2), "several": round(spread, 2), "ratio": round(spread / alone, 2)}


def _milliseconds(scenario: Scenario, subject: subjects.Subject) -> float:
    begun = time.perf_counter()
    run_on_devices(scenario, subject, Errand())
    return 1000 * (time.perf_counter() - begun)


def sessions(seconds: float, seed: int, subject: subjects.Subject) -> dict[str, Any]:
    """Runs on one device in a second, with and without the experiments on several; cases by kind and number of devices."""
    runs: dict[bool, list[int]] = {True: [], False: []}
    devices, spent = Counter[str](), Counter[bool]()
    for index in range(2):
        for together in (bool(index), not index):  # neither is always the first
            names = [name for name in EXPERIMENTS if together or name not in _ON_SEVERAL]
            begun: list[Case] = []

            def note(event: EngineEvent, begun: list[Case] = begun) -> None:
                if isinstance(event, CaseStarted):
                    begun.append(event.case)

            gloo.close()
            result = Session(subject, Plan(names, seconds=seconds, seed=seed + index, shrink_seconds=None), note).run()
            runs[together].append(sum(case.experiment not in _ON_SEVERAL for case in begun))
            for name, count in result.experiments.items() if together else ():
                spent[name in _ON_SEVERAL] += count.seconds
            devices.update(f"{case.scenario.devices.kind} {case.scenario.devices.count}" for case in begun if together)
    with_them, without = (sum(runs[each]) / (2 * seconds) for each in (True, False))
    rates = {"with": round(with_them, 2), "without": round(without, 2), "left": round(with_them / without, 3)}
    return {**rates, "share of time": round(spent[True] / spent.total(), 3), "devices": dict(devices)}


def kills(number: int, seed: int, subject: subjects.Subject) -> dict[str, Any]:
    """How long verdicts take, what they are, and what went wrong."""
    draws = random.Random(seed)
    scenario = Scenario(
        arguments={"per_device_train_batch_size": 1, "num_train_epochs": 4, "eval_strategy": "epoch", "save_strategy": "epoch"},
        data=Data(n=32, n_eval=8), devices=Devices(kind="gloo", count=2),
    )  # fmt: skip
    length = _milliseconds(scenario, subject) / 1000
    length = min(length, _milliseconds(scenario, subject) / 1000)
    seconds, endings, wrong = [], Counter[str](), []
    for index in range(number):
        rank, how = draws.randrange(2), signal.SIGSTOP if draws.random() < _STOPPED else signal.SIGKILL
        killer = threading.Timer(draws.uniform(0, length), _end, (gloo.pids(2)[rank], how))
        killer.start()
        begun = time.monotonic()
        found = list(run_on_devices(scenario, subject, Errand()).values())
        seconds.append(time.monotonic() - begun)
        killer.cancel()
        killer.join()
        hit = not all(each.finished for each in found)
        endings[how.name if hit else "came too late"] += 1
        if seconds[-1] > MOST_SECONDS:
            wrong.append(f"{index}: {how.name} of rank {rank}: a verdict after {seconds[-1]:.1f} s")
        again = [each.failure or each.stuck for each in run_on_devices(scenario, subject, Errand()).values() if not each.finished]
        if again:
            wrong.append(f"{index}: the next run ended with {again[0]}")
    return {"kills": number, "slowest": round(max(seconds), 2), "endings": dict(endings), "wrong": wrong}


def _end(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return


def main() -> int:
    """Measure, print, compare with what was promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=40)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--session", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    subject = subjects.load(subjects.DEFAULT)
    figures: dict[str, Any] = {}
    with prepared():
        for kind in MOST if asked.scenarios else ():
            figures[kind] = costs(kind, asked.scenarios, asked.seed, subject)
            print(f"{kind}, two devices: {figures[kind]['several']} ms against {figures[kind]['one']} ms, {figures[kind]['ratio']} times")
        if asked.kills:
            figures["kills"] = kills(asked.kills, asked.seed, subject)
            print(f"kills: {figures['kills']}")
    if asked.session:
        figures["session"] = sessions(asked.session, asked.seed, subject)
        print(f"session: {figures['session']}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    cheap = all(figures[kind]["ratio"] <= most for kind, most in MOST.items() if kind in figures)
    session = figures.get("session", {"left": 1.0, "devices": dict.fromkeys(map(str, COVERED))})
    covered = {int(name.split()[-1]) for name in session["devices"]}
    kept = cheap and session["left"] >= LEAST_LEFT and covered.issuperset(COVERED) and not figures.get("kills", {}).get("wrong")
    return 0 if kept else 1


if __name__ == "__main__":
    stopping.run(main)
