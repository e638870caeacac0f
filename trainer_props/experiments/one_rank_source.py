"""Playing single ranks as source code for standalone scripts."""

from __future__ import annotations

from typing import Final

from trainer_props.case import Case
from trainer_props.experiments.devices_source import files_source
from trainer_props.experiments.registry import OUTPUT, Body, Wanted

_RANK: Final = '''\
@contextlib.contextmanager
def as_rank(rank, count, per_node):
    """Be one of so many ranks: in a fake process group no collective meets anybody."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank % per_node), LOCAL_WORLD_SIZE=str(min(per_node, count)))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.distributed.init_process_group("fake", rank=rank, world_size=count, store=FakeStore())
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            del os.environ[name]


class OneRank(TrainerCallback):
    """Lets a rank train without the others: a hook gives it its own gradients, since of a fake collective nothing comes back."""

    def __init__(self, trainer, until):
        self.trainer, self.until = trainer, until

    def on_train_begin(self, *args, **kwargs):
        model = self.trainer.model_wrapped
        if isinstance(model, DistributedDataParallel):
            model.register_comm_hook(None, own_gradients)

    def on_step_end(self, args, state, control, **kwargs):
        if self.until is not None and state.global_step >= self.until:
            control.should_training_stop = True


def own_gradients(state, bucket):
    """The gradients that a rank has, as if they had come back from all."""
    done = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done'''
PLACE: Final = ("process_index", "local_process_index", "world_size", "should_log", "should_save")


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir)` makes the run of a rank, `main` one after the other."""
    count, parameters = case.scenario.devices.count, case.parameters
    ranks, per_node = list(parameters.get("ranks", (0,))), parameters.get("per_node", count)
    several = [
        "runs = {}",
        f"for rank in {ranks}:",
        f"    with as_rank(rank, {count}, {per_node}):",
        '        runs[f"rank {rank}"] = run(f"{output_dir}/{rank}")',
    ]
    definitions = [_RANK]
    imports = [
        "import contextlib", "import os", "import torch", "from torch.nn.parallel import DistributedDataParallel",
        "from torch.testing._internal.distributed.fake_pg import FakeStore", "from transformers import TrainerCallback",
    ]  # fmt: skip
    if "files" in wanted.words:
        several.append('    runs[f"rank {rank}"].results["files"] = checkpoint_files(f"{output_dir}/{rank}")')
        definitions.append(files_source())
        imports.append("from pathlib import Path")
    lines = [f'record.results["{name}"] = trainer.args.{name}' for name in PLACE if name in wanted.words]
    if "is_world_process_zero" in wanted.words:
        lines.append('record.results["is_world_process_zero"] = trainer.is_world_process_zero()')
    kept = [f"record.{name} = {value}" for name, value in OUTPUT.items() if name in wanted.fields]
    lines += [f"trainer.add_callback(OneRank(trainer, {parameters.get('until')}))", f"{'output = ' if kept else ''}trainer.train()", *kept]
    return Body(lines, imports, definitions, several=several)
