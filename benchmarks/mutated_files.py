"""What becomes of damaged, foreign and hostile files: regression examples and files of `--arguments`.

    python benchmarks/mutated_files.py [--files 500] [--commands 40] [--fresh 2] [--seed N]

Mutated files of each kind go through the public functions, and some of them through the commands `replay FILE`, `replay DIR`,
`script FILE` and `check --arguments FILE`: in forked processes, which saves the time of importing torch, and a few in fresh ones.
Each must be read, or be skipped or refused by one line that names it (exit 2); a traceback, a crash, or a file that was made or changed
elsewhere than in the folder of examples is a failure. Exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import stopping

from trainer_props import arguments_file, cli
from trainer_props.arguments import FIELDS
from trainer_props.case import Case
from trainer_props.compat import training_arguments
from trainer_props.engine.events import Finding
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import Example, InvalidExample, Store, read_example
from trainer_props.scenario import Data, Scenario

SECONDS = 300.0
FOREIGN = (
    b"", b"\0" * 50, b"\xff\xfe{", b"null", b"[]", b"{}", b"3", b'"text"', b"PK\x03\x04", b"\x80\x04\x95.", b"- yaml: 1", b"NaN", b"1e999",
    b"9" * 5000, b"[" * 100_000, b'{"x":' * 20_000, b" " * 1_000_001, b'{"name": "a package", "version": "1.0"}', b'{"format": 2}',
)  # fmt: skip


class Places:
    """A folder with all that a mutated file might reach: it is searched for what was made or changed.

    Attributes:
        root: everything is below it.
        here: where commands run.
        examples: the folder of examples.
        bait: a path outside, which mutations write into files.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.here, self.examples, self.bait = root, root / "a" / "b", root / "a" / "b" / "kept", root / "bait"
        self._own = {"tmp", "home"}  # what torch and transformers keep there is theirs
        for folder in (self.examples, self.bait, root / "tmp", root / "home"):
            folder.mkdir(parents=True)
        (self.bait / "config.json").write_text("{}")
        self._known = self._tree()

    def changed(self) -> list[str]:
        """What is not as it was, apart from the folder of examples. It is as it is now from then on."""
        before, self._known = self._known, self._tree()
        return sorted(name for name in before.keys() | self._known.keys() if before.get(name) != self._known.get(name))

    def _tree(self) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for folder, names, files in os.walk(self.root):
            inside = Path(folder)
            names[:] = [name for name in names if inside / name != self.examples and not (inside == self.root and name in self._own)]
            found |= {str((inside / name).relative_to(self.root)): None for name in names}
            found |= {str((inside / name).relative_to(self.root)): (inside / name).read_bytes() for name in files}
        return found


# ---- mutations ---------------------------------------------------------------------------------------------------------------


def hostile(rng: random.Random, bait: Path) -> Any:
    """A value that no file should have there."""
    values: list[Any] = [
        None, True, False, -1, 0, 1, 2**31, 2**63, 10**400, 1e308, -0.0, 0.5, "NaN", "-Infinity", "", "../../x", str(bait / "x"),
        str(bait / "config.json"), "/x/../../y", "a\0b", "\x1b[31m", "\u202e", "a\nb", "x" * 5000, "\ud800", "os:system", [], {}, [[]],
        {"": None}, {"format": 1}, {"n": 3}, [1, "2"], "output_dir",
    ]  # fmt: skip
    return rng.choice(values)


def places_in(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in JSON data."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places_in(value, (*path, key))


def mutate(data: Any, rng: random.Random, bait: Path) -> Any:
    """The data with one value, or one key, replaced or lost."""
    path = rng.choice([each for each in places_in(data) if each] or [()])
    if not path:
        return hostile(rng, bait)
    data = json.loads(json.dumps(data))
    inside = data
    for key in path[:-1]:
        inside = inside[key]
    last = path[-1]
    kind = rng.choice(("value", "value", "drop", "key"))
    if kind == "value" or not isinstance(inside, dict):
        inside[last] = hostile(rng, bait)
    else:
        value = inside.pop(last)
        if kind == "key":
            inside[rng.choice(("../x", "output_dir", "resume_from_checkpoint", "deepspeed", "logging_dir", "", last + "s"))] = value
    return data


def mutated(bases: Sequence[Any], rng: random.Random, bait: Path) -> bytes:
    """The bytes of a file after one to three misfortunes."""
    if rng.random() < 0.1:
        return rng.choice(FOREIGN)
    data = rng.choice(bases)
    for _ in range(rng.randrange(3)):
        data = mutate(data, rng, bait)
    # json writes NaN where a text should stand, and lone surrogates as they are
    text = json.dumps(data, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    position, depth = rng.randrange(len(text) + 1), rng.choice((1, 50, 900))
    return rng.choice(
        (
            text, text, text, text, text[:position], text[:position] + rng.randbytes(3) + text[position:],
            text[:position] + text[position + 3 :],
            b'{"x":' * depth + text + b"}" * depth, text + text, b"\xef\xbb\xbf" + text, text.replace(b": ", b": 9", 3),
            text.replace(b'": ', b'": "../../x", "twice": ', 1),
        )
    )  # fmt: skip


def examples() -> list[Any]:
    """Examples as the program writes them: of known bugs, and of each experiment that is unlike the others."""
    cases = [(bug.properties[0], bug.example) for bug in KNOWN_BUGS.values()]
    cases += [
        ("arguments.bad_values_are_refused", Case(experiment="build_arguments", parameters={"field": "seed", "value": -1})),
        ("steps.run_finishes", Case(scenario=Scenario(data=Data(n=3), arguments={"max_steps": 2, "learning_rate": float("nan")}))),
    ]
    found = []
    for name, case in cases:
        verdict = "violated" if case.experiment in PROPERTIES[name].experiments else "crashed"
        finding = Finding(name, verdict, "loss", "too large", {"steps": [1, 2]}, float("nan"), "update 1", None, case)
        found.append(Example.of(finding, subject="transformers:Trainer", via="check").to_json())
    return found


def argument_files() -> list[Any]:
    """Files of TrainingArguments: what a trainer writes, and what a user does."""
    whole = {name: value for name, value in training_arguments({}, "unused").to_dict().items() if name in FIELDS}
    short = {"learning_rate": 0.1, "per_device_train_batch_size": 2, "lr_scheduler_kwargs": {"power": 2.0}, "label_names": ["labels"]}
    return [whole, short, {"max_steps": 3, "eval_strategy": "steps", "eval_steps": 2, "logging_dir": "logs", "warmup_ratio": 0.1}]


# ---- what is done with them --------------------------------------------------------------------------------------------------


def one_line(text: str) -> bool:
    """Whether a terminal shows it as one line, of a length that people read."""
    return bool(text) and text.isprintable() and len(text) < 1000


def read_examples(path: Path, store: Store) -> str:
    """Read an example by its path, and in its folder; what is read can be stored."""
    try:
        read = read_example(path)
    except InvalidExample as error:
        if not one_line(str(error)):
            raise AssertionError(f"not one line: {str(error)!r}") from None
        read = None
    contents = Store(path.parent).read()
    if len(contents.examples) + len(contents.skipped) != 1 or bool(contents.examples) != (read is not None):
        raise AssertionError("neither read nor skipped")
    if read is None:
        return "skipped by name"
    if store.add(read).parent != store.folder:
        raise AssertionError("stored elsewhere")
    return "read"


def read_arguments(path: Path) -> str:
    """Read a file of TrainingArguments."""
    try:
        arguments_file.read(path)
    except arguments_file.InvalidArguments as error:
        if not one_line(str(error)) or not str(error).startswith(str(path)):
            raise AssertionError(f"not one line that names the file: {str(error)!r}") from None
        return "refused by name"
    return "read"


def command(arguments: list[str], places: Places, *, fresh: bool) -> str:
    """Run a command; what it ended as.

    Raises:
        AssertionError: it showed a traceback, or ended as no command may.
    """
    os.environ |= {"TMPDIR": str(places.root / "tmp"), "HOME": str(places.root / "home"), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        if fresh:
            code = "import sys; from trainer_props.cli import main; main(sys.argv[1:])"
            made = [sys.executable, "-c", code, *arguments]
            exitcode = subprocess.run(made, stdout=out, stderr=errors, cwd=places.here, check=False, timeout=SECONDS).returncode  # noqa: S603
        else:
            given = (arguments, places.here, out.fileno(), errors.fileno())
            process = multiprocessing.get_context("fork").Process(target=forked, args=given)
            process.start()
            process.join(SECONDS)
            if process.exitcode is None:
                process.kill()
                process.join()
                raise AssertionError(f"not done after {SECONDS:g} s")
            exitcode = process.exitcode
        out.seek(0)
        errors.seek(0)
        said, refused = out.read().decode(errors="replace"), errors.read().decode(errors="replace")
    if "Traceback" in said + refused or exitcode not in (cli.OK, cli.NEW_VIOLATIONS, cli.USAGE):
        raise AssertionError(f"exit code {exitcode}: {said}{refused}")
    if exitcode == cli.USAGE and not (refused.count("\n") == 1 and refused.startswith("trainer-props: ") and one_line(refused[:-1])):
        raise AssertionError(f"exit code 2 with {refused!r}")
    return f"exit {exitcode}"


def forked(arguments: list[str], here: Path, out: int, errors: int) -> None:
    """The command, in a process that has imported all it needs."""
    os.dup2(out, 1)
    os.dup2(errors, 2)
    os.chdir(here)
    tempfile.tempdir = None
    sys.argv = ["trainer-props", *arguments]
    cli.main(arguments)


def tally(what: str, contents: Sequence[bytes], make: Callable[[bytes], Path], act: Callable[[Path], str], places: Places) -> list[str]:
    """Do the same with each file; print how often it ended as what; returns what went wrong."""
    counts: collections.Counter[str] = collections.Counter()
    wrong = []
    for number, content in enumerate(contents):
        path = make(content)
        places.changed()  # so far, since the file itself is new
        try:
            counts[act(path)] += 1
        except Exception as error:  # noqa: BLE001  whatever it is, it is what we look for
            counts["FAILED"] += 1
            wrong.append(f"{what} {number}: {type(error).__name__}: {error}\n    {content[:300]!r}")
        if changed := places.changed():
            counts["WROTE"] += 1
            wrong.append(f"{what} {number} wrote {', '.join(changed)}\n    {content[:300]!r}")
    print(f"{what:34} {len(contents):4}: {', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items()))}", flush=True)
    return wrong


def main() -> int:
    """Make the files, use them, print counts, and say by the exit code whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=500, help="mutated files of each kind")
    parser.add_argument("--commands", type=int, default=40, help="how many of each kind go through the commands, too")
    parser.add_argument("--fresh", type=int, default=2, help="how many of those in fresh processes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="tpm-", ignore_cleanup_errors=True) as folder:
        places = Places(Path(folder))
        stored, held = examples(), argument_files()
        regressions = [mutated(stored, rng, places.bait) for _ in range(options.files)]
        arguments = [mutated(held, rng, places.bait) for _ in range(options.files)]
        (places.here / "alone").mkdir()
        store = Store(places.examples)

        def written(name: str) -> Callable[[bytes], Path]:
            def make(content: bytes) -> Path:
                path = places.here / name
                path.write_bytes(content)
                return path

            return make

        def commands(words: Callable[[Path], list[str]]) -> Callable[[Path], str]:
            done = 0

            def act(path: Path) -> str:
                nonlocal done
                done += 1
                return command([*words(path), "--regressions", str(places.examples)], places, fresh=done <= options.fresh)

            return act

        few = ["check", "--max-examples", "1", "--experiment", "build_arguments", "--seed", "0", "--arguments"]
        example, argument = written("alone/mutated.json"), written("arguments.json")
        wrong = tally("regression files, read", regressions, example, lambda path: read_examples(path, store), places)
        wrong += tally("argument files, read", arguments, argument, read_arguments, places)
        for path in places.examples.iterdir():
            path.unlink()
        sample = slice(options.commands)
        wrong += tally("check --arguments FILE", arguments[sample], argument, commands(lambda path: [*few, str(path)]), places)
        for path in places.examples.iterdir():
            path.unlink()
        wrong += tally("replay FILE", regressions[sample], example, commands(lambda path: ["replay", str(path)]), places)
        half = slice(options.commands, options.commands + options.commands // 2)
        wrong += tally("replay DIR", regressions[half], example, commands(lambda path: ["replay", str(path.parent)]), places)
        wrong += tally("script FILE", regressions[half], example, commands(lambda path: ["script", str(path)]), places)
    print("\n".join(wrong) or "no traceback, and nothing written elsewhere")
    return 1 if wrong else 0


if __name__ == "__main__":
    stopping.run(main)
