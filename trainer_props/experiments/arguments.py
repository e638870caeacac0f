"""The experiment that builds TrainingArguments and trains nothing."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import QUIET, default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.strategies.argument_values import BAD_VALUES, FURTHER_VALUES

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "build_arguments"


def build_arguments(case: Case, subject: Subject) -> Record:
    """Build the scenario's TrainingArguments and their copies; or, given a `field` and a `value`, see whether that is refused."""
    from trainer_props.running import construction  # what is heavy is imported when something runs, not when tests are collected

    bad = bad_value(case)
    if bad is not None:
        return construction.refuse(case.scenario, subject, *bad)
    if is_plan(case):
        return construction.attempt_plan(case.scenario, subject)
    return construction.build(case.scenario, subject)


def bad_value(case: Case) -> tuple[str, Any] | None:
    """The argument that gets a bad value, and the value; None if the case has not both, and is about good ones."""
    parameters = case.parameters
    return (parameters["field"], parameters["value"]) if {"field", "value"} <= parameters.keys() else None


def asks(case: Case) -> bool:
    """Whether a bad value stands beside what makes it be read."""
    bad = bad_value(case)
    if bad is None:
        return True
    return any(
        (each.name, each.value) == bad and all(case.scenario.argument(name) == value for name, value in each.beside.items())
        for each in BAD_VALUES
    )


def is_plan(case: Case) -> bool:
    """Whether the case is about arguments that have to fit together, and may not."""
    return bool(case.parameters.get("plan"))


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Valid arguments, of training runs and further ones; arguments with one value outside its documented domain; and plans of evaluating,
    saving and loading the best model, which fit together or not.

    Parameters of a case: `field` and `value` (what is outside its domain), or `plan`.
    """
    fixed = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    further = [name for name in FURTHER_VALUES if name not in fixed]
    bad = [
        each.name for each in BAD_VALUES
        if each.name not in fixed and not any(fixed.get(name, value) != value for name, value in each.beside.items())
    ]  # fmt: skip

    # twice as often as the others together: Hypothesis seldom makes new cases of them, since there is little in them to change
    kinds = ("further", "run", *(["bad"] * 8 if bad else ()), "plan", "plan")

    @st.composite
    def arguments(draw: st.DrawFn) -> Case:
        kind = draw(st.sampled_from(kinds))
        if kind == "bad":
            chosen = draw(strategies.bad_values(names=bad))
            beside = {name: value for name, value in chosen.beside.items() if name not in fixed}
            others = [name for name in further if name != chosen.name and name not in chosen.beside]
            around = {**draw(strategies.further_arguments(names=others, max_size=2)), **fixed, **beside}
            return _case(around, {"field": chosen.name, "value": chosen.value})
        if kind == "plan":
            return _case(draw(strategies.best_model_plans(fixed=fixed)), {"plan": True})
        said = draw(strategies.scenarios(arguments=fixed, models=held.models or None)).arguments if kind == "run" else fixed
        return _case({**said, **draw(strategies.further_arguments(names=further))}, {})

    return arguments()


def _case(arguments: dict[str, Any], parameters: dict[str, Any]) -> Case:
    return Case(experiment=NAME, scenario=Scenario(arguments=arguments), parameters=parameters)


_DEFINITIONS: Final[dict[str, str]] = {
    "plain": """\
def plain(value):
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return plain(value.to_dict()) if hasattr(value, "to_dict") else repr(value)""",
    "fields": """\
def fields(made):
    names = [each.name for each in dataclasses.fields(made) if each.init and not each.name.endswith("_token")]
    return {name: plain(getattr(made, name)) for name in names}""",
    "attempt": """\
def attempt(make):
    try:
        return fields(make())
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}""",
    "built_again": """\
def built_again(made):
    again = copy.deepcopy(made)
    again.__post_init__()
    return again""",
    "parameters_of": """\
def parameters_of(kind, method):
    found = [inspect.signature(vars(each)[method]).parameters for each in kind.__mro__ if method in vars(each)]
    passes_on = [any(each.kind is each.VAR_KEYWORD for each in parameters.values()) for parameters in found]
    return {name for parameters in found[: (passes_on + [False]).index(False) + 1] for name in parameters}""",
    "set_by": """\
def set_by(target, made, setter, parameters, say_all):
    known = parameters_of(type(target), setter)
    parameters = {name: where for name, where in parameters.items() if name in known and hasattr(made, where[0])}
    values = {name: getattr(made, field) for name, (field, default) in parameters.items() if say_all or getattr(made, field) != default}
    try:
        getattr(target, setter)(**values)
        return {field: plain(getattr(target, field)) for field, _ in parameters.values()}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}""",
}
_USES: Final[dict[str, tuple[str, ...]]] = {
    "plain": ("import enum",),
    "fields": ("plain", "import dataclasses"),
    "attempt": ("fields",),
    "built_again": ("import copy",),
    "parameters_of": ("import inspect",),
    "set_by": ("plain", "parameters_of"),
}
_COPIES: Final[dict[str, tuple[str, ...]]] = {
    "to_dict": ("TrainingArguments(**made.to_dict())",),
    "to_json_string": ("TrainingArguments(**json.loads(made.to_json_string()))", "import json"),
    "parse_dict": (
        "HfArgumentParser(TrainingArguments).parse_dict(json.loads(made.to_json_string()))[0]", "import json",
        "from transformers import HfArgumentParser",
    ),
    "replace": ("dataclasses.replace(made)", "import dataclasses"),
    "pickle": ("pickle.loads(pickle.dumps(made))", "import pickle"),
}  # fmt: skip
_KEPT: Final[dict[str, tuple[str, ...]]] = {
    "replaced": (
        "attempt(lambda: dataclasses.replace(base, **copy.deepcopy(arguments)))", "attempt", "import copy", "import dataclasses",
    ),
    "rebuilt": ("attempt(lambda: built_again(made))", "attempt", "built_again"),
    "sanitized": ("plain(made.to_sanitized_dict())", "plain"),
    "given": ('{"before": before, "after": plain(arguments)}', "plain"),
    "after": ("fields(made)", "fields"),
}  # fmt: skip
_QUIET: Final = ", ".join(f"{name}={value!r}" for name, value in QUIET.items()).replace("'", '"')
_BASE: Final = f"TrainingArguments(output_dir=output_dir, {_QUIET})"


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `arguments` is a dict of the keyword arguments of TrainingArguments."""
    bad = bad_value(case)
    if bad is not None:
        return _refused(f'"bad"] = {{"field": "{bad[0]}", "value": arguments["{bad[0]}"], "error": error}}')
    if is_plan(case):
        return _refused('"plan"] = {"error": error}')
    writer = _Lines(wanted)
    writer.write()
    uses = set(writer.uses)
    while more := {each for name in uses for each in _USES.get(name, ())} - uses:
        uses |= more
    imports = ["from transformers import TrainingArguments", *sorted(name for name in uses if " " in name)]
    return Body(writer.lines, imports, [text for name, text in _DEFINITIONS.items() if name in uses], trainer=False)


def _refused(result: str) -> Body:
    lines = [
        "error = None",
        "try:",
        "    TrainingArguments(**arguments)",
        "except Exception as raised:",
        '    error = {"kinds": [each.__name__ for each in type(raised).__mro__], "message": str(raised)}',
        f"record.results[{result}",
    ]
    return Body(lines, ["from transformers import TrainingArguments"], trainer=False)


class _Lines:
    """The steps of `running.construction.build`, those alone whose results are wanted."""

    def __init__(self, wanted: Wanted) -> None:
        self.lines: list[str] = []
        self.uses: list[str] = []
        self._fields, self._words = wanted.fields, wanted.words
        results = ("copies", "replaced", "rebuilt", "told", "silent", "sanitized", "given", "after")
        self._results = [name for name in results if name in self._words] or list(results)
        if {"after", "given"} & set(self._results):  # what making copies does to them
            self._results += [name for name in ("copies", "sanitized") if name not in self._results]
        if "results" not in self._fields:
            self._results = []

    def write(self) -> None:
        if "given" in self._results:
            self._add("before = plain(arguments)", "plain")
        self._add("made = TrainingArguments(**arguments)")
        if "arguments" in self._fields:
            self._add("record.arguments = fields(made)", "fields")
        if {"replaced", "told", "silent"} & set(self._results):
            self._add(f"base = {_BASE}")
        if "copies" in self._results:
            for way in [way for way in _COPIES if way in self._words] or _COPIES:
                code, *uses = _COPIES[way]
                self._add(f'record.results.setdefault("copies", {{}})["{way}"] = attempt(lambda: {code})', "attempt", *uses)
        self._keep("replaced")
        self._keep("rebuilt")
        self._setters()
        for name in ("sanitized", "given", "after"):
            self._keep(name)

    def _setters(self) -> None:
        from trainer_props.running.construction import SETTERS

        for result in ("told", "silent"):
            for setter, parameters in SETTERS.items() if result in self._results else ():
                if setter not in self._words and self._words & SETTERS.keys():
                    continue
                pairs = ", ".join(f"{name}={where!r}".replace("'", '"').replace(" ", "~") for name, where in parameters.items())
                wrapped = textwrap.wrap(pairs, 100, break_long_words=False, break_on_hyphens=False)
                self.lines += ["parameters = dict(", *(f"    {line.replace('~', ' ')}" for line in wrapped[:-1]),
                               f"    {wrapped[-1].replace('~', ' ')},", ")"]  # fmt: skip
                made = f'set_by(copy.copy(base), made, "{setter}", parameters, say_all={result == "told"})'
                self._add(f'record.results.setdefault("{result}", {{}})["{setter}"] = {made}', "set_by", "import copy")

    def _add(self, line: str, *uses: str) -> None:
        self.lines.append(line)
        self.uses += uses

    def _keep(self, name: str) -> None:
        if name in self._results:
            code, *uses = _KEPT[name]
            self._add(f'record.results["{name}"] = {code}', *uses)


register(
    Experiment(NAME, "Build TrainingArguments, copy them, write them down and read them back; or give them what they may have to refuse.",
               "test_trainer", cases, build_arguments, share=0.6, own_data=True, body=body, trains=False, sensible=asks)
)
