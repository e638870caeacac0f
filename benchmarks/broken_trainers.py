"""How soon a default check catches ten broken Trainers, and what it shrinks them to.

    python benchmarks/broken_trainers.py [--seconds 20] [--seed N] [FAULT ...]

Each is explored by every experiment and judged by every property until the first new violation, which is then shrunk. Times count from the
moment at which torch and transformers are imported.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time

import stopping

from trainer_props import arguments, subjects
from trainer_props.case import Case
from trainer_props.engine import Plan, Session, events
from trainer_props.faults import FAULTS, TEN


def sizes(case: Case) -> str:
    """What a reader of the shrunk case has to take in."""
    scenario = case.scenario
    return (
        f"n={scenario.data.n} batch={scenario.argument('per_device_train_batch_size')} "
        f"accumulation={scenario.argument('gradient_accumulation_steps')} arguments={len(scenario.arguments)}"
    )


def main() -> int:
    """Check each fault, print a line for each, and say by the exit code whether all were caught."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("faults", nargs="*", default=list(TEN), metavar="FAULT")
    options = parser.parse_args()
    print(f"seed {options.seed}, at most {options.seconds:g} s each")
    times, missed = [], []
    for name in options.faults:
        if name not in FAULTS:
            print(f"there is no fault {name!r}{arguments.nearest(name, list(FAULTS))}", file=sys.stderr)
            return 2
        begun = time.monotonic()
        seen: list[float] = []

        def listen(event: events.EngineEvent, begun: float = begun, seen: list[float] = seen) -> None:
            if isinstance(event, events.FirstSeen):
                seen.append(time.monotonic() - begun)

        plan = Plan(seconds=options.seconds, seed=options.seed, first_failure=True)
        result = Session(subjects.wrap(FAULTS[name].make(), name), plan, listen).run()
        if not seen:
            missed.append(name)
            print(f"{name:26} MISSED after {result.runs} runs")
            continue
        times.append(seen[0])
        violation = result.violations[0]
        found = violation.finding
        print(f"{name:26} {seen[0]:5.1f} s, shrunk in {violation.seconds:4.1f} s: {found.property}: {sizes(found.case)}")
    if times:
        print(f"caught {len(times)} of {len(options.faults)}, median {statistics.median(times):.1f} s, slowest {max(times):.1f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    stopping.run(main)
