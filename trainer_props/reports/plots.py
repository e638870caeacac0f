"""Pictures for the HTML report, as inline SVG. Colours are CSS variables of the page, so that a picture is legible in light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from trainer_props.reports.reading import Moment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that matplotlib draws with, and what the page makes of them.
_INK, _DIM, _EXPECTED, _OBSERVED, _ALARM, _BOX, _BAND, _PAPER = (f"#00e0{number:02x}" for number in range(1, 9))
_VARIABLES: Final = {
    _INK: "currentColor", _DIM: "var(--dim)", _EXPECTED: "var(--expected)", _OBSERVED: "var(--observed)", _ALARM: "var(--alarm)",
    _BOX: "var(--box)", _BAND: "var(--band)", _PAPER: "var(--paper)",
}  # fmt: skip
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "trainer-props", "svg.fonttype": "none", "font.size": 10, "text.parse_math": False, "axes.edgecolor": _DIM,
    "axes.labelcolor": _DIM, "xtick.color": _DIM, "ytick.color": _DIM, "text.color": _INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.formatter.useoffset": False, "path.simplify": True, "axes.unicode_minus": True,
    "font.family": "DejaVu Sans",
}  # fmt: skip

_MOST_POINTS = 240
_LARGEST = 1e30
_TINY = 0.02

# The timeline, in points.
_LANE = 560.0
_GAP = 10.0
_BATCH_HEIGHT = 30.0
_MARK_HEIGHT = 13.0
_HEAD = 30.0
_CHARACTER = 6.1
_MOST_MOMENTS = 24
_MOST_BATCHES = 8
_MOST_SAMPLES = 6
_MOST_HAPPENED = 12
# The pairs of arguments, in points.
_CELL = 10.0
_MOST_NAMES = 80
_MOST_LETTERS = 32
_LEVELS: Final = ((1, 0.25), (10, 0.5), (100, 0.75), (1000, 1.0))
"""So many cases at least, and how opaque they are drawn."""

_MARK: Final = "first difference \N{BLACK DOWN-POINTING TRIANGLE}"
_CUT: Final = "..."


@dataclass(frozen=True)
class Picture:
    """An SVG element, and what it leaves out (a sentence, or an empty text)."""

    svg: str
    left_out: str = ""


def series(
    expected: Sequence[float], observed: Sequence[float], *, first: int | None, unit: str, start: int, name: str, label: str
) -> Picture:
    """Two series of numbers over the same axis, and below it their difference where that is too small to be seen.

    Args:
        expected, observed: numbers; NaN where there is none.
        first: index of the first difference, which is marked.
        unit: what the elements are, below the axis.
        start: the number of the first element.
        name: of the picture within its page.
        label: what the picture shows, for those who can't see it.
    """
    length = max(len(expected), len(observed))
    begin = min(max(0, (first or 0) - _MOST_POINTS // 2), max(0, length - _MOST_POINTS))
    end = min(length, begin + _MOST_POINTS)
    sides = [[values[index] if index < len(values) else math.nan for index in range(begin, end)] for values in (expected, observed)]
    where = [index + start for index in range(begin, end)]
    differences = [right - left for left, right in zip(*sides, strict=True)]
    finite = [value for side in sides for value in side if not math.isnan(value)]
    largest = max((abs(value) for value in differences if not math.isnan(value)), default=0.0)
    small = bool(finite) and 0 < largest < _TINY * ((max(finite) - min(finite)) or max(map(abs, finite)))
    with _drawing(504, 270 if small else 190) as figure:
        axes = figure.subplots(2 if small else 1, 1, sharex=True, squeeze=False, height_ratios=[2, 1] if small else None)[:, 0]
        dots = "o" if end - begin <= 60 else None
        axes[0].plot(where, sides[0], color=_EXPECTED, linewidth=1.6, marker=dots, markersize=7, markerfacecolor=_PAPER, label="expected")
        axes[0].plot(where, sides[1], color=_OBSERVED, linewidth=1.6, linestyle="--", marker=dots, markersize=3.5, label="observed")
        if small:
            axes[1].plot(where, differences, color=_OBSERVED, linewidth=1.2, marker=dots, markersize=3)
            axes[1].set_ylabel("difference")
            axes[1].axhline(0, color=_DIM, linewidth=0.6)
        if first is not None:
            for each in axes:
                each.axvline(first + start, color=_ALARM, linewidth=1.4, linestyle=":", label="first difference")
        axes[0].legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 1.2), ncols=3, borderpad=0, handlelength=2.4)
        _whole_numbers(axes[-1], where)
        axes[-1].set_xlabel(unit)
        left_out = f"{unit} {where[0]} to {where[-1]} of {length + start - 1}" if end - begin < length else ""
        return Picture(_svg(figure, name, label), left_out)


def course(timeline: Sequence[Moment], *, marked: int | None, name: str, label: str) -> Picture | None:
    """Logged loss, learning rate and gradient norm over updates, as far as they are known; None if nothing can be drawn.

    Args:
        marked: position in the timeline of the first difference.
    """
    moments = [each for each in timeline if each.update]
    found = []
    for title, values in (
        ("logged loss", [each.loss for each in moments]),
        ("learning rate", [each.learning_rate for each in moments]),
        ("gradient norm", [each.gradient_norm for each in moments]),
    ):
        pairs = [(each.update, value) for each, value in zip(moments, values, strict=True)]
        points = [(update, value) for update, value in pairs if _plottable(update) and _plottable(value)]
        if len(points) > 1:
            found.append((title, points[:: max(1, len(points) // _MOST_POINTS)]))
    if not found:
        return None
    with _drawing(168 * len(found), 125, layout=None) as figure:
        figure.subplots_adjust(left=0.26 / len(found), right=0.99, bottom=0.3, top=0.85, wspace=0.42)
        for axes, (title, points) in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
            axes.plot(*zip(*points, strict=True), color=_OBSERVED, linewidth=1.4, marker="o" if len(points) <= 40 else None, markersize=3.5)
            axes.set_title(title, fontsize=10, loc="left")
            _whole_numbers(axes, [update for update, _ in points])
            axes.locator_params(axis="y", nbins=3)
            axes.set_xlabel("update")
            if marked is not None and timeline[marked].update and _plottable(timeline[marked].update):
                axes.axvline(timeline[marked].update, color=_ALARM, linewidth=1.4, linestyle=":")
        return Picture(_svg(figure, name, label))


def timeline(moments: Sequence[Moment], *, marked: int | None, batch: int | None, name: str, label: str) -> Picture:
    """Micro-batches and the windows that updates close, in order, with what followed each update below it.

    Args:
        marked: position of the moment where expected and observed part, or None.
        batch: position of the micro-batch within that window, or None.
    """
    begin = min(max(0, (marked or 0) - _MOST_MOMENTS // 2), max(0, len(moments) - _MOST_MOMENTS))
    shown = list(enumerate(moments))[begin : begin + _MOST_MOMENTS]
    ends = [_short(each.update) for each in (shown[0][1], shown[-1][1], moments[-1])]
    left_out = f"update {ends[0]} to {ends[1]} of {ends[2]}" if len(shown) < len(moments) else ""
    lanes: list[list[_Window]] = [[]]
    for position, moment in shown:
        window = _Window.of(moment, marked=position == marked, batch=batch if position == marked else None)
        if lanes[-1] and sum(each.width + _GAP for each in lanes[-1]) + window.width > _LANE:
            lanes.append([])
        lanes[-1].append(window)
    heights = [_HEAD + _BATCH_HEIGHT + 14 + _MARK_HEIGHT * max(len(each.happened) for each in lane) for lane in lanes]
    width = max(_LANE if len(lanes) > 1 else 0, *(sum(each.width + _GAP for each in lane) for lane in lanes)) + 2
    with _drawing(width, sum(heights), layout=None) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-1, width - 1), ylim=(sum(heights), 0))
        axes.set_axis_off()
        top, epoch = 0.0, None
        for lane, height in zip(lanes, heights, strict=True):
            left = 0.0
            for window in lane:
                window.draw(axes, left, top, new_epoch=bool(window.update) and window.epoch != epoch)
                epoch = window.epoch if window.update else epoch
                left += window.width + _GAP
            top += height
        return Picture(_svg(figure, name, label), left_out)


def pairs(tried: Mapping[str, Mapping[str, int]], missing: Sequence[tuple[str, str]], *, name: str, label: str) -> Picture | None:
    """How often each two of many arguments were tried together, the first in its row and the second in its column; None if there are none.

    Args:
        tried: argument -> another one -> cases.
        missing: those that no case had.
    """
    counts = sorted((first, second, count) for first, others in tried.items() for second, count in others.items() if count > 0)
    shown = [*((first, second) for first, second, _ in counts), *missing]
    rows, columns = sorted({first for first, _ in shown}), sorted({second for _, second in shown})
    left_out = f"the first {_MOST_NAMES} of more arguments" if max(len(rows), len(columns)) > _MOST_NAMES else ""
    rows, columns = rows[:_MOST_NAMES], columns[:_MOST_NAMES]
    if not rows:
        return None
    row, column = ({name: index for index, name in enumerate(names)} for names in (rows, columns))
    longest = min(_MOST_LETTERS, max(map(len, (*rows, *columns)))) * 4.6
    width, height = len(columns) * _CELL + longest, len(rows) * _CELL + longest
    with _drawing(width + 4, height + 4, layout=None) as figure:
        axes = figure.add_axes((longest / width, 0, 1 - longest / width, 1 - longest / height))
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        axes.spines[:].set_visible(False)
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=2, labelsize=7)
        axes.set_xticks(range(len(columns)), [_plain(each) for each in columns], rotation=90)
        axes.set_yticks(range(len(rows)), [_plain(each) for each in rows])
        for least, opacity in _LEVELS:
            most = least * 10 if least < _LEVELS[-1][0] else math.inf
            inside = [(first, second) for first, second, count in counts if least <= count < most]
            _cells(axes, [(column[second], row[first]) for first, second in inside if first in row and second in column],
                   color=_EXPECTED, alpha=opacity, markeredgewidth=0)
        _cells(axes, [(column[second], row[first]) for first, second in missing if first in row and second in column],
               markerfacecolor="none", markeredgecolor=_ALARM, markeredgewidth=0.8)
        return Picture(_svg(figure, name, label), left_out)


def _cells(axes: Axes, places: Sequence[tuple[int, int]], **look: Any) -> None:
    if places:
        axes.plot(*zip(*places, strict=True), linestyle="none", marker="s", markersize=_CELL - 3, **look)


@dataclass(frozen=True)
class _Window:
    """A window of the timeline: what its boxes say, what followed it, and its width in points."""

    update: int
    epoch: int
    boxes: tuple[tuple[str, str, bool], ...]
    happened: tuple[str, ...]
    marked: bool
    width: float

    @classmethod
    def of(cls, moment: Moment, *, marked: bool, batch: int | None) -> _Window:
        number = len(moment.sizes)
        kept = sorted({*range(min(number, _MOST_BATCHES - 1)), *range(max(0, number - 1), number), *([batch] if batch is not None else [])})
        boxes = []
        for position, index in enumerate(kept):
            if position and index > kept[position - 1] + 1:
                boxes.append((_CUT, "", False))
            samples = moment.batches[index] if index < len(moment.batches) else None
            loss = moment.losses[index] if index < len(moment.losses) else None
            boxes.append((_samples(samples, moment.sizes[index]), _short(loss), index == batch))
        happened = tuple(_happened(each, moment.loss) for each in moment.happened[:_MOST_HAPPENED])
        texts = [_title(moment.update), *happened, *([_MARK + " " * 10] if marked else [])]
        width = max(max(len(each) + 3 for each in texts) * _CHARACTER, sum(_box_width(box) + 4 for box in boxes) + 8)
        return cls(moment.update, moment.epoch, tuple(boxes), happened, marked, width)

    def draw(self, axes: Axes, left: float, top: float, *, new_epoch: bool) -> None:
        from matplotlib.patches import Rectangle

        if new_epoch:
            axes.text(left + 2, top + 9, f"epoch {_short(self.epoch)}", color=_DIM, fontsize=9)
        if self.marked:
            axes.text(left + self.width - 2, top + 9, _MARK, color=_ALARM, fontsize=9, ha="right")
        height = _HEAD - 13 + _BATCH_HEIGHT
        colour, thick = (_ALARM, 1.8) if self.marked else (_BAND, 1.0)
        axes.add_patch(Rectangle((left, top + 13), self.width, height + 4, facecolor=_BAND, edgecolor=colour, linewidth=thick))
        axes.text(left + 5, top + 25, _title(self.update), fontsize=9.5)
        x, y = left + 6, top + _HEAD
        for box in self.boxes:
            text, loss, different = box
            width = _box_width(box)
            if text != _CUT:
                colour, thick = (_ALARM, 1.8) if different else (_DIM, 0.8)
                axes.add_patch(Rectangle((x, y), width, _BATCH_HEIGHT - 2, facecolor=_BOX, edgecolor=colour, linewidth=thick))
            axes.text(x + width / 2, y + (12 if loss else 18), text, ha="center", fontsize=9.5)
            axes.text(x + width / 2, y + 24, loss, ha="center", fontsize=8, color=_DIM)
            x += width + 4
        y = top + _HEAD + _BATCH_HEIGHT + 6
        for text in self.happened:
            y += _MARK_HEIGHT
            kind = text.partition(" ")[0]
            shape = {"log": "s", "evaluate": "o", "save": "D"}.get(kind)
            if shape is not None:
                axes.plot([left + 9], [y - 4], marker=shape, markersize=5, color=_EXPECTED)
            else:
                axes.plot([left + 9, left + 9], [y - 9, y], color=_DIM, linewidth=1.4)
            axes.text(left + 17, y, text, fontsize=9)


def _title(update: int) -> str:
    return f"update {_short(update)}" if update else "before update 1"


def _samples(samples: tuple[int, ...] | None, size: int) -> str:
    if samples is None:
        return f"{size} row{'s' if size != 1 else ''}"
    shown = " ".join(_short(each) for each in samples[:_MOST_SAMPLES])
    return shown + (f" ... ({size})" if len(samples) > _MOST_SAMPLES else "") or "empty"


def _box_width(box: tuple[str, str, bool]) -> float:
    return max(len(box[0]) * _CHARACTER, len(box[1]) * 5.2) + (10 if box[0] != _CUT else 2)


def _happened(what: str, loss: float | None) -> str:
    plain = _plain(what)[:24]
    return f"{plain} loss {_short(loss)}" if plain == "log" and loss is not None else plain


def _plain(text: str) -> str:
    """Words of another version come from a file: a picture has plain characters only."""
    return re.sub(r"[^ -~]", "?", text)[:_MOST_LETTERS]


def _short(number: float | None) -> str:
    if number is None:
        return ""
    if isinstance(number, int):
        return str(number) if abs(number) < 10**9 else "..."
    return f"{number:.4g}"


def _plottable(value: float | None) -> bool:
    return value is not None and abs(value) < _LARGEST


def _whole_numbers(axes: Axes, where: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    if len(where) <= 8:
        axes.set_xticks(list(where))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))


@contextmanager
def _drawing(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Iterator[Figure]:
    """A figure of a size in points, under our settings and nobody else's. No window, no global state of pyplot."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(width / 72, height / 72), layout=layout)
        FigureCanvasSVG(figure)
        yield figure


def _svg(figure: Figure, name: str, label: str) -> str:
    """The figure as one element without anything that differs between two runs, or reaches outside the page."""
    from markupsafe import escape

    file = io.StringIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([\w-]+)', text))
    # equal shapes of two pictures have equal names, and a page wants each name once
    text = re.sub(r' id="([\w.-]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r"(url\(#|href=\"#)(?=[\w-]+)", rf"\g<1>{name}-", text)
    text = re.sub(r"#00e00[1-8]", lambda found: _VARIABLES[found[0]], text)
    text = re.sub(r" font-family: [^;\"]*;|(?<=font: \d\dpx) [^;\"]*", "", text)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None
    width = float(box[1].split()[2])
    head = f'<svg viewBox="{box[1]}" style="--width: {width * 1.25:.0f}px" role="img" aria-label="{escape(label)}"'
    return re.sub(r"^<svg[^>]*", head, text, count=1).strip()
