"""How long it takes from the first failing run to the shrunk report, on the regression models.

    python benchmarks/time_to_report.py [--seconds 15] [--seed N] [--bound 3.0] [FAULT ...]

Each planted fault of a single-run property is explored until the first violation, which is then shrunk, with what matters in its case and
the timeline of its run. The time is that between these two events of one process. Exits 1 if the median is above the bound.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time

import stopping

from trainer_props import arguments, subjects, zoo
from trainer_props.engine import Plan, Session, events
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared

MODELS = tuple(name for name in zoo.MODELS if name.startswith("regression"))


def names() -> list[str]:
    """The faults of properties that judge a single training run of a regression model."""
    return [name for name, fault in FAULTS.items() if "train_once" in PROPERTIES[fault.property].experiments]


def main() -> int:
    """Measure each fault, print a line for each and the median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="most time for exploring each")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--bound", type=float, default=3.0, help="of the median, in seconds")
    parser.add_argument("faults", nargs="*", metavar="FAULT")
    options = parser.parse_args()
    for name in options.faults:
        if name not in FAULTS:
            print(f"there is no fault {name!r}{arguments.nearest(name, list(FAULTS))}", file=sys.stderr)
            return 2
    print(f"seed {options.seed}")
    experiments = [name for name, each in EXPERIMENTS.items() if name.startswith("train_") and set(MODELS) & set(each.models)]
    times, missed = [], []
    with prepared():
        for name in options.faults or names():
            moments: list[float] = []

            def listen(event: events.EngineEvent, moments: list[float] = moments) -> None:
                if isinstance(event, (events.FirstSeen, events.Shrunk)):
                    moments.append(time.monotonic())

            plan = Plan(
                experiments=experiments, properties=[FAULTS[name].property], seconds=options.seconds, seed=options.seed,
                held=Held(models=MODELS), first_failure=True,
            )  # fmt: skip
            result = Session(subjects.wrap(FAULTS[name].make(), name), plan, listen).run()
            if not result.violations:
                missed.append(name)
                continue
            first = result.violations[0]
            times.append(moments[len(result.violations)] - moments[0])
            state = "" if first.complete else ", not to the end"
            print(f"{name:45} {times[-1]:6.2f} s, {first.runs:4} runs, {len(first.notes)} notes{state}", flush=True)
    if missed:
        print(f"not seen in {options.seconds:g} s: {', '.join(missed)}")
    median, tenths = statistics.median(times), statistics.quantiles(times, n=10)
    print(f"median of {len(times)}: {median:.2f} s, nine tenths within {tenths[-1]:.2f} s, slowest {max(times):.2f} s")
    return 1 if median > options.bound else 0


if __name__ == "__main__":
    stopping.run(main)
