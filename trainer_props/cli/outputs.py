"""Where a result goes besides the terminal: a JSON file, a page for a browser, the summary of a step of GitHub Actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer_props import serialization
from trainer_props.cli.common import html_at_hand, refuse, writable, writing

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Outputs:
    """The files that are asked for.

    Attributes:
        json, html: of `--json` and `--html`, or None.
    """

    json: Path | None = None
    html: Path | None = None

    def prepare(self) -> None:
        """Make sure before the work that its result can be written.

        Raises:
            UsageError: it can't, or a package is missing.
        """
        for option, path in (("--json", self.json), ("--html", self.html)):
            if path is not None:
                writable(path, option)
        if self.html is not None:
            html_at_hand()

    def write_json(self, data: Mapping[str, Any]) -> None:
        """Write what is known so far.

        Raises:
            UsageError: it can't be written.
        """
        from trainer_props.reports import result

        if self.json is not None:
            with writing(self.json, "--json"):
                result.write(self.json, data)

    def finish(self, data: Mapping[str, Any], console: Console) -> None:
        """Write the page and the summary of the step, and say what was written.

        Raises:
            UsageError: the page can't be written.
        """
        from trainer_props.reports import html, step_summary

        if self.json is not None:
            console.print(f"result written to {self.json}", soft_wrap=True)
        data = serialization.plain(data)
        if self.html is not None:
            with writing(self.html, "--html"):
                html.write(self.html, data)
            console.print(f"page written to {self.html}", soft_wrap=True)
        if trouble := step_summary.append(step_summary.of_result(data)):
            refuse(trouble)
