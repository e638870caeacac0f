"""What a reader finds on the HTML page, in order: its headings, texts, tables, links; the look of it belongs to the browser's test."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

from trainer_props.reports import html

SAMPLE = Path(__file__).parents[1] / "samples" / "result.json"

_BLOCKS = {
    "title": "", "h1": "# ", "h2": "## ", "h3": "### ", "h4": "#### ", "p": "", "li": "- ", "dt": "", "dd": "", "blockquote": "> ",
    "figcaption": "[picture] ", "tr": "", "section": "", "article": "",
}  # fmt: skip


class Skeleton(HTMLParser):
    """One line for each block with what it says; links have their target behind them, buttons and pictures are left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lines = [""]
        self._left_out = ""
        self._link = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._left_out:
            return
        if tag in {"style", "script", "svg"}:
            self._left_out = tag
        elif tag in {"th", "td"}:
            self.lines[-1] += " | "
        elif tag == "a":
            self._link = dict(attrs)["href"] or ""
        elif tag in _BLOCKS:
            name = dict(attrs).get("id")
            self.lines.append(f"({tag} {name})" if tag in {"section", "article"} else _BLOCKS[tag])

    def handle_endtag(self, tag: str) -> None:
        if tag == self._left_out:
            self._left_out = ""
        elif tag == "a":
            self.lines[-1] += f" <{self._link}>"

    def handle_data(self, data: str) -> None:
        if not self._left_out:
            self.lines[-1] += data

    def __str__(self) -> str:
        return "\n".join(shown for line in self.lines if (shown := " ".join(line.split())))


def test_skeleton(snapshot: Callable[[str, str], None]) -> None:
    snapshot("page", str(Skeleton(html.html(json.loads(SAMPLE.read_text(encoding="utf-8"))))))
