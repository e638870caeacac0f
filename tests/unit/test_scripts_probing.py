"""What a measure reads, its source, and the probe that fills a record with it as the recorder does."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from transformers import PrinterCallback

from trainer_props import properties, subjects  # noqa: F401  properties bring all measures
from trainer_props.case import Case
from trainer_props.experiments import EXPERIMENTS, Wanted
from trainer_props.measures import MEASURES
from trainer_props.record import Record
from trainer_props.running import prepared, recorder
from trainer_props.scenario import Components, Data, EarlyStopping, Model, Scenario
from trainer_props.scripts import probing
from trainer_props.scripts.building import source_of
from trainer_props.scripts.measuring import measuring
from trainer_props.scripts.probing import STATE, Circumstances, probe
from trainer_props.scripts.reading import TABLES, Reads, reads
from trainer_props.scripts.writing import circumstances

SUBJECT = subjects.load(subjects.DEFAULT)


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


def read(name: str) -> Reads:
    return reads(measuring([name]), [name])


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_every_measure_can_be_copied_and_followed(name: str) -> None:
    code = measuring([name])
    namespace: dict[str, Any] = {}
    exec("\n".join([*code.imports, *code.definitions]), namespace)  # noqa: S102  what is copied has to run
    assert callable(namespace[code.names[name]])
    assert not [line for line in code.imports if "trainer_props" in line]
    assert reads(code, [name]).fields


@pytest.mark.parametrize(
    ("name", "read_fields", "columns"),
    [
        ("steps.global_step", {"global_step"}, {}),
        ("steps.batches_before_updates", {"updates"}, {"updates": {"batches"}}),
        ("steps.epochs_after_updates", {"events"}, {"events": {"name", "epoch"}}),
        ("steps.ending", {"stuck", "failure"}, {"failure": {"kind", "message"}}),
        ("steps.number_of_batches", {"batches"}, {"batches": set()}),
        ("data_order.samples_of_epoch", {"batches"}, {"batches": {"samples"}}),
        ("evaluation.evaluated_samples", {"evaluations"}, {"evaluations": {"batches"}, "evaluations.batches": {"samples"}}),
    ],
)
def test_fields_and_columns_are_told_from_the_source(name: str, read_fields: set[str], columns: Mapping[str, set[str]]) -> None:
    found = read(name)
    assert found.fields == read_fields
    assert {table: set(names) for table, names in found.columns.items()} == columns


def test_keys_are_told_from_the_source() -> None:
    assert read("checkpoints.best_metric").keys["state"] == {"best_metric"}
    assert read("steps.state_entry").keys["state"] is None


def test_annotations_and_decorators_are_left_out_and_names_that_are_taken_give_way() -> None:
    code = measuring(["data_order.samples_of_epoch"], taken={"samples"})
    text = "\n\n\n".join(code.definitions)
    assert "def measured_samples(record, epoch, per_epoch):" in text
    assert "return measured_samples(record, epoch, per_epoch)" in text
    assert "batch.samples" in text
    assert "@" not in text
    assert "->" not in text
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.arg) and node.annotation is not None]


def lost(record: Record) -> int:
    rows = [record]
    return len(rows[0].events)


def test_a_record_that_gets_out_of_sight_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEASURES, f"{__name__.rpartition('.')[2]}.lost", lost)
    with pytest.raises(ValueError, match="can't be told what is read"):
        read(f"{__name__.rpartition('.')[2]}.lost")


def unknown(record: Record) -> Any:
    return record.moon  # type: ignore[attr-defined]


def test_a_field_that_no_record_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEASURES, f"{__name__.rpartition('.')[2]}.unknown", unknown)
    with pytest.raises(ValueError, match="no record has moon"):
        read(f"{__name__.rpartition('.')[2]}.unknown")


def test_events_are_those_of_the_recorder() -> None:
    assert probing.EVENTS == recorder._EVENTS


def test_nothing_is_watched_for_what_the_run_returns() -> None:
    code = probe(read("steps.global_step"), Circumstances())
    assert (code.record, code.definitions, code.watches, code.after) == ("record = SimpleNamespace(global_step=None)", (), False, ())


def test_only_what_is_read_is_recorded() -> None:
    code = probe(read("steps.batches_before_updates"), Circumstances())
    assert code.record == "record = SimpleNamespace(batches=[], updates=[])"
    assert code.definitions == (
        """\
def watch(trainer):
    def before_forward(module, args, kwargs):
        if module.training:
            record.batches.append(SimpleNamespace())

    trainer.model.register_forward_pre_hook(before_forward, with_kwargs=True)

    def after_step(optimizer, args, kwargs):
        record.updates.append(SimpleNamespace(batches=len(record.batches)))

    class Probe(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            optimizer = getattr(kwargs["optimizer"], "optimizer", kwargs["optimizer"])  # accelerate wraps it
            optimizer.register_step_post_hook(after_step)

    trainer.add_callback(Probe())""",
    )


# The fields that are left to the body of an experiment, or known before.
LEFT = {"arguments", "ended_at", "failure", "stuck", "own_data", "loss_reduction", "expected_steps", "ignored_metrics", "results"}
# States of generators tell whether a known bug explains a violation: no measure reads them, and no script needs them.
UNMEASURED = {"random"}
RECORDED = sorted({each.name for each in fields(Record)} - LEFT)
EVERYTHING = Reads(
    frozenset(RECORDED),
    {
        **{name: frozenset(each.name for each in fields(kind)) for name, kind in TABLES.items()},  # type: ignore[arg-type]
        **{name: frozenset(each.name for each in fields(TABLES["batches"])) - UNMEASURED  # type: ignore[arg-type]
           for name in ("batches", "evaluations.batches")},
    },
    {"state": None},
)
EVALUATED = {"eval_strategy": "steps", "eval_steps": 1, "max_steps": 3, "per_device_train_batch_size": 2}
SAVED = {**EVALUATED, "save_strategy": "steps", "save_steps": 1}
CASES = {
    "a line": Case(scenario=Scenario(arguments={"max_steps": 2, "logging_steps": 1, "gradient_accumulation_steps": 2}, data=Data(n=20))),
    "a stream": Case(
        experiment="train_on_streams",
        scenario=Scenario(arguments={"max_steps": 3, "per_device_train_batch_size": 1}, data=Data(kind="stream", n=2)),
    ),
    "a loss function and a score": Case(
        scenario=Scenario(
            arguments={**EVALUATED, "logging_steps": 1, "lr_scheduler_type": "cosine"}, data=Data(n=6, n_eval=3),
            components=Components(loss="compute_loss_func", scores=(1.0, 2.0)),
        )
    ),
    "checkpoints that are rotated": Case(
        experiment="train_and_save",
        scenario=Scenario(
            arguments={**SAVED, "save_total_limit": 1, "load_best_model_at_end": True, "metric_for_best_model": "score"},
            data=Data(n=6, n_eval=2), components=Components(scores=(1.0, 3.0, 2.0), early_stopping=EarlyStopping(patience=5)),
        ),
    ),
    "layers with decay": Case(
        experiment="train_with_optimizers",
        scenario=Scenario(
            arguments={"max_steps": 2, "weight_decay": 0.1, "max_grad_norm": 0.01},
            model=Model(name="regression_layers", frozen=("last.bias",)),
        ),
    ),
    "tokens, padded": Case(
        experiment="train_on_tokens",
        scenario=Scenario(
            arguments={"max_steps": 2, "per_device_train_batch_size": 2}, data=Data(kind="dynamic", n=4), model=Model(name="lstm"),
            components=Components(collator="padding"),
        ),
    ),
    "an attention mask and items": Case(
        experiment="train_hub_models",
        scenario=Scenario(
            arguments={"max_steps": 1, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 1}, data=Data(kind="tokens", n=2),
            model=Model(name="llama"),
        ),
    ),
    "poisoned": Case(
        scenario=Scenario(arguments={"max_steps": 2, "per_device_train_batch_size": 1}, components=Components(poisoned=((1, math.inf),)))
    ),
    "predictions, untrained": Case(
        experiment="evaluate_and_predict", scenario=Scenario(data=Data(n=1, n_eval=2)), parameters={"predict": 1},
    ),
    "predictions": Case(
        experiment="evaluate_and_predict", scenario=Scenario(arguments={"max_steps": 1}, data=Data(n=3, n_eval=2)),
        parameters={"predict": 3, "train": True, "several": True, "prefix": "held_out"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_probe_records_what_the_recorder_records(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    recorded = EXPERIMENTS[case.experiment].run(case, SUBJECT)
    assert recorded.finished
    written = by_probe(case, str(tmp_path))
    for field in RECORDED:
        compare(field, getattr(recorded, field), getattr(written, field))
    if case.experiment == "evaluate_and_predict":
        for key, value in recorded.results.items():
            if key in ("before", "after"):
                value.pop("hooks"), written.results[key].pop("hooks")  # each watches in its own way
            compare(key, value, written.results[key])


def by_probe(case: Case, output_dir: str) -> Any:
    """The record of the same run, made by source code alone."""
    body = EXPERIMENTS[case.experiment].body(case, Wanted(frozenset({*RECORDED, "results"})))
    source = source_of(case, SUBJECT, identify=True)
    code = probe(EVERYTHING, circumstances(case, SUBJECT, endless=True, predicts=any(".predict(" in line for line in body.lines)))
    definitions = [source.definitions, *body.definitions, code.record, *code.definitions]
    steps = [source.build, "trainer.remove_callback(PrinterCallback)", "watch(trainer)", *body.lines, *code.after]
    namespace: dict[str, Any] = {"output_dir": output_dir, "PrinterCallback": PrinterCallback}
    lines = [*source.imports, *code.imports, *body.imports, *definitions, "record.results = {}", *steps]
    exec("\n".join(lines), namespace)  # noqa: S102  what is written has to run
    return namespace["record"]


CLOCK = ("runtime", "samples_per_second", "steps_per_second", "tokens_per_second", "preparation_time")


def compare(place: str, left: Any, right: Any) -> None:
    """Both are the same, as plain data."""
    for (where, one), (again, other) in zip(leaves(place, left), leaves(place, right), strict=True):
        assert where == again
        assert type(one) is type(other), where
        assert one == other or repr(one) == repr(other), where  # NaN is no equal of its own


def leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Everything in a value with its place: rows of either side by their attributes; without what a clock says and without folders."""
    if hasattr(value, "__dataclass_fields__"):
        value = {each.name: getattr(value, each.name) for each in fields(value) if each.name not in UNMEASURED}
    elif hasattr(value, "__dict__") and not hasattr(value, "tolist"):
        value = vars(value)
    elif hasattr(value, "tolist"):
        value = [str(value.dtype), value.tolist()]
    if isinstance(value, Mapping):
        for key in sorted(value):
            if not str(key).endswith(CLOCK):
                yield from leaves(f"{place}.{key}", value[key])
    elif isinstance(value, (list, tuple)):
        yield place, len(value)
        for index, item in enumerate(value):
            yield from leaves(f"{place}[{index}]", item)
    else:
        yield place, Path(value).name if isinstance(value, str) and value.startswith("/") else value


def test_the_keys_of_the_state_are_those_of_the_recorder() -> None:
    recorded = EXPERIMENTS["train_once"].run(CASES["a line"], SUBJECT)
    assert set(STATE) == set(recorded.state)
