"""`trainer-props report`: a page for a browser from a JSON result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer_props.cli.common import OK, UsageError, html_at_hand, importing, writable, writing


def report(
    result: Annotated[Path, typer.Argument(metavar="FILE", help="What --json wrote.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="The page (FILE with .html as its end).")] = None,
) -> int:
    """Make an HTML page from a JSON result."""
    page = output if output is not None else result.with_suffix(".html")
    if page == result or (page.exists() and result.exists() and page.samefile(result)):
        raise UsageError(f"--output {page}: that is the result itself")
    writable(page, "--output")
    with importing():
        from trainer_props.reports import html, reading
    html_at_hand()
    try:
        read = reading.read(result)
    except reading.UnreadableResult as error:
        raise UsageError(f"report {error}") from None
    with writing(page, "--output"):
        html.write(page, read)
    print(f"page written to {page}")
    return OK
