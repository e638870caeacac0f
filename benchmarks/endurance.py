"""What an hour of a campaign costs and leaves behind: runs with 1 and 2 jobs, memory, disk, and what is left after any end.

    python benchmarks/endurance.py [--minutes 60] [--state FOLDER] [--only hour|ends]

`hour`: a quarter of the minutes with 1 job, all of them with 2 jobs, another quarter with 1 job, so that both meet the same machine. A
campaign is slower while it is young: the one with 2 jobs is compared with the other one at the same age, and at the age at which its
workers have spent as much time together; the lesser ratio counts. The memory that the processes of the campaign with 2 jobs have
together, what they share counted once, after its first five minutes (or its first tenth, if that is less) against the end of the hour, also
as growth per 10,000 runs: it goes up within each round and falls where the next begins, so that means of two whole rounds are compared. And
what it has on disk.
`ends`: campaigns that end by themselves, by Ctrl-C, by SIGTERM, and by SIGKILL of their coordinator, each with runs in processes: the
processes, listening ports, temporary directories, named semaphores and shared memory that they leave; and one whose scripts are being run
when SIGTERM comes.

Bounds: 1.7 times the runs; memory grows by less than 5 %; on disk at most 32 MB; each end with the exit code that belongs to it, after
runs in processes, and nothing left. What was measured is kept in the state folder, if one is named: started again, it goes on from there;
of an hour that was cut, the longest piece tells the memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import stopping
from campaign_kills import SUBJECT, Campaign

from trainer_props.fuzzing.campaign import ROUND_SECONDS
from trainer_props.running.output import PREFIX

LEAST_RATIO: Final = 1.7
MOST_GROWTH: Final = 0.05
MOST_ON_DISK: Final = 32.0
"""Megabytes: state, board and bitmap have two or three, and each violation a few kilobytes."""
_EVERY_SECONDS: Final = 5.0
_SETTLING_SECONDS: Final = 300.0
_SHORTEST_SECONDS: Final = 10.0
_SETTLED_SECONDS: Final = 3.0
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  where the system shows it
_LISTENING: Final = "0A"
_LONG_ENOUGH: Final = 25.0


@dataclass(frozen=True)
class End:
    """A way to end a campaign.

    Attributes:
        signal: that its coordinator is sent, or None.
        codes: of which one it exits with.
        words: what it is asked for.
        seconds: that it has.
        until: what it has printed when it is sent the signal; empty: it has run for a while, in processes.
    """

    signal: signal.Signals | None
    codes: tuple[int, ...]
    words: tuple[str, ...] = ("--experiment", "train_in_processes", "--experiment", "resume_after_a_kill", "--experiment",
                              "train_on_streams")  # fmt: skip
    seconds: float = 3600.0
    until: str = ""


_IN_SCRIPTS: Final = (SUBJECT, "--experiment", "train_once", "--experiment", "train_and_save", "--property", "steps.*")
ENDS: Final = {
    "by itself": End(None, (0, 1), seconds=30.0),
    "by Ctrl-C": End(signal.SIGINT, (130, 1)),
    "by SIGTERM": End(signal.SIGTERM, (130, 1)),
    "by SIGKILL": End(signal.SIGKILL, (-signal.SIGKILL,)),
    "by SIGTERM, while scripts run": End(signal.SIGTERM, (1,), _IN_SCRIPTS, 15.0, "Ctrl-C skips that"),
}


class Stock(Campaign):
    """A campaign on the stock Trainer."""

    def __init__(self, folder: Path, jobs: int, *chosen: str) -> None:
        super().__init__(folder, jobs, 1)
        self.chosen = chosen

    def start(self, hours: float) -> None:
        """Start it, or let it go on."""
        words = ["fuzz", *self.chosen, "--hours", f"{hours:.6f}", "--jobs", str(self.jobs), "--state", "state", "--regressions", "examples"]
        with (self.folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603  our own words
                [sys.executable, "-c", "from trainer_props.cli import main; main()", *words], cwd=self.folder, stdout=output, stderr=output,
                env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    def memory(self) -> float:
        """Megabytes that its processes have together: what several of them share is counted once, and no file, such as a library.

        What each has for itself alone would not do: a worker shares nearly all its pages with the processes it forks for runs on several
        devices, so that hundreds of megabytes would go and come with these.
        """
        kilobytes = 0
        for process in [*self.below(), self.process.pid if self.process is not None else 0]:
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
                kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
        return kilobytes / 1024


def hour(folder: Path, minutes: float, state: dict[str, Any], keep: Callable[[], None]) -> None:
    """Let the campaigns run one after the other; note runs, and memory every few seconds."""
    for number, (jobs, length) in enumerate(((1, minutes / 4), (2, minutes), (1, minutes / 4))):
        campaign = Stock(folder / f"jobs-{jobs}", jobs)
        while (left := 60 * length - sum(part["seconds"] for part in state["parts"] if part["number"] == number)) > _SHORTEST_SECONDS:
            runs = campaign.state().get("runs", 0)
            campaign.start(left / 3600)
            assert campaign.process is not None
            series: list[tuple[float, float, int]] = []
            begun = time.monotonic()
            try:
                while campaign.process.poll() is None:
                    series.append((time.monotonic() - begun, campaign.memory(), campaign.state().get("runs", runs) - runs))
                    time.sleep(_EVERY_SECONDS)
            finally:  # stopped, what there is counts
                if campaign.process.poll() is None:
                    campaign.process.send_signal(signal.SIGINT)
                code = campaign.process.wait()
                disk = sum(path.stat().st_size for path in campaign.folder.rglob("*") if path.is_file())
                state["parts"].append({"number": number, "jobs": jobs, "seconds": time.monotonic() - begun, "memory": series, "disk": disk,
                                       "runs": campaign.state().get("runs", 0) - runs})  # fmt: skip
                keep()
            if code not in (0, 1):
                raise SystemExit(f"the campaign with {jobs} jobs exits {code}: {campaign.output[-500:]}")


def growth(part: dict[str, Any]) -> tuple[float, float]:
    """Megabytes at the beginning, after settling, and at the end; the means of two rounds where there are as many."""
    whole = part["memory"][-1][0]
    begin = min(_SETTLING_SECONDS, 0.1 * whole)
    length = 2 * ROUND_SECONDS if whole > begin + 4 * ROUND_SECONDS else 0.2 * whole
    end = whole - _EVERY_SECONDS  # it may be over by the last look
    early = [megabytes for now, megabytes, _ in part["memory"] if begin <= now < begin + length]
    late = [megabytes for now, megabytes, _ in part["memory"] if end - length <= now < end]
    return statistics.fmean(early), statistics.fmean(late)


def runs_at(state: dict[str, Any], jobs: int, age: float) -> float:
    """Runs that a campaign has made at an age in seconds, over all its parts."""
    made, left = 0.0, age
    for part in (part for part in state["parts"] if part["jobs"] == jobs):
        if left >= part["seconds"]:
            made, left = made + part["runs"], left - part["seconds"]
            continue
        points = [(0.0, 0), *((now, runs) for now, _, runs in part["memory"]), (part["seconds"], part["runs"])]
        after = next(index for index, (now, _) in enumerate(points) if now >= left)
        (first, low), (last, high) = points[max(0, after - 1)], points[after]
        return made + low + (high - low) * ((left - first) / (last - first) if last > first else 0.0)
    return made


def print_hour(state: dict[str, Any]) -> bool:
    """Print what was measured; whether it is within the bounds."""
    age = min(sum(part["seconds"] for part in state["parts"] if part["jobs"] == jobs) for jobs in (1, 2))
    one, two, half = runs_at(state, 1, age), runs_at(state, 2, age), runs_at(state, 2, age / 2)
    ratio = min(two / one, 2 * half / one)
    print(f"1 job: {one:.0f} runs in {age / 60:.1f} minutes; 2 jobs: {two:.0f} in these, ratio {two / one:.2f}, and {half:.0f} in half of "
          f"them, ratio of runs/s {2 * half / one:.2f} (at least {LEAST_RATIO})")  # fmt: skip
    part = max((part for part in state["parts"] if part["jobs"] == 2), key=lambda part: part["seconds"])
    first, last = growth(part)
    grown = (last - first) / first
    print(f"memory of {part['seconds'] / 60:.0f} minutes with 2 jobs: {first:.0f} -> {last:.0f} MB, {grown:+.1%} (less than "
          f"{MOST_GROWTH:.0%}), {(last - first) / max(part['runs'], 1) * 1e4:+.1f} MB per 10,000 runs")  # fmt: skip
    disk = max(part["disk"] for part in state["parts"]) / 2**20
    print(f"on disk {disk:.1f} MB (at most {MOST_ON_DISK:g})")
    return ratio >= LEAST_RATIO and grown < MOST_GROWTH and disk <= MOST_ON_DISK


def world(folder: Path) -> set[str]:
    """What a campaign could leave: named semaphores and shared memory, and temporary directories of ours."""
    shared = [path for path in _SHARED_MEMORY.glob("*") if not path.name.startswith(PREFIX)]  # those belong to somebody else's TMPDIR
    return {str(path) for path in [*shared, *folder.glob("*")]}


def ports(processes: list[int]) -> set[str]:
    """Listening sockets that belong to these processes."""
    inodes = set()
    for process in processes:
        for link in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]]
            found |= {row[1] for row in rows if row[3] == _LISTENING and row[9] in inodes}
    return found


def ends(folder: Path, state: dict[str, Any], keep: Callable[[], None]) -> None:
    """End campaigns in every way, and note what is left."""
    for number, (how, end) in enumerate(ENDS.items()):
        if how in state["ends"]:
            continue
        campaign = Stock(folder / "ends" / str(number), 2, *end.words)
        before = world(campaign.temporary)
        campaign.start(end.seconds / 3600)
        assert campaign.process is not None
        opened: set[str] = set()
        soonest = time.monotonic() + _LONG_ENOUGH
        try:
            while campaign.process.poll() is None and not (end.signal is not None and _is_time(campaign, end, soonest, opened)):
                opened |= ports(campaign.living())
                time.sleep(0.5)
        finally:
            if campaign.process.poll() is None:
                campaign.process.send_signal(end.signal or signal.SIGINT)
            code = campaign.process.wait()
        left = [f"process {each}" for each in campaign.wait_until_gone()]
        time.sleep(_SETTLED_SECONDS)  # a process that is ending has no environment to be known by any more, and its sockets still
        still = opened & ports([int(path.name) for path in Path("/proc").glob("[0-9]*") if path.name.isdigit()])
        left += [f"port {each}" for each in sorted(still)]
        if end.signal == signal.SIGKILL:  # what nobody could remove then, the next start removes
            campaign.start(3 / 3600)
            campaign.process.wait()
        time.sleep(_SETTLED_SECONDS)  # what others have in shared memory for a moment is no business of ours
        left += sorted(world(campaign.temporary) - before)
        left += [str(path) for path in (campaign.folder / "examples").glob(".running-*")]
        state["ends"][how] = {"code": code, "runs": campaign.state().get("runs", 0), "ports": len(opened), "left": left}
        keep()


def _is_time(campaign: Stock, end: End, soonest: float, opened: set[str]) -> bool:
    """Whether a campaign has come so far that it may be ended."""
    if end.until:
        return end.until in campaign.output
    return time.monotonic() > soonest and bool(opened) and bool(campaign.state().get("runs"))


def print_ends(state: dict[str, Any]) -> bool:
    """Print how campaigns ended; whether all is as it should be."""
    kept = True
    for how, found in state["ends"].items():
        end = ENDS[how]
        codes = " or ".join(map(str, end.codes))
        print(f"ended {how}: exit code {found['code']} ({codes}), {found['runs']} runs, {found['ports']} ports were open, left: "
              f"{', '.join(found['left']) or 'nothing'}")  # fmt: skip
        kept = kept and found["code"] in end.codes and found["runs"] > 0 and (found["ports"] > 0 or bool(end.until)) and not found["left"]
    return kept


def main() -> int:
    """Measure, print, and say by the exit code whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", choices=("hour", "ends"))
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes its campaign along, as Ctrl-C does
    kept = True
    with tempfile.TemporaryDirectory(prefix="en-") as name:
        folder = (options.state or Path(name)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "endurance.json"
        state: dict[str, Any] = {"parts": [], "ends": {}}
        if path.exists():
            state = json.loads(path.read_text(encoding="utf-8"))

        def keep() -> None:
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(state), encoding="utf-8")
            partial.replace(path)

        if options.only != "ends":
            hour(folder, options.minutes, state, keep)
            kept = print_hour(state)
        if options.only != "hour":
            ends(folder, state, keep)
            kept = print_ends(state) and kept
    print("bounds: kept" if kept else "bounds: BROKEN")
    return 0 if kept else 1


if __name__ == "__main__":
    stopping.run(main)
