"""Whatever becomes of a file, it is read or skipped by name; nothing raises, and nothing is written where it should not be."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import example as explicit
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.regressions import Example, Store, adopt, damaged
from trainer_props.regressions.pending import _digest
from trainer_props.scenario import Components, Data, Scenario

SCENARIO = Scenario(
    arguments={"learning_rate": 0.1, "max_steps": 3, "lr_scheduler_kwargs": {"power": 2}, "label_names": ["labels"]},
    data=Data(n=3),
    components=Components(poisoned=((0, float("nan")),)),
)
COLLATED = {
    "collate": {"collator": "DataCollatorForSeq2Seq", "features": [{"input_ids": [5], "labels": [6, 7]}]},
    "options": {"pad_to_multiple_of": 2}, "tokenizer": {"padding_side": "left"}, "calls": ["first"],
}  # fmt: skip
BASES = tuple(
    Example.of(Finding(name, verdict, "steps", "too large", {"steps": [1, 2]}, float("nan"), "", None, case), subject="a:B", via="check")
    for name, verdict, case in (
        ("steps.run_finishes", "violated", Case(scenario=SCENARIO)),
        ("steps.run_finishes", "hung", Case(experiment="evaluate_and_predict", parameters={"predict": 3})),
        ("arguments.bad_values_are_refused", "crashed", Case(experiment="build_arguments", parameters={"field": "seed", "value": -1})),
        ("collators.labels_follow_their_rows", "violated", Case(experiment="collate", parameters=COLLATED)),
    )
)

hostile = st.one_of(
    st.sampled_from(
        [
            None, True, -1, 0, 2**31, 2**63, 10**400, 1e308, -0.0, 0.5, "NaN", "Infinity", "", "../../x", "/x/../../y", "a\0b",
            "\x1b[31m", "\u202e", "a\nb", "x" * 2000, "os:system", [], {}, [[]], {"": None}, {"format": 1}, "output_dir", "\U0001f600",
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
    ),
)  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in the data."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    result = copy.copy(data)
    result[path[0]] = changed(data[path[0]], path[1:], value)
    return result


def keys(data: Any) -> dict[Any, dict[str, Any]]:
    """Every object of the data, by its place."""
    return {path: found for path in places(data) if isinstance(found := at(data, path), dict)}


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The text of an example after one to three misfortunes."""
    data: Any = draw(st.sampled_from(BASES)).to_json()
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(("value", "key", "drop")))
        if kind == "value" or not (objects := keys(data)):
            data = changed(data, draw(st.sampled_from(list(places(data)))), draw(hostile))
        else:
            path = draw(st.sampled_from(list(objects)))
            inside = dict(objects[path])
            if inside:
                value = inside.pop(draw(st.sampled_from(list(inside))))
                if kind == "key":
                    inside[draw(st.sampled_from(("../x", "output_dir", "resume_from_checkpoint", "")) | st.text(max_size=5))] = value
            data = changed(data, path, inside)
    text = json.dumps(data, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    position, depth = draw(st.integers(0, len(text))), draw(st.sampled_from((1, 50, 900, 20_000)))
    return draw(
        st.sampled_from(
            (
                text,
                text[:position],
                text[:position] + draw(st.binary(max_size=4)) + text[position + draw(st.integers(0, 4)) :],
                b'{"property": "../../x", "property": 3, ' + text[1:],
                b'{"x":' * depth + text + b"}" * depth,
                text + text,
                *(b"", b"\0" * 50, b"\xff\xfe{", b"null", b"PK\x03\x04", b"\x80\x04.", b"- yaml: 1", b"NaN", b"1e999"),
            )
        )
    )


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@settings(max_examples=settings().max_examples * 2)
@given(mutated())
@explicit(b"[" * 100_000)
@explicit(json.dumps(BASES[0].to_json()).encode())
def test_a_mutated_file_is_read_or_skipped_by_name(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "bystander").write_text("untouched")
        store = Store(root / "a" / "b")
        good = store.add(BASES[0])
        (store.folder / "mutated.json").write_bytes(content)
        before = tree(root)
        contents = store.read()
        assert {each.path.name for each in contents.examples} | {each.path.name for each in contents.skipped} == {good.name, "mutated.json"}
        for skipped in contents.skipped:
            assert skipped.reason
            assert str(skipped).isprintable()
        assert tree(root) == before
        for stored in contents.examples:
            assert Example.from_json(serialization.loads(serialization.dumps(stored.example.to_json()))) == stored.example
            elsewhere = Store(root / "c" / stored.path.stem)
            path = elsewhere.add(stored.example)
            assert path.parent == elsewhere.folder
            assert elsewhere.read().examples[0].example == stored.example
        after = {key: value for key, value in tree(root).items() if not key.startswith("c/") and key != "c"}
        assert after == before


@settings(max_examples=settings().max_examples * 2)
@given(mutated(), st.booleans())
def test_a_mutated_note_is_adopted_or_skipped_by_name(content: bytes, signed: bool) -> None:
    """Notes hold a digest; somebody who makes one on purpose can make that too."""
    if signed:
        try:
            running = serialization.loads(content)
            content = json.dumps({"digest": _digest(serialization.dumps(running)), "running": running}).encode()
        except (ValueError, RecursionError):
            pass
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / ".running-0123456789abcdef.json"
        path.write_bytes(content)
        skipped = damaged(Path(name))
        assert len(skipped) + len(adopt(Path(name))) == bool(content)
        assert all(str(each).isprintable() for each in skipped)
        assert [each.name for each in Path(name).iterdir()] == [path.name]
