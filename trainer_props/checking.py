"""`@trainer_props.parametrize`: the experiments on a subject, as tests of pytest. Nothing heavy is imported until one runs."""

from __future__ import annotations

import fnmatch
import math
import os
import random
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trainer_props.arguments import DRAWN, FIELDS, nearest

if TYPE_CHECKING:
    from trainer_props.engine.events import Finding, Result
    from trainer_props.engine.ledger import Key
    from trainer_props.keeper import Kept
    from trainer_props.subjects import Subject

F = TypeVar("F", bound=Callable[..., Any])

_MOST_NAMES = 5

seen: list[dict[str, Any]] = []
"""Known bugs that the running test came across; the plugin empties it into the test's report."""

outcomes: list[dict[str, Any]] = []
"""What the running test did: its runs, its evaluations, what is new; the plugin empties it into the test's report."""

root: Path | None = None
"""The root directory of pytest, from where regression examples are looked for; the plugin sets it. Without it, the current folder."""


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
        regressions: the folder of regression examples; None for the one of the project.
    """

    subject: Any
    experiment: str
    properties: tuple[str, ...]
    models: tuple[str, ...] | None
    arguments: Mapping[str, Any]
    max_examples: int | None
    seconds: float | None
    known: bool
    regressions: Path | None = None

    def check(self) -> None:
        """Judge the stored regression examples again, then draw cases, run and judge them. What is new is stored.

        Raises:
            Violations: something new is violated; one member a property, shrunk.
            RuntimeError: a property of ours failed itself.
            ValueError: the arguments hold a value that TrainingArguments refuses, or that the subject declares otherwise; the setting
                of the folder of examples can't be used.
            SubjectError: the subject gives no Trainer.
            pytest.skip.Exception: nothing was applicable, and why.
        """
        import pytest

        result, kept = self._run()
        if result.interrupted:
            raise KeyboardInterrupt
        for bug, times in result.known_seen.items():
            seen.append({"bug": bug, "seen": times, "subject": self.subject_name, "experiment": self.experiment})
        outcomes.append(self._outcome(result, kept))
        if result.violations:
            from trainer_props.reports.terminal import explain_finding

            members = [
                ViolationError(explain_finding(each.finding) + self._next_step(kept.get(each.first.key)), each.finding)
                for each in result.violations
            ]
            names = list(dict.fromkeys(each.finding.property for each in result.violations))
            what = ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
            raised = Violations(f"{self.experiment} on {self.subject_name}, seed {result.seed}: {what}", members)
            if hint := self._loaded().hint:
                raised.add_note(hint)
            for remedy in _remedies(kept.values()):
                raised.add_note(remedy)
            raise raised
        if result.errors:
            raise RuntimeError(result.errors[0])
        if not result.evaluations:
            inapplicable = (reason for count in result.properties.values() for reason in count.reasons)
            reasons = sorted({*inapplicable, *result.refusals, *result.impossible})
            own = self._loaded().own_data
            unsuitable = "the subject brings its own model and data" if own else "an argument is held that it avoids"
            otherwise = "no property of these belongs to it" if result.experiments else unsuitable
            pytest.skip(f"{self.experiment}: nothing applicable ({'; '.join(reasons) or otherwise})")

    @property
    def subject_name(self) -> str:
        """The subject as reports name it."""
        return self.subject if isinstance(self.subject, str) else f"{self.subject.__module__}:{self.subject.__qualname__}"

    def run(self) -> Result:
        """Run the session and return all that it found, without raising."""
        return self._run()[0]

    def _run(self) -> tuple[Result, Mapping[Key, Kept]]:
        from hypothesis import settings

        from trainer_props.engine import Plan, Session, events, totals
        from trainer_props.engine.supervisor import supervise
        from trainer_props.experiments import Held, suitable
        from trainer_props.keeper import Keeper
        from trainer_props.properties import PROPERTIES
        from trainer_props.regressions import Store

        loaded = self._loaded()
        held = Held(arguments=self._held(loaded), forbidden=loaded.declaration.forbidden, models=self.models, own_data=loaded.own_data)
        profile = settings()
        experiments, properties = suitable((self.experiment,), held), matching(self.properties, list(PROPERTIES), "properties")
        keeper = Keeper(Store(self._folder()), self.subject_name, via="pytest")
        here, apart = keeper.replays_apart(experiments, properties, self.models)
        plan = Plan(
            experiments=experiments,
            properties=properties,
            replayed=here,
            seconds=self.seconds,
            max_examples=None if self.seconds is not None else (self.max_examples or profile.max_examples),
            # a derandomized profile promises the very same cases every time
            seed=0 if profile.derandomize else random.SystemRandom().randrange(2**32),
            held=held,
            known=self.known,
        )
        with keeper.noting() as noting:

            def listen(event: events.EngineEvent) -> None:
                if noting is not None and isinstance(event, events.CaseStarted):
                    noting.note(event.case)

            listener = keeper.before(listen)
            result = Session(loaded, plan, listener).run()
            if apart and not result.interrupted:  # these ended a process once, and would end pytest's
                alone = replace(plan, experiments=(), max_examples=0, seconds=None, replayed=apart, shrink_seconds=None)
                more = supervise(loaded, alone, listener, running=noting)
                totals.add(result, more)
                result.replayed += more.replayed
                result.interrupted = more.interrupted
        return result, keeper.kept

    def _outcome(self, result: Result, kept: Mapping[Key, Kept]) -> dict[str, Any]:
        from trainer_props.reports.result import to_data

        data = to_data(result, command="pytest", subject=self.subject_name, profile="", kept=kept)
        told = ("id", "property", "verdict", "quantity", "symptom", "divergence", "case", "regression")
        violations = [{key: each[key] for key in told} for each in data["violations"]]
        return {"subject": self.subject_name, "experiment": self.experiment, "seed": result.seed, "runs": result.runs,
                "evaluations": result.evaluations, "violations": violations}  # fmt: skip

    def _folder(self) -> Path:
        from trainer_props.regressions import InvalidFolder, regressions_folder

        try:
            return regressions_folder(self.regressions, root)
        except InvalidFolder as error:
            raise ValueError(str(error)) from None

    def _next_step(self, kept: Kept | None) -> str:
        """What to type after a violation, as the end of its text."""
        if kept is None or kept.regression is None:
            return f"\n  {kept.reason}" if kept is not None and kept.reason else ""
        return f"\n  trainer-props replay {kept.regression.stem}{where(self.regressions)}"

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
    regressions: str | os.PathLike[str] | None = None,
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
        regressions: the folder of regression examples, which are replayed first, and to which new ones are added; by default what the
            project's pyproject.toml says (`regressions` of `[tool.trainer-props]`), or `.hypothesis/regressions`.

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
    folder = Path(regressions) if regressions is not None else None
    cases = [SubjectCase(subject, name, properties, names, dict(arguments or {}), max_examples, seconds, known, folder) for name in chosen]
    return pytest.mark.parametrize("case", cases, ids=chosen)


def where(regressions: Path | None) -> str:
    """What commands need besides an example's id, to find it in a folder that was chosen by hand."""
    return f" --regressions {shlex.quote(str(regressions))}" if regressions is not None else ""


def _remedies(kept: Iterable[Kept]) -> list[str]:
    """What to do so that git keeps the examples, each remedy once."""
    from trainer_props.regressions import ignored_by_git

    found: dict[str, str] = {}
    for each in kept:
        if each.regression is not None and (text := ignored_by_git(each.regression)) is not None:
            found.setdefault(text.partition("; ")[2], text)
    return list(found.values())


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
