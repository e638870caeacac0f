"""`@trainer_props.parametrize`: the experiments on a subject, as tests of pytest. Nothing heavy is imported until one runs."""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trainer_props.arguments import DEFAULTS, nearest

if TYPE_CHECKING:
    from trainer_props.engine.events import Result

F = TypeVar("F", bound=Callable[..., Any])

seen: list[dict[str, Any]] = []
"""Known bugs that the running test came across; the plugin empties it into the test's report."""


class ViolationError(AssertionError):
    """One property is violated; the message has the smallest case."""


class Violations(ExceptionGroup[ViolationError]):
    """What `check()` raises: one member for each violated property, shrunk."""

    def derive(self, excs: Sequence[ViolationError]) -> Violations:
        return Violations(self.message, excs)


@dataclass(frozen=True)
class SubjectCase:
    """One experiment on one subject: what a parametrized test gets.

    Attributes:
        subject: a Trainer class, a factory, or `module:attribute`.
        experiment: the experiment's name.
        properties: globs of property ids.
        models: globs of names of models, or None for all.
        arguments: TrainingArguments held fixed.
        max_examples, seconds: the budget; by default the `max_examples` of the loaded Hypothesis profile.
        known: whether known bugs pass.
    """

    subject: Any
    experiment: str
    properties: tuple[str, ...]
    models: tuple[str, ...] | None
    arguments: Mapping[str, Any]
    max_examples: int | None
    seconds: float | None
    known: bool

    def check(self) -> None:
        """Draw cases, run and judge them.

        Raises:
            Violations: something new is violated; one member a property, shrunk.
            RuntimeError: a property of ours failed itself.
            pytest.skip.Exception: nothing was applicable, and why.
        """
        import pytest

        result = self.run()
        if result.interrupted:
            raise KeyboardInterrupt
        if result.violations:
            from trainer_props.reports.terminal import explain_finding

            members = [ViolationError(explain_finding(each.finding)) for each in result.violations]
            raise Violations(f"{self.experiment} on {self.subject_name}", members)
        if result.errors:
            raise RuntimeError(result.errors[0])
        for bug, times in result.known_seen.items():
            seen.append({"bug": bug, "seen": times, "subject": self.subject_name, "experiment": self.experiment})
        if not result.evaluations:
            reasons = sorted({reason for count in result.properties.values() for reason in count.reasons} | set(result.refusals))
            impossible = sum(each.could_not_run for each in result.experiments.values())
            if impossible:
                reasons.append(f"{impossible} cases could not run here")
            pytest.skip(f"{self.experiment}: nothing applicable ({'; '.join(reasons) or 'no case was drawn'})")

    @property
    def subject_name(self) -> str:
        """The subject as reports name it."""
        return self.subject if isinstance(self.subject, str) else f"{self.subject.__module__}:{self.subject.__qualname__}"

    def run(self) -> Result:
        """Run the session and return all that it found, without raising."""
        from hypothesis import settings

        from trainer_props import subjects, zoo
        from trainer_props.engine import Plan, Session
        from trainer_props.experiments import Held
        from trainer_props.properties import PROPERTIES

        loaded = subjects.load(self.subject) if isinstance(self.subject, str) else subjects.wrap(self.subject)
        profile = settings()
        models = None if self.models is None else _matching(self.models, list(zoo.MODELS), "models")
        plan = Plan(
            experiments=(self.experiment,),
            properties=_matching(self.properties, list(PROPERTIES), "properties"),
            seconds=self.seconds,
            max_examples=None if self.seconds is not None else (self.max_examples or profile.max_examples),
            # a derandomized profile promises the very same cases every time
            seed=0 if profile.derandomize else random.SystemRandom().randrange(2**32),
            held=Held(arguments={**loaded.declaration.fixed, **self.arguments}, forbidden=loaded.declaration.forbidden, models=models),
            known=self.known,
        )
        return Session(loaded, plan).run()


def parametrize(
    subject: Any,
    *,
    experiments: Sequence[str] | None = None,
    properties: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    max_examples: int | None = None,
    seconds: float | None = None,
    arguments: Mapping[str, Any] | None = None,
    known: bool = True,
) -> Callable[[F], F]:
    """Make of a test `def test_my_trainer(case): case.check()` one test for each experiment.

    Args:
        subject: a Trainer class, a factory `make(parts, output_dir)`, a plain factory `make(output_dir, n, **training_arguments)`, or
            the text `module:attribute`.
        experiments, properties, models: globs; by default all.
        max_examples: examples of each experiment; by default those of the loaded Hypothesis profile.
        seconds: time for each experiment; replaces max_examples.
        arguments: TrainingArguments held fixed.
        known: whether known bugs pass.

    Raises:
        ValueError: an unknown experiment or argument, or a budget that is not positive; the message has the nearest valid name.
    """
    import pytest

    from trainer_props.experiments import EXPERIMENTS

    for name in arguments or {}:
        if name not in DEFAULTS:
            raise ValueError(f"arguments: TrainingArguments has no field {name!r}{nearest(name)}")
    for noun, number in (("max_examples", max_examples), ("seconds", seconds)):
        if number is not None and number <= 0:
            raise ValueError(f"{noun}={number!r} must be positive")
    chosen = _matching(tuple(experiments or ("*",)), list(EXPERIMENTS), "experiments")
    cases = [
        SubjectCase(
            subject, name, tuple(properties or ("*",)), tuple(models) if models is not None else None, dict(arguments or {}), max_examples, seconds, known
        )
        for name in chosen
    ]
    return pytest.mark.parametrize("case", cases, ids=chosen)  # type: ignore[return-value]


def _matching(globs: Sequence[str], names: Sequence[str], noun: str) -> list[str]:
    chosen: list[str] = []
    for glob in globs:
        found = [name for name in names if fnmatch.fnmatchcase(name, glob)]
        if not found:
            raise ValueError(f"{noun}: {glob!r} matches none{nearest(glob, list(names))}")
        chosen += [name for name in found if name not in chosen]
    return chosen
