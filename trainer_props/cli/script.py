"""`trainer-props script`: the standalone script of a stored example."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer_props.cli.common import OK, USAGE, UsageError, importing, load_subject, regressions_folder, writable

if TYPE_CHECKING:
    from trainer_props.engine import Finding
    from trainer_props.subjects import Subject


def script(
    example: Annotated[str, typer.Argument(metavar="ID|FILE", help="A stored regression example.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the script there instead of printing it.")] = None,
    regressions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where examples are looked for (.hypothesis/regressions).")
    ] = None,
) -> int:
    """Print a script that shows the violation of an example by itself, and run it; exits 2 if the example fails no more."""
    if output is not None:
        writable(output, "--output")
    with importing():
        from trainer_props.keeper import scripted, verified
    name, finding, subject = _judged(example, regressions)
    text, reason = scripted(finding, subject)
    if text is None:
        raise UsageError(f"{name}: no script: {reason}")
    if output is None:
        print(text, end="", flush=True)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--output {output}: {error.strerror or error}") from None
    reason = verified(text)
    if reason:
        print(f"trainer-props: the script is not verified: {reason}", file=sys.stderr)
        return USAGE
    print("trainer-props: verified: the script was run, and fails in the same way", file=sys.stderr)
    return OK


def _judged(example: str, regressions: Path | None) -> tuple[str, Finding, Subject]:
    """The name of an example, what it violates now, and its subject."""
    from trainer_props.engine import Plan
    from trainer_props.engine.supervisor import supervise
    from trainer_props.keeper import as_replay
    from trainer_props.regressions import InvalidExample, NoSuchExample, Store, versions
    from trainer_props.subjects import SubjectError

    try:
        stored = Store(regressions_folder(regressions)).find(example)
    except NoSuchExample as error:
        raise UsageError(str(error)) from None
    except InvalidExample as error:
        raise UsageError(f"{example}: {error}") from None
    name, subject = stored.path.stem, load_subject(stored.example.subject)
    plan = Plan(experiments=(), properties=(), max_examples=0, shrink_seconds=None, replayed=(as_replay(stored),))
    try:
        result = supervise(subject, plan)
    except SubjectError as error:
        raise UsageError(str(error)) from None
    if result.interrupted:
        raise KeyboardInterrupt
    if not result.replayed:
        raise UsageError(f"{name} could not be judged: {(result.errors or ['its worker said nothing'])[0]}")
    (replayed,) = result.replayed
    if replayed.finding is None:
        found, here = stored.example.versions.get("transformers", "?"), versions()["transformers"]
        where = f" with transformers {here}; it was violated with {found}" if found != here else " now"
        why = replayed.reason or f"the property holds{where}"
        raise UsageError(f"{name} does not fail, so there is nothing to show: {why}")
    return name, replayed.finding, subject
