"""A campaign goes on from what it left, whatever ended it."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from trainer_props.case import Case
from trainer_props.engine import FirstSeen, Plan, Result, Shrunk
from trainer_props.engine.board import Board, Mask, Notes, Tally
from trainer_props.engine.crew import supervise_side_by_side
from trainer_props.engine.drawing import draw
from trainer_props.engine.events import Finding, Progress, Replayed
from trainer_props.engine.hunting import ENOUGH, Hunt, crowded
from trainer_props.engine.judging import Judged
from trainer_props.engine.novelty import BITS, Bitmap, shown
from trainer_props.engine.supervisor import supervise
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.fuzzing.campaign import RICHNESS, Campaign, FixedUpstream, round_seed
from trainer_props.fuzzing.state import FORMAT, Seen, State, StateError, StateFolder, masks
from trainer_props.keeper import Keeper
from trainer_props.known_bugs import KNOWN_BUGS, candidates
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import Store
from trainer_props.scenario import Scenario
from trainer_props.subjects import wrap

STEPS = "steps.global_step_counts_updates"


class Late(Trainer):
    def set_initial_training_values(self, *args: Any) -> Any:
        *values, max_steps = super().set_initial_training_values(*args)
        return (*values, max(1, max_steps - 1))


class KilledOnce(Trainer):
    """Something else ends its process by SIGKILL, one time."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        marker = Path(os.environ["TEST_MARKER"])
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train(*args, **kwargs)


@pytest.fixture
def temporary(short_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything temporary goes here, so that what is left can be seen."""
    (short_tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(short_tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(short_tmp_path / "tmp"))
    monkeypatch.setenv("TEST_MARKER", str(short_tmp_path / "begun"))
    return short_tmp_path


def plan(**changes: Any) -> Plan:
    usual: dict[str, Any] = {"experiments": ("train_once",), "properties": ("steps.run_finishes", STEPS), "seed": 3, "shrink_seconds": 2.0}
    return Plan(**{**usual, **changes})


def started(
    folder: Path, subject: type[Trainer], seconds: float, *, until: Callable[[State], bool] = lambda state: False, **options: Any
) -> tuple[Result, list[Any], State]:
    """One start of a campaign, which Ctrl-C ends once it has come far enough: a slow machine gets there too."""
    home, events = StateFolder(folder / "state"), []  # type: ignore[var-annotated]
    far: list[bool] = []

    def hear(event: Any) -> None:
        events.append(event)
        if not far and until(state):
            far.append(True)
            signal.raise_signal(signal.SIGINT)

    keeper = Keeper(Store(folder / "examples"), wrap(subject).name, via="fuzz")
    with home.held():
        state = home.read(wrap(subject).name, 5)
        campaign = Campaign(wrap(subject), plan(), home, state, keeper, hear, **options)
        result = campaign.run(seconds, replayed=keeper.replays(plan().experiments, plan().properties))
    return result, events, state


def shrunk(state: State) -> bool:
    return any(each.shrunk for each in state.violations)


# ---- campaigns ---------------------------------------------------------------------------------------------------------------


def test_rounds_tell_and_shrink_once_and_the_next_start_goes_on(temporary: Path) -> None:
    result, events, state = started(temporary, Late, 300.0, until=lambda state: state.rounds >= 2 and shrunk(state), round_seconds=1.0)
    assert state.rounds >= 2
    (violation,) = result.violations
    assert violation.runs > 0
    assert [type(event) for event in events if isinstance(event, (FirstSeen, Shrunk))] == [FirstSeen, Shrunk]
    (seen,) = state.violations
    assert (seen.key, seen.shrunk) == (violation.first.key, True)
    assert (temporary / "examples" / seen.example).exists()
    assert state.runs == result.runs
    later, _, again = started(temporary, Late, 300.0, until=lambda now: now.rounds > state.rounds, round_seconds=1.0)
    assert [each.status for each in later.replayed] == ["FAILING"]
    assert len(later.violations) == 1
    assert again.rounds > state.rounds
    assert again.runs == state.runs + later.runs
    assert again.violations[0].first_seen == seen.first_seen
    assert multiprocessing.active_children() == []
    assert list((temporary / "tmp").iterdir()) == []


def test_a_violation_without_its_example_is_judged_again_and_forgotten_once_it_is_fixed(temporary: Path) -> None:
    started(temporary, Late, 300.0, until=shrunk, round_seconds=1.0)
    for path in (temporary / "examples").iterdir():
        path.unlink()
    state = json.loads((temporary / "state" / "state.json").read_text(encoding="utf-8"))
    name = f"{Trainer.__module__}:{Trainer.__qualname__}"
    (temporary / "state" / "state.json").write_text(json.dumps({**state, "subject": name}), encoding="utf-8")
    result, _, after = started(temporary, Trainer, 1.5)
    assert "FIXED" in {each.status for each in result.replayed}
    assert (result.violations, after.violations) == ([], [])


def test_ctrl_c_ends_a_campaign_with_its_state_written(temporary: Path) -> None:
    home = StateFolder(temporary / "state")

    def interrupt(event: Any) -> None:
        if isinstance(event, FirstSeen):
            signal.raise_signal(signal.SIGINT)

    with home.held():
        state = home.read("x", 5)
        keeper = Keeper(Store(temporary / "examples"), "x", via="fuzz")
        result = Campaign(wrap(Late), plan(), home, state, keeper, interrupt).run(300.0)
        assert result.interrupted
        assert len(result.violations) == 1
        assert [each.shrunk for each in home.read("x", 0).violations] == [False]


def test_settled_violations_are_counted_and_neither_told_nor_shrunk() -> None:
    first = supervise(wrap(Late), plan(max_examples=40, shrink_seconds=0.5))
    events: list[Any] = []
    key = first.violations[0].first.key
    second = supervise(wrap(Late), plan(max_examples=40, shrink_seconds=0.5, settled=frozenset({key})), events.append)
    assert second.violations == []
    assert second.properties[STEPS].violated == first.properties[STEPS].violated > 0
    assert not [event for event in events if isinstance(event, (FirstSeen, Shrunk))]


def test_memory_that_grows_ends_a_round_early() -> None:
    result = supervise(wrap(Trainer), plan(seconds=60.0, most_memory=-1))
    assert result.seconds < 30
    assert result.errors == []


def test_a_worker_that_is_killed_from_outside_is_no_verdict(temporary: Path) -> None:
    result = supervise_side_by_side(wrap(KilledOnce), plan(max_examples=6), jobs=1)
    assert (temporary / "begun").exists()
    assert (result.violations, result.errors) == ([], [])
    assert result.runs >= 6


# ---- the folder --------------------------------------------------------------------------------------------------------------


GOOD = {"format": FORMAT, "subject": "m:a", "seed": 1}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "not JSON"),
        ("[]", "no state of a campaign"),
        (json.dumps({**GOOD, "format": 2}), "format 2 is unknown: this version reads format 1"),
        (json.dumps({**GOOD, "rounds": -1}), "rounds"),
        (json.dumps({**GOOD, "rounds": "many"}), "rounds"),
        (json.dumps({**GOOD, "more": 1}), "more"),
        (json.dumps({**GOOD, "subject": "other:Trainer"}), "a campaign on other:Trainer, not on m:a: name another folder with --state"),
        ('{"format": 1, "format": 1}', "twice"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_damaged_or_foreign_state_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="utf-8")
    with pytest.raises(StateError, match=r"state\.json: ") as raised:
        StateFolder(tmp_path).read("m:a", 1)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_state_survives_its_file(tmp_path: Path) -> None:
    state = State(subject="m:a", seed=7, rounds=2)
    finding = Finding(STEPS, "violated", "global_step", "too small", 2, 1, "", None, case(max_grad_norm=0.5))
    state.note(Seen.of(finding.key, finding, example="x.json", shrunk=True))
    state.note(Seen.of(finding.key, finding, example="", shrunk=False))
    assert [(each.example, each.shrunk) for each in state.violations] == [("x.json", True)]
    StateFolder(tmp_path).write(state)
    assert StateFolder(tmp_path).read("m:a", 0) == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def _hold(path: Path, ready: Any, end: Any) -> None:
    with StateFolder(path).held():
        ready.set()
        end.wait(60)


def test_two_campaigns_keep_off_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer_props.fuzzing.state._PATIENCE_SECONDS", 0.2)
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready, end))
    process.start()
    assert ready.wait(30)
    with pytest.raises(StateError, match="another campaign is at work there"), StateFolder(tmp_path).held():
        pass
    process.kill()
    process.join()
    with StateFolder(tmp_path).held():
        pass


def test_a_round_forgets_what_was_taken_and_not_what_was_seen() -> None:
    board = Board()
    with board.opened() as notes:
        notes.taken["x"], notes.tallies["a"] = 1, Tally(slices=3, spent=7.0, evaluated={STEPS: 4})
    board.begin_round()
    with board.opened() as notes:
        assert notes == Notes({"a": Tally(slices=3, spent=7.0, evaluated={STEPS: 4}, before=7.0)}, {})
    assert len({round_seed(seed, number) for seed in (1, 2) for number in range(5)}) == 10


def checked(temporary: Path, told: Mapping[str, Sequence[str]]) -> tuple[Result, list[Any]]:
    """A campaign of one round, in which the examples of known bugs turn out like this: by a part of the name of a replay."""

    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        for each in plan.replayed:
            listener(Replayed(each.id, next((how for part, how in told.items() if part in each.id), "KNOWN"), None, ""))
        return Result(seed=plan.seed, replayed=[Replayed(each.id, "KNOWN", None, "") for each in plan.replayed])

    home, events = StateFolder(temporary / "state"), []  # type: ignore[var-annotated]
    name = "transformers:Trainer"
    with home.held():
        keeper = Keeper(Store(temporary / "examples"), name, via="fuzz")
        every = plan(experiments=tuple(EXPERIMENTS), properties=tuple(PROPERTIES))
        campaign = Campaign(wrap(Trainer, name), every, home, home.read(name, 5), keeper, events.append, workers=carry_out)
        result = campaign.run(5.0)
    return result, events


def test_a_known_bug_whose_example_holds_is_announced(temporary: Path) -> None:
    bugs = [bug for bug in KNOWN_BUGS.values() if any(bug in candidates(name) for name in bug.properties)]
    several, lost, *_ = [bug for bug in bugs if sum(bug.example.experiment in PROPERTIES[name].experiments for name in bug.properties) > 1]
    gone, other = [bug for bug in bugs if bug not in (several, lost)][:2]
    told = {
        f"{gone.id} ": "FIXED", f"{other.id} ": "CANNOT RUN", f"{several.id} {several.shows}": "FIXED",  # the others are KNOWN
        f"{lost.id} {lost.shows}": "CANNOT RUN", f"{lost.id} ": "FIXED",  # what had shown it is not judged any more
    }  # fmt: skip
    result, events = checked(temporary, told)
    assert result.fixed == [event.bug for event in events if isinstance(event, FixedUpstream)] == [gone.id]
    assert result.replayed == []  # no failures of earlier


def test_known_bugs_of_the_installed_version_are_not_announced(temporary: Path) -> None:
    """The real examples, of one experiment."""
    home, events = StateFolder(temporary / "state"), []  # type: ignore[var-annotated]
    name = "transformers:Trainer"
    with home.held():
        keeper = Keeper(Store(temporary / "examples"), name, via="fuzz")
        chosen = plan(properties=tuple(each for each in PROPERTIES if "train_once" in PROPERTIES[each].experiments))
        result = Campaign(wrap(Trainer, name), chosen, home, home.read(name, 5), keeper, events.append).run(1.5)
    assert result.known_seen
    assert result.fixed == []


def test_a_round_that_is_killed_leaves_its_counts(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer_props.fuzzing.campaign.WRITTEN_SECONDS", -1.0)

    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        listener(Progress(70, 900, 7.0, 0.5, "train_once"))
        assert (read().runs, read().evaluations, read().seconds, read().rounds) == (70, 900, 7.0, 0)
        return Result(seed=plan.seed)

    home = StateFolder(temporary / "state")

    def read() -> State:
        return home.read("x", 0)

    with home.held():
        keeper = Keeper(Store(temporary / "examples"), "x", via="fuzz")
        Campaign(wrap(Late), plan(), home, home.read("x", 5), keeper, workers=carry_out).run(300.0)
    assert (read().runs, read().rounds) == (0, 1)


def test_a_plan_and_what_is_told_of_it_can_be_sent_elsewhere() -> None:
    sent = plan(held=Held(arguments={"max_steps": 2}), settled=frozenset({("a", "b", "c", "d", None)}), again=[case()])
    assert pickle.loads(pickle.dumps(sent)) == sent  # noqa: S301  our own
    event = Progress(1, 2, 3.0, 0.5, "a, b", ("a", "b"))
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301  our own


# ---- novelty and known bugs --------------------------------------------------------------------------------------------------


def case(**arguments: Any) -> Case:
    return Case(scenario=Scenario(arguments=arguments))


def test_bits_are_new_once_and_known_to_later_processes(tmp_path: Path) -> None:
    bitmap = Bitmap(tmp_path / "seen.bits")
    one = list(shown(Judged(case(max_steps=3, seed=1), near=((STEPS, 0.3),))))
    assert all(0 <= bit < BITS for bit in one)
    assert bitmap.add(iter(one)) == len(set(one)) == bitmap.count()
    assert Bitmap(tmp_path / "seen.bits").add(iter(one)) == 0
    assert bitmap.add(shown(Judged(case(max_steps=4, seed=1)))) > 0
    assert bitmap.add(shown(Judged(case(max_steps=3, seed=1), near=((STEPS, 0.9),)))) == 1  # nearer than ever to what is allowed


def test_bits_are_the_same_in_every_process() -> None:
    assert sum(shown(Judged(case(max_steps=3), near=((STEPS, 0.3),)))) == 56322533


def test_half_of_a_crowded_region_is_passed_over_unless_little_else_is_left() -> None:
    bug = next(iter(KNOWN_BUGS.values()))
    tally = Tally(drawn=100, masks={bug.id: Mask(cases=60, judged=ENOUGH, shown=ENOUGH, hidden=ENOUGH)})
    assert crowded(tally) == {bug.id}
    assert crowded(Tally(drawn=100, masks={bug.id: Mask(cases=60, judged=ENOUGH, shown=ENOUGH // 2 - 1)})) == frozenset()
    assert crowded(Tally(drawn=70, masks=tally.masks)) == frozenset()
    assert crowded(Tally(drawn=100, crowded=90, masks=tally.masks)) == frozenset()
    hunt = Hunt(bug.properties, tally)
    scenario = bug.example.scenario
    inside = [bug.example.replace(scenario=scenario.replace(model=scenario.model.replace(seed=number))) for number in range(64)]
    inside = [each for each in inside if bug.region(each.scenario)]
    assert len(inside) > 32
    passed = sum(hunt.passes_over(each) for each in inside)
    assert 0.2 < passed / len(inside) < 0.8
    before = tally.masks[bug.id].cases
    hunt.note(tally)
    assert tally.masks[bug.id].cases == before + len(inside)
    assert masks(Notes({"train_once": tally}))[bug.id][1] == tally.drawn


# ---- rich draws --------------------------------------------------------------------------------------------------------------


def drawn(richness: int, number: int = 1) -> list[Case]:
    found: list[Case] = []
    draw(EXPERIMENTS["train_once"].cases(Held()), found.append, number=number, max_examples=60, richness=richness)
    return found


def test_rich_draws_have_more_features_at_once() -> None:
    plain, rich = (sum(len(each.scenario.arguments) for each in drawn(times)) for times in RICHNESS)
    assert rich > 1.3 * plain
    assert drawn(1) == drawn(1)
    assert drawn(3) == drawn(3)


def test_what_a_rich_draw_shows_shrinks_to_the_same() -> None:
    smallest = []
    for times in RICHNESS:
        result = supervise(wrap(Late), plan(max_examples=40, shrink_seconds=60.0, richness=(times,)))
        smallest.append(result.violations[0].finding.case.scenario.arguments)
    assert smallest[0] == smallest[1]
