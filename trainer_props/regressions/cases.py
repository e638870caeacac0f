"""Cases from files: what a case must satisfy before it may run. A file may be damaged, or written by somebody who means harm."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from trainer_props import serialization, zoo
from trainer_props.arguments import DEFAULTS, DRAWN, FIELDS, QUIET, nearest
from trainer_props.arguments_file import MOST
from trainer_props.case import Case
from trainer_props.experiments import EXPERIMENTS, pairs
from trainer_props.experiments.collate import NAME as COLLATE
from trainer_props.experiments.collate_source import DEFAULTS as DEFAULTS_OF_COLLATING
from trainer_props.scenario import Scenario, most_devices, thaw
from trainer_props.strategies.argument_values import BAD_VALUES, FURTHER_VALUES
from trainer_props.zoo.collators import COLLATORS
from trainer_props.zoo.content import NUMBERS
from trainer_props.zoo.vocabulary import Vocabulary

MOST_SAMPLES: Final = 10_000_000
MOST_NUMBERED: Final = 2**32 // 3
"""Where rows are made when they are fetched, their order is not written down, and a rank of many sees few of them."""
DEEPEST: Final = 40
LONGEST_NUMBER: Final = 2**63
"""Whole numbers of this size and beyond are absurd: nothing here counts so far, and torch has no type for them."""

MOST_COLLATED: Final = 4_096
"""Tokens of a row, copies of samples, seeds."""

_WORD: Final = re.compile(r"(?!\.)[A-Za-z0-9_.\-]*", re.ASCII)
"""What a text of the parameters may be: the name of an event, a flag, a file. Such names stand in scripts."""

_TRAINS_NOTHING: Final = "build_arguments"
_NUMBERS: Final = (bool, int, float, type(None))


def read_case(data: Any) -> Case:
    """A case from data that came out of a file, checked so far that running it reads and writes nothing but what every run does.

    Raises:
        serialization.InvalidData: it is no case, names something that does not exist here, has numbers of absurd size, or sets an
            argument by which a file could reach other files, accounts or networks.
    """
    check_plain(data)
    case = Case.from_json(data)
    if case.experiment not in EXPERIMENTS:
        raise serialization.InvalidData(f"there is no experiment {case.experiment!r}{nearest(case.experiment, list(EXPERIMENTS))}")
    _check_parts(case.scenario, EXPERIMENTS[case.experiment].devices)
    builds = case.experiment == _TRAINS_NOTHING
    for name, value in case.scenario.arguments.items():
        _check_argument(name, thaw(value), {name: FURTHER_VALUES.get(name, ())} if builds else {})
    if builds and "field" in case.parameters:
        name, value = case.parameters["field"], thaw(case.parameters.get("value"))
        if not isinstance(name, str):
            raise serialization.InvalidData(f"parameters: field {name!r} is no name")
        _check_argument(name, value, {each.name: (*FURTHER_VALUES.get(name, ()), *_bad_values(name)) for each in BAD_VALUES}, bounded=False)
    elif not builds:
        _check_changes(case.parameters)
        _check_parameters(case.parameters)
    if case.experiment == COLLATE:
        _check_collating(case.parameters)
    return case


def check_plain(data: Any, depth: int = 0) -> None:
    """Refuse what strict JSON lets through and no file of ours holds.

    Raises:
        serialization.InvalidData: nested too deeply, a number of absurd size, or half a character.
    """
    if depth > DEEPEST:
        raise serialization.InvalidData("nested too deeply")
    if isinstance(data, dict):
        for key, value in data.items():
            _check_scalar(key)
            check_plain(value, depth + 1)
    elif isinstance(data, (list, tuple)):
        for value in data:
            check_plain(value, depth + 1)
    else:
        _check_scalar(data)


def _check_scalar(data: Any) -> None:
    if isinstance(data, str):
        if not data.isascii() and any("\ud800" <= character <= "\udfff" for character in data):
            raise serialization.InvalidData("a text has half a character (a lone surrogate)")
    elif isinstance(data, float):
        # what JSON spells as a number can only be infinite by overflow: real infinities are texts
        if math.isinf(data):
            raise serialization.InvalidData("a number is too large for a double")
    elif isinstance(data, int) and abs(data) >= LONGEST_NUMBER:
        raise serialization.InvalidData("a whole number has 64 bits or more")


def _check_parts(scenario: Scenario, kinds: tuple[str, ...]) -> None:
    data, model, devices, components = scenario.data, scenario.model, scenario.devices, scenario.components
    try:
        zoo.kinds.check(model, data)
    except (zoo.UnknownName, ValueError) as error:
        raise serialization.InvalidData(str(error)) from None
    for name, number, most in (
        ("data.n", data.n, MOST_NUMBERED if _is_never_listed(scenario) else MOST_SAMPLES),
        ("data.n_eval", data.n_eval, MOST_SAMPLES), ("data.seed", data.seed, 2**32 - 1),
        ("data.length", data.length, MOST_SAMPLES), ("model.seed", model.seed, 2**32 - 1),
    ):
        if not 0 <= number <= most:
            raise serialization.InvalidData(f"{name} is {number}: at least 0 and at most {most} is possible")
    for name, value, values in (
        ("model.dtype", model.dtype, ("float64", "float32")), ("devices.kind", devices.kind, kinds),
        ("components.collator", components.collator, ("default", "padding", "noise")),
        ("components.loss", components.loss, ("model", "compute_loss_func")),
    ):
        if value not in values:
            raise serialization.InvalidData(f"{name} is {value!r}: this version knows {', '.join(values)}")
    if components.collator == "noise" and zoo.MODELS[model.name].family not in NUMBERS:
        raise serialization.InvalidData(f"components.collator is 'noise': model {model.name!r} has labels that are no numbers")
    most = most_devices(devices.kind)
    if not 1 <= devices.count <= most:
        raise serialization.InvalidData(f"devices.count is {devices.count}: of kind {devices.kind!r} there can be 1 to {most}")


def _is_never_listed(scenario: Scenario) -> bool:
    lazy = zoo.DATASETS[scenario.data.kind].lazy and scenario.argument("train_sampling_strategy") == "sequential"
    return bool(lazy and scenario.devices.kind == "fake")


def _check_argument(name: str, value: Any, further: Mapping[str, tuple[Any, ...]], *, bounded: bool = True) -> None:
    if name not in FIELDS:
        raise serialization.InvalidData(f"TrainingArguments has no field {name!r}{nearest(name)}")
    most = MOST.get(name)
    if bounded and most is not None and isinstance(value, (int, float)) and value > most:
        raise serialization.InvalidData(f"{name} is {value}: at most {most} is possible")
    allowed = (DEFAULTS[name], QUIET.get(name), *further.get(name, ()))
    if FIELDS[name].status == DRAWN or any(_same(value, each) for each in allowed):
        return
    # Paths, accounts, trackers and back ends are all texts. Numbers and switches a subject may have declared to be fixed.
    if FIELDS[name].value is not None or not _only_numbers(value) or name.startswith(("hub_", "push_")):
        raise serialization.InvalidData(f"{name} can't be set by a file ({FIELDS[name].why})")


def _only_numbers(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_only_numbers(item) for item in value.values())
    return isinstance(value, _NUMBERS)


def _same(value: Any, other: Any) -> bool:
    return serialization.dumps(value) == serialization.dumps(thaw(other))


def _bad_values(name: str) -> tuple[Any, ...]:
    return tuple(each.value for each in BAD_VALUES if each.name == name)


def _check_parameters(parameters: Any) -> None:
    if isinstance(parameters, dict):
        for value in parameters.values():
            _check_parameters(value)
    elif isinstance(parameters, (list, tuple)):
        for value in parameters:
            _check_parameters(value)
    elif isinstance(parameters, (int, float)) and abs(parameters) > MOST_SAMPLES:
        raise serialization.InvalidData(f"parameters: {parameters} is more than {MOST_SAMPLES}")
    elif isinstance(parameters, str) and not _WORD.fullmatch(parameters):
        raise serialization.InvalidData(f"parameters: {parameters!r} is no name")


def _check_collating(parameters: Mapping[str, Any]) -> None:
    """A collator that is known here, with samples that are rows of values, and sizes that a batch may have."""
    known = {*DEFAULTS_OF_COLLATING, "collate"}
    for said in (parameters, parameters.get("collate", {})):
        if not isinstance(said, Mapping) or not known >= said.keys():
            raise serialization.InvalidData(f"parameters: of a collator there are {', '.join(sorted(known))}")
    said = {**DEFAULTS_OF_COLLATING, **parameters.get("collate", {}), **parameters}
    if said["collator"] not in COLLATORS:
        name = str(said["collator"])
        raise serialization.InvalidData(f"parameters: there is no collator {name!r}{nearest(name, list(COLLATORS))}")
    features, options, tokenizer = said["features"], said["options"], said["tokenizer"]
    rows = isinstance(features, (list, tuple)) and bool(features) and all(isinstance(each, Mapping) for each in features)
    if not rows or not all(isinstance(said[name], Mapping) for name in ("options", "call", "tokenizer")):
        raise serialization.InvalidData("parameters: features are objects in a list; options, call and tokenizer are objects")
    sizes = [said[name] for name in ("repeat", "copies", "seed")]
    sizes += [tokenizer.get("model_max_length") or 0]
    sizes += [options[name] for name in ("max_length", "pad_to_multiple_of", "max_span_length") if options.get(name) is not None]
    if not _are_numbers(sizes) or max(sizes) > MOST_COLLATED or said["repeat"] * said["copies"] * len(str(features)) > MOST_SAMPLES:
        raise serialization.InvalidData(f"parameters: sizes of batches and seeds are numbers, at most {MOST_COLLATED}")
    part = options.get("plm_probability", 1)
    if not isinstance(part, (int, float)) or not 1e-3 <= part <= 1:
        raise serialization.InvalidData("parameters: plm_probability is above 0 and at most 1")
    try:
        Vocabulary.of(tokenizer)
    except TypeError:
        raise serialization.InvalidData(f"parameters: a tokenizer is not made from {', '.join(map(str, tokenizer))}") from None


def _check_changes(parameters: Mapping[str, Any]) -> None:
    """Arguments of a changed run are arguments like any other, but for what it may print."""
    for key in (key for key in pairs.CHANGES if key in parameters):
        if not isinstance(parameters[key], Mapping):
            raise serialization.InvalidData(f"parameters: {key} is no object")
        for name, value in parameters[key].items():
            _check_argument(name, thaw(value), pairs.CONSOLE)
    of_a_rank = [parameters.get(key, 1) for key in ("per_node", "until")]
    if not _are_numbers(parameters.get("ranks", (0,))) or not _are_numbers(of_a_rank, least=1):
        raise serialization.InvalidData("parameters: ranks, per_node and until are not numbers of ranks, processes and updates")
    regroup, counts = parameters.get("regroup", (1, 1)), [parameters.get(key, 0) for key in ("predict", "predict_at")]
    if not isinstance(regroup, tuple) or [type(each) for each in regroup] != [int, int] or min(regroup) < 1:
        raise serialization.InvalidData(f"parameters: regroup is {thaw(regroup)!r}, not two numbers above 0")
    if not all(type(each) is int and each >= 0 for each in counts):
        raise serialization.InvalidData(f"parameters: predict and predict_at are {counts}, not numbers")


def _are_numbers(values: Any, least: int = 0) -> bool:
    return isinstance(values, (list, tuple)) and bool(values) and all(type(each) is int and each >= least for each in values)
