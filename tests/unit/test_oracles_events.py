"""The event language: a grammar against enumeration, and the events of runs by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer_props.oracles import events
from trainer_props.oracles.course import course
from trainer_props.scenario import Components, Data, EarlyStopping, Scenario

P = "l?(i*lv)?k?"
WHOLE = re.compile(f"T(i*lv)?(E(Su*pos{P})+e{P})*lt")
# One of these completes whatever can be completed.
ENDINGS = ["", "t", "lt", "vlt", "lvlt", "elt", "velt", "lvelt", "selt", "oselt", "poselt", "Sposelt", "Tlt"]


def scenario(n: int = 6, stopping: EarlyStopping | None = None, **arguments: Any) -> Scenario:
    fixed = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2, "logging_strategy": "no"}
    return Scenario(arguments=fixed | arguments, data=Data(n=n, n_eval=3), components=Components(early_stopping=stopping))


def word(run: Scenario, values: list[float] | None = None) -> str:
    return events.letters(name for name, _ in events.expected(run, course(run, values=values)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_train_epochs": 0}, "Tlt"),
        ({"max_steps": 0, "eval_on_start": True}, "Tiilvlt"),
        ({"max_steps": 1}, "TESposelt"),
        ({"max_steps": 4}, "TESposSposSposeESposelt"),
        ({"max_steps": 3, "gradient_accumulation_steps": 2}, "TESuposSposeESuposelt"),
        ({"max_steps": 2, "logging_strategy": "steps", "logging_steps": 2}, "TESposSposlelt"),
        ({"max_steps": 1, "logging_strategy": "epoch", "eval_strategy": "epoch", "save_strategy": "epoch"}, "TESposeliilvklt"),
        ({"max_steps": 1, "logging_strategy": "steps", "logging_steps": 1, "eval_strategy": "steps", "save_strategy": "steps"},
         "TESposliilvkelt"),
        ({"max_steps": 1, "eval_strategy": "steps", "eval_steps": 1, "dataloader_drop_last": True}, "TESposilvelt"),
    ],
)
def test_the_events_of_a_run(arguments: dict[str, Any], expected: str) -> None:
    assert word(scenario(**arguments)) == expected


def test_events_carry_the_updates_done() -> None:
    run = scenario(n=3, max_steps=2, gradient_accumulation_steps=2, logging_strategy="steps", logging_steps=1)
    first = ["train_begin", "epoch_begin", "step_begin", "substep_end", "pre_optimizer_step", "optimizer_step"]
    second = ["epoch_begin", "step_begin", "substep_end", "pre_optimizer_step", "optimizer_step"]
    assert events.expected(run, course(run)) == [
        *((f"on_{name}", 0) for name in first),
        *((f"on_{name}", 1) for name in ["step_end", "log", "epoch_end", *second]),
        *((f"on_{name}", 2) for name in ["step_end", "log", "epoch_end", "log", "train_end"]),
    ]


def test_early_stopping_ends_the_epoch_and_the_run() -> None:
    run = scenario(stopping=EarlyStopping(), eval_strategy="steps", eval_steps=1, metric_for_best_model="score", save_strategy="best")
    assert word(run, [0.5, 0.4]) == "TESposiilvkSposiilvelt"


plans = st.fixed_dictionaries({
    "gradient_accumulation_steps": st.integers(1, 3), "max_steps": st.integers(0, 6), "logging_first_step": st.booleans(),
    "logging_strategy": st.sampled_from(["no", "steps", "epoch"]), "logging_steps": st.integers(1, 3),
    "eval_strategy": st.sampled_from(["no", "steps", "epoch"]), "eval_steps": st.integers(1, 3), "eval_on_start": st.booleans(),
    "save_strategy": st.sampled_from(["no", "steps", "epoch"]), "save_steps": st.integers(1, 3),
})


@given(plans, st.integers(1, 9))
def test_every_run_speaks_the_language_and_counts_right(arguments: dict[str, Any], n: int) -> None:
    spoken = word(scenario(n, **arguments))
    assert events.first_break(spoken) is None
    updates = arguments["max_steps"]
    batches, accumulation = -(-n // 2), arguments["gradient_accumulation_steps"]
    per_epoch = -(-batches // accumulation)
    assert [spoken.count(letter) for letter in "Sposo"] == [updates] * 5
    whole, rest = divmod(updates, per_epoch)
    assert spoken.count("u") == whole * batches + min(rest * accumulation, batches) - updates
    assert spoken.count("E") == spoken.count("e") == -(-updates // per_epoch)
    assert spoken.count("i") == 2 * spoken.count("v")


@given(plans, st.data())
def test_a_lost_or_added_event_of_an_update_breaks_the_language(arguments: dict[str, Any], data: st.DataObject) -> None:
    spoken = word(scenario(**arguments | {"max_steps": max(1, arguments["max_steps"])}))
    positions = [index for index, letter in enumerate(spoken) if letter in "TtEeSpos"]
    position = data.draw(st.sampled_from(positions))
    lost = spoken[:position] + spoken[position + 1 :]
    doubled = spoken[:position] + spoken[position] + spoken[position:]
    for broken in (lost, doubled):
        found = events.first_break(broken)
        assert found is not None
        assert found >= position


@given(plans, st.data())
def test_the_place_where_a_damaged_run_leaves_the_language(arguments: dict[str, Any], data: st.DataObject) -> None:
    spoken = word(scenario(**arguments))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(spoken))] * 2)))
    damaged = spoken[:start] + data.draw(st.text(alphabet=list(events.LETTERS.values()), max_size=2)) + spoken[end:]
    begun = [position for position in range(len(damaged) + 1) if any(WHOLE.fullmatch(damaged[:position] + ending) for ending in ENDINGS)]
    assert events.first_break(damaged) == (None if WHOLE.fullmatch(damaged) else max(begun))


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("TESposelt", None),
        ("TESposlklilvelt", 8),
        ("TESposlilvkelt", None),
        ("TESposel", 8),
        ("TESposelt!", 9),
        ("TEelt", 2),
        ("TESupoSposelt", 6),
        ("ESposelt", 0),
        ("TESposkilvelt", 7),
        ("", 0),
    ],
)
def test_where_the_language_is_left(text: str, position: int | None) -> None:
    assert events.first_break(text) == position


def test_letters_leave_out_what_is_no_part_of_training() -> None:
    assert events.letters(["on_init_end", "on_train_begin", "on_predict", "on_log"]) == "Tl"
