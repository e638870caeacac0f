"""The command line: a thin face that reads options, shows what happens, returns exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer

from trainer_props.cli.audit import audit
from trainer_props.cli.check import check
from trainer_props.cli.common import INTERRUPTED, NEW_VIOLATIONS, OK, USAGE, UsageError, refuse
from trainer_props.cli.fuzz import fuzz
from trainer_props.cli.replay import replay
from trainer_props.cli.report import report
from trainer_props.cli.script import script
from trainer_props.cli.texts import explain, list_

__all__ = ["INTERRUPTED", "NEW_VIOLATIONS", "OK", "USAGE", "UsageError", "app", "main", "run"]

# From some version on typer brings its own copy of click: this is the base class of whichever is in use.
_CommandError: Final[Any] = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")

app = typer.Typer(
    name="trainer-props", add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Finds out whether a Hugging Face Trainer computes what its arguments promise.",
)
for _command, _name in (
    (check, "check"), (fuzz, "fuzz"), (replay, "replay"), (script, "script"), (report, "report"), (list_, "list"), (explain, "explain"),
    (audit, "audit"),
):  # fmt: skip
    app.command(_name)(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: run a command and exit with its code. SIGTERM, by which schedulers end things, does what Ctrl-C does; so does
    SIGHUP, the end of the terminal, where it is not ignored.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    sys.exit(run(arguments))


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        command = typer.main.get_command(app)
        code = command.main(args=list(arguments) if arguments is not None else None, prog_name=app.info.name, standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        return refuse(str(error))
    except _CommandError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return USAGE
        return refuse(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has gone: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code if isinstance(code, int) else OK
