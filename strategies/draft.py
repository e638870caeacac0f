"""A run while it is being drawn: which arguments are held, which are decided, and how the next decision is drawn."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props.arguments import DEFAULTS, default, nearest

T = TypeVar("T")

_richness: Final[ContextVar[int]] = ContextVar("richness", default=1)


@contextlib.contextmanager
def rich(times: int) -> Iterator[None]:
    """Meanwhile features are drawn so many times over, so that more of them meet in a run: what shows only where four meet is drawn ten to
    a hundred times as often at 3. The runs are larger, and take longer to read; they shrink to the same.
    """
    token = _richness.set(times)
    try:
        yield
    finally:
        _richness.reset(token)


_WIDE: Final = 64


@functools.cache
def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


@functools.cache
def _some(features: tuple[tuple[str, int], ...], most: int) -> st.SearchStrategy[list[tuple[str, int]]]:
    # Name and option stand together, so that a feature can be taken out of an example without a change to the rest.
    options = [st.sampled_from([(name, index) for index in range(count)]) for name, count in features]
    return st.lists(st.one_of(options), max_size=most)


class Draft:
    """Arguments under construction. Held ones win; decided ones that equal the default are left out.

    What most runs do without is a *feature*: a few of them are drawn by name, each with its option, and switched on together, which
    shrinks to none. (Deciding each by a draw of its own would cost a draw where nothing happens, and make many draws that lead to the
    same run.)

    Args:
        draw: of `hypothesis.strategies.composite`.
        held: arguments that are not drawn.

    Raises:
        InvalidArgument: TrainingArguments has no such argument.
    """

    __slots__ = ("_decided", "_draw", "_on", "held")

    def __init__(self, draw: st.DrawFn, held: Mapping[str, Any] | None = None, name: str = "fixed") -> None:
        self._draw = draw
        self.held = dict(held or {})
        for argument in self.held:
            if argument not in DEFAULTS:
                raise InvalidArgument(f"{name}: TrainingArguments has no argument {argument!r}{nearest(argument)}")
        self._decided: dict[str, Any] = {}
        self._on: dict[str, Any] = {}

    def integer(self, low: int, high: int) -> int:
        """An integer between both bounds, smallest first; `low` itself if there is no choice."""
        return low if high <= low else self._draw(_integers(0, high - low)) + low if high - low < _WIDE else low + self._wide(high - low)

    def _wide(self, most: int) -> int:
        """An integer up to `most`, digit by digit: Hypothesis mixes constants of whatever modules are imported into wide ranges, and the
        same seed would be other cases elsewhere.
        """
        number, reach = 0, 1
        while reach <= most:
            number, reach = number * _WIDE + self._draw(_integers(0, _WIDE - 1)), reach * _WIDE
        return number % (most + 1)

    def choose(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def switch_on(self, features: Mapping[str, Sequence[Any]], most: int) -> None:
        """Switch on up to `most` of the features: name -> options, the first is the simplest.

        A feature that is named like an argument that is held stays off.
        """
        counts = tuple((name, len(options)) for name, options in features.items() if options and name not in self.held)
        if counts:
            places: dict[str, int] = {}
            for _ in range(_richness.get()):
                for name, index in self._draw(_some(counts, most)):
                    # Hypothesis likes to repeat what it drew: a feature that is drawn again moves on to another option.
                    places[name] = (places[name] + 1 + index) % len(features[name]) if name in places else index
            self._on.update((name, features[name][index]) for name, index in places.items())

    def turn_on(self, feature: str, option: Any) -> None:
        """Switch on a feature that was chosen by itself; it stays off if it is named like an argument that is held."""
        if feature not in self.held:
            self._on[feature] = option

    def on(self, feature: str) -> bool:
        """Whether a feature is switched on."""
        return feature in self._on

    def option(self, feature: str, otherwise: Any = None) -> Any:
        """The option of a feature; `otherwise` if it is off."""
        return self._on.get(feature, otherwise)

    def apply(self, *names: str) -> None:
        """Set the arguments whose feature is on to its option."""
        for name in names:
            if name in self._on:
                self.set(name, self._on[name])

    def free(self, *names: str) -> bool:
        """Whether none of these arguments is held."""
        return not any(name in self.held for name in names)

    def set(self, name: str, value: Any) -> None:
        """Decide an argument; no effect on one that is held."""
        if name in self.held:
            return
        if value == default(name):
            self._decided.pop(name, None)
        else:
            self._decided[name] = value

    def get(self, name: str) -> Any:
        """The value of an argument as things stand."""
        if name in self.held:
            return self.held[name]
        return self._decided[name] if name in self._decided else default(name)

    @property
    def arguments(self) -> dict[str, Any]:
        """What differs from the defaults, and what is held."""
        return {**self._decided, **self.held}


def check_bounds(lowest: int, **bounds: int | None) -> None:
    """Raise InvalidArgument, naming it, for a bound that is no integer, below `lowest`, or below the bound before it."""
    before: tuple[str, int] | None = None
    for name, value in bounds.items():
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidArgument(f"{name}={value!r} must be an integer")
        if value < lowest:
            raise InvalidArgument(f"{name}={value} must be at least {lowest}")
        if before is not None and value < before[1]:
            raise InvalidArgument(f"{name}={value} is smaller than {before[0]}={before[1]}")
        before = (name, value)


def check_names(name: str, given: Sequence[str] | None, known: Collection[str]) -> tuple[str, ...]:
    """The names that are given, or all known ones. Raises InvalidArgument for none, or for one that nobody knows."""
    if given is None:
        return tuple(known)
    if isinstance(given, str) or not given:
        raise InvalidArgument(f"{name}={given!r} must be a sequence of at least one of {', '.join(known)}")
    for each in given:
        if each not in known:
            raise InvalidArgument(f"{name}: there is no {each!r}{nearest(str(each), list(known)) or ': there are ' + ', '.join(known)}")
    return tuple(each for each in known if each in given)
