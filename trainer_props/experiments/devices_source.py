"""Runs on several devices as source code for standalone scripts: DataParallel is emulated there too, processes are started."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import ModuleType
from typing import Final

from trainer_props.case import Case
from trainer_props.experiments.alone import on_one_device
from trainer_props.experiments.registry import OUTPUT, Body, Wanted
from trainer_props.scenario import thaw
from trainer_props.serialization import code

_SIZES: Final = ("per_device_train_batch_size", "per_device_eval_batch_size")
_EMULATION: Final = ("emulated", "standing_in", "_Emulated", "scatter", "replica", "gather")
IN_PROCESSES: Final = '''\
def in_process(rank, count, output_dir, arguments):
    """What each of the processes does, as torchrun would start it."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", OMP_NUM_THREADS="1")
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = f"file://{output_dir}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=count)
    torch.save(run(f"{output_dir}/several", **arguments), f"{output_dir}/{rank}.pt")


def in_processes(count, output_dir, **arguments):
    """The records of a run in several processes."""
    os.makedirs(output_dir, exist_ok=True)
    given = (count, output_dir, arguments)
    torch.multiprocessing.start_processes(in_process, given, nprocs=count, start_method="fork")
    files = [f"{output_dir}/{rank}.pt" for rank in range(count)]
    return {f"rank {rank}": torch.load(file, weights_only=False) for rank, file in enumerate(files)}'''
_OWN: Final = ('run(f"{output_dir}/several", **arguments)', 'run(f"{output_dir}/several/of-rank-{rank}", **arguments)')
"""Where a process writes, and where if each has a directory of its own."""


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, **arguments)` makes one run, `main` one on one device and one on several."""
    scenario = case.scenario
    count, emulated = scenario.devices.count, scenario.devices.kind == "data_parallel"
    varied = [*_SIZES, *(["accelerator_config"] if scenario.argument("accelerator_config") else [])]
    one, each = (", ".join(f"{name}={code(thaw(made.argument(name)))}" for name in varied) for made in (on_one_device(scenario), scenario))
    several = [f'runs = {{"one device": run(f"{{output_dir}}/one", {one})}}']
    if emulated:
        several += [f"with emulated({count}):", f'    runs["rank 0"] = run(f"{{output_dir}}/several", {each})']
        definitions, imports = [emulation()], ["import contextlib", "from torch import nn", "from collections.abc import Mapping"]
        imports.append("from transformers import TrainingArguments")
    else:
        several.append(f"runs |= in_processes({count}, output_dir, {each})")
        source = IN_PROCESSES.replace(*_OWN) if case.parameters.get("apart") else IN_PROCESSES
        definitions, imports = [source], ["import os", "import sys", "import torch"]
    if case.parameters.get("workers") and "worker_seeds" in wanted.words:
        from trainer_props.running.devices import errand  # it imports transformers

        definitions = [*definitions, bare(errand, "worker_seeds")]
        imports = [*imports, "import random", "import numpy as np", "import torch"]
    if case.parameters.get("prepared") and ("prepared" in wanted.words or wanted.fields & {"failure", "stuck"}):
        from trainer_props.running.devices import prepared  # it imports transformers

        definitions = [*definitions, bare(prepared, "Numbers"), bare(prepared, "prepared_loaders")]
        imports = [*imports, "from torch.utils.data import DataLoader, IterableDataset"]
    if "own_files" in wanted.words:
        definitions, imports = [*definitions, files_source()], [*imports, "from pathlib import Path"]
    elif "files" in wanted.words:
        pairs = '(("one", "one device"), ("several", "rank 0"))'
        several += [f"for folder, name in {pairs}:", '    runs[name].results["files"] = checkpoint_files(f"{output_dir}/{folder}")']
        definitions, imports = [*definitions, files_source()], [*imports, "from pathlib import Path"]
    return Body(_lines(case, wanted), imports, definitions, varied=varied, several=several)


def files_source() -> str:
    """The source of `checkpoint_files`, which lists the files of the checkpoints in a directory."""
    from trainer_props.running.devices import errand  # it imports transformers

    return f"OWN_DIRECTORY = {errand.OWN_DIRECTORY!r}\n\n\n{bare(errand, 'checkpoint_files')}"


def _lines(case: Case, wanted: Wanted) -> list[str]:
    """What is done with a trainer."""
    told = [name for name in ("train_batch_size", "eval_batch_size") if name in wanted.words]
    lines = [f'record.results["{name}"] = trainer.args.{name}' for name in told]
    if case.parameters.get("workers") and "worker_seeds" in wanted.words:
        lines.append(f'record.results["worker_seeds"] = worker_seeds(trainer, {case.parameters["workers"]})')
    kept = [f"record.{name} = {value}" for name, value in OUTPUT.items() if name in wanted.fields]
    lines += [f"{'output = ' if kept else ''}trainer.train()", *kept]
    ends = bool(wanted.fields & {"failure", "stuck"})  # whether it does may depend on all of it
    if "own_files" in wanted.words and case.parameters.get("apart"):
        lines.append('record.results["own_files"] = checkpoint_files(output_dir)')
    if case.scenario.data.n_eval and ("log_history" in wanted.fields or ends):
        lines.append("trainer.evaluate()")
    rows = [name for name in ("predictions", "label_ids") if name in wanted.words]
    if case.parameters.get("predict") and (rows or ends):
        lines.append(f"{'predicted = ' if rows else ''}trainer.predict(test_dataset)")
        for name in rows:
            value = f'[each.tolist() if hasattr(each, "tolist") else each for each in predicted.{name}]'
            lines.append(f'record.results["{name}"] = {value}')
    if case.parameters.get("prepared") and ("prepared" in wanted.words or ends):
        rows, size = (case.parameters[name] for name in ("prepared", "prepared_batch"))
        lines.append(f'record.results["prepared"] = prepared_loaders(trainer, {rows}, {size})')
    return lines


def emulation() -> str:
    """The emulation of DataParallel as it is used here, without its annotations and comments."""
    from trainer_props.running.devices import data_parallel  # it imports transformers

    texts = [bare(data_parallel, name) for name in _EMULATION]
    return "\n\n\n".join(texts).replace("nn.DataParallel[nn.Module]", "nn.DataParallel")


def bare(module: ModuleType, name: str) -> str:
    """The source of something of a module, without annotations and comments."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(module, name))))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(tree)
