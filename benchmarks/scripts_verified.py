"""Does every violation give a script that shows it, and that stops showing it once the trainer is mended?

    python benchmarks/scripts_verified.py [--bugs [NAME ...]] [--regressions [DIR]] [--faults [NAME ...]] [--state FILE] ...

Without any of the first three: all of them.

- Known bugs: the violations of their examples. Regressions: every violation stored in a folder, of whatever subject. Their scripts run in
  fresh processes of `--python`, the interpreter of an environment that holds torch, transformers and accelerate, and nothing of ours.
- Faults: what a short session finds against each planted fault, shrunk for `--shrink` seconds. Its script has to show it with the faulty
  trainer, and to exit 0 with the stock Trainer in its place, unless a known bug shows there. These run in forks of a process that has
  imported transformers, but for `--fresh` of them, which run in fresh processes too.

What is done is noted in `--state`: a run that was stopped goes on from there. Exits 1 if a script is missing, is not verified, or shows
something of the stock Trainer. All of it: about twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import faulty
import stopping
import warm
from finding_faults import found_in

from trainer_props import subjects
from trainer_props.engine import Plan
from trainer_props.engine.events import Finding
from trainer_props.engine.judging import judge
from trainer_props.engine.supervisor import supervise
from trainer_props.faults import FAULTS
from trainer_props.keeper import as_replay, scripted
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import Store
from trainer_props.running import prepared
from trainer_props.scripts import verifying
from trainer_props.scripts.verifying import Verified

HERE: Final = Path(__file__).resolve().parent
SHIPPED: Final = HERE.parent / ".hypothesis" / "regressions"
LONG: Final = 120
"""Lines of a script that is counted as long."""
KINDS: Final = {"bug": "known bugs", "regression": "stored violations", "fault": "planted faults"}


@dataclass(frozen=True)
class Job:
    """One violation; of a fault it is still to be found."""

    kind: str
    name: str
    subject: str
    finding: Finding | None = None
    fresh: bool = False

    @property
    def key(self) -> str:
        """Its name in the state."""
        return f"{self.kind}/{self.name}/{self.finding.property if self.finding else ''}"


@dataclass(frozen=True)
class Row:
    """What came of a job.

    Attributes:
        found: there is a violation: a fault may go unseen, and a stored one may be mended.
        verified: its script shows it.
        quiet: its script exits 0 with the stock Trainer, or a known bug shows there; None if that was not asked.
        reason: what is wrong, if something is.
    """

    key: str
    property: str
    found: bool
    verified: bool = False
    quiet: bool | None = None
    seconds: float = 0.0
    lines: int = 0
    reason: str = ""


def of_bugs(names: Sequence[str]) -> Iterator[Job]:
    """Every violation that the examples of these bugs show and the bug explains."""
    subject = subjects.load(subjects.DEFAULT)
    with prepared():
        for name in names:
            judged = judge(KNOWN_BUGS[name].example, subject, list(PROPERTIES.values()))
            explained = [finding for finding in judged.findings if finding.known_bug == name]
            yield from [Job("bug", name, subject.name, finding) for finding in explained] or [Job("bug", name, subject.name)]


def of_regressions(folder: Path) -> Iterator[Job]:
    """Every violation stored in a folder, as it shows now."""
    contents = Store(folder).read()
    for skipped in contents.skipped:
        print(f"skipped: {skipped}", file=sys.stderr)
    for name in sorted({each.example.subject for each in contents.examples}):
        examples = [each for each in contents.examples if each.example.subject == name]
        replays = tuple(map(as_replay, examples))
        plan = Plan(experiments=(), properties=(), max_examples=0, shrink_seconds=None, replayed=replays)
        result = supervise(subjects.load(name), plan)
        findings = {each.id: each.finding for each in result.replayed}
        for each in examples:
            yield Job("regression", each.path.stem, name, findings.get(str(each.path)))


def done(job: Job, options: argparse.Namespace) -> Row:
    """Find, write and run."""
    begun = time.perf_counter()
    finding = job.finding
    if finding is None and job.kind != "fault":
        return Row(job.key, "", found=False, reason="it shows nothing with what is installed")
    try:
        finding = finding or warm.apart(found_in, job.name, options.max_examples, options.shrink)
        if finding is None:
            return Row(job.key, FAULTS[job.name].property, found=False, reason="not found")
        text, reason = warm.apart(_written, finding, job.subject)
    except (warm.Lost, RuntimeError) as error:
        return Row(job.key, FAULTS[job.name].property if job.kind == "fault" else "", found=True, reason=str(error))
    if text is None:
        return Row(job.key, finding.property, found=True, reason=reason)
    verified, quiet = _run(text, job, options), None
    if verifying.says_otherwise(verified):
        text, verified = _otherwise(finding, text, verified, job, options)
    if options.keep:
        (options.keep / f"{job.kind}-{job.name}-{finding.property}.py").write_text(text, encoding="utf-8")
    reason = "" if verified.shows else _ending(verified)
    if job.kind == "fault":
        healthy = warm.verify(_healthy(text), timeout=options.timeout)
        quiet = healthy.code == 0 or (healthy.code == 1 and warm.apart(_shows_a_known_bug, finding))
        reason += "" if quiet else f" with the stock Trainer: {_ending(healthy)}"
    seconds, lines = time.perf_counter() - begun, len(text.splitlines())
    return Row(job.key, finding.property, True, verified.shows, quiet, seconds, lines, reason.strip())


def _otherwise(finding: Finding, text: str, before: Verified, job: Job, options: argparse.Namespace) -> tuple[str, Verified]:
    """The script as a check would hand it over that sees other values than those found: where they differ from run to run, or where a
    process that has run nothing before finds them.
    """
    again = _run(text, job, options)
    if verifying.varies(text, [before, again]):
        return text, replace(again, shows=True)
    fresh = warm.apart(_afresh, finding, job.subject)
    fresh_text = None if fresh is None else warm.apart(_written, fresh, job.subject)[0]
    return (text, before) if fresh_text is None else (fresh_text, _run(fresh_text, job, options))


def _afresh(finding: Finding, subject: str) -> Finding | None:
    with prepared():
        judged = judge(finding.case, subjects.load(subject), [PROPERTIES[finding.property]])
    return next((each for each in judged.findings if each.key == finding.key), None)


def _run(text: str, job: Job, options: argparse.Namespace) -> Verified:
    if job.kind == "fault":
        here = warm.verify(text, timeout=options.timeout)
        return verifying.verify(text, timeout=options.timeout, path=[str(HERE)]) if job.fresh and here.shows else here
    stock = job.subject == subjects.DEFAULT
    return verifying.verify(text, python=options.python, timeout=options.timeout, path=[] if stock else [str(Path.cwd())])


def _written(finding: Finding, subject: str) -> tuple[str | None, str]:
    return scripted(finding, subjects.load(subject))


def _healthy(text: str) -> str:
    """The same script, with what transformers has in the place of what is faulty."""
    text = re.sub(
        r"^from faulty import ((?:Arguments|Collator)Of_\w+)$",
        lambda found: f"from transformers import {faulty.stock_of(found[1])} as {found[1]}", text, flags=re.MULTILINE,
    )  # fmt: skip
    stock = "Seq2SeqTrainer" if "Seq2SeqTrainingArguments" in text else "Trainer"
    return re.sub(r"^from faulty import (\w+)$", rf"from transformers import {stock} as \1", text, flags=re.MULTILINE)


def _shows_a_known_bug(finding: Finding) -> bool:
    with prepared():
        judged = judge(finding.case, subjects.load(subjects.DEFAULT), [PROPERTIES[finding.property]])
    return any(each.known_bug is not None for each in judged.findings)


def _ending(verified: Verified) -> str:
    lines = verified.output.strip().splitlines()
    return f"exit code {verified.code}{': ' + lines[-1] if lines else ''}"


def summary(rows: Sequence[Row]) -> tuple[list[str], bool]:
    """The last lines, and whether all is well."""
    texts = []
    for kind, words in KINDS.items():
        ours = [each for each in rows if each.key.startswith(f"{kind}/")]
        found = [each for each in ours if each.found]
        if not found:
            continue
        shown = sum(each.verified for each in found)
        text = f"{words}: {shown} of {len(found)} scripts verified: {shown / len(found):.1%}"
        asked = [each for each in found if each.quiet is not None]
        if asked:
            text += f"; {sum(bool(each.quiet) for each in asked)} of {len(asked)} say nothing against the stock Trainer"
        lines = [each.lines for each in found if each.lines]
        if lines:
            longer = sum(each > LONG for each in lines)
            text += f"; {statistics.median(lines):g} lines in the median, {max(lines)} at most, more than {LONG} in {longer}"
        texts.append(text + (f"; {len(ours) - len(found)} show nothing" if len(found) < len(ours) else ""))
    fine = all(each.verified and each.quiet is not False for each in rows if each.found)
    missing = [each for each in rows if not each.found and not each.key.startswith("fault/")]
    return texts, fine and not missing and bool(rows)


def main() -> int:
    """Measure, print a table, and say by the exit code whether all is well."""
    options = _options()
    print(f"{'violation':62}{'property':58}{'verified':>9}{'quiet':>6}{'seconds':>9}{'lines':>7}", flush=True)
    state = Path(options.state) if options.state else None
    rows = [Row(**json.loads(line)) for line in state.read_text(encoding="utf-8").splitlines()] if state and state.exists() else []
    for row in rows:
        _print(row)
    before = {row.key for row in rows}
    with warm.environment([str(HERE), str(Path.cwd())]):
        with prepared():
            pass  # it imports what runs import late
        jobs = [job for job in _jobs(options) if job.key not in before]
        for row in _all_done(jobs, options):
            rows.append(row)
            _print(row)
            if state:
                with state.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
    texts, fine = summary(rows)
    print("", *texts, sep="\n")
    if options.json:
        options.json.write_text(json.dumps({"fine": fine, "rows": [asdict(each) for each in rows]}, indent=2) + "\n", encoding="utf-8")
    return 0 if fine else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bugs", nargs="*", choices=sorted(KNOWN_BUGS), metavar="NAME")
    parser.add_argument("--regressions", nargs="?", type=Path, const=SHIPPED, metavar="DIR")
    parser.add_argument("--faults", nargs="*", choices=sorted(FAULTS), metavar="NAME")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--fresh", type=int, default=6)
    parser.add_argument("--shrink", type=float, default=2.0, help="seconds; 0 for violations as they are found")
    parser.add_argument("--max-examples", type=int, default=100)
    parser.add_argument("--timeout", type=float, default=120.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for the scripts")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.bugs is None and options.regressions is None and options.faults is None:
        options.bugs, options.regressions, options.faults = [], SHIPPED, []
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    return options


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    if options.bugs is not None:
        yield from of_bugs(options.bugs or sorted(KNOWN_BUGS))
    if options.regressions is not None:
        yield from of_regressions(options.regressions)
    if options.faults is not None:
        names = options.faults or sorted(FAULTS)
        step = max(1, len(names) // max(1, options.fresh))
        fresh = set(names[::step][: options.fresh])
        for name in names:
            yield Job("fault", name, f"faulty:{name.replace('-', '_')}", fresh=name in fresh)


def _all_done(jobs: Iterable[Job], options: argparse.Namespace) -> Iterator[Row]:
    # A Pool's processes are daemons, which can't start the ranks of a case in several processes.
    with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("fork")) as pool:
        for each in as_completed([pool.submit(done, job, options) for job in jobs]):
            yield each.result()


def _print(row: Row) -> None:
    kind, name, _ = row.key.split("/")
    answers = ["-" if not row.found or each is None else "yes" if each else "NO" for each in (row.verified, row.quiet)]
    name = f"{name[:50]} ({kind})"
    print(f"{name:62}{row.property:58}{answers[0]:>9}{answers[1]:>6}{row.seconds:9.1f}{row.lines:7}  {row.reason}".rstrip(), flush=True)


if __name__ == "__main__":
    stopping.run(main)
