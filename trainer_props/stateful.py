"""The life of a training job as a state machine of Hypothesis, for tests of one's own.

```python
from trainer_props.stateful import job_machine

TestJobs = job_machine(MyTrainer).TestCase
```

It takes the steps of the experiment `life`, and judges the job after each by the properties of that experiment. A failing job is a case
of that experiment: it is stored as a regression example, `trainer-props replay` runs it again, and `trainer-props script` prints it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.checking import ViolationError, Violations, matching, where
from trainer_props.engine.events import Finding
from trainer_props.engine.judging import is_refused, judge_record
from trainer_props.experiments import Held
from trainer_props.experiments import life as lives
from trainer_props.oracles import life
from trainer_props.properties import PROPERTIES, Property
from trainer_props.regressions import Example, InvalidExample, Store, regressions_folder
from trainer_props.reports.terminal import explain_finding
from trainer_props.scenario import Scenario

_UPDATES = st.integers(1, 2)


class Failing:
    """The failing jobs of a machine; once its time for shrinking is over, no others are tried.

    Args:
        seconds: how long is shrunk after the first failure.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = math.inf
        self._cases: list[Case] = []

    def add(self, case: Case) -> None:
        """Note a job that fails."""
        self._end = min(self._end, time.monotonic() + self._seconds)
        self._cases.append(case)

    def is_over(self, case: Case) -> bool:
        """Whether the time is over, and a job is not known to be the beginning of one that fails."""
        if time.monotonic() < self._end:
            return False
        steps = case.parameters["life"]
        return not any(each.scenario == case.scenario and each.parameters["life"][: len(steps)] == steps for each in self._cases)


class JobMachine(RuleBasedStateMachine):
    """A job that is trained piece by piece, crashes, loses checkpoints, is looked at, moved and changed: see `job_machine`.

    Attributes:
        steps: what was done so far, as a case of the experiment `life` has it.
    """

    subject: ClassVar[subjects.Subject]
    held: ClassVar[Held] = Held()
    properties: ClassVar[Sequence[Property]] = ()
    known: ClassVar[bool] = True
    regressions: ClassVar[Path | None] = None
    scenario: ClassVar[Scenario | None] = None
    failing: ClassVar[Failing]

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[list[Any]] = []
        self._stack = contextlib.ExitStack()
        self._life: lives.Life | None = None

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Draw the run, and make it once in one piece."""
        from trainer_props.running import prepared

        scenario = self.scenario or data.draw(lives.scenarios(self.held), label="scenario")
        self._stack.enter_context(prepared())
        self._life = lives.Life(scenario, self.subject, self._stack)

    @precondition(lambda self: self._can("train"))
    @rule(updates=_UPDATES)
    def train(self, updates: int) -> None:
        """A fresh Trainer trains on, saves and stops."""
        self._live("train", updates)

    @precondition(lambda self: self._can("crash"))
    @rule(updates=_UPDATES, event=st.sampled_from(life.EVENTS))
    def crash(self, updates: int, event: str) -> None:
        """A fresh Trainer trains on, and an exception ends it."""
        self._live("crash", updates, event)

    @precondition(lambda self: self._can("finish"))
    @rule()
    def finish(self) -> None:
        """A fresh Trainer trains to the end."""
        self._live("finish")

    @precondition(lambda self: self._can("again"))
    @rule(updates=st.integers(0, 2))
    def again(self, updates: int) -> None:
        """The Trainer that trained last trains on, to the end if no number of updates is given."""
        self._live("again", *([updates] if updates else []))

    @precondition(lambda self: self._can("evaluate"))
    @rule(kind=st.sampled_from(life.LOOKING))
    def look(self, kind: str) -> None:
        """A fresh Trainer evaluates, or predicts, with the weights of the newest checkpoint."""
        self._live(kind)

    @precondition(lambda self: self._can("lose"))
    @rule(kind=st.sampled_from(["lose", "move"]))
    def lose_or_move(self, kind: str) -> None:
        """The newest checkpoint is lost, or all are moved to another place."""
        self._live(kind)

    @precondition(lambda self: self._can("change"))
    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        """From now on the job has other arguments, of which none changes what is trained."""
        assert self._life is not None
        held = lives.arguments_of(self.held)
        self._live("change", data.draw(lives.changes(self._life.scenario, held=held), label="arguments"))

    def teardown(self) -> None:
        """Remove what the job has written."""
        self._stack.close()

    def _can(self, kind: str) -> bool:
        return self._life is not None and not self._life.failed and self._life.job.can([kind])

    def _live(self, *step: Any) -> None:
        assert self._life is not None
        self.steps.append(list(step))
        case = Case(experiment=lives.NAME, scenario=self._life.scenario, parameters={"life": self.steps})
        if self.failing.is_over(case):
            reject()
        self._life.live(list(step))
        if is_refused(self._life.runs):
            return
        judged = judge_record(self._life.runs, case, self.properties)
        if judged.errors:
            raise RuntimeError(judged.errors[0])
        new = [each for each in judged.findings if not (self.known and each.known_bug is not None)]
        if new:
            self.failing.add(case)
            raise Violations(f"{lives.NAME} on {self.subject.name}", [self._error(each) for each in new])

    def _error(self, finding: Finding) -> ViolationError:
        try:
            path = Store(self._folder()).add(Example.of(finding, subject=self.subject.name, via="pytest"))
        except (InvalidExample, OSError) as error:
            return ViolationError(f"{explain_finding(finding)}\n  not stored: {error}", finding)
        return ViolationError(f"{explain_finding(finding)}\n  trainer-props replay {path.stem}{where(self.regressions)}", finding)

    def _folder(self) -> Path:
        from trainer_props import checking

        return regressions_folder(self.regressions, checking.root)


def job_machine(
    subject: Any,
    *,
    properties: Sequence[str] = ("life.*",),
    arguments: Mapping[str, Any] | None = None,
    scenario: Scenario | None = None,
    known: bool = True,
    regressions: str | Path | None = None,
    shrink_seconds: float = 60.0,
) -> type[JobMachine]:
    """A state machine that lives lives of a trainer; its `TestCase` is a test for pytest, with the `settings` that one gives it.

    Args:
        subject: a Trainer class, a factory `make(parts, output_dir)`, or the text `module:attribute`.
        properties: globs of property ids.
        arguments: TrainingArguments held fixed.
        scenario: the run whose lives are lived; by default runs are drawn.
        known: whether known bugs pass.
        regressions: the folder that examples are added to; by default that of the project.
        shrink_seconds: how long Hypothesis may look for a smaller job once one has failed.

    Raises:
        ValueError: a glob matches nothing, or the subject brings data of its own.
        SubjectError: the subject can't be loaded.
    """
    loaded = subjects.load(subject) if isinstance(subject, str) else subjects.wrap(subject)
    if loaded.own_data:
        raise ValueError(f"{loaded.name} brings its own data: its lives can't be told from others")
    mine = [name for name, each in PROPERTIES.items() if lives.NAME in each.experiments]
    declared = loaded.declaration
    attributes = {
        "subject": loaded,
        "held": Held(arguments={**declared.fixed, **(arguments or {})}, forbidden=declared.forbidden),
        "properties": [PROPERTIES[name] for name in matching(properties, mine, "properties")],
        "scenario": scenario,
        "failing": Failing(shrink_seconds),
        "known": known,
        "regressions": Path(regressions) if regressions is not None else None,
    }
    return type("JobMachine", (JobMachine,), {**attributes, "__module__": __name__})
