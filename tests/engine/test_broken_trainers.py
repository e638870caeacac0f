"""Ten broken Trainers: each is caught, and shrinks to a case below which nothing fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine import Session
from trainer_props.engine.judging import judge
from trainer_props.faults import FAULTS, TEN
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.scenario import Scenario

Run = Callable[..., Session]

EXPERIMENTS = ("train_and_save", "train_once", "train_with_optimizers")
_SIZES = ("per_device_train_batch_size", "gradient_accumulation_steps")


@pytest.mark.parametrize("name", TEN)
def test_it_is_caught_and_shrinks_to_a_minimum(name: str, session: Run) -> None:
    """Brute force: no smaller case fails.

    Smaller are all cases with the same arguments but fewer samples, a smaller batch or less accumulation, and those with one setting less.
    """
    fault = FAULTS[name]
    done = session(
        fault.make(),
        experiments=EXPERIMENTS,
        properties=[fault.property],
        max_examples=200,
        first_failure=True,
        shrink_seconds=30.0,
    )
    assert done.result.violations, f"{name} is not caught"
    violation = done.result.violations[0]
    assert violation.complete
    subject = subjects.wrap(fault.make(), name)
    with prepared():
        for case in smaller(violation.finding.case):
            findings = judge(case, subject, [PROPERTIES[fault.property]]).findings
            assert not any(finding.key == violation.finding.key for finding in findings), (
                f"smaller than {violation.finding.case!r}: {case!r}"
            )


def smaller(case: Case) -> Iterator[Case]:
    """Every case that is smaller in one or several sizes, and every case with one setting less."""
    scenario = case.scenario
    sizes = [int(scenario.argument(name)) if name in scenario.arguments else 1 for name in _SIZES]
    for n, batch, accumulation in itertools.product(range(1, scenario.data.n + 1), *(range(1, size + 1) for size in sizes)):
        if (n, batch, accumulation) != (scenario.data.n, *sizes):
            arguments = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
            changed = {name: value for name, value in arguments.items() if name in scenario.arguments}
            yield case.replace(scenario=scenario.with_arguments(**changed).replace(data=scenario.data.replace(n=n)))
    for name in scenario.arguments:
        # a run of default length, or of the default batch, is no smaller case
        if name not in ("num_train_epochs", "max_steps", "per_device_train_batch_size"):
            less = scenario.without_arguments(name)
            if is_possible(less):
                yield case.replace(scenario=less)


def is_possible(scenario: Scenario) -> bool:
    """Whether the arguments are still ones that TrainingArguments accepts together."""
    return not (scenario.argument("load_best_model_at_end") and scenario.argument("eval_strategy") != scenario.argument("save_strategy"))
