"""The keeper, between a session and the folder of regression examples: what failed before comes in, what fails now is kept at once."""

from __future__ import annotations

import contextlib
import operator
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from trainer_props import compat
from trainer_props.case import Case
from trainer_props.engine import Plan
from trainer_props.engine.events import FIXED, EngineEvent, Finding, Finished, FirstSeen, Listener, Replayed, Shrunk, Violation
from trainer_props.engine.ledger import Key
from trainer_props.engine.replaying import Replay, belongs
from trainer_props.engine.supervisor import supervise
from trainer_props.regressions import Example, InvalidExample, Left, Pending, Skipped, Store, Stored, adopt, damaged, discard
from trainer_props.regressions.example import one_line
from trainer_props.scripts.verifying import says_otherwise, varies, verify
from trainer_props.scripts.writing import NoScript, script
from trainer_props.subjects import Subject, SubjectError

ATTEMPTS: Final = 3
"""How often an example that may not always fail is run before it is called fixed: what ends a process may depend on its past."""

_DEADLY: Final = ("crashed", "hung")
_UNSURE: Final = ("nondeterministic", *_DEADLY)
VERIFYING_SECONDS: Final = 120.0
"""For a script to run: importing transformers takes most of what it usually needs."""

NO_SCRIPT: Final = "no script: "
OTHERWISE: Final = "it observes something else: "
NOT_RUN: Final = "it was not run to its end"
_MOST_SCRIPTS: Final = 4
_TICK_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Kept:
    """What is on disk of a violation.

    Attributes:
        regression: its example, or None.
        script: the standalone script beside it, or None.
        verified: the script was run, and failed in the same way.
        reason: why there is no example, no script, or no verified one; in one line.
    """

    regression: Path | None = None
    script: Path | None = None
    verified: bool = False
    reason: str = ""


class Keeper:
    """Keeps the examples of one subject.

    Args:
        store: the folder.
        subject: its name.
        via: who finds: `check`, `pytest`, `replay`.

    Attributes:
        kept: what is on disk, by the key of the violation as it was first seen.
        skipped: files in the folder that were not read.
    """

    def __init__(self, store: Store, subject: str, *, via: str) -> None:
        self.store, self.subject, self.via = store, subject, via
        contents = store.read()
        self.skipped: tuple[Skipped, ...] = (*contents.skipped, *damaged(store.folder))
        self.kept: dict[Key, Kept] = {}
        self._examples = [each for each in contents.examples if same_subject(each.example.subject, subject)]
        self._left: dict[str, Left] = {}
        self._guards: set[Path] = set()

    # ---- what comes in -------------------------------------------------------------------------------------------------

    def replays(
        self, experiments: Collection[str], properties: Collection[str], models: Collection[str] | None = None
    ) -> tuple[Replay, ...]:
        """The examples of this subject that belong to these experiments, properties and models (all if None)."""
        return tuple(
            as_replay(each)
            for each in self._examples
            if belongs(each.example.case, each.example.property, experiments, properties)
            and (models is None or each.example.case.scenario.model.name in models)
        )

    def replays_apart(
        self, experiments: Collection[str], properties: Collection[str], models: Collection[str] | None = None
    ) -> tuple[tuple[Replay, ...], tuple[Replay, ...]]:
        """The same, those that may end the process that runs them for themselves."""
        deadly = {str(each.path) for each in self._examples if each.example.verdict in _DEADLY}
        found = self.replays(experiments, properties, models)
        return tuple(each for each in found if each.id not in deadly), tuple(each for each in found if each.id in deadly)

    def left(self) -> tuple[Replay, ...]:
        """What ran on this subject when its processes were killed. It is removed once its outcome is told."""
        for each in adopt(self.store.folder):
            if same_subject(each.subject, self.subject):
                self._left[str(each.path)] = each
            else:
                each.claim.release()
        return tuple(Replay(name, each.case, each.property) for name, each in self._left.items())

    @contextlib.contextmanager
    def noting(self) -> Iterator[Noting | None]:
        """Where the case that runs is noted; None if the folder can't be written to."""
        pending = Pending(self.store.folder)
        try:
            yield Noting(pending, self.subject) if pending.reason is None else None
        finally:
            pending.close()

    # ---- what goes out -------------------------------------------------------------------------------------------------

    def before(self, listener: Listener) -> Listener:
        """A listener that keeps what an event says before the other hears of it."""

        def listen(event: EngineEvent) -> None:
            self._keep(event)
            listener(event)

        return listen

    def _keep(self, event: EngineEvent) -> None:
        if isinstance(event, Replayed):
            if event.id in self._left:
                discard(self._left.pop(event.id))
            elif event.status == FIXED:
                self._guards.add(Path(event.id))
        elif isinstance(event, FirstSeen):
            self._add(event.finding, event.finding)
        elif isinstance(event, Shrunk):
            self._add(event.violation.first, event.violation.finding)
        elif isinstance(event, Finished):
            for violation in event.result.violations:
                self._add(violation.first, violation.finding)

    def _add(self, first: Finding, finding: Finding) -> None:
        before = self.kept.get(first.key, Kept())
        try:
            path = self.store.add(Example.of(finding, subject=self.subject, via=self.via), guards=self._guards)
        except InvalidExample as error:
            self.kept[first.key] = replace(before, reason=f"not stored: {error}")
        except OSError as error:
            self.kept[first.key] = replace(before, reason=f"not stored: {self.store.folder}: {error.strerror or error}")
        else:
            self.kept[first.key] = Kept(path)
            if before.regression != path:
                self._forget(before.regression)

    def _forget(self, path: Path | None) -> None:
        """Remove an example that this session has made, whose violation turned out to be another, unless it is one of two."""
        if path is not None and path in self.store.made and all(each.regression != path for each in self.kept.values()):
            path.unlink(missing_ok=True)
            path.with_suffix(".py").unlink(missing_ok=True)

    # ---- scripts -------------------------------------------------------------------------------------------------------

    def write_scripts(self, violations: Sequence[Violation], subject: Subject, tell: Callable[[Kept | None], None]) -> None:
        """Write a script beside the example of each violation, then run them, some at a time.

        Args:
            tell: is called with what is kept of a violation once its script is judged, and with None a few times a second.
        """
        findings = {each.first.key: each.finding for each in violations if self._is_stored(each.first.key)}
        texts = {}
        for key, finding in findings.items():
            if (text := self._write_script(key, finding, subject)) is not None:
                texts[key] = text
            else:
                tell(self.kept[key])
            tell(None)
        # What a long session found may come of what its process had done before: a script is to show what a fresh process sees.
        for key in self._verify(texts, tell):
            tell(None)
            fresh = afresh(findings[key], subject)
            if fresh is not None and (text := self._write_script(key, fresh, subject)) is not None:
                self._verify({key: text}, lambda kept: tell(None))
            tell(self.kept[key])

    def _is_stored(self, key: Key) -> bool:
        return key in self.kept and self.kept[key].regression is not None

    def _write_script(self, key: Key, finding: Finding, subject: Subject) -> str | None:
        """Write the script of a finding beside its example; its text, or None if there is none."""
        kept = self.kept[key]
        assert kept.regression is not None
        text, reason = scripted(finding, subject)
        path = None
        try:
            if text is not None:
                path = self.store.add_script(kept.regression, text)
        except OSError as error:
            text, reason = None, f"{kept.regression.with_suffix('.py')}: {error.strerror or error}"
        self.kept[key] = replace(kept, reason=f"{NO_SCRIPT}{reason}") if text is None else replace(kept, script=path, reason=NOT_RUN)
        return text

    def _verify(self, texts: Mapping[Key, str], tell: Callable[[Kept | None], None]) -> list[Key]:
        """Run scripts; those that observe something else than their heads say are returned, and not told."""
        otherwise: list[Key] = []
        stop = threading.Event()
        # each takes one processor, mostly for imports, and half a gigabyte
        with ThreadPoolExecutor(min(_MOST_SCRIPTS, len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1)) as pool:
            try:
                running = {pool.submit(verified, text, stop): key for key, text in texts.items()}
                while running:
                    done, _ = wait(running, _TICK_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        key, reason = running.pop(future), future.result()
                        self.kept[key] = replace(self.kept[key], verified=not reason, reason=reason)
                        if reason.startswith(OTHERWISE):
                            otherwise.append(key)
                        else:
                            tell(self.kept[key])
                    tell(None)
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return otherwise


class Noting:
    """Notes cases of one subject, as a session's supervisor wants it."""

    def __init__(self, pending: Pending, subject: str) -> None:
        self._pending, self._subject = pending, subject

    def note(self, case: Case) -> None:
        """Say that this case is about to run."""
        self._pending.note(case, self._subject)

    def case(self) -> Case | None:
        """The case that was noted last, or None."""
        return self._pending.case()

    def clear(self) -> None:
        """Say that none is running."""
        self._pending.clear()


def as_replay(stored: Stored) -> Replay:
    """The example as the engine takes it, by the name of its file."""
    example = stored.example
    return Replay(str(stored.path), example.case, example.property, ATTEMPTS if example.verdict in _UNSURE else 1)


def same_subject(one: str, other: str) -> bool:
    """Whether two names mean the same trainer: a class may be known by the module that shows it and by the one that defines it."""
    return one == other or _defined(one) == _defined(other)


def _defined(name: str) -> str:
    """The name where it is defined, if its module is imported; nothing is imported for it."""
    module, _, attribute = name.partition(":")
    with contextlib.suppress(KeyError, AttributeError, ValueError):
        found = operator.attrgetter(attribute)(sys.modules[module])
        name = f"{found.__module__}:{found.__qualname__}"
    return name


def scripted(finding: Finding, subject: Subject) -> tuple[str | None, str]:
    """The standalone script of a finding, or None and why there is none."""
    try:
        return script(finding, subject), ""
    except (NoScript, compat.Unsupported) as error:
        return None, one_line(str(error))
    except Exception as error:  # noqa: BLE001  the violation counts, and is told, whatever becomes of its script
        return None, one_line(f"making it failed: {type(error).__name__}: {error}")


def verified(text: str, stop: threading.Event | None = None) -> str:
    """Run a script in a process of its own: why it does not show the violation, or an empty text if it does.

    Args:
        stop: once it is set, the script is killed.
    """
    path = [str(Path.cwd())]
    try:
        outcome = verify(text, timeout=VERIFYING_SECONDS, path=path, stop=stop)
        if outcome.shows:
            return ""
        if outcome.code is None:
            return f"it did not end within {VERIFYING_SECONDS:g} s"
        lines = outcome.output.strip().splitlines()
        if not says_otherwise(outcome):
            return one_line(f"it exits {outcome.code}{': ' + lines[-1] if lines else ''}")
        again = verify(text, timeout=VERIFYING_SECONDS, path=path, stop=stop)
    except OSError as error:
        return one_line(f"it could not be run: {error}")
    return "" if varies(text, [outcome, again]) else one_line(f"{OTHERWISE}{lines[-1].removeprefix('observed:').strip()}")


def afresh(finding: Finding, subject: Subject) -> Finding | None:
    """The same violation as a process finds it that has run nothing before, or None if it does not.

    Raises:
        KeyboardInterrupt: Ctrl-C came meanwhile.
    """
    again = Replay("afresh", finding.case, finding.property)
    try:
        result = supervise(subject, Plan(experiments=(), properties=(), max_examples=0, shrink_seconds=None, replayed=(again,)))
    except (SubjectError, OSError):
        return None
    if result.interrupted:
        raise KeyboardInterrupt
    found = [each.finding for each in result.replayed if each.finding is not None]
    return next((each for each in found if each.key == finding.key), None)
