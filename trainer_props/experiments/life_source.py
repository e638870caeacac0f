"""The life of a job as source code for a standalone script, which reads like its diary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Wanted
from trainer_props.oracles import life
from trainer_props.scenario import thaw

_INTERRUPTED: Final = '''\
class Interrupted(Exception):
    """The crash of a run."""'''
_INTERRUPTION: Final = '''\
class Interruption(TrainerCallback):
    """After some more updates it saves and stops the run, or raises at the next event of a name."""

    def __init__(self, updates, event=None):
        self.updates, self.event, self.over = updates, event, False

    def on_train_begin(self, args, state, control, **kwargs):
        self.at = state.global_step + self.updates

    def on_step_end(self, args, state, control, **kwargs):
        {before}if state.global_step == self.at:
            {end}'''
_STOPS: Final = "control.should_save = control.should_training_stop = True"
_MAYBE_RAISE: Final = """

    def maybe_raise(self, event):
        if self.over and event == self.event:
            raise Interrupted(f"in {event}, {self.updates} updates after step {self.at - self.updates}")"""
_RAISING: Final = """

    def {event}(self, args, state, control, **kwargs):
        self.maybe_raise("{event}")"""
_NEWEST: Final = '''\
def newest_checkpoint(folder):
    """The checkpoint with the highest number, or None."""
    found = glob.glob(f"{folder}/checkpoint-*")
    return max(found, key=lambda path: int(path.rpartition("-")[2]), default=None)'''
_TRAINERS: Final = "trainers = []  # those that have trained"
_TWICE: Final = (
    "for hooks in (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks):",
    "    hooks.clear()  # this run adds them again",
)


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, step, updates, event)` makes one run, the rest of `main` is the diary."""
    steps = life.possible(case.scenario, [thaw(step) for step in case.parameters.get("life", ())])
    kinds = {step[0] for step in steps}
    varied = sorted({name for step in steps if step[0] == "change" for name in step[1]})
    ends_early = [step for step in steps if life.updates_of(step) is not None]
    looks = [kind for kind in life.LOOKING if kind in kinds]
    lines = ["newest = newest_checkpoint(output_dir)", *_looking(looks), *_training(steps, wanted, looks=bool(looks))]
    definitions = [_NEWEST, *([_TRAINERS] if "again" in kinds else [])]
    if ends_early:
        definitions.insert(0, _interruption(ends_early))
    if "crash" in kinds:
        definitions.insert(0, _INTERRUPTED)
    imports = ["import glob"]
    imports += ["import shutil"] if kinds & {"lose", "move"} else []
    imports += ["from safetensors.torch import load_file"] if looks else []
    imports += ["from transformers import TrainerCallback"] if ends_early else []
    return Body(
        lines,
        imports,
        definitions,
        parameters=("step", *(["updates=None"] if ends_early else []), *(["event=None"] if "crash" in kinds else [])),
        varied=varied,
        several=_diary(case, steps, varied),
    )


def _looking(looks: Sequence[str]) -> list[str]:
    """Statements of runs that evaluate or predict."""
    if not looks:
        return []
    condition = f"step in {tuple(looks)!r}".replace("'", '"') if len(looks) > 1 else f'step == "{looks[0]}"'
    lines = [f"if {condition}:", '    trainer.model.load_state_dict(load_file(f"{newest}/model.safetensors"))']
    if looks == ["evaluate"]:
        return [*lines, "    trainer.evaluate()"]
    if looks == ["predict"]:
        return [*lines, "    trainer.predict(trainer.eval_dataset)"]
    return [*lines, '    trainer.evaluate() if step == "evaluate" else trainer.predict(trainer.eval_dataset)']


def _training(steps: Sequence[life.Step], wanted: Wanted, *, looks: bool) -> list[str]:
    """Statements of runs that train."""
    kinds = {step[0] for step in steps}
    lines: list[str] = []
    if "again" in kinds:
        again = ["trainer = trainers[-1]"]
        if any(life.updates_of(step) is not None for step in steps):
            again.append("trainer.remove_callback(Interruption)")
        if "updates" in wanted.fields:
            again += ['optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)', *_TWICE]
        lines += ['if step == "again":', *(f"    {line}" for line in again), "trainers.append(trainer)"]
    if any(life.updates_of(step) is not None for step in steps):
        given = "updates, event" if "crash" in kinds else "updates"
        lines += ["if updates is not None:", f"    trainer.add_callback(Interruption({given}))"]
    train = "trainer.train(resume_from_checkpoint=newest is not None)"
    if "crash" in kinds:
        crashed = ['    record.results["crashed"] = True'] if "crashed" in wanted.words else []
        lines += ["try:", f"    {train}", "except Interrupted as error:", '    print("crashed", error)', *crashed]
    else:
        lines.append(train)
    if looks:
        lines = ["else:", *(f"    {line}" for line in lines)]
    return [*lines, *(["record.global_step = trainer.state.global_step"] if "global_step" in wanted.fields else [])]


def _interruption(steps: Sequence[life.Step]) -> str:
    """The callback that ends runs."""
    events = sorted({event for step in steps if (event := life.event_of(step)) is not None}, key=life.EVENTS.index)
    stops = any(life.event_of(step) is None for step in steps)
    ends = ["self.over = True"] if events else [_STOPS]
    if events and stops:
        ends += ["if self.event is None:", f"    {_STOPS}"]
    before = 'self.maybe_raise("on_step_end")\n        ' if "on_step_end" in events else ""
    text = _INTERRUPTION.format(before=before, end="\n            ".join(ends))
    raising = "".join(_RAISING.format(event=event) for event in events if event != "on_step_end")
    return text + (_MAYBE_RAISE if events else "") + raising


def _diary(case: Case, steps: Sequence[life.Step], varied: Sequence[str]) -> list[str]:
    """Statements that make the baseline and live the life."""
    given = ", **arguments" if varied else ""
    lines = [f"arguments = {_literal({name: case.scenario.argument(name) for name in varied})}"] if varied else []
    lines += ['job = f"{output_dir}/job"', f'runs = {{"baseline": run(f"{{output_dir}}/baseline", "finish"{given})}}']
    numbers = _numbers(case)
    for number, step in zip(numbers, steps, strict=True):
        kind = step[0]
        if kind == "lose":
            lines.append("shutil.rmtree(newest_checkpoint(job))")
        elif kind == "move":
            lines.append('job = shutil.move(job, f"{job}-moved")')
        elif kind == "change":
            lines.append(f"arguments |= {_literal(step[1])}")
        else:
            asked = ", ".join(_literal(each) for each in ([*step, life.event_of(step)] if step == ["crash", *step[1:2]] else step))
            lines.append(f'runs["{number} {kind}"] = run(job, {asked}{given})')
    return lines


def _numbers(case: Case) -> list[int]:
    """Which steps of the life are possible, counted from 1."""
    job, found = life.Job(case.scenario), []
    for number, step in enumerate(case.parameters.get("life", ()), start=1):
        if job.can(step):
            job = job.after(thaw(step))
            found.append(number)
    return found


def _literal(value: Any) -> str:
    text = repr(thaw(value))
    return text.replace("'", '"') if '"' not in text else text
