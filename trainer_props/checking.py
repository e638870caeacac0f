"""`@trainer_props.parametrize`: the experiments on a subject, as tests of pytest. Nothing heavy is imported until one runs."""

from __future__ import annotations

import fnmatch
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trainer_props.arguments import DRAWN, FIELDS, nearest

if TYPE_CHECKING:
    from trainer_props.engine.events import Finding, Result
    from trainer_props.subjects import Subject

F = TypeVar("F", bound=Callable[..., Any])

seen: list[dict[str, Any]] = []
"""Known bugs that the running test came across; the plugin empties it into the test's report."""


class ViolationError(AssertionError):
    """One property is violated; the message has the smallest case.

    Attributes:
        finding: the same as a value.
    """

    def __init__(self, message: str, finding: Finding) -> None:
        super().__init__(message)
        self.finding = finding


class Violations(ExceptionGroup[ViolationError]):
    """What `check()` raises: one member for each violated property, shrunk."""

    def derive(self, excs: Sequence[ViolationError]) -> Violations:  # type: ignore[override]
        """The group of some of its members."""
        return Violations(self.message, excs)


@dataclass(frozen=True)
class SubjectCase:
    """One experiment on one subject: what a parametrized test gets.

    Attributes:
        subject: a Trainer class, a factory, or `module:attribute`.
        experiment: the experiment's name.
        properties: globs of property ids.
        models: names of models, or None for all.
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
            ValueError: the arguments hold a value that TrainingArguments refuses, or that the subject declares otherwise.
            SubjectError: the subject gives no Trainer.
            pytest.skip.Exception: nothing was applicable, and why.
        """
        import pytest

        result = self.run()
        if result.interrupted:
            raise KeyboardInterrupt
        for bug, times in result.known_seen.items():
            seen.append({"bug": bug, "seen": times, "subject": self.subject_name, "experiment": self.experiment})
        if result.violations:
            from trainer_props.reports.terminal import explain_finding

            members = [ViolationError(explain_finding(each.finding), each.finding) for each in result.violations]
            raised = Violations(f"{self.experiment} on {self.subject_name}, seed {result.seed}", members)
            if hint := self._loaded().hint:
                raised.add_note(hint)
            raise raised
        if result.errors:
            raise RuntimeError(result.errors[0])
        if not result.evaluations:
            inapplicable = (reason for count in result.properties.values() for reason in count.reasons)
            reasons = sorted({*inapplicable, *result.refusals, *result.impossible})
            otherwise = "no property of these belongs to it" if result.experiments else "the subject brings its own model and data"
            pytest.skip(f"{self.experiment}: nothing applicable ({'; '.join(reasons) or otherwise})")

    @property
    def subject_name(self) -> str:
        """The subject as reports name it."""
        return self.subject if isinstance(self.subject, str) else f"{self.subject.__module__}:{self.subject.__qualname__}"

    def run(self) -> Result:
        """Run the session and return all that it found, without raising."""
        from hypothesis import settings

        from trainer_props.engine import Plan, Session
        from trainer_props.experiments import Held, suitable
        from trainer_props.properties import PROPERTIES

        loaded = self._loaded()
        held = Held(arguments=self._held(loaded), forbidden=loaded.declaration.forbidden, models=self.models, own_data=loaded.own_data)
        profile = settings()
        plan = Plan(
            experiments=suitable((self.experiment,), held),
            properties=matching(self.properties, list(PROPERTIES), "properties"),
            seconds=self.seconds,
            max_examples=None if self.seconds is not None else (self.max_examples or profile.max_examples),
            # a derandomized profile promises the very same cases every time
            seed=0 if profile.derandomize else random.SystemRandom().randrange(2**32),
            held=held,
            known=self.known,
        )
        return Session(loaded, plan).run()

    def _loaded(self) -> Subject:
        from trainer_props import subjects

        return subjects.load(self.subject) if isinstance(self.subject, str) else subjects.wrap(self.subject)

    def _held(self, loaded: Subject) -> dict[str, Any]:
        from trainer_props.arguments_file import InvalidArguments, validated

        try:
            held = validated(self.arguments)
        except InvalidArguments as error:
            raise ValueError(f"arguments: {error}") from None
        if self.models is not None and loaded.own_data:
            raise ValueError(f"models: {self.subject_name} brings its own model")
        fixed = dict(loaded.declaration.fixed)
        for name, value in held.arguments.items():
            if fixed.setdefault(name, value) != value:
                raise ValueError(f"arguments: {name}={value!r}, but the subject declares that it is fixed at {fixed[name]!r}")
        return fixed


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
        experiments, properties, models: names, or globs of them; by default all. Experiments that can't use one of the models are left out.
        max_examples: examples of each experiment; by default those of the loaded Hypothesis profile.
        seconds: time for each experiment; replaces max_examples.
        arguments: TrainingArguments held fixed.
        known: whether known bugs pass.

    Raises:
        ValueError: no subject; an unknown experiment, property, model or argument; a budget that is not positive. The message has the
            nearest valid name.
    """
    import pytest

    from trainer_props.experiments import EXPERIMENTS
    from trainer_props.zoo import MODELS

    if not (callable(subject) or (isinstance(subject, str) and ":" in subject)):
        raise ValueError(f"subject {subject!r} is no Trainer class, no factory, and no text like 'module:attribute'")
    for name in arguments or {}:
        if name not in FIELDS:
            raise ValueError(f"arguments: TrainingArguments has no field {name!r}{nearest(name)}")
        if FIELDS[name].status != DRAWN:
            raise ValueError(f"arguments: {name} can't be held ({FIELDS[name].why})")
    for noun, number in (("max_examples", max_examples), ("seconds", seconds)):
        if number is not None and not 0 < number < math.inf:
            raise ValueError(f"{noun}={number!r} must be positive")
    chosen = matching(_globs(experiments, "experiments"), list(EXPERIMENTS), "experiments")
    properties = _globs(properties, "properties")
    if properties != ("*",):
        from trainer_props.properties import PROPERTIES

        matching(properties, list(PROPERTIES), "properties")
    names = None
    if models is not None:
        names = tuple(matching(_globs(models, "models"), list(MODELS), "models"))
        fitting = [name for name in chosen if set(names) & set(EXPERIMENTS[name].models)]
        if not fitting:
            raise ValueError(f"models: {', '.join(names)} can't be used by {', '.join(chosen)}")
        chosen = fitting
    cases = [SubjectCase(subject, name, properties, names, dict(arguments or {}), max_examples, seconds, known) for name in chosen]
    return pytest.mark.parametrize("case", cases, ids=chosen)


def _globs(names: Sequence[str] | None, noun: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"{noun}={names!r}: a list of names is wanted, as in [{names!r}]")  # noqa: TRY004  as every misuse
    return ("*",) if names is None else tuple(names)


def matching(globs: Sequence[str], names: Sequence[str], noun: str) -> list[str]:
    """The names that one of the globs matches, in their order.

    Raises:
        ValueError: a glob matches none; the message has the nearest valid name.
    """
    for glob in globs:
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            chapters = sorted({f"{name.partition('.')[0]}.*" for name in names if "." in name})
            raise ValueError(f"{noun} {glob!r} matches none{nearest(glob, [*names, *chapters])}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs)]
