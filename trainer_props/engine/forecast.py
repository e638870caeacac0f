"""The forecast: which properties a case will be evaluated by, learned from the cases of its experiment that were judged before.

Many properties have preconditions that few cases meet, and drawing a case costs little beside running it. So while properties lack
evaluations, several cases are drawn for each that is run: those are passed over that promise less of what is lacking, for what they cost,
than it pays to wait for. Nothing is declared for that. What a case has (an argument with its value, a parameter, the model, ...) is
compared with what those had by which a property was evaluated, each feature by itself (naive Bayes). A forecast only chooses what runs;
what counts is what was judged.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.engine.costs import Costs
from trainer_props.engine.novelty import features

_FIRST: Final = 8
"""Cases of an experiment that are run as they are drawn, before anything is passed over."""
_ANY: Final = 5
"""Every so-manieth case that is run is the next one, whatever it promises: nothing that can be drawn is never run."""
_LATELY: Final = 40
"""So many of the last promises are what the next one is compared with."""
_COMMON: Final = 2
"""In so many cases a feature was found whose absence says something."""
_TRUST: Final = 0.5
"""Features are no independent witnesses: of what they say together so large a part is believed."""
_USUAL: Final = 0.5
"""What is evaluated in so large a part of the cases needs no choice among them: any will do, the more various the better."""
_SURE: Final = 30.0


class Forecast:
    """What is known of the cases of one experiment that were judged.

    A set of cases is a number whose bits are the cases.
    """

    def __init__(self) -> None:
        self.cases = self._any = 0
        self._with: dict[str, int] = {}
        self._evaluated: dict[str, int] = {}

    def learn(self, found: Iterable[str], evaluated: Iterable[str], *, chosen: bool = False) -> None:
        """A case with these features was judged, and these properties were evaluated. `chosen`: for what it promised."""
        bit = 1 << self.cases
        self._any |= 0 if chosen else bit
        for into, names in ((self._with, found), (self._evaluated, evaluated)):
            for name in names:
                into[name] = into.get(name, 0) | bit
        self.cases += 1

    def often(self, name: str) -> float:
        """The part of the cases that nobody chose in which a property was evaluated, above zero and below one."""
        return ((self._evaluated.get(name, 0) & self._any).bit_count() + 0.5) / (self._any.bit_count() + 1)

    def promises(self, worth: Mapping[str, float]) -> Callable[[Collection[str]], float]:
        """What a case with given features promises: the sum, over some properties, of what one is worth and how likely it is evaluated."""
        together: dict[int, float] = {}
        for name, value in worth.items():  # properties that were always evaluated together so far need but one forecast
            cases = self._evaluated.get(name, 0)
            together[cases] = together.get(cases, 0.0) + value
        tables = [(value, *self._table(cases)) for cases, value in together.items()]

        def promise(found: Collection[str]) -> float:
            total = 0.0
            for value, without, said, unheard in tables:
                odds = without + _TRUST * sum(said.get(name, unheard) for name in found)
                total += value / (1.0 + math.exp(-max(-_SURE, min(_SURE, odds))))
            return total

        return promise

    def _table(self, cases: int) -> tuple[float, dict[str, float], float]:
        """Of what was evaluated in these cases: the logarithm of the odds of a case without features, what each feature adds to it, and
        what a new one adds.
        """
        yes = cases.bit_count()
        no = self.cases - yes
        odds, said = math.log((yes + 0.5) / (no + 0.5)), {}
        for name, having in self._with.items():
            both = (having & cases).bit_count()
            others = having.bit_count() - both
            present = math.log((both + 0.5) / (yes + 1) * (no + 1) / (others + 0.5))
            absent = 0.0
            if both + others >= _COMMON:
                absent = math.log((yes - both + 0.5) / (yes + 1) * (no + 1) / (no - others + 0.5))
            odds += _TRUST * absent
            said[name] = present - absent
        return odds, said, math.log((no + 1) / (yes + 1))


def witnesses(case: Case) -> frozenset[str]:
    """What a case has, as texts: its features, the same without their values, and each part of its parameters by itself."""
    found = features(case)
    return frozenset([*found, *(text.partition("=")[0] for text in found), *_inside("parameter", case.parameters)])


def _inside(place: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _inside(f"{place}.{name}", item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _inside(f"{place}[]", item)
    else:
        yield f"{place}={value}"


def _nothing(found: Collection[str]) -> float:
    return 0.0


class Choice:
    """What is run of the cases of one experiment that are drawn, and what is learned from them.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._forecast, self._costs, self._clock = Forecast(), Costs(), clock
        self._lacking: dict[str, int] = {}
        self._promise: Callable[[Collection[str]], float] | None = None
        self._lately: deque[tuple[float, float]] = deque(maxlen=_LATELY)
        self._asked: Case | None = None
        self._found: Collection[str] = ()
        self._drawn, self._drawing, self._moment = 0, 0.0, 0.0

    def begin(self, lacking: Mapping[str, int]) -> None:
        """Cases are drawn from now on: property -> evaluations that it lacks, of those that get them here soonest."""
        self._lacking, self._promise, self._moment = dict(lacking), None, self._clock()

    def passes_over(self, case: Case) -> bool:
        """Whether a case that was drawn promises too little to be run."""
        self._drawing += self._lap()
        self._drawn += 1
        self._asked, self._found = case, witnesses(case)
        number = self._forecast.cases
        if number < _FIRST:
            return False
        if self._promise is None:
            often = {name: self._forecast.often(name) for name in self._lacking}
            rare = {name: self._lacking[name] / part for name, part in often.items() if part < _USUAL}
            self._promise = self._forecast.promises(rare) if rare else _nothing
        if self._promise is _nothing:
            return False
        promise, seconds = self._promise(self._found), self._costs.expected(case)
        self._lately.append((promise, seconds))
        return number % _ANY > 0 and promise / seconds < self._pays()

    def judged(self, evaluated: Collection[str]) -> None:
        """Learn what became of the case that was asked for last."""
        assert self._asked is not None
        self._costs.learn(self._asked, self._lap())
        number = self._forecast.cases
        chosen = number >= _FIRST and number % _ANY > 0 and self._promise is not _nothing
        self._forecast.learn(self._found, evaluated, chosen=chosen)
        self._promise = None
        for name in evaluated:
            if name in self._lacking:
                self._lacking[name] -= 1
                if not self._lacking[name]:
                    del self._lacking[name]

    def _lap(self) -> float:
        before, self._moment = self._moment, self._clock()
        return self._moment - before

    def _pays(self) -> float:
        """What a case has to promise for each second to be run: that from which on those drawn of late would have brought most in a second,
        drawing included.
        """
        best, least = 0.0, 0.0
        promised, seconds = 0.0, self._drawing / self._drawn * len(self._lately)
        for promise, running in sorted(self._lately, key=lambda each: each[0] / each[1], reverse=True):
            promised, seconds = promised + promise, seconds + running
            if promised / seconds > best:
                best, least = promised / seconds, promise / running
        return least
