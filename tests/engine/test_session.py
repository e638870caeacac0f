"""Exploring, the ledger, shrinking: what a session finds, and that it finds the same again."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import transformers
from hypothesis.strategies import SearchStrategy

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine import Plan, Session, drawing, events, shrinking
from trainer_props.faults import FAULTS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.oracles import accounting, plans

Run = Callable[..., Session]

RATES = "optimization.scheduler_steps_once_an_update"
LOGS = "logs.logged_loss_is_the_mean_since_the_last_log"
UPDATES = "steps.updates_close_windows"
STOCK = subjects.DEFAULT


class TwiceBroken(transformers.Trainer):  # type: ignore[misc]
    """Steps the schedule twice an update, always; forgets to reset the logged loss, which shows where something is logged twice."""

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        step = scheduler.step

        def twice(*args: Any) -> None:
            step(*args)
            step(*args)

        scheduler.step = twice
        return scheduler

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            self.all_losses = getattr(self, "all_losses", 0.0) + logs["loss"]
            logs["loss"] = self.all_losses
        super().log(logs, start_time)


def test_two_broken_properties_are_found_and_shrunk_apart(session: Run) -> None:
    """One fails wherever the other does; each has its own minimum: one update is enough for the schedule, a second log is not."""
    result = session(TwiceBroken, experiments=["train_once"], properties=[RATES, LOGS], max_examples=100).result
    shrunk = {violation.finding.property: violation for violation in result.violations}
    assert set(shrunk) == {RATES, LOGS}
    assert all(violation.complete for violation in shrunk.values())
    rates, logs = (shrunk[name].finding.case.scenario for name in (RATES, LOGS))
    assert rates.data.n == 1
    assert "logging_steps" not in rates.arguments
    assert plans.log_steps(logs, accounting.total_updates(logs)) == [1, 2]
    assert "gradient_accumulation_steps" not in logs.arguments


def test_the_same_seed_tries_the_same_cases(session: Run) -> None:
    keys = []
    for _ in range(2):
        done = session(STOCK, experiments=["train_once", "train_on_streams"], properties=[UPDATES], max_examples=15, seed=5)
        keys.append(list(done.ledger.judged))
    assert keys[0] == keys[1]
    assert keys[0] != list(
        session(STOCK, experiments=["train_once", "train_on_streams"], properties=[UPDATES], max_examples=15, seed=6).ledger.judged
    )


def test_the_first_failure_ends_exploring(session: Run) -> None:
    done = session(TwiceBroken, experiments=["train_once"], properties=[RATES], max_examples=100, first_failure=True, shrink_seconds=0.0)
    assert done.result.properties[RATES].violated >= 1
    assert done.result.experiments["train_once"].examples < 20


def test_a_spent_budget_is_said_and_the_finding_is_real(session: Run) -> None:
    done = session(TwiceBroken, experiments=["train_once"], properties=[LOGS], max_examples=60, shrink_seconds=0.0)
    (violation,) = done.result.violations
    assert not violation.complete
    assert violation.finding.property == LOGS


def test_a_spent_budget_ends_drawing(session: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Case] = []

    def counted(cases: SearchStrategy[Case], body: drawing.Body, **how: Any) -> None:
        def noted(case: Case) -> None:
            drawn.append(case)
            body(case)

        drawing.reproduce(cases, noted, **how)

    monkeypatch.setattr(shrinking, "reproduce", counted)
    done = session(TwiceBroken, experiments=["train_once"], properties=[LOGS], max_examples=60, shrink_seconds=0.0)
    assert done.result.violations
    assert 0 < len(drawn) <= 60


class Moody(transformers.Trainer):  # type: ignore[misc]
    """Logs a wrong loss the first time that a process trains with it."""

    trained = False

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and not Moody.trained:
            Moody.trained = True
            logs["loss"] += 1.0
        super().log(logs, start_time)


def test_what_does_not_repeat_is_nondeterministic(session: Run) -> None:
    Moody.trained = False
    (violation,) = session(Moody, experiments=["train_once"], properties=[LOGS], max_examples=60).result.violations
    assert violation.finding.verdict == "nondeterministic"


class Choosy(transformers.Trainer):  # type: ignore[misc]
    """Refuses gradient accumulation."""

    def __init__(self, **kwargs: Any) -> None:
        if kwargs["args"].gradient_accumulation_steps > 1:
            raise ValueError("no accumulation here")
        super().__init__(**kwargs)


def test_a_refusal_at_construction_is_no_violation(session: Run) -> None:
    result = session(Choosy, experiments=["train_once"], properties=[UPDATES], max_examples=60).result
    assert not result.violations
    assert result.experiments["train_once"].refused > 0
    assert result.refusals == {"ValueError: no accumulation here": result.experiments["train_once"].refused}


@subjects.subject(loss_reduction="mean_per_batch")
class AbsoluteError(transformers.Trainer):  # type: ignore[misc]
    """Trains on a loss of its own, in place of the model's and of `compute_loss_func`, and says so."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        outputs = model(**inputs)
        predicted = outputs["output"] if isinstance(outputs, dict) else outputs[-1]
        loss = (predicted - inputs["labels"]).abs().mean()
        return (loss, outputs) if return_outputs else loss


def test_a_declared_loss_is_not_taken_for_the_models(session: Run) -> None:
    from trainer_props.experiments import Held

    held = Held(models=["regression", "regression_dict"])
    result = session(AbsoluteError, experiments=["train_once", "train_and_save"], max_examples=30, held=held).result
    assert [violation.finding for violation in result.violations] == []
    assert result.properties["optimization.optimizer_follows_its_rule"].evaluated > 10


class Breaks(transformers.Trainer):  # type: ignore[misc]
    """Fails in training."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("out of luck")


def test_an_exception_out_of_train_is_a_crash(session: Run) -> None:
    (violation,) = session(Breaks, experiments=["train_once"], properties=["steps.run_finishes"], max_examples=20).result.violations
    assert violation.finding.verdict == "crashed"
    assert violation.finding.observed == "RuntimeError: out of luck"


def test_the_known_bug_of_a_region_does_not_cover_another_symptom(session: Run) -> None:
    """In the region of a known bug a violation with another symptom is new."""

    class Inflated(transformers.Trainer):  # type: ignore[misc]
        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            if "loss" in logs:
                logs["loss"] *= 3.7
            super().log(logs, start_time)

    plan = {"experiments": ["train_once"], "properties": [LOGS], "max_examples": 100, "seed": 2}
    from trainer_props.experiments import Held

    held = Held(arguments={"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1}, models=["regression_kwargs_unaware"])
    stock = session(STOCK, held=held, **plan).result
    assert stock.known_seen.keys() == {"accumulation-inflates-loss"}
    assert not stock.violations
    assert session(Inflated, held=held, shrink_seconds=0.0, **plan).result.violations


def test_no_known_treats_known_bugs_as_new(session: Run) -> None:
    done = session(STOCK, experiments=["train_on_streams"], properties=[UPDATES], max_examples=200, known=False)
    (violation,) = done.result.violations
    assert violation.finding.known_bug in KNOWN_BUGS
    # the shortest stream with something left over: two micro-batches a window, three in a pass, and an update in the second pass
    scenario = violation.finding.case.scenario
    assert (scenario.data.n, scenario.argument("gradient_accumulation_steps"), scenario.argument("max_steps")) == (3, 2, 2)


def test_an_interrupt_keeps_what_was_found() -> None:
    seen = []

    def listener(event: events.EngineEvent) -> None:
        if isinstance(event, events.FirstSeen):
            seen.append(event)
            raise KeyboardInterrupt

    plan = Plan(experiments=["train_once"], properties=[RATES], max_examples=50)
    result = Session(subjects.wrap(TwiceBroken, "subject"), plan, listener).run()
    assert result.interrupted
    assert [violation.finding for violation in result.violations] == [seen[0].finding]


def test_events_are_told_in_order() -> None:
    told: list[str] = []
    plan = Plan(experiments=["train_once"], properties=[RATES], max_examples=10)
    Session(subjects.wrap(TwiceBroken, "subject"), plan, lambda event: told.append(type(event).__name__)).run()
    assert told[0] == "Started"
    assert told[-1] == "Finished"
    assert told.index("CaseStarted") < told.index("FirstSeen") < told.index("Shrunk")


@pytest.mark.parametrize("name", ["floor-for-ceil", "accumulation-ignored"])
def test_a_case_is_judged_once(name: str, session: Run) -> None:
    """Shrinking looks known cases up: none runs again but the one found first, to see it again, and the smallest, for its timeline."""
    ran: list[str] = []
    fault = FAULTS[name]

    def listener(event: events.EngineEvent) -> None:
        if isinstance(event, events.CaseStarted):
            ran.append(event.case.key)

    plan = Plan(experiments=["train_once"], properties=[fault.property], max_examples=400, first_failure=True)
    done = Session(subjects.wrap(fault.make(), name), plan, listener)
    (violation,) = done.run().violations
    smallest = violation.finding.case.key
    again = {key: ran.count(key) - 1 - (key == smallest) for key in ran}  # beside the timeline
    assert sorted(times for times in again.values() if times) == [2]


def test_no_directory_is_left_behind(session: Run, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    from trainer_props.running import output

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(output, "_root", None)
    session(STOCK, experiments=["train_and_save"], properties=[UPDATES], max_examples=5)
    (root,) = tmp_path.iterdir()
    assert root.name.startswith(f"{output.PREFIX}{os.getpid()}-")
    assert not list(root.iterdir())
    output.remove_own()
    assert not root.exists()
