"""How soon `check --no-known` finds each known bug, with the properties that it violates and everything else at its default.

    python benchmarks/known_bugs_found.py [--seconds 60] [--seed N] [BUG ...]

Times count from the moment at which torch and transformers are imported. Exits 1 if one of them is not found. Under ten minutes.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time

import stopping

from trainer_props import arguments, subjects
from trainer_props.engine import Plan, Session, events
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.running import prepared


class _Found(KeyboardInterrupt):
    """Ends a session as Ctrl-C does."""


def main() -> int:
    """Look for each bug, print a line for each and how many were found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="most time for each")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("bugs", nargs="*", metavar="BUG")
    options = parser.parse_args()
    for name in options.bugs:
        if name not in KNOWN_BUGS:
            print(f"there is no known bug {name!r}{arguments.nearest(name, list(KNOWN_BUGS))}", file=sys.stderr)
            return 2
    print(f"seed {options.seed}, at most {options.seconds:g} s each")
    times, missed = [], []
    with prepared():
        for name in options.bugs or sorted(KNOWN_BUGS):
            begun = time.monotonic()
            found: list[float] = []

            def listen(event: events.EngineEvent, name: str = name, begun: float = begun, found: list[float] = found) -> None:
                if isinstance(event, events.FirstSeen) and event.finding.known_bug == name:
                    found.append(time.monotonic() - begun)
                    raise _Found

            properties = KNOWN_BUGS[name].properties
            plan = Plan(properties=properties, seconds=options.seconds, seed=options.seed, known=False, shrink_seconds=None)
            result = Session(subjects.load(subjects.DEFAULT), plan, listen).run()
            if found:
                times.append(found[0])
                print(f"{name:40} {found[0]:6.1f} s, {result.runs:5} runs", flush=True)
            elif result.interrupted:
                raise KeyboardInterrupt
            else:
                missed.append(name)
                print(f"{name:40} NOT FOUND in {result.runs} runs", flush=True)
    if times:
        print(f"found {len(times)} of {len(times) + len(missed)}, median {statistics.median(times):.1f} s, slowest {max(times):.1f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    stopping.run(main)
