"""Collators called by themselves: oracles on batches that are worked out by hand, what is drawn, recorded and judged."""

from __future__ import annotations

import math
import multiprocessing
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, Phase, given, seed, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import Judged, judge
from trainer_props.experiments import EXPERIMENTS, Held, Wanted, suitable
from trainer_props.experiments.collate_source import complete
from trainer_props.oracles import collation, masking
from trainer_props.oracles.collation import Call
from trainer_props.properties import PROPERTIES
from trainer_props.running import collating, prepared
from trainer_props.scripts import relations
from trainer_props.subjects import Parts, Subject
from trainer_props.zoo.vocabulary import SIZE, Vocabulary

EXPERIMENT = EXPERIMENTS["collate"]
MINE = [each for each in PROPERTIES.values() if EXPERIMENT.name in each.experiments]
STOCK = subjects.load(subjects.DEFAULT)
TWO = [{"input_ids": [5, 6, 7]}, {"input_ids": [8]}]
LM = "DataCollatorForLanguageModeling"


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> Iterator[None]:
    with prepared():
        yield


def case(collator: str, features: list[dict[str, Any]], **more: Any) -> Case:
    return Case(experiment=EXPERIMENT.name, parameters={"collate": {"collator": collator, "features": features}, **more})


def judged(each: Case, subject: Subject = STOCK) -> Judged:
    outcome = judge(each, subject, MINE)
    assert not outcome.errors
    return outcome


def violated(each: Case, subject: Subject = STOCK) -> set[str]:
    return {finding.property for finding in judged(each, subject).findings}


def call(collator: str = "DataCollatorWithPadding", samples: Any = TWO, **more: Any) -> Call:
    return Call(collator, samples, more.pop("options", {}), more.pop("told", {}), **more)


# Oracles.


@pytest.mark.parametrize(
    ("options", "more", "width"),
    [
        ({}, {}, 3),
        ({"padding": "longest", "max_length": 9}, {}, 3),
        ({"pad_to_multiple_of": 2}, {}, 4),
        ({"pad_to_multiple_of": 3}, {}, 3),
        ({"padding": "max_length", "max_length": 5}, {}, 5),
        ({"padding": "max_length", "max_length": 5, "pad_to_multiple_of": 4}, {}, 8),
        ({"padding": "max_length"}, {"model_max_length": 6}, 6),
        ({"padding": False, "pad_to_multiple_of": 2}, {}, 3),
    ],
)
def test_width(options: dict[str, Any], more: dict[str, Any], width: int) -> None:
    assert collation.width(call(options=options, **more)) == width


@pytest.mark.parametrize(("side", "rows"), [("right", [[5, 6, 7], [8, 9, 9]]), ("left", [[5, 6, 7], [9, 9, 8]])])
def test_rows(side: str, rows: list[list[int]]) -> None:
    made = collation.rows(call(padding_side=side, pad_token_id=9))
    mask = [[1, 1, 1], [1, 0, 0] if side == "right" else [0, 0, 1]]
    assert made == {"input_ids": ("torch.int64", rows), "attention_mask": ("torch.int64", mask)}


def test_waves_are_padded_with_silence() -> None:
    samples = [{"input_values": [0.5, 0.25]}, {"input_values": [1.0]}]
    assert collation.rows(call(samples=samples, padding_side="left")) == {
        "input_values": ("torch.float32", [[0.5, 0.25], [0.0, 1.0]]), "attention_mask": ("torch.int32", [[1, 1], [0, 1]]),
    }  # fmt: skip


def test_choices_are_rows_of_one_batch() -> None:
    samples = [{"input_ids": [[5], [6, 7]], "label": 1}, {"input_ids": [[8, 8, 8], [9]], "label": 0}]
    given_call = call("DataCollatorForMultipleChoice", samples)
    assert collation.rows(given_call)["input_ids"] == ("torch.int64", [[[5, 0, 0], [6, 7, 0]], [[8, 8, 8], [9, 0, 0]]])
    assert collation.labels(given_call) == {"labels": ("torch.int64", [1, 0])}


@pytest.mark.parametrize(
    ("collator", "options", "side", "expected"),
    [
        ("DataCollatorForTokenClassification", {}, "right", [[1, 2, -100], [3, -100, -100]]),
        ("DataCollatorForTokenClassification", {"label_pad_token_id": 7}, "left", [[7, 1, 2], [7, 7, 3]]),
        ("DataCollatorForSeq2Seq", {}, "right", [[1, 2], [3, -100]]),
        ("DataCollatorForSeq2Seq", {"pad_to_multiple_of": 3}, "left", [[-100, 1, 2], [-100, -100, 3]]),
        ("DataCollatorForSeq2Seq", {"padding": "max_length", "max_length": 4}, "right", [[1, 2, -100, -100], [3, -100, -100, -100]]),
    ],
)
def test_labels(collator: str, options: dict[str, Any], side: str, expected: list[list[int]]) -> None:
    samples = [{**TWO[0], "labels": [1, 2]}, {**TWO[1], "labels": [3]}]
    assert collation.labels(call(collator, samples, options=options, padding_side=side)) == {"labels": ("torch.int64", expected)}


def test_decoder_inputs() -> None:
    samples = [{**TWO[0], "labels": [4, -100, 5]}, {**TWO[1], "labels": [6]}]
    given_call = call("DataCollatorForSeq2Seq", samples, start=(1, 0))
    assert collation.decoder_inputs(given_call) == {"decoder_input_ids": ("torch.int64", [[1, 4, 0], [1, 6, 0]])}


def test_causal_labels() -> None:
    assert collation.causal_labels(call(LM, [{"input_ids": [5, 0, 6]}, {"input_ids": [7]}])) == {
        "labels": ("torch.int64", [[5, -100, 6], [7, -100, -100]])
    }
    without = call(LM, [{"input_ids": [5, 0]}], pad_token_id=None, given_as="rows")
    assert collation.causal_labels(without) == {"labels": ("torch.int64", [[5, 0]])}


def test_flattened() -> None:
    options = {"return_flash_attn_kwargs": True, "return_seq_idx": True, "position_ids_start": 2, "separator_id": 1}
    given_call = call("DataCollatorWithFlattening", options=options)
    assert collation.flattened(given_call)["labels"] == ("torch.int64", [[1, 6, 7, 1]])
    assert collation.positions(given_call) == {"position_ids": ("torch.int64", [[2, 3, 4, 2]])}
    assert collation.boundaries(given_call) == {
        "seq_idx": ("torch.int32", [[0, 0, 0, 1]]),
        **dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), ("torch.int32", [0, 3, 4])),
        **dict.fromkeys(("max_length_q", "max_length_k"), ("int", 3)),
    }


@pytest.mark.parametrize(
    ("sample", "more", "expected"),
    [
        ({"label": 1, "label_ids": [2], "name": "a", "nothing": None}, {}, {"labels": ("torch.int64", [1])}),
        ({"label": True}, {}, {"labels": ("torch.int64", [1])}),
        ({"label": None, "label_ids": [0.5]}, {}, {"labels": ("torch.float32", [[0.5]])}),
        ({"weight": 0.5}, {"told": {"return_tensors": "np"}}, {"weight": ("numpy.float64", [0.5])}),
        ({"weight": [0.5]}, {"given_as": "arrays"}, {"weight": ("torch.float64", [[0.5]])}),
    ],
)
def test_stacked(sample: dict[str, Any], more: dict[str, Any], expected: dict[str, Any]) -> None:
    assert collation.stacked(call("default_data_collator", [sample], **more)) == expected


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_bounds_of_what_is_certain(probability: float) -> None:
    assert masking.bounds(10, probability) == (10 * probability, 10 * probability)
    assert masking.bounds(0, probability) == (0, 0)


@pytest.mark.parametrize(("tosses", "probability"), [(20, 0.5), (60, 0.15), (400, 0.8), (1500, 0.01)])
def test_bounds_are_left_by_chance_as_seldom_as_is_said(tosses: int, probability: float) -> None:
    least, most = masking.bounds(tosses, probability)
    logs = math.log(probability), math.log(1 - probability)
    outside = sum(
        math.exp(math.log(math.comb(tosses, count)) + count * logs[0] + (tosses - count) * logs[1])
        for count in range(tosses + 1)
        if not least <= count <= most
    )
    assert outside <= masking.CHANCE
    tight = math.sqrt(2 * tosses * math.log(2 / masking.CHANCE))  # by the bound of Hoeffding
    assert most - least <= tight + 2


def test_words() -> None:
    offsets = [[0, 0], [0, 1], [1, 3], [4, 5], [5, 6], [6, 7]]
    assert masking.words([1, 0, 0, 0, 1, 0], offsets) == [[1, 2], [3], [5]]
    assert masking.words([0], [[0, 1]]) == [[0]]


@pytest.mark.parametrize(
    ("length", "longest", "probability", "expected"),
    [(1, 1, 0.5, (0, 1)), (2, 1, 0.5, (1, 1)), (4, 1, 1.0, (4, 4)), (4, 2, 0.5, (1, 3)), (12, 1, 1 / 6, (2, 2)), (6, 5, 1 / 6, (0, 5))],
)
def test_spans(length: int, longest: int, probability: float, expected: tuple[int, int]) -> None:
    assert masking.spans(length, longest, probability) == expected


# What is drawn.


def drawn(number: int = 700) -> list[Case]:
    cases: list[Case] = []

    @seed(0)
    @settings(max_examples=number, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENT.cases(Held()))
    def draw(each: Case) -> None:
        cases.append(each)

    draw()
    return cases


def test_nothing_new_in_the_installed_version() -> None:
    evaluated: Counter[str] = Counter()
    for each in drawn():
        outcome = judged(each)
        assert outcome.refused is None
        assert not outcome.findings, outcome.findings
        evaluated.update(outcome.holds)
    assert {each.id for each in MINE} == set(evaluated)


@settings(max_examples=400)
@given(EXPERIMENT.cases(Held()))
def test_parameters_can_be_left_out_one_by_one(each: Case) -> None:
    """So cases are made plainer: what is left has to go together."""
    for name in each.parameters:
        outcome = judged(each.replace(parameters={key: value for key, value in each.parameters.items() if key != name}))
        assert not outcome.findings, outcome.findings


def test_it_is_no_business_of_a_trainer_with_data_of_its_own() -> None:
    assert EXPERIMENT.name in suitable(list(EXPERIMENTS), Held())
    assert EXPERIMENT.name not in suitable(list(EXPERIMENTS), Held(own_data=True))


def test_special_tokens_of_the_vocabulary_are_those_of_its_tokenizer() -> None:
    for specials in ("first", "last"):
        vocabulary = Vocabulary(specials=specials, without=("sep_token",))
        tokenizer = collating.tokenizer_of(vocabulary)
        assert len(tokenizer) == SIZE == tokenizer.vocab_size + 1
        assert sorted(tokenizer.all_special_ids) == sorted(vocabulary.identities.values())
        assert tokenizer.pad_token_id == vocabulary.identities["pad_token"]
        assert set(vocabulary.ordinary).isdisjoint(tokenizer.all_special_ids)


# What is recorded.


def test_a_record_says_types_and_values() -> None:
    record = EXPERIMENT.run(case("DataCollatorWithPadding", TWO, calls=["first"]), STOCK)
    assert record.results["batches"] == [
        {"input_ids": ["torch.int64", [[5, 6, 7], [8, 0, 0]]], "attention_mask": ["torch.int64", [[1, 1, 1], [1, 0, 0]]]},
        {"input_ids": ["torch.int64", [[5, 6, 7]]], "attention_mask": ["torch.int64", [[1, 1, 1]]]},
    ]
    assert record.results["before"] == record.results["after"]


def test_an_exception_is_recorded() -> None:
    ragged = case("default_data_collator", TWO)
    record = EXPERIMENT.run(ragged, STOCK)
    assert record.failure is not None
    assert (record.failure.where, record.failure.kind) == ("collate", "ValueError")
    assert violated(ragged) == {"collators.collating_raises_nothing"}


def test_generators_are_where_they_were() -> None:
    def arrays() -> list[int]:
        state: Any = np.random.get_state()  # noqa: NPY002  the generator that collators draw from
        return list(state[1])

    states = random.getstate(), torch.get_rng_state(), arrays()
    name = multiprocessing.current_process().name
    EXPERIMENT.run(case(LM, TWO, calls=["again", "anew", "worker0"], options={"seed": 3}, seed=5), STOCK)
    assert (random.getstate(), arrays()) == (states[0], states[2])
    assert torch.equal(torch.get_rng_state(), states[1])
    assert (multiprocessing.current_process().name, torch.utils.data.get_worker_info()) == (name, None)


def test_workers_are_told_apart_as_in_a_real_loader() -> None:
    """A real worker makes of the same samples what the imitated one makes."""
    tokenizer = collating.tokenizer_of(Vocabulary())
    collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5, seed=3)
    rows = [{"input_ids": [5, 6, 7, 8] * 8}] * 2
    loader = torch.utils.data.DataLoader(rows, batch_size=1, num_workers=2, collate_fn=collator)  # type: ignore[arg-type]
    real = [batch["labels"].tolist() for batch in loader]
    options = {"mlm_probability": 0.5, "seed": 3}
    imitated = EXPERIMENT.run(case(LM, rows[:1], options=options, calls=["worker0", "worker1"]), STOCK).results["batches"]
    assert [batch["labels"][1] for batch in imitated[1:]] == real


# Subjects.


def test_a_trainer_that_takes_what_it_is_given_has_the_collators_of_transformers() -> None:
    class Mine(transformers.Trainer):
        pass

    assert collating.collator_of(subjects.wrap(Mine), LM) is transformers.DataCollatorForLanguageModeling


def test_a_derived_collator_is_looked_at_and_another_one_is_not() -> None:
    class Derived(transformers.DataCollatorWithPadding):  # type: ignore[misc]
        def __call__(self, features: Any) -> Any:
            return {**super().__call__(features), "more": 1}

    class Brings(transformers.Trainer):
        def __init__(self, *args: Any, data_collator: Any = None, **kwargs: Any) -> None:
            if type(data_collator) is transformers.DataCollatorWithPadding:
                data_collator = Derived(data_collator.tokenizer)
            elif type(data_collator) is transformers.DataCollatorForSeq2Seq:
                data_collator = str
            super().__init__(*args, data_collator=data_collator, **kwargs)

    brings = subjects.wrap(Brings)
    assert violated(case("DataCollatorWithPadding", TWO), brings) == {"collators.batches_have_the_promised_entries"}
    assert not violated(case("DataCollatorForSeq2Seq", TWO), brings)
    assert not violated(case(LM, TWO), brings)


def test_a_subject_that_makes_no_trainer_refuses() -> None:
    def make(parts: Parts, output_dir: str) -> Any:
        raise ValueError("not today")

    assert judged(case("DataCollatorWithPadding", TWO), subjects.wrap(make)).refused == "ValueError: not today"


# Scripts.


def test_scripts_do_what_is_run() -> None:
    """All steps in source give the results that the steps themselves give."""
    kept = ("batches", "after", "random", "refusal")
    wanted = Wanted(frozenset({"results"}), frozenset(kept))
    for each in drawn(150):
        body = EXPERIMENT.body(each, wanted)
        lines = [*body.imports, *body.definitions, f"from transformers import {complete(each)['collator']}", *body.lines]
        record = SimpleNamespace(results={})
        with collating._as_main_process(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile("\n".join(lines), "script.py", "exec"), {"record": record})  # noqa: S102  what a script is for
        found = EXPERIMENT.run(each, STOCK).results
        assert found["batches"] or "refusal" in found
        assert relations.plain({key: record.results[key] for key in kept if key in record.results}) == relations.plain(
            {key: found[key] for key in kept if key in record.results}
        )


def test_a_case_says_what_goes_together_in_one() -> None:
    said = complete(Case(experiment="collate", parameters={"collate": {"collator": LM, "options": {"mlm": False}}, "repeat": 2}))
    assert (said["collator"], said["options"], said["repeat"], said["calls"]) == (LM, {"mlm": False}, 2, [])
