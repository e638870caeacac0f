"""A bar that counts what is done of a number of things, in a terminal."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class CountingBar:
    """Shows how many things are done; nothing where the console is no terminal. Use as a context manager.

    Args:
        text: what is done, in words.
        number: of the things.
        width: of the bar, in characters.
    """

    def __init__(self, console: Console, text: str, number: int, *, width: int = 12) -> None:
        self._bar: Progress | None = None
        if console.is_interactive:
            columns = (TextColumn(text), BarColumn(bar_width=width), TextColumn("{task.completed} of {task.total}"))
            # without a thread of its own: processes are started while it shows
            self._bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, auto_refresh=False)
            self._task = self._bar.add_task("", total=number)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def move(self, done: int) -> None:
        """Show that so many are done, and the clock."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, refresh=True)
