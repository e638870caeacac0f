"""`trainer-props replay`: judge stored examples again, and say what has become of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer_props.checking import where
from trainer_props.cli.common import (
    INTERRUPTED,
    NEW_VIOLATIONS,
    OK,
    UsageError,
    importing,
    load_subject,
    refuse,
    regressions_folder,
    writable,
)

if TYPE_CHECKING:
    from rich.console import Console

    from trainer_props.engine.events import EngineEvent, Listener, Replayed, Result
    from trainer_props.engine.ledger import Key
    from trainer_props.engine.signals import Signals
    from trainer_props.keeper import Kept
    from trainer_props.regressions import Contents, Skipped, Store, Stored
    from trainer_props.reports.terminal import Live


@dataclass
class _Chosen:
    """What is to be replayed, each file once, and what was passed over."""

    stored: dict[Path, Stored] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, contents: Contents) -> None:
        """Add what a folder holds."""
        self.skipped += contents.skipped
        for each in contents.examples:
            self.stored.setdefault(each.path, each)


def replay(
    examples: Annotated[
        list[str] | None, typer.Argument(metavar="[ID|FILE|DIR]...", help="Examples, or folders of them; by default all of --regressions.")
    ] = None,
    regressions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where examples are looked for (.hypothesis/regressions).")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result there.")] = None,
) -> int:
    """Run stored regression examples again: FIXED, FAILING, KNOWN or CANNOT RUN; exits 1 if one is FAILING."""
    if json is not None:
        writable(json, "--json")
    with importing():
        from trainer_props.engine.signals import Signals
        from trainer_props.regressions import Store, damaged
        from trainer_props.reports import terminal
    store = Store(regressions_folder(regressions))
    chosen = _chosen(examples or [], store)
    console = terminal.make_console()
    terminal.print_skipped(console, [*chosen.skipped, *damaged(store.folder)])
    with Signals() as signals:
        with terminal.Live(console) as live:
            replaying = _Replaying(store, live, signals)
            replaying.run(list(chosen.stored.values()))
        return _finish(replaying, list(chosen.stored), console, examples or [], regressions, json)


def _finish(
    replaying: _Replaying, order: Sequence[Path], console: Console, wanted: Sequence[str], regressions: Path | None, json: Path | None
) -> int:
    """Say and write what has become of the examples; returns the exit code."""
    from trainer_props.engine.events import CANNOT_RUN, FAILING
    from trainer_props.reports import result as results

    result = replaying.result
    place = {str(path): number for number, path in enumerate(order)}
    result.replayed.sort(key=lambda each: place.get(each.id, -1))
    _show(result, replaying.kept, console, wanted, replaying.store, regressions)
    if json is not None:
        data = results.to_data(result, command="replay", subject=", ".join(replaying.subjects), profile="", kept=replaying.all_kept)
        try:
            results.write(json, data)
        except OSError as error:
            raise UsageError(f"--json {json}: {error.strerror or error}") from None
    _summarize(result.replayed)
    if any(each.status == FAILING for each in result.replayed):
        return NEW_VIOLATIONS
    if result.interrupted:
        return INTERRUPTED
    if result.errors:
        return refuse(result.errors[0])
    if result.replayed and all(each.status == CANNOT_RUN for each in result.replayed):
        return refuse(f"not one example could be run: {result.replayed[0].reason}")
    return OK


def _show(
    result: Result, kept: Mapping[Key, Kept], console: Console, wanted: Sequence[str], store: Store, regressions: Path | None
) -> None:
    """Say what has become of each, and explain what fails if it was asked for by its name."""
    from trainer_props.reports import replayed, scripts, terminal

    option = where(regressions)
    if result.replayed:
        replayed.print_replayed(console, result.replayed)
        named = bool(wanted) and not any(Path(each).is_dir() for each in wanted)
        replayed.print_failing(console, result.replayed, option, full=named)
    elif not result.interrupted:
        console.print(f"no regression examples in {terminal.shown(store.folder)}", soft_wrap=True)
    for violation in result.violations:
        if violation.first.key in kept:  # of what ran when an earlier run was killed; the others are examples, and told above
            terminal.print_violation(console, violation, kept[violation.first.key], option)
    scripts.print_remedies(console, kept.values())


def _summarize(replayed: Sequence[Replayed]) -> None:
    """Tell a step of GitHub Actions what has become of the examples."""
    from trainer_props.reports import step_summary
    from trainer_props.reports.reading import replayable

    outcomes = [(each.status, replayable(Path(each.id).stem, each.id), each.reason) for each in replayed]
    if trouble := step_summary.append(step_summary.of_replay(outcomes)):
        refuse(trouble)


def _chosen(wanted: Sequence[str], store: Store) -> _Chosen:
    """The examples that are asked for, each once; all that the store has if none is named."""
    from trainer_props.regressions import InvalidExample, NoSuchExample, Store

    chosen = _Chosen()
    if not wanted:
        chosen.add(store.read())
    for each in wanted:
        if Path(each).is_dir():
            chosen.add(Store(Path(each)).read())
            continue
        try:
            found = store.find(each)
        except NoSuchExample as error:
            raise UsageError(str(error)) from None
        except InvalidExample as error:
            raise UsageError(f"{each}: {error}") from None
        chosen.stored.setdefault(found.path, found)
    return chosen


class _Replaying:
    """Replays subject by subject, each in a worker process.

    Attributes:
        store: where examples are, and what is found anew goes.
        result: of all of them.
        subjects: their names.
        kept: what is stored now, since it ran when an earlier run was killed.
        all_kept: the same, and the examples.
    """

    def __init__(self, store: Store, live: Live, signals: Signals) -> None:
        from trainer_props.engine import Result

        self.store, self._live, self._signals = store, live, signals
        self.result = Result(seed=0)
        self.subjects: list[str] = []
        self.kept: dict[Key, Kept] = {}
        self.all_kept: dict[Key, Kept] = {}

    def run(self, examples: Sequence[Stored]) -> None:
        """Replay what ran when an earlier run was killed, then the examples."""
        from trainer_props.regressions import adopt

        left = adopt(self.store.folder)
        for each in left:
            each.claim.release()
        for subject in dict.fromkeys(each.subject for each in left):
            self._on(subject, ())
        for subject in dict.fromkeys(each.example.subject for each in examples):
            self._on(subject, [each for each in examples if each.example.subject == subject])

    def _on(self, subject: str, examples: Sequence[Stored]) -> None:
        """Replay on one subject: these examples, or if there are none, what is left of it."""
        from trainer_props.engine import Plan, Replayed, totals
        from trainer_props.engine.events import CANNOT_RUN
        from trainer_props.engine.supervisor import supervise
        from trainer_props.keeper import Keeper, Kept, as_replay
        from trainer_props.reports.terminal import starting_with
        from trainer_props.subjects import SubjectError

        if self._signals.count:
            self.result.interrupted = True
            return
        if subject not in self.subjects:
            self.subjects.append(subject)
        keeper = Keeper(self.store, subject, via="replay")
        listener: Listener = self._tell
        replays = tuple(map(as_replay, examples))
        if not examples:
            replays, listener = keeper.left(), keeper.before(self._live)
            for each in replays:
                self._live.say(starting_with(each))
        plan = Plan(experiments=(), properties=(), max_examples=0, shrink_seconds=None, replayed=replays)
        try:
            loaded = load_subject(subject)
            with keeper.noting() as noting:
                found = supervise(loaded, plan, listener, running=noting)
        except (UsageError, SubjectError) as error:
            self.result.replayed += [Replayed(each.id, CANNOT_RUN, None, str(error)) for each in replays]
            return
        totals.add(self.result, found)
        self.result.replayed += found.replayed
        self.result.seconds += found.seconds
        self.result.interrupted |= found.interrupted
        self.kept |= keeper.kept
        self.all_kept |= keeper.kept
        for event in found.replayed:
            if examples and event.finding is not None:
                self.all_kept[event.finding.key] = Kept(Path(event.id))

    def _tell(self, event: EngineEvent) -> None:
        """The table says what has become of examples: only progress is shown before."""
        from trainer_props.engine import Progress

        if isinstance(event, Progress):
            self._live(event)
