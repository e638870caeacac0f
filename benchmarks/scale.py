"""What the length of the data and the number of ranks cost where single ranks are played (docs/devices.md says what that shows).

    python benchmarks/scale.py [--repeats 5] [--shuffled 6] [--json FILE]

Every figure is of the Trainer's and accelerate's own code, in one process; ratios are those of one call of this program.

1. In order: a rank of 8, and one of 1,024, builds its trainer and its loader, plans the run and trains two updates, on 10^4 to 10^9 rows.
   Time (median) and peak memory of Python must not follow the number of rows, and the planned updates are compared with exact integers.
2. Ranks: the same on 10^9 rows, for 2 to 1,024 ranks. A rank goes through the batches of all the others, so a round costs as many.
3. Shuffled: the same with the random order that is the default, on up to 10^SHUFFLED rows. torch's RandomSampler writes the whole order
   down as a list, and accelerate's does: time and memory do follow the number of rows; bytes a row are printed.
4. Skipping: what `skip_first_batches`, by which a resumed run finds its place, costs for each batch that it skips: it goes through them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import stopping
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader

from trainer_props import subjects, zoo
from trainer_props.oracles import shards
from trainer_props.running import prepared
from trainer_props.running.devices import fake
from trainer_props.scenario import Data, Devices, Model, Scenario

ROWS = (10**4, 10**6, 10**9)
WORLDS = (2, 8, 64, 1024)
MOST_TIME = 2.0
"""10^9 rows take so many times as long as 10^4, at most: machines are noisy."""
MOST_BYTES = 2**20
"""So much more memory, at most."""
UNTIL = 2


def scenario(rows: int, ranks: int, order: str = "sequential") -> Scenario:
    """A run of three passes over so many rows."""
    arguments = {"per_device_train_batch_size": 2, "num_train_epochs": 3, "train_sampling_strategy": order}
    return Scenario(arguments=arguments, data=Data(kind="numbered", n=rows), devices=Devices(kind="fake", count=ranks))


def played(rows: int, ranks: int, repeats: int, subject: subjects.Subject, order: str = "sequential") -> dict[str, Any]:
    """Milliseconds, peak bytes and planned updates of the last of so many ranks, of which two updates are run."""
    each = scenario(rows, ranks, order)

    def once() -> Any:
        return fake.play(each, subject, ranks - 1, until=UNTIL)

    once()
    milliseconds = [_seconds(once) * 1000 for _ in range(repeats)]
    tracemalloc.start()
    record = once()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    planned, exact = record.state["max_steps"], shards.total_updates(each, ranks - 1)
    sees = shards.shards(each).micro_batch(ranks - 1, UNTIL - 1)
    seen = record.batches[-1].samples
    right = record.finished and planned == exact and (order != "sequential" or seen == sees)
    taken = round(statistics.median(milliseconds), 1)
    return {"rows": rows, "ranks": ranks, "ms": taken, "peak_bytes": peak, "updates": planned, "right": right}


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def skipping(batches: int, ranks: int = 8) -> dict[str, Any]:
    """Milliseconds until the loader of a rank has skipped so many of its batches and gives the next."""
    dataset = zoo.build_dataset(Data(kind="numbered"), "train", model=Model(), n=ROWS[-1])
    loader = prepare_data_loader(DataLoader(dataset, batch_size=2), num_processes=ranks, process_index=0)
    skipped = skip_first_batches(loader, batches)
    begun = time.perf_counter()
    batch = next(iter(skipped))
    milliseconds = (time.perf_counter() - begun) * 1000
    right = zoo.identify(dataset, batch) == shards.Shards(ROWS[-1], 2, ranks, False, True, False).micro_batch(0, batches)
    return {"batches": batches, "ms": round(milliseconds, 1), "us_each": round(milliseconds * 1000 / batches, 2), "right": right}


def _print(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        print("   " + ", ".join(f"{name} {value:,}" if type(value) is int else f"{name} {value}" for name, value in row.items()))
        found.append(row)
    return found


def main() -> int:
    """Measure, print, compare with what is said in the docs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shuffled", type=int, default=6, help="largest power of ten; 9 would need some 40 GB")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    subject = subjects.load(subjects.DEFAULT)
    figures: dict[str, Any] = {}
    flat = True
    with prepared():
        for ranks in (8, 1024):
            print(f"in order, {ranks} ranks:")
            found = figures[f"in order, {ranks}"] = _print(played(rows, ranks, asked.repeats, subject) for rows in ROWS)
            ratio, more = found[-1]["ms"] / found[0]["ms"], found[-1]["peak_bytes"] - found[0]["peak_bytes"]
            print(f"   10^9 rows against 10^4: {ratio:.2f} times the time, {more:,} bytes more")
            flat = flat and ratio <= MOST_TIME and more <= MOST_BYTES
        print("numbers of ranks:")
        figures["ranks"] = _print(played(ROWS[-1], ranks, asked.repeats, subject) for ranks in WORLDS)
        print("shuffled, 8 ranks:")
        sizes = [10**power for power in range(4, asked.shuffled + 1)]
        found = figures["shuffled"] = _print(played(rows, 8, asked.repeats, subject, "random") for rows in sizes)
        if len(found) > 1:
            each = (found[-1]["peak_bytes"] - found[0]["peak_bytes"]) / (found[-1]["rows"] - found[0]["rows"])
            print(f"   {each:.0f} bytes a row: {each:.0f} GB for 10^9")
        print("skipping:")
        figures["skipping"] = _print(skipping(batches) for batches in (100, 1000, 10_000))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    right = all(row["right"] for rows in figures.values() for row in rows)
    print(f"{'flat' if flat else 'NOT FLAT'} in the number of rows where they are read in order; integers {'exact' if right else 'WRONG'}")
    return 0 if flat and right else 1


if __name__ == "__main__":
    stopping.run(main)
