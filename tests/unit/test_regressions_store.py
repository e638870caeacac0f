"""The folder of regression examples: many may write, any may die, anything may lie in it."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import re
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.regressions import Example, InvalidExample, NoSuchExample, Store, read_example
from trainer_props.regressions.reading import LARGEST
from trainer_props.scenario import Data, Scenario

STEPS, FINISHES = "steps.global_step_counts_updates", "steps.run_finishes"


def example(
    n: int = 3, *, property: str = STEPS, symptom: str = "too large", subject: str = "transformers:Trainer", **changes: Any
) -> Example:
    finding = Finding(property, "violated", "global_step", symptom, 1, 2, "", None, Case(scenario=Scenario(data=Data(n=n))))
    return Example.of(replace(finding, **changes), subject=subject, via="check")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "project" / ".hypothesis" / "regressions")


def files(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def test_what_is_added_is_read(store: Store) -> None:
    assert store.read().examples == ()
    one, two = example(), example(property=FINISHES)
    assert store.add(two) == store.folder / f"{two.id}.json"
    store.add(one)
    assert [each.example for each in store.read().examples] == [one, two]
    assert store.read().skipped == ()
    assert files(store) == [f"{one.id}.json", f"{two.id}.json"]


def test_the_text_is_for_people_and_for_diffs(store: Store) -> None:
    text = store.add(example()).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert text.splitlines()[:3] == ["{", '  "case": {', '    "experiment": "train_once",']
    assert json.loads(text)["expected"] == 1


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (example(9), example(3), 1), (example(3), example(9), 0),
        (example(3), example(3, observed=7), 1), (example(3), replace(example(3), found="2031-01-01", via="pytest", versions={}), 0),
    ],
)  # fmt: skip
def test_one_of_an_id_is_kept(store: Store, first: Example, second: Example, kept: int) -> None:
    """The smaller; of the same case the later findings, unless only the day is another."""
    assert store.add(first) == store.add(second)
    assert [each.example for each in store.read().examples] == [(first, second)[kept]]


def test_what_is_no_smaller_leaves_the_file_alone(store: Store) -> None:
    path = store.add(example(3))
    path.write_text(path.read_text() + "\n")
    before = path.read_bytes()
    store.add(example(5))
    store.add(example(3))
    assert path.read_bytes() == before


def test_another_subject_has_an_example_of_its_own(store: Store) -> None:
    first, second = store.add(example(9)), store.add(example(3, subject="my.package:Trainer"))
    assert first != second
    assert second.stem == f"{first.stem}-2"
    assert store.add(example(2, subject="my.package:Trainer")) == second
    assert [each.example.case.scenario.data.n for each in store.read().examples] == [2, 9]


def test_nothing_takes_the_place_of_a_guard(store: Store) -> None:
    first = store.add(example(9))
    second = store.add(example(3), guards={first})
    assert first != second
    assert store.add(example(2), guards={first}) == second
    assert [each.example.case.scenario.data.n for each in store.read().examples] == [2, 9]


@pytest.mark.parametrize("content", [b"", b'{"format": 2}', b"\xff", b"[]", b"mine"])
def test_a_file_that_is_not_read_keeps_its_name(store: Store, content: bytes) -> None:
    taken = store.add(example())
    taken.write_bytes(content)
    path = store.add(example())
    assert path.name == f"{example().id}-2.json"
    assert taken.read_bytes() == content
    assert store.add(example(1)) == path
    assert [each.path for each in store.read().skipped] == [taken]


def test_what_could_not_be_read_back_is_not_written(store: Store) -> None:
    with pytest.raises(InvalidExample, match="no property"):
        store.add(replace(example(), property="../../x"))
    with pytest.raises(InvalidExample, match=r"data\.n is -1"):
        store.add(example(-1))
    assert not store.folder.exists()


def test_a_folder_that_can_not_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        Store(tmp_path / "file" / "regressions").add(example())
    contents = Store(tmp_path / "file").read()
    assert [str(each) for each in contents.skipped] == [f"{tmp_path / 'file'}: Not a directory"]


# ---- what else may lie there -------------------------------------------------------------------------------------------------


def fill(folder: Path, elsewhere: Path) -> dict[str, str]:
    """Put what is no example there; returns what is said of each."""
    good = example().to_json()
    (folder / "directory.json").mkdir()
    (folder / "link.json").symlink_to(elsewhere)
    (folder / "dangling.json").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.json")
    with socket.socket(socket.AF_UNIX) as listening:
        # the path of a socket holds about a hundred characters
        before = Path.cwd()
        os.chdir(folder)
        listening.bind("socket.json")
        os.chdir(before)
    texts = {
        "empty.json": (b"", "not JSON"),
        "cut.json": (json.dumps(good).encode()[:200], "not JSON"),
        "latin.json": ('{"property": "é"}'.encode("latin-1"), "not JSON"),
        "future.json": (json.dumps({**good, "format": 2}).encode(), "format 2 is unknown"),
        "foreign.json": (b'{"name": "a package", "version": "1.0"}', "format None is unknown"),
        "nan.json": (b'{"format": 1, "expected": NaN}', "NaN is not JSON"),
        "digits.json": (b'{"format": 1, "expected": ' + b"9" * 5000 + b"}", "not JSON"),
        "large.json": (b" " * (LARGEST + 1), "more than 1000000 bytes"),
        "deep.json": (b"[" * 100_000, "not JSON"),
        "path.json": (json.dumps({**good, "property": "../../x"}).encode(), "no property '../../x'"),
    }
    for name, (content, _) in texts.items():
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("not asked for")
    (folder / ".hidden.json").write_text("not asked for")
    (folder / "inner").mkdir()
    (folder / "inner" / "below.json").write_text("not asked for")
    said = {name: reason for name, (_, reason) in texts.items()}
    return {
        "directory.json": "no regular file", "link.json": "it is a link", "dangling.json": "it is a link", "pipe.json": "no regular file",
        "socket.json": "", **said,
    }  # fmt: skip


def test_anything_else_is_skipped_by_name_and_left_alone(store: Store, tmp_path: Path) -> None:
    kept = store.add(example())
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes(kept.read_bytes())
    expected = fill(store.folder, elsewhere)
    before = files(store)
    contents = store.read()
    assert [each.path for each in contents.examples] == [kept]
    assert [each.path.name for each in contents.skipped] == sorted(expected)
    for each in contents.skipped:
        assert expected[each.path.name] in each.reason
        assert str(each) == f"{each.path}: {each.reason}"
        assert "\n" not in str(each)
    assert files(store) == before


def test_a_name_that_is_no_text_can_be_told(store: Store) -> None:
    store.add(example())
    try:
        (store.folder / os.fsdecode(b"\xff\n.json")).write_text("")
    except OSError:
        pytest.skip("the file system has texts as names")
    told = str(store.read().skipped[0])
    assert told.encode()
    assert "\n" not in told


def test_a_file_that_may_not_be_read(store: Store) -> None:
    path = store.add(example())
    path.chmod(0)
    contents = store.read()
    if contents.examples:
        pytest.skip("this user may read everything")
    assert [each.reason for each in contents.skipped] == ["Permission denied"]


# ---- finding -----------------------------------------------------------------------------------------------------------------


def test_an_example_is_found_by_its_names(store: Store, tmp_path: Path) -> None:
    one, two = example(), example(symptom="too small")
    path = store.add(one)
    store.add(two)
    for text in (one.id, f"{one.id}.json", one.id[:-3], str(path)):
        assert store.find(text).example == one
    copy = tmp_path / "copy.json"
    copy.write_bytes(path.read_bytes())
    assert store.find(str(copy)).path == copy


def test_an_id_is_found_beside_its_double(store: Store) -> None:
    path, other = store.add(example()), store.add(example(subject="my.package:Trainer"))
    assert store.find(example().id).path == path
    assert store.find(other.stem).path == other


@pytest.mark.parametrize("text", ["steps.", "steps.global_step_counts_updates--"])
def test_a_beginning_of_several_is_refused(store: Store, text: str) -> None:
    names = sorted(store.add(each).stem for each in (example(), example(symptom="too small")))
    with pytest.raises(NoSuchExample, match=re.escape(f"'{text}' could be {', '.join(names)}")):
        store.find(text)


def test_what_there_is_not_is_refused(store: Store) -> None:
    store.add(example())
    with pytest.raises(NoSuchExample, match=r"there is no example 'steps\.global_step_count_updates--1'.*: did you mean 'steps\.glo"):
        store.find("steps.global_step_count_updates--1")
    for text in ("", "x" * 5000, "x" * 5000 + ".json", "a\0b.json"):
        with pytest.raises(NoSuchExample):
            store.find(text)
    with pytest.raises(InvalidExample, match="No such file"):
        store.find("elsewhere/x.json")
    with pytest.raises(InvalidExample, match="no regular file"):
        read_example(store.folder)


# ---- many writers ------------------------------------------------------------------------------------------------------------

def write(store: Store, name: str, gate: Any) -> None:
    """A writer: one example that all of them have, ever smaller, and five of its own; the doomed one writes until it is killed."""
    gate.wait()
    for n in itertools.cycle(range(40, 0, -1)) if name == "doomed" else range(40, 0, -1):
        store.add(example(n))
        store.add(example(n, symptom=f"of {name}, {n % 5}"))


def test_writers_at_once_lose_nothing_and_a_kill_tears_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer_props.regressions.store._PATIENCE_SECONDS", 60.0)
    context = multiprocessing.get_context("fork")  # they start at once, with all that is imported
    gate = context.Barrier(4)
    writers = [context.Process(target=write, args=(store, name, gate)) for name in ("one", "two", "doomed")]
    for each in writers:
        each.start()
    gate.wait()
    time.sleep(0.15)
    writers[2].kill()
    for each in writers:
        each.join(200)
    assert [each.exitcode for each in writers] == [0, 0, -signal.SIGKILL]
    contents = store.read()
    assert contents.skipped == ()
    found = [each.example for each in contents.examples if "doomed" not in each.example.symptom]
    assert {each.symptom for each in found} == {"too large", *(f"of {name}, {n}" for name in ("one", "two") for n in range(5))}
    assert len(found) == 11
    assert {each.case.scenario.data.n for each in found} == {1, 2, 3, 4, 5}
    store.add(example())
    assert not [name for name in files(store) if name.startswith(".")]


def test_what_a_killed_writer_left_behind_goes_at_the_next_add(store: Store) -> None:
    store.add(example())
    left, foreign = store.folder / ".adding-0123456789abcdef.tmp", store.folder / ".adding-mine.tmp"
    left.write_text('{"format": 1')
    foreign.write_text("")
    assert len(store.read().examples) == 1
    assert store.read().skipped == ()
    store.add(example())
    assert not left.exists()
    assert foreign.exists()


def test_without_locks_only_what_is_old_is_removed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files can't be locked, a writer may live beside us: age decides."""

    def refuse(handle: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    path = store.add(example())
    fresh, old = store.folder / ".adding-0000000000000000.tmp", store.folder / ".adding-1111111111111111.tmp"
    for each in (fresh, old):
        each.write_text("")
    os.utime(old, (0, 0))
    assert store.add(example(1)) == path
    assert fresh.exists()
    assert not old.exists()
    assert store.read().examples[0].example == example(1)


def test_a_write_that_fails_leaves_what_was_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.add(example(9))
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(example(3))
    assert path.read_bytes() == before
    assert files(store) == [path.name]
