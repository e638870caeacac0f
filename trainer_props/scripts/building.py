"""The source text that builds the trainer of a case by hand: nothing of ours is needed to run it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trainer_props import compat
from trainer_props.arguments import QUIET
from trainer_props.case import Case
from trainer_props.experiments.arguments import NAME as BUILD_ARGUMENTS
from trainer_props.experiments.arguments import bad_value
from trainer_props.experiments.collate import NAME as COLLATE
from trainer_props.experiments.collate_source import complete
from trainer_props.experiments.generate import NAME as GENERATE
from trainer_props.experiments.generate import config, settings
from trainer_props.experiments.model_init import NAME as MODEL_INIT
from trainer_props.scenario import Scenario
from trainer_props.scripts import components, data, layout
from trainer_props.scripts.copying import Copy, merged
from trainer_props.scripts.models import ModelSource, model_source
from trainer_props.scripts.naming import Name, name_of
from trainer_props.subjects import Parts, Subject, generating


@dataclass(frozen=True)
class Source:
    """The source of a case.

    Attributes:
        imports: whole import lines.
        definitions: code for the top of a module: `train_dataset`, `eval_dataset` and `test_dataset` as far as the case has them, classes
            and functions, and `samples(inputs, split)` if it was asked for.
        build: lines that define `trainer`, given the variable `output_dir`. For the experiment that builds arguments: those that define
            `args`, and nothing else; for that of collators: what gives the class of one its usual name.
        arguments: the call of TrainingArguments; it stands in `build` unless a factory makes it. Empty where there are none.
    """

    imports: tuple[str, ...]
    definitions: str
    build: str
    arguments: str


VARIED: Final = "arguments"
"""The variable that holds, as a dict, the arguments in which several runs differ."""


def source_of(case: Case, subject: Subject, *, identify: bool, varied: Collection[str] = ()) -> Source:
    """The source that does by hand what a run of the case does before `train()`.

    Args:
        case: what is built. There are rows for prediction if its parameters ask for some (`predict`).
        subject: the trainer under test.
        identify: define `samples(inputs, split)`, which gives the positions, in the data set of that split, of the rows that reached
            forward, or None.
        varied: arguments of TrainingArguments that are not written out, but taken from the variable `VARIED`.

    Raises:
        compat.Unsupported: the installed transformers lacks an argument.
        zoo.UnknownName, ValueError: the scenario is impossible.
    """
    if case.experiment == BUILD_ARGUMENTS:
        return _only_arguments(case, subject)
    if case.experiment == COLLATE:
        return _only_collator(case, subject)
    if case.experiment == GENERATE:
        subject = generating(subject)
    name, parts = name_of(subject.name), components.parts(case.scenario.components)
    given = _Given(case.scenario, varied, _generation(case) if subject.generates else None)
    if subject.own_data:
        return _by_plain_factory(given, name, [part for part in parts if not part.keyword], identify=identify)
    return _by_parts(case, given, name, parts, identify=identify)


def _only_arguments(case: Case, subject: Subject) -> Source:
    from trainer_props.running import construction  # it imports transformers

    kind = construction.arguments_class(subject)
    name = name_of(f"{kind.__module__}:{kind.__qualname__}" if isinstance(kind, type) else "transformers:TrainingArguments")
    scenario, bad = case.scenario, bad_value(case)
    if bad is not None:
        scenario = scenario.with_arguments(**{bad[0]: bad[1]})
    arguments = _Given(scenario).call(name.expression, always=bad[0] if bad is not None else None)
    return Source((name.line,), "", f"args = {arguments}", arguments)


def _only_collator(case: Case, subject: Subject) -> Source:
    """The class of the collator, under its name in transformers."""
    from trainer_props.running import collating  # it imports transformers

    usual = complete(case)["collator"]
    kind = collating.collator_of(subject, usual)
    name = name_of(f"{kind.__module__}:{kind.__qualname__}" if callable(kind) else f"transformers:{usual}")
    return Source((name.line,), "", f"{usual} = {name.expression}" if name.expression != usual else "", "")


def _by_plain_factory(given: _Given, name: Name, joining: list[components.Part], *, identify: bool) -> Source:
    positional = ["output_dir", str(given.scenario.data.n)]
    definitions = [_ONE_THREAD, *(part.source.definitions for part in joining), data.NO_SAMPLES if identify else ""]
    build = [f"trainer = {layout.call(name.expression, [*positional, *given.keywords()])}", *(part.value for part in joining)]
    imports = [name.line, "import torch", *(line for part in joining for line in part.source.imports)]
    return Source(merged(imports), layout.paragraphs(definitions), "\n".join(build), given.call("TrainingArguments"))


def _by_parts(case: Case, given: _Given, name: Name, parts: list[components.Part], *, identify: bool) -> Source:
    scenario, arguments = case.scenario, given.call(given.kind)
    lengths = {"train": scenario.data.n}
    if scenario.data.n_eval:
        lengths["eval"] = scenario.data.n_eval
    if case.parameters.keys() & {"predict", "predict_at"}:
        lengths["test"] = int(case.parameters.get("predict", 1))
    rows = data.datasets(scenario.data, scenario.model, lengths)
    model = model_source(scenario.model, scenario.data)
    sources = [model.source, *(part.source for part in parts), rows]
    if identify:
        sources.append(Copy((), data.samples(scenario.data, scenario.model, lengths)))

    handed = {"train_dataset": "train_dataset", "eval_dataset": "eval_dataset" if "eval" in lengths else "None"}
    handed |= {part.keyword: part.value for part in parts if part.keyword}
    by_init = case.experiment == MODEL_INIT  # `by_init` is a parameter of the run
    if by_init:
        takes = "trial" if case.parameters.get("model_init") == "trial" else ""
        sources.append(Copy((), layout.block(f"def model_init({takes}):", [*_undrawn(model), "return model"])))
        made_by_hand = f"model_init({'None' if takes else ''})"
        seeded = f"torch.manual_seed({scenario.argument('seed')})"
    if name.is_class:
        if name.is_stock and "eval" not in lengths:
            del handed["eval_dataset"]  # None where it is not given; who knows what a subclass makes of that
        keywords = [f"{keyword}={value}" for keyword, value in {"model": "model", "args": "args", **handed}.items()]
        made = list(model.lines)
        if by_init:
            made = [seeded]
            keywords[0] = f'**({{"model_init": model_init}} if by_init else {{"model": {made_by_hand}}})'
        build = [*made, f"args = {arguments}", f"trainer = {layout.call(name.expression, keywords)}"]
    else:
        model_lines = [seeded, f"model = {made_by_hand}"] if by_init else model.lines
        sources.append(Copy(("from types import SimpleNamespace",), _parts_class(given, model_lines, handed, by_init=by_init)))
        build = [f"trainer = {name.expression}(Parts({'**' + VARIED if given.varied else ''}), output_dir)"]
        if by_init:
            by_hand = ["parts = Parts()", "parts.model_init = model_init if by_init else None"]
            build = [*by_hand, f"trainer = {name.expression}(parts, output_dir)"]
    build += [part.value for part in parts if not part.keyword]
    needed = [line for each in sources for line in each.imports]
    return Source(
        merged([name.line, "import torch", f"from transformers import {', '.join(given.names)}", *needed]),
        layout.paragraphs([_ONE_THREAD, *(each.definitions for each in sources)]),
        "\n".join(build),
        arguments,
    )


_ONE_THREAD: Final = "torch.set_num_threads(1)"


def _undrawn(model: ModelSource) -> list[str]:
    """What defines `model`, with weights that follow from what seed was set before."""
    return [line for line in model.lines if not line.startswith("torch.manual_seed(")]


@dataclass(frozen=True)
class _Given:
    """What a run gives to TrainingArguments beside the output directory.

    Attributes:
        scenario: whose arguments they are.
        varied: names of those that the variable `VARIED` holds.
        generation: what Seq2SeqTrainingArguments are given besides, as source; None: TrainingArguments will do.
    """

    scenario: Scenario
    varied: Collection[str] = ()
    generation: Sequence[str] | None = None

    @property
    def kind(self) -> str:
        """The class that takes them."""
        return "TrainingArguments" if self.generation is None else "Seq2SeqTrainingArguments"

    @property
    def names(self) -> list[str]:
        """What they need of transformers."""
        return [self.kind, *(["GenerationConfig"] if any("GenerationConfig" in each for each in self.generation or ()) else [])]

    def call(self, kind: str, always: str | None = None) -> str:
        """A call of the class of TrainingArguments. Defaults are left out, but for the argument that is `always` there."""
        signature = compat.installed_signature()
        said = {
            name: value
            for name, value in self._kwargs().items()
            if name == always or name not in signature or repr(value) != repr(signature[name].default)
        }
        usual = {name: value for name, value in said.items() if name in QUIET and name not in self.scenario.arguments}
        own = {name: value for name, value in said.items() if name not in usual}
        quiet = [", ".join(layout.keywords(usual))] if usual else []
        return layout.call(kind, ["output_dir=output_dir", *layout.keywords(own), *quiet, *self._rest()])

    def keywords(self) -> list[str]:
        """All of them, also defaults, as keyword arguments."""
        return [*layout.keywords(self._kwargs()), *self._rest()]

    def _kwargs(self) -> dict[str, Any]:
        kwargs = Parts(self.scenario).training_arguments_kwargs("")
        return {name: value for name, value in kwargs.items() if name != "output_dir" and name not in self.varied}

    def _rest(self) -> list[str]:
        return [*(self.generation or ()), *([f"**{VARIED}"] if self.varied else [])]


def _generation(case: Case) -> list[str]:
    """The arguments by which a case generates, as source."""
    if case.experiment != GENERATE:
        return []
    given = config(case)
    made = [f"generation_config={layout.call('GenerationConfig', layout.keywords(given))}"] if given is not None else []
    return [*layout.keywords(settings(case)), *made]


def _parts_class(given: _Given, model: Sequence[str], handed: Mapping[str, str], *, by_init: bool = False) -> str:
    """The class that stands in for `Parts`, with all that is promised to factories."""
    scenario = given.scenario
    described = {
        name: layout.call("SimpleNamespace", layout.keywords({field: getattr(value, field) for field in value.__struct_fields__}))
        for name, value in (("data", scenario.data), ("model", scenario.model))
    }
    fixed = {name: value for name, value in scenario.arguments.items() if name not in given.varied}
    arguments = f"{{**{layout.value(fixed)}, **{VARIED}}}" if given.varied else layout.value(fixed)
    namespace = [f"arguments={arguments}", *(f"{name}={value}" for name, value in described.items())]
    by_model = ["model=self.model()"]
    if by_init:
        by_model = ['**({"model": self.model()} if self.model_init is None else {"model_init": self.model_init})']
    given_as = [f"{name}={value}" for name, value in {"args": "self.training_arguments(output_dir)", **handed}.items()]
    methods = {
        "training_arguments_kwargs(self, output_dir)": [
            *([f"{VARIED} = self.varied"] if given.varied else []),
            f"return {layout.call('dict', ['output_dir=output_dir', *given.keywords()])}",
        ],
        "training_arguments(self, output_dir)": ["return TrainingArguments(**self.training_arguments_kwargs(output_dir))"],
        "model(self)": [*model, "return model"],
        "train_dataset(self)": ["return train_dataset"],
        "eval_dataset(self)": [f"return {handed['eval_dataset']}"],
        "trainer_kwargs(self, output_dir)": [f"return {layout.call('dict', [*by_model, *given_as])}"],
    }
    functions = [layout.block(f"def {head}:", lines) for head, lines in methods.items()]
    described_as = f"scenario = {layout.call('SimpleNamespace', namespace)}"
    if given.varied:
        described_as = layout.block(f"def __init__(self, **{VARIED}):", [f"self.varied = {VARIED}", f"self.{described_as}"])
    body = ['"""What the factory is given."""', described_as, *functions]
    return layout.block("class Parts:", ["\n\n".join(body)])
