"""What commands that explore share before and after: what is judged first, the command that does it again, scripts, the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer_props.cli.common import INTERRUPTED, NEW_VIOLATIONS, OK, USAGE, UsageError, refuse

if TYPE_CHECKING:
    from rich.console import Console

    from trainer_props.cli.outputs import Outputs
    from trainer_props.engine import Replay, Result
    from trainer_props.engine.signals import Signals
    from trainer_props.keeper import Keeper
    from trainer_props.subjects import Subject


def command_line(command: str, subject: str, *asked: Mapping[str, Any]) -> str:
    """The command that does the same again.

    Args:
        asked: options with their values; None, False and nothing in a list stand for an option that was not given.
    """
    words = ["trainer-props", command, subject]
    for option, value in (item for options in asked for item in options.items()):
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [word for each in (value if isinstance(value, list) else [value]) for word in (option, _typed(each))]
    return shlex.join(words)


def _typed(value: Any) -> str:
    """A value as somebody would type it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def replays(keeper: Keeper, chosen: tuple[Sequence[str], Sequence[str], Sequence[str] | None], console: Console) -> tuple[Replay, ...]:
    """What is judged before anything is drawn, and a line on it."""
    from trainer_props.reports import terminal

    terminal.print_skipped(console, keeper.skipped)
    left = keeper.left()
    for each in left:
        console.print(terminal.starting_with(each), soft_wrap=True)
    stored = keeper.replays(*chosen)
    if stored:
        number = f"{len(stored)} regression example{'s' if len(stored) > 1 else ''}"
        console.print(f"replaying {number} of {terminal.shown(keeper.store.folder)}", soft_wrap=True)
    return (*left, *stored)


def finish(
    result: Result, keeper: Keeper, loaded: Subject, console: Console, outputs: Outputs, option: str, data: Callable[[], dict[str, Any]],
    signals: Signals, still_there: int = 0,
) -> None:
    """Everything that stands at the end of exploring: the table, the violations, their scripts, the files that are asked for.

    Args:
        option: names the folder of examples in commands to type.
        data: makes what is written of the result, as it is by then.
        signals: of the command; one that has arrived since the exploring ended skips the scripts, and nothing else.
        still_there: of how many violations an earlier start had told already.
    """
    from trainer_props.engine import totals
    from trainer_props.reports import scripts, terminal

    if trouble := totals.nothing_trained(result):
        result.errors.append(trouble)
    terminal.print_result(console, result, keeper.subject, loaded.hint, keeper.kept, option, still_there)
    _noting(result, lambda: outputs.write_json(data()))
    if not result.interrupted and _write_scripts(keeper, result, loaded, console, signals):
        _noting(result, lambda: outputs.write_json(data()))
    scripts.print_remedies(console, keeper.kept.values())
    _noting(result, lambda: outputs.finish(data(), console))


def _noting(result: Result, write: Callable[[], None]) -> None:
    """Write a file that was asked for; what can't be written takes nothing else with it."""
    try:
        write()
    except UsageError as error:
        if str(error) not in result.errors:
            result.errors.append(str(error))


def _write_scripts(keeper: Keeper, result: Result, loaded: Subject, console: Console, signals: Signals) -> bool:
    """Write a script beside each stored violation and run it; whether there was one to write."""
    from trainer_props.keeper import VERIFYING_SECONDS, Kept
    from trainer_props.reports.scripts import Scripts

    number = sum(keeper.kept[each.first.key].regression is not None for each in result.violations if each.first.key in keeper.kept)
    if not number:
        return False
    which = "its script" if number == 1 else f"their {number} scripts"
    console.print(f"running {which}, at most {VERIFYING_SECONDS:g} s each; Ctrl-C skips that", soft_wrap=True)

    def tell(kept: Kept | None) -> None:
        bar(kept)
        if signals.count:
            raise KeyboardInterrupt

    try:
        with Scripts(console, number) as bar:
            keeper.write_scripts(result.violations, loaded, tell)
    except KeyboardInterrupt:
        result.interrupted = True
        console.print("interrupted: the scripts that are left were not run")
    return True


def exit_code(result: Result) -> int:
    """The exit code of a result; what is wrong is said in one line."""
    if result.errors:
        refuse(result.errors[0] + (f" (and {len(result.errors) - 1} more)" if len(result.errors) > 1 else ""))
    if result.violations:
        return NEW_VIOLATIONS
    if result.errors:
        return USAGE
    return INTERRUPTED if result.interrupted else OK
