"""Does every violation give a script that shows it? The examples of all known bugs, judged, written, and run in a fresh process.

    python benchmarks/scripts_verified.py [--python PATH] [--bugs NAME ...] [--timeout 120] [--processes 2] [--json FILE]

`--python` is the interpreter of another environment: one that holds torch, transformers and accelerate, and nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer_props import subjects
from trainer_props.engine.events import Finding
from trainer_props.engine.judging import judge
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.scripts.verifying import verify
from trainer_props.scripts.writing import NoScript, script


@dataclass(frozen=True)
class Row:
    """One violation: what came of its script; `reason` says why there is none, or why it is not verified."""

    bug: str
    property: str
    verified: bool
    seconds: float = 0.0
    lines: int = 0
    reason: str = ""


def found(bugs: Sequence[str]) -> list[tuple[str, Finding | None]]:
    """Every finding that the examples of these bugs give and the bug explains; None where there is none."""
    subject = subjects.load(subjects.DEFAULT)
    pairs: list[tuple[str, Finding | None]] = []
    with prepared():
        for name in bugs:
            judged = judge(KNOWN_BUGS[name].example, subject, list(PROPERTIES.values()))
            explained = [finding for finding in judged.findings if finding.known_bug == name]
            pairs += [(name, finding) for finding in explained] or [(name, None)]
    return pairs


def row(bug: str, finding: Finding | None, *, python: str, timeout: float) -> Row:
    """Write and verify the script of one finding."""
    if finding is None:
        return Row(bug, "", verified=False, reason="its example shows nothing with what is installed")
    try:
        text = script(finding, subjects.load(subjects.DEFAULT))
    except NoScript as error:
        return Row(bug, finding.property, verified=False, reason=str(error))
    begun = time.perf_counter()
    verified = verify(text, python=python, timeout=timeout)
    last = verified.output.strip().splitlines()[-1:] or [""]
    reason = "" if verified.shows else f"exit code {verified.code}: {last[0]}"
    return Row(bug, finding.property, verified.shows, time.perf_counter() - begun, len(text.splitlines()), reason)


def main() -> int:
    """Measure, print a table, and say by the exit code whether all are verified."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--bugs", nargs="+", choices=sorted(KNOWN_BUGS), default=sorted(KNOWN_BUGS), metavar="NAME")
    parser.add_argument("--timeout", type=float, default=120.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pairs = found(options.bugs)
    with ThreadPoolExecutor(options.processes) as pool:
        rows = list(pool.map(lambda pair: row(*pair, python=options.python, timeout=options.timeout), pairs))
    print(f"{'known bug':36}{'property':58}{'verified':>9}{'seconds':>9}{'lines':>7}")
    for each in rows:
        answer = "yes" if each.verified else "NO"
        print(f"{each.bug:36}{each.property:58}{answer:>9}{each.seconds:9.1f}{each.lines:7}  {each.reason}".rstrip())
    share = sum(each.verified for each in rows) / len(rows)
    print(f"\n{sum(each.verified for each in rows)} of {len(rows)} scripts verified: {share:.1%}")
    if options.json:
        options.json.write_text(json.dumps({"share": share, "rows": [asdict(each) for each in rows]}, indent=2) + "\n", encoding="utf-8")
    return 0 if share == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
