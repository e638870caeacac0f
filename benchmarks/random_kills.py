"""Kills checks that are finding and storing violations, at random moments, and looks at what they leave.

    python benchmarks/random_kills.py [--kills 200] [--seed N] [--state FILE] [--kind leader|group]

Each round starts a real `trainer-props check` on a broken trainer in an empty or a used folder of examples, and kills it by SIGKILL: the
process that was started, or its whole group. Half of the moments are drawn over the time that a check takes, half from the first violation
on, where it writes. After each kill

- every violation that was announced has an example that is whole;
- no file is read as an example that is not one, and nothing else lies in the folder but notes of cases;
- the next check says what ran when the one before it was killed, if that left a note, and judges it;
- nothing temporary and no process of the killed one is left.

What was done so far is kept in the state file, if one is named: started again, it goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import stopping

from trainer_props.regressions import InvalidExample, Store, read_example

SUBJECT = "broken_trainer:TwiceBroken"
SOURCE = '''
import transformers


class TwiceBroken(transformers.Trainer):
    """Never takes the last update, logs twice the loss, and steps the schedule twice."""

    def set_initial_training_values(self, *args):
        *values, max_steps = super().set_initial_training_values(*args)
        return (*values, max(1, max_steps - 1))

    def log(self, logs, start_time=None):
        if "loss" in logs:
            logs["loss"] *= 2
        super().log(logs, start_time)

    def create_scheduler(self, num_training_steps, optimizer=None):
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        step = scheduler.step

        def twice(*args):
            step(*args)
            step(*args)

        scheduler.step = twice
        return scheduler
'''
CHOSEN = (
    "--experiment", "train_once", "--property", "steps.global_step*", "--property", "steps.state_knows*", "--property", "logs.logged_loss*",
    "--property", "optimization.scheduler_steps*", "--max-examples", "4",
)  # fmt: skip
# The interpreter starts once for all checks: importing torch and transformers costs more than a check, and nothing is stored meanwhile.
# For the same reason scripts are written and not run.
SERVER = """
import os, sys
import transformers
from trainer_props import cli, keeper
from trainer_props.engine import supervisor
from trainer_props.reports import result, terminal
keeper.verified = lambda text: ""
for line in sys.stdin:
    marker, folder, temporary, *arguments = line.rstrip("\\n").split("\\t")
    process = os.fork()
    if process == 0:
        import tempfile
        os.setsid()
        os.environ["TMPDIR"] = temporary
        tempfile.tempdir = None
        output = os.open(os.path.join(folder, marker), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.path.insert(0, folder)
        code = cli.run(arguments)
        sys.stdout.flush()
        os._exit(code)
    print(process, flush=True)
    sys.stdin.readline()  # until then its number is nobody else's
    _, status = os.waitpid(process, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
ANNOUNCED = re.compile(r"^(?:violated|crashed|hung|nondeterministic) (\w+\.\w+): ", re.MULTILINE)
STARTING = "starting with what ran when an earlier session was killed: Case("
SECONDS = 60.0


class Checks:
    """Starts checks as forks of a process in which everything is imported."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder, self.temporary = folder, temporary
        self.server = subprocess.Popen(  # noqa: S603  our own text
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )  # fmt: skip

    def start(self, marker: str, examples: Path, seed: int) -> int:
        """Start a check; its process."""
        arguments = ["check", SUBJECT, *CHOSEN, "--seed", str(seed), "--regressions", str(examples)]
        assert self.server.stdin is not None
        print(marker, self.folder, self.temporary, *arguments, sep="\t", file=self.server.stdin, flush=True)
        return self._number()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.server.stdin is not None
        print("wait", file=self.server.stdin, flush=True)
        return self._number()

    def output(self, marker: str) -> str:
        """What it has printed."""
        path = self.folder / marker
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _number(self) -> int:
        assert self.server.stdout is not None
        return int(self.server.stdout.readline())

    def close(self) -> None:
        """End."""
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait()


def alive(folder: Path) -> list[int]:
    """Processes whose temporary directory this is: forks keep the environment of their start, so their open files are looked at."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()).startswith(str(folder)) for link in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:
            continue
    return [each for each in found if each != os.getpid()]


def look(examples: Path, announced: set[str]) -> list[str]:
    """What is wrong with a folder of examples after a kill."""
    wrong = []
    stored = {each.example.property for each in Store(examples).read().examples}
    wrong += [f"{name} was announced and is not stored" for name in sorted(announced - stored)]
    for path in sorted(examples.iterdir()) if examples.exists() else []:
        if path.suffix == ".json" and not path.name.startswith("."):
            try:
                read_example(path)
            except InvalidExample as error:
                wrong.append(f"{path.name}: {error}")
        elif not (path.suffix == ".py" or re.fullmatch(r"\.running-\w+\.json|\.adding-\w+\.tmp", path.name)):
            wrong.append(f"{path.name} lies there")
    return wrong


def main() -> int:
    """Kill, look, count; the exit code says whether nothing was ever wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--state", type=Path)
    parser.add_argument("--kind", choices=("leader", "group"), help="by default one or the other, at random")
    options = parser.parse_args()
    state = {"seed": options.seed, "kills": 0, "counts": {}, "wrong": []}
    if options.state is not None and options.state.exists():
        state = json.loads(options.state.read_text(encoding="utf-8"))
    counts, wrong = Counter(state["counts"]), list(state["wrong"])
    with tempfile.TemporaryDirectory() as name:
        folder, temporary = Path(name), Path(name, "tmp")
        temporary.mkdir()
        (folder / "broken_trainer.py").write_text(SOURCE, encoding="utf-8")
        checks = Checks(folder, temporary)
        usual = 4.0
        for number in range(state["kills"], options.kills):
            draws = random.Random(f"{state['seed']}/{number}")
            examples = folder / f"examples-{number // 4}"  # a used one three times out of four
            kind = options.kind or draws.choice(("leader", "group"))
            usual, found = one_kill(checks, f"run-{number}", examples, kind, draws, usual, counts)
            wrong += [f"kill {number} ({kind}): {each}" for each in found]
            for each in found:
                print(f"kill {number} ({kind}): {each}", file=sys.stderr)
            if options.state is not None:
                state.update(kills=number + 1, counts=dict(counts), wrong=wrong)
                partial = options.state.with_suffix(".partial")
                partial.write_text(json.dumps(state), encoding="utf-8")
                partial.replace(options.state)
        checks.close()
    print(f"{options.kills} kills, seed {state['seed']}: {', '.join(f'{times} {what}' for what, times in sorted(counts.items()))}")
    print(f"{len(wrong)} wrong")
    return 1 if wrong else 0


def one_kill(
    checks: Checks, marker: str, examples: Path, kind: str, draws: random.Random, usual: float, counts: Counter[str]
) -> tuple[float, list[str]]:
    """Start a check, kill it, look, start another. Returns how long a check takes, and what was wrong."""
    process = checks.start(marker, examples, draws.randrange(2**32))
    begun = time.monotonic()
    wait(checks, marker, begun, draws, usual)
    try:
        (os.killpg if kind == "group" else os.kill)(process, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet, or no more
        os.kill(process, signal.SIGKILL)
    ended = checks.wait() != -signal.SIGKILL
    if ended:
        usual = 0.8 * usual + 0.2 * (time.monotonic() - begun)
        counts["ended before"] += 1
    else:
        counts[f"of the {kind}"] += 1
    end = time.monotonic() + SECONDS
    while (living := alive(checks.temporary)) and time.monotonic() < end:
        time.sleep(0.02)
    announced = set(ANNOUNCED.findall(checks.output(marker).partition("chapter ")[0]))
    counts["violations announced"] += len(announced)
    wrong = [f"process {each} lives on" for each in living] + look(examples, announced)
    return usual, wrong + look_after(checks, f"{marker}-after", examples, announced, counts)


def wait(checks: Checks, marker: str, begun: float, draws: random.Random, usual: float) -> None:
    """Wait for the moment of a kill."""
    if draws.random() < 0.5:
        moment = draws.uniform(0.0, usual)
    else:
        while not ANNOUNCED.search(checks.output(marker)) and time.monotonic() - begun < usual + 2.0:
            time.sleep(0.005)
        moment = time.monotonic() - begun + draws.expovariate(4.0)
    time.sleep(max(0.0, begun + moment - time.monotonic()))


def look_after(checks: Checks, marker: str, examples: Path, announced: set[str], counts: Counter[str]) -> list[str]:
    """Start the check after a kill; what is wrong with it."""
    noted = [path for path in examples.glob(".running-*") if path.stat().st_size] if examples.exists() else []
    counts["that left a case behind"] += bool(noted)
    checks.start(marker, examples, 1)
    code, text = checks.wait(), checks.output(marker)
    wrong = look(examples, announced)
    if code != 1:
        wrong.append(f"the next check exits {code}: {text[-300:]}")
    if bool(noted) is not (STARTING in text):
        wrong.append("the next check does not say what it starts with")
    if any(path.exists() for path in noted):
        wrong.append("what was left is still there")
    if remains := [path.name for path in checks.temporary.iterdir()]:
        wrong.append(f"temporary directories are left: {remains}")
    return wrong


if __name__ == "__main__":
    stopping.run(main)
