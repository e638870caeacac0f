"""What recording and judging cost: a recorded run judged by every property, against the same run of a bare Trainer.

    python benchmarks/throughput.py [--scenarios 60] [--rounds 3] [--seed 0] [--json FILE]

All figures come from one process. Regression runs are drawn by the experiment `train_once`; each is run in turn (a) by a bare Trainer
after `gc.freeze()`, (b) recorded and judged, and (c) by the stock Trainer as users run it, without freezing; the medians over all runs are
compared.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import stopping
from transformers import PrinterCallback

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.drawing import draw
from trainer_props.engine.judging import Judged, judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.running.output import output_directory

MOST_AGAINST_BARE = 1.4
LEAST_AGAINST_STOCK = 12.0


def drawn(number: int, seed: int) -> list[Case]:
    """So many different cases of the experiment `train_once` that a Trainer finishes."""
    cases: dict[str, Case] = {}
    draw(EXPERIMENTS["train_once"].cases(Held()), lambda case: cases.setdefault(case.key, case), number=seed, max_examples=2 * number)
    subject = subjects.load(subjects.DEFAULT)
    with prepared():
        finished = [case for case in cases.values() if not judge(case, subject, [PROPERTIES["steps.run_finishes"]]).findings]
    return finished[:number]


def bare(case: Case, subject: subjects.Subject, *, prints: bool = False) -> None:
    """One training run, nothing watching; without PrinterCallback, which the recorded run lacks too, unless it is run as users run it."""
    with output_directory() as output_dir:
        trainer = subject.make(subjects.Parts(case.scenario), output_dir)
        if not prints:
            trainer.remove_callback(PrinterCallback)
        trainer.train()


def seconds(run: Callable[[], object]) -> float:
    """What a call takes, its prints swallowed."""
    begun = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        run()
    return time.perf_counter() - begun


@contextlib.contextmanager
def thawed() -> Iterator[None]:
    """The heap as it is in a user's process."""
    gc.unfreeze()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()


def main() -> int:
    """Measure, print, and say by the exit code whether both bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cases = drawn(options.scenarios, options.seed)
    subject = subjects.load(subjects.DEFAULT)
    properties = list(PROPERTIES.values())
    times: dict[str, list[float]] = {"bare": [], "judged": [], "stock": []}
    evaluations = 0
    with prepared():
        for _ in range(options.rounds):
            for case in cases:
                times["bare"].append(seconds(lambda case=case: bare(case, subject)))  # type: ignore[misc]
                outcome: list[Judged] = []
                keep = outcome.append
                times["judged"].append(seconds(lambda case=case, keep=keep: keep(judge(case, subject, properties))))  # type: ignore[misc]
                evaluations += len(outcome[0].holds) + len(outcome[0].findings)
        with thawed():
            for case in cases:
                times["stock"].append(seconds(lambda case=case: bare(case, subject, prints=True)))  # type: ignore[misc]
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    result = {
        "scenarios": len(cases),
        "properties": len(properties),
        "milliseconds": {name: round(value, 3) for name, value in medians.items()},
        "judged against bare": round(medians["judged"] / medians["bare"], 3),
        "stock against judged": round(medians["stock"] / medians["judged"], 3),
        "runs per second": round(len(times["judged"]) / sum(times["judged"]), 1),
        "evaluations per second": round(evaluations / sum(times["judged"]), 1),
    }
    for name, value in result.items():
        print(f"{name:24} {value}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    bounds = f"at most {MOST_AGAINST_BARE} times a bare run, at least {LEAST_AGAINST_STOCK:g} times cheaper than stock"
    kept = result["judged against bare"] <= MOST_AGAINST_BARE and result["stock against judged"] >= LEAST_AGAINST_STOCK  # type: ignore[operator]
    print(f"bounds: {bounds}: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    stopping.run(main)
