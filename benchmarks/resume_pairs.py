"""What a resume pair costs: the experiment `resume`, judged, against a single recorded and judged run of the same scenario.

    python benchmarks/resume_pairs.py [--scenarios 40] [--interruptions 3] [--seed 0] [--json FILE]

All figures come from one process. Regression runs are drawn by the experiment `train_once`; each is run in turn (a) once, recorded and
judged by every property, and (b) interrupted after several updates, one after the other, and resumed: cases that differ in their
interruption share the run without interruptions, as they do in a session. Medians and means over all cases are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import stopping

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.drawing import draw
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.oracles import accounting
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared

MOST_AGAINST_SINGLE = 3.5
HELD = Held(arguments={"dataloader_num_workers": 0, "eval_on_start": False})


def drawn(number: int, seed: int) -> list[Case]:
    """So many different cases of the experiment `train_once` that a Trainer finishes, of at least two updates each."""
    cases: dict[str, Case] = {}
    draw(EXPERIMENTS["train_once"].cases(HELD), lambda case: cases.setdefault(case.key, case), number=seed, max_examples=4 * number)
    subject = subjects.load(subjects.DEFAULT)
    longer = [case for case in cases.values() if accounting.total_updates(case.scenario) > 1 and not case.scenario.components.poisoned]
    finished: list[Case] = []
    for case in longer:
        if len(finished) < number and not judge(case, subject, [PROPERTIES["steps.run_finishes"]]).findings:
            finished.append(case)
    return finished


def interrupted(case: Case, times: int) -> list[Case]:
    """The case as one of `resume`, interrupted after so many different updates, spread over the run."""
    total = accounting.total_updates(case.scenario)
    at = sorted({1 + number * (total - 1) // times for number in range(times)})
    return [Case(experiment="resume", scenario=case.scenario, parameters={"interrupt_at": [step]}) for step in at]


def seconds(run: Callable[[], object]) -> float:
    """What a call takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def main() -> int:
    """Measure, print, and say by the exit code whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=40)
    parser.add_argument("--interruptions", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    subject = subjects.load(subjects.DEFAULT)
    properties = list(PROPERTIES.values())
    single: list[float] = []
    pairs: list[float] = []
    with prepared():
        for case in drawn(options.scenarios, options.seed):
            single.append(seconds(lambda case=case: judge(case, subject, properties)))  # type: ignore[misc]
            # the first of them pays for the run without interruptions
            pairs += [seconds(lambda each=each: judge(each, subject, properties)) for each in interrupted(case, options.interruptions)]  # type: ignore[misc]
    medians = {name: statistics.median(values) * 1000 for name, values in (("single run", single), ("resume pair", pairs))}
    means = {name: statistics.fmean(values) * 1000 for name, values in (("single run", single), ("resume pair", pairs))}
    result = {
        "scenarios": len(single),
        "pairs": len(pairs),
        "milliseconds": {name: round(value, 3) for name, value in medians.items()},
        "median against median": round(medians["resume pair"] / medians["single run"], 3),
        "mean against mean": round(means["resume pair"] / means["single run"], 3),
    }
    for name, value in result.items():
        print(f"{name:24} {value}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    kept = max(result["median against median"], result["mean against mean"]) <= MOST_AGAINST_SINGLE  # type: ignore[type-var, operator]
    print(f"bound: a resume pair costs at most {MOST_AGAINST_SINGLE:g} single runs: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    stopping.run(main)
