"""What a case will cost: seconds, foretold from how many batches its arguments ask for, and from its model."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final

from trainer_props.case import Case

_FIRST: Final = 5
"""Cases that are run before anything is foretold."""
_DOUBT: Final = 2.0
"""So many cases of a model that cost as much as all others stand against those that were seen."""
_STEADY: Final = 0.1
"""A spread of the work (of its logarithm) so small says little of what more work costs."""


class Costs:
    """The costs of the cases of one experiment: the logarithm of the seconds over that of the work, and what each model adds."""

    def __init__(self) -> None:
        self._cases = 0
        self._work = self._seconds = self._squares = self._products = 0.0
        self._models: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))

    def learn(self, case: Case, seconds: float) -> None:
        """A case took so long."""
        work, taken, model = _work(case), math.log(max(seconds, 1e-6)), case.scenario.model.name
        if self._cases >= _FIRST:
            number, sum_ = self._models[model]
            self._models[model] = number + 1, sum_ + taken - self._of_work(work)
        self._cases += 1
        self._work += work
        self._seconds += taken
        self._squares += work * work
        self._products += work * taken

    def expected(self, case: Case) -> float:
        """Seconds that it will take; of the first ones nobody knows better than one."""
        if self._cases < _FIRST:
            return 1.0
        number, sum_ = self._models[case.scenario.model.name]
        return math.exp(self._of_work(_work(case)) + sum_ / (number + _DOUBT))

    def _of_work(self, work: float) -> float:
        mean, taken = self._work / self._cases, self._seconds / self._cases
        slope = (self._products / self._cases - mean * taken) / (self._squares / self._cases - mean * mean + _STEADY)
        return taken + slope * (work - mean)


def _work(case: Case) -> float:
    from trainer_props.running.run import batch_budget  # it imports what is heavy

    return math.log(max(1, batch_budget(case.scenario)))
