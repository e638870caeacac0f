"""Drawing cases with Hypothesis: the two ways in which the engine uses it, and nothing else knows about its settings."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from trainer_props.case import Case
from trainer_props.strategies.draft import rich

Body = Callable[[Case], None]


class Reproduced(Exception):
    """The violation that is being shrunk shows on this case."""


class EndOfSlice(BaseException):
    """The time of a slice is over. Not an Exception, so that Hypothesis does not take it for a failure."""


class _Ending:
    """Lets what ends a session (pytest's time limit, an exit, a subject without a Trainer) out of Hypothesis, as no failure of a test."""

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def calling(self, body: Body, case: Case) -> None:
        try:
            body(case)
        except (EndOfSlice, Reproduced, HypothesisException):
            raise
        except BaseException as error:  # noqa: BLE001  it is raised again outside
            self._error = error
            raise EndOfSlice from None

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        with contextlib.suppress(EndOfSlice):
            yield
        if self._error is not None:
            raise self._error


def draw(cases: st.SearchStrategy[Case], body: Body, *, number: int, max_examples: int, richness: int = 1) -> int:
    """Call `body` on up to `max_examples` cases; the same `number` gives the same cases. Returns how many were rejected while drawing.

    `body` may raise `EndOfSlice` to end early.

    Args:
        richness: how many times over features are drawn, see `strategies.draft.rich`.
    """
    rejected = 0
    ending = _Ending()

    @st.composite
    def counted(pick: st.DrawFn) -> Case:
        nonlocal rejected
        try:
            return pick(cases)
        except BaseException as error:
            rejected += not _ran_out(error)
            raise

    @seed(number)
    @_settings(max_examples, Phase.generate)
    @given(counted())
    def explore(case: Case) -> None:
        ending.calling(body, case)

    with rich(richness), ending.outside():
        explore()
    return rejected


def reproduce(cases: st.SearchStrategy[Case], body: Body, *, number: int, max_examples: int, richness: int = 1) -> None:
    """Draw the cases of `number` again and let Hypothesis shrink the first on which `body` raises `Reproduced`, if there is one.

    `body` may raise `EndOfSlice` to end early.

    Args:
        richness: as they were drawn.
    """
    ending = _Ending()

    @seed(number)
    @_settings(max_examples, Phase.generate, Phase.shrink)
    @given(cases)
    def shrink(case: Case) -> None:
        ending.calling(body, case)

    with contextlib.suppress(Reproduced, HypothesisException), rich(richness), ending.outside():
        shrink()


def slice_seed(base: int, experiment: str, index: int) -> int:
    """The seed of the so-manieth slice of an experiment."""
    return int.from_bytes(hashlib.blake2b(f"{base}/{experiment}/{index}".encode(), digest_size=6).digest(), "big")


def _ran_out(error: BaseException) -> bool:
    """Whether Hypothesis gave up a draw because its own mutation of an earlier case was cut short: no strategy rejected anything."""
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_name == "mark_overrun":
            return True
        frame = frame.tb_next
    return False


def _settings(max_examples: int, *phases: Phase) -> settings:
    # Everything is set here, whatever profile the process has loaded: the same cases come out under any.
    return settings(
        max_examples=max_examples,
        phases=phases,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )
