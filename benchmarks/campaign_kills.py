"""Kills a campaign at random moments, its workers and its coordinator, and looks at what is lost.

    python benchmarks/campaign_kills.py [--workers 50] [--coordinators 10] [--jobs 2] [--seed N] [--state FOLDER]

One campaign goes on through all kills: `trainer-props fuzz` on a trainer with four faults. Every few seconds SIGKILL hits one of its
processes below the coordinator (a worker, its supervisor, a rank of a run in processes), or now and then the coordinator, after which the
same command is started again. After each kill of the coordinator, and at the end,

- every violation that was ever announced has an example that is whole and stands in `state.json`;
- what `state.json` counts has not gone back, and its seed is the same;
- no process of the campaign is left, and after the end nothing temporary;
- a last start judges all of them again, says what it starts with, and exits 1.

What was done so far is kept in the state folder, if one is named: started again, it goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import stopping
from random_kills import ANNOUNCED
from random_kills import SOURCE as TWICE_BROKEN

from trainer_props.regressions import InvalidExample, Store, read_example

SUBJECT: Final = "broken_in_four:Broken"
SOURCE: Final = f'''{TWICE_BROKEN}

class Broken(TwiceBroken):
    """Crashes besides, where the seed is 7."""

    def train(self, *args, **kwargs):
        if self.args.seed == 7 and self.args.dataloader_drop_last:
            raise RuntimeError("seven")
        return super().train(*args, **kwargs)
'''
CHOSEN: Final = (
    "--experiment", "train_once", "--experiment", "train_and_save", "--experiment", "train_in_processes", "--experiment", "resume",
    "--property", "steps.*", "--property", "logs.*", "--property", "optimization.*",
)  # fmt: skip
LONGEST: Final = 6.0
MOST_ENDS: Final = 3
PATIENCE: Final = 60.0


class Campaign:
    """The campaign under fire, over all its starts."""

    def __init__(self, folder: Path, jobs: int, seed: int) -> None:
        self.folder, self.jobs, self.seed = folder, jobs, seed
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        (folder / "broken_in_four.py").write_text(SOURCE, encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, hours: float) -> None:
        """Start it, or let it go on."""
        words = ["fuzz", SUBJECT, *CHOSEN, "--hours", f"{hours:.5f}", "--jobs", str(self.jobs), "--state", "state", "--regressions",
                 "examples"]  # fmt: skip
        if not (self.folder / "state" / "state.json").exists():
            words += ["--seed", str(self.seed)]
        with (self.folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603  our own words
                [sys.executable, "-c", "from trainer_props.cli import main; main()", *words], cwd=self.folder, stdout=output, stderr=output,
                env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    @property
    def output(self) -> str:
        """All that it has printed."""
        path = self.folder / "output.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def announced(self) -> set[str]:
        """Properties whose violation was announced."""
        return set(ANNOUNCED.findall(self.output))

    def state(self) -> dict[str, Any]:
        """What stands in `state.json`."""
        path = self.folder / "state" / "state.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found

    def below(self) -> list[int]:
        """Processes that descend from the coordinator, in any generation."""
        parents: dict[int, int] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError):
                parents[int(path.parent.name)] = int(path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
        found = {self.process.pid} if self.process is not None else set()
        while more := {each for each, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found - {self.process.pid if self.process is not None else 0})

    def living(self) -> list[int]:
        """Processes that have our temporary directory in their environment or open."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.temporary).encode() in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                    found.append(int(process.name))
        return found

    def wait_until_gone(self) -> list[int]:
        """Processes that are left after some patience."""
        end = time.monotonic() + PATIENCE
        while (living := self.living()) and time.monotonic() < end:
            time.sleep(0.05)
        return living

    def look(self, before: dict[str, Any]) -> list[str]:
        """What is lost."""
        wrong, state, examples = [], self.state(), self.folder / "examples"
        stored = {each.example.property for each in Store(examples).read().examples}
        known = {each["key"][0] for each in state.get("violations", ())}
        wrong += [f"{name} was announced and has no example" for name in sorted(self.announced - stored)]
        wrong += [f"{name} was announced and is not in the state" for name in sorted(self.announced - known)]
        for path in sorted(examples.glob("[!.]*.json")):
            try:
                read_example(path)
            except InvalidExample as error:
                wrong.append(f"{path.name}: {error}")
        if before:
            wrong += [f"{name} went back from {before[name]} to {state.get(name)}" for name in ("rounds", "runs", "evaluations", "seconds")
                      if state.get(name, -1) < before[name]]  # fmt: skip
            wrong += ["the seed is another"] if state["seed"] != before["seed"] else []
        return wrong


def main() -> int:
    """Kill, look, count; the exit code says whether nothing was ever wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--coordinators", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes its campaign along, as Ctrl-C does
    with tempfile.TemporaryDirectory(prefix="ck-") as name:
        folder = (options.state or Path(name)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "kills.json"
        done: dict[str, Any] = {"seed": options.seed, "workers": 0, "coordinators": 0, "counts": {}, "wrong": []}
        if path.exists():
            done = json.loads(path.read_text(encoding="utf-8"))
        campaign = Campaign(folder, options.jobs, done["seed"])
        counts = Counter(done["counts"])
        try:
            while done["workers"] < options.workers or done["coordinators"] < options.coordinators:
                one_kill(campaign, done, counts, options)
                done["counts"] = dict(counts)
                partial = path.with_suffix(".partial")
                partial.write_text(json.dumps(done, indent=1), encoding="utf-8")
                partial.replace(path)
            done["wrong"] += [f"at the end: {each}" for each in the_end(campaign)]
        finally:
            if campaign.process is not None and campaign.process.poll() is None:
                campaign.process.kill()
                campaign.process.wait()
        state = campaign.state()
        print(f"{done['workers']} kills of workers, {done['coordinators']} of the coordinator, seed {done['seed']}: "
              f"{', '.join(f'{times} {what}' for what, times in sorted(counts.items()))}")  # fmt: skip
        print(f"{len(campaign.announced)} violations announced, {len(state['violations'])} in the state, {state['runs']} runs")
        for each in done["wrong"]:
            print(each)
        print(f"{len(done['wrong'])} wrong")
    return 1 if done["wrong"] else 0


def one_kill(campaign: Campaign, done: dict[str, Any], counts: Counter[str], options: argparse.Namespace) -> None:
    """Wait for a random moment, then kill one process."""
    number = done["workers"] + done["coordinators"]
    draws = random.Random(f"{done['seed']}/{number}")
    if campaign.process is None or campaign.process.poll() is not None:
        if campaign.process is not None:
            code = campaign.process.returncode
            done["wrong"].append(f"kill {number}: the campaign ended by itself with {code}: {campaign.output[-300:]}")
            counts["ended by itself"] += 1
            if counts["ended by itself"] > MOST_ENDS:
                raise SystemExit(f"the campaign ends by itself again and again: {campaign.output[-500:]}")
        campaign.start(5.0)
    left = {kind: getattr(options, kind) - done[kind] for kind in ("workers", "coordinators")}
    kind = draws.choices(list(left), weights=[max(0, each) for each in left.values()])[0]
    end = time.monotonic() + PATIENCE
    while not campaign.below() and time.monotonic() < end:
        time.sleep(0.05)  # importing torch takes its time, and nothing can be lost then
    seen, length = campaign.state().get("runs", 0), len(campaign.output)
    waits = draws.random() < 0.5  # until something has happened since the kill before
    while waits and time.monotonic() < end and not (
        ANNOUNCED.search(campaign.output[length:]) or campaign.state().get("runs", 0) > seen
    ):
        time.sleep(0.05)
    time.sleep(draws.uniform(0.0, LONGEST))
    before = campaign.state()
    assert campaign.process is not None
    if kind == "coordinators":
        campaign.process.kill()
        campaign.process.wait()
        left_over = campaign.wait_until_gone()
        wrong = [*campaign.look(before), *(f"process {each} lives on" for each in left_over)]
        counts["with a case left behind"] += any(path.stat().st_size for path in (campaign.folder / "examples").glob(".running-*"))
        campaign.process = None
    else:
        below = campaign.below()
        if not below:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(draws.choice(below), signal.SIGKILL)
        time.sleep(0.2)
        wrong = campaign.look(before)
    done["wrong"] += [f"kill {number} ({kind}): {each}" for each in wrong]
    for each in wrong:
        print(f"kill {number} ({kind}): {each}", file=sys.stderr, flush=True)
    done[kind] += 1


def the_end(campaign: Campaign) -> list[str]:
    """End the campaign in order and start it a last time, for some seconds; what is wrong."""
    wrong, before = [], campaign.state()
    if campaign.process is not None and campaign.process.poll() is None:
        campaign.process.send_signal(signal.SIGINT)
        code = campaign.process.wait()
        wrong += [f"Ctrl-C makes it exit {code}"] if code != 1 else []
    announced, length = campaign.announced, len(campaign.output)
    campaign.start(0.003)
    assert campaign.process is not None
    code = campaign.process.wait()
    wrong += [f"the last start exits {code}: {campaign.output[-300:]}"] if code != 1 else []
    if "Traceback" in campaign.output:
        wrong.append("a traceback was printed")
    again = set(ANNOUNCED.findall(campaign.output[length:]))
    wrong += [f"{name} is not seen again" for name in sorted(announced - again)]
    wrong += [f"process {each} lives on" for each in campaign.wait_until_gone()]
    wrong += [f"{path.name} is left" for path in campaign.temporary.iterdir()]
    wrong += [f"{path.name} is left" for path in (campaign.folder / "examples").glob(".*")]
    return wrong + campaign.look(before)


if __name__ == "__main__":
    stopping.run(main)
