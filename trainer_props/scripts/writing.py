"""The standalone script of a finding: one mechanism for all properties, from the case, the check and the source of its measures."""

from __future__ import annotations

import ast
import builtins
import itertools
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.experiments import EXPERIMENTS, Body, Wanted
from trainer_props.judgement import Check
from trainer_props.properties import PROPERTIES
from trainer_props.scripts import heading, layout, relations
from trainer_props.scripts.building import VARIED, Source, source_of
from trainer_props.scripts.copying import merged
from trainer_props.scripts.measuring import Measuring, measuring
from trainer_props.scripts.probing import Circumstances, Probe, probe
from trainer_props.scripts.reading import Reads, reads
from trainer_props.scripts.rows import namespace
from trainer_props.subjects import Subject
from trainer_props.zoo import DATASETS, MODELS

FILE: Final = "script.py"
SECONDS: Final = 60
"""How long a run that hangs is waited for."""
RUN: Final = "the run"
_OUT_OF_TIME: Final = "not finished after"

_GUARD: Final = """\
import sys

sys.excepthook = lambda *error: sys.__excepthook__(*error) or sys.exit(2)  # exit code 1 is for the bug alone"""
_TAIL: Final = """\
if __name__ == "__main__":
    sys.exit(main())"""
_UNPRINTED: Final = "trainer.remove_callback(PrinterCallback)  # it takes entries out of what it prints"
_FINISHED: Final = frozenset({"finished", "baseline_finished", "both_finished"})
"""Preconditions by which a run finishes."""
_TAKEN: Final = frozenset({
    "record", "run", "runs", "watch", "main", "samples", "observed", "expected", "equal", "close", "trainer", "output_dir", "args", "json",
    "math", "os", "sys", "tempfile", "torch", "SimpleNamespace", "TrainerCallback", "TrainingArguments", "Trainer", "arguments",
})  # fmt: skip


class NoScript(ValueError):
    """A finding that no script can show; the message says why."""


@dataclass(frozen=True)
class _Run:
    """What the middle of `main` needs to know.

    Attributes:
        ends_anyhow: the property speaks of runs that do not finish too.
        endless: one of them may never end, and is ended.
        catches: the class of what ends it, as far as is looked for.
    """

    source: Source
    body: Body
    probe: Probe
    reads: Reads
    ends_anyhow: bool
    endless: bool
    catches: str


def script(finding: Finding, subject: Subject) -> str:
    """A file that builds the case of a finding by hand, runs it, measures and compares; it needs torch, transformers and the subject alone.

    It exits with 1 while the finding shows, with 0 when it does not, with 2 if it can't run itself. Where the finding is that the run
    ends its process, or hangs, so does the script, which then gives up after `SECONDS`.

    Raises:
        NoScript: how the observed side was measured is not known, the finding is that identical runs differ, or the run was on GPUs.
        compat.Unsupported: the installed transformers lacks an argument.
    """
    if finding.verdict == "nondeterministic":
        raise NoScript("identical runs differ: a script that runs once shows nothing")
    if finding.case.scenario.devices.kind.startswith("cuda"):
        raise NoScript("runs on GPUs are not written as scripts")
    if finding.check is None or (finding.verdict == "hung" and str(finding.observed).startswith(_OUT_OF_TIME)):
        if finding.quantity != RUN:
            raise NoScript(f"{finding.property} does not say how it measured {finding.quantity}")
        return _of_the_end(finding, subject)
    return _of_a_check(finding, finding.check, subject)


def _of_a_check(finding: Finding, check: Check, subject: Subject) -> str:
    case, part = finding.case, relations.part_that_differs(check, finding.expected, finding.observed)
    if part is not None:
        finding = _of_a_part(finding, part)
    sides = [check.observed, *([check.expected] if check.expected is not None else [])]
    measures = list(dict.fromkeys(side.measure for side in sides))
    words = frozenset(_texts([side.arguments for side in sides]))
    read_by = measuring(measures)
    found = _with_words(reads(read_by, measures), words)
    keys = [_mentioned(read_by) if known is None else known for name, known in found.keys.items() if name in ("results", "arguments")]
    body = EXPERIMENTS[case.experiment].body(case, Wanted(found.fields, words.union(*keys)))
    needs = {need.name for need in PROPERTIES[finding.property].needs}
    ends_anyhow = body.trainer and (not needs & _FINISHED or bool(found.fields & {"failure", "stuck"}))
    identify = "identified" in found.fields or found.has("batches", "samples") or found.has("evaluations.batches", "samples")
    source = source_of(case, subject, identify=identify, varied=body.varied)
    # by epochs of rows that are fetched by position a run always ends, whatever its steps count
    endless = ends_anyhow and ("stuck" in found.fields or subject.own_data or not DATASETS[case.scenario.data.kind].map_style)
    watched = probe(found, circumstances(case, subject, endless=endless, predicts=any(".predict(" in line for line in body.lines)))
    taken = {*_TAKEN, *_bound([source.definitions, *body.definitions, *watched.definitions])}
    code = measuring(measures, taken=taken)
    compared = relations.comparison(check, finding.expected)
    run = _Run(source, body, watched, found, ends_anyhow, endless, "BaseException" if _is_beyond(finding) else "Exception")
    imports = [*source.imports, *body.imports, *watched.imports, *code.imports, *compared.imports, "import json", "import tempfile"]
    if body.trainer and not body.prints:
        imports.append("from transformers import PrinterCallback")
    if found.has("failure", "traceback"):
        imports.append("import traceback")
    definitions = [watched.record, source.definitions, *body.definitions, *code.definitions, compared.definition, *watched.definitions]
    middle = _middle(run)
    if body.several:
        definitions.append(_function(body, ["global record", watched.record, *middle, "return record"]))
        middle = list(body.several)
    ending = _comparing(finding, check, code, compared, part, several=bool(body.several))
    main = ["def main():", *_indented([*_inside_a_folder(middle), *ending])]
    return _file(finding, imports, [*definitions, "\n".join(main)])


def _is_beyond(finding: Finding) -> bool:
    """Whether it may be about an exception that no `except Exception` catches: all that is known is the name of its class."""
    kind = getattr(builtins, finding.symptom, None)
    return finding.verdict == "crashed" and not (isinstance(kind, type) and issubclass(kind, Exception))


def _function(body: Body, lines: Iterable[str]) -> str:
    """The function that makes one of several runs."""
    parameters = ["output_dir", *body.parameters, *([f"**{VARIED}"] if body.varied else [])]
    return "\n".join([f"def run({', '.join(parameters)}):", *_indented(lines)])


def _of_the_end(finding: Finding, subject: Subject) -> str:
    """The script of a run that ends its process, or never ends."""
    case = finding.case
    body = EXPERIMENTS[case.experiment].body(case, Wanted())
    source = source_of(case, subject, identify=False, varied=body.varied)
    steps = [*(source.build.splitlines() if body.trainer else _without_trainer(source)), *body.before, *body.lines]
    functions = [_function(body, steps)] if body.several else []
    main = [
        "def main():",
        *_indented([
            f"faulthandler.dump_traceback_later({SECONDS}, exit=True)  # if the run hangs: its stack, and exit code 1",
            'print("expected:", json.dumps("it ends"), flush=True)',
            *_inside_a_folder(body.several or steps),
            'print("observed:", json.dumps("it ends"))',
            "return 0",
        ]),
    ]  # fmt: skip
    imports = [*source.imports, *body.imports, "import faulthandler", "import json", "import tempfile"]
    return _file(finding, imports, [source.definitions, *body.definitions, *functions, "\n".join(main)])


def _file(finding: Finding, imports: Iterable[str], definitions: Iterable[str]) -> str:
    lines = merged(line for line in imports if line != "import sys")
    standard = [line for line in lines if line.split()[1].partition(".")[0] in sys.stdlib_module_names]
    groups = ["\n".join(standard), "\n".join(line for line in lines if line not in standard)]
    head = "\n\n".join([heading.heading(finding, file=FILE), _GUARD, *groups])
    return layout.paragraphs([head, *definitions, _TAIL]) + "\n"


def _mentioned(code: Measuring) -> frozenset[str]:
    """The texts in the code of measures: a key that a helper is given is one of them."""
    nodes = itertools.chain.from_iterable(map(ast.walk, code.functions.values()))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _with_words(found: Reads, words: frozenset[str]) -> Reads:
    """What is read, where a key that the code does not show is among the arguments of the measure."""
    keys = {name: words if known is None and name == "state" and words else known for name, known in found.keys.items()}
    return Reads(found.fields, found.columns, keys)


def circumstances(case: Case, subject: Subject, *, endless: bool, predicts: bool) -> Circumstances:
    """What of a case decides how its run is watched.

    Args:
        endless: the run may never end, and has to be ended.
        predicts: it calls `predict`.
    """
    from trainer_props.running.run import batch_budget  # it imports what is heavy

    scenario, declared = case.scenario, subject.declaration
    splits = {"eval": scenario.data.n_eval, "test": "predict" in case.parameters, "train": True}
    return Circumstances(
        main_input=None if subject.own_data else MODELS[scenario.model.name].main_input_name,
        splits=[split for split, is_there in splits.items() if is_there],
        predicts=predicts,
        rotates=scenario.argument("save_total_limit") is not None and scenario.argument("save_strategy") != "no",
        own_loss=scenario.components.loss == "compute_loss_func" and not subject.own_data,
        metrics=bool(scenario.components.scores) and not subject.own_data,
        budget=batch_budget(scenario) if endless else None,
        declared={
            "own_data": subject.own_data,
            "loss_reduction": declared.loss_reduction,
            "ignored_metrics": (*declared.ignore_metrics, *declared.cumulative_metrics),
            "expected_steps": declared.expected_steps(scenario) if declared.expected_steps is not None else None,
        },
    )


def _middle(run: _Run) -> list[str]:
    """Building, running and what is written down afterwards."""
    build = run.source.build.splitlines() if run.body.trainer else _without_trainer(run.source)
    steps, after = list(run.body.lines), list(run.probe.after)
    if not run.body.trainer:
        return [*build, *(_caught(steps, run) if "failure" in run.reads.fields else steps)]
    if not run.body.prints:
        build.append(_UNPRINTED)
    build += run.body.before
    if run.probe.watches:
        build.append("watch(trainer)")
    if not run.ends_anyhow:
        return [*build, *steps, *after]
    if "global_step" in run.reads.fields:
        after.append("record.global_step = trainer.state.global_step if record.global_step is None else record.global_step")
    if "failure" not in run.reads.fields:
        return [*build, *_caught(steps, run, may_be_stuck=run.endless), *after]
    lines = _caught([*build, *steps], run, where='"construction" if trainer is None else "train"', may_be_stuck=run.endless)
    if after:
        lines += ["if trainer is not None:", *_indented(after)]
    return [*(["trainer = None"] if after or run.reads.has("failure", "where") else []), *lines]


def _caught(steps: Iterable[str], run: _Run, *, where: str = '"construction"', may_be_stuck: bool = False) -> list[str]:
    """The steps, and what becomes of an exception that ends them."""
    lines, found = ["try:", *_indented(steps)], run.reads
    may_be_stuck = may_be_stuck and run.catches == "Exception"  # what ends it is not a SystemExit of its own then
    if may_be_stuck and not {"stuck", "failure"} & found.fields:
        return [*lines, "except (Exception, SystemExit) as error:", *_indented(['print("the run ended with", repr(error))'])]
    if may_be_stuck:
        lines.append("except SystemExit as error:")
        lines += _indented(["record.stuck = str(error)"] if "stuck" in found.fields else ['print("the run was ended:", error)'])
    columns = {
        "where": where,
        "kind": "type(error).__name__",
        "message": "str(error)",
        "traceback": "tuple(traceback.format_exception(error)[-6:])",
    }
    row = namespace(columns, found.columns.get("failure", ()))
    lines.append(f"except {run.catches} as error:")
    return [*lines, *_indented([f"record.failure = {row}"] if "failure" in found.fields else ['print("the run ended with", repr(error))'])]


def _without_trainer(source: Source) -> list[str]:
    """Arguments as a dict, and the class that takes them, under its usual name; or what is built instead."""
    if not source.arguments:
        return source.build.splitlines()
    kind, _, given = source.arguments.partition("(")
    lines = [f"TrainingArguments = {kind}"] if kind != "TrainingArguments" else []
    return [*lines, *f"arguments = dict({given}".splitlines()]


def _of_a_part(finding: Finding, part: slice) -> Finding:
    """The finding as far as a part of its two lists goes."""
    expected, observed = relations.plain(finding.expected), relations.plain(finding.observed)
    quantity = f"{finding.quantity}, [{part.start}:{part.stop}] of {len(expected)}"
    return replace(finding, expected=expected[part], observed=observed[part], quantity=quantity)


def _comparing(
    finding: Finding, check: Check, code: Measuring, compared: relations.Comparison, part: slice | None, *, several: bool
) -> list[str]:
    def taken(side: Any) -> str:
        taken_from = "runs" if several else "record"
        text = layout.call(code.names[side.measure], [taken_from, *(relations.literal(each) for each in side.arguments)])
        return text if relations.is_plain(side.value) else f"json.loads(json.dumps({text}))"

    label = f'"expected:{" " if (words := relations.WORDS[check.relation].strip()) else ""}{words}"'
    cut = "" if part is None else f"[{part.start}:{part.stop}]"
    lines = f"observed = {taken(check.observed)}{cut}".splitlines()
    if check.relation == "true":
        lines += ['print("is so:", json.dumps(observed))']
    else:
        expected = taken(check.expected) if check.expected is not None else relations.literal(finding.expected)
        lines = [*f"expected = {expected}".splitlines(), *lines]
        lines += [f"print({label}, json.dumps(expected))", 'print("observed:", json.dumps(observed))']
    return [*lines, f"return 0 if {compared.condition} else 1"]


def _inside_a_folder(lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    if any("output_dir" in line for line in lines):
        return ["with tempfile.TemporaryDirectory() as output_dir:", *_indented(lines)]
    return lines


def _indented(lines: Iterable[str]) -> list[str]:
    return textwrap.indent("\n".join(lines), layout.INDENT).splitlines()


def _bound(definitions: Iterable[str]) -> Iterator[str]:
    """Names that code binds at module level."""
    for text in definitions:
        for node in ast.parse(text).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Assign):
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _texts(value: Any) -> Iterator[str]:
    """All texts in JSON-like data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.items()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
