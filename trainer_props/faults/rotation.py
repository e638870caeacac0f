"""Faults in rotation beside the checkpoints of an older run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults.registry import fault


def _own(trainer: Any) -> list[Path]:
    """The checkpoints that a trainer has written, as far as they are there."""
    return [path for path in trainer.written if path.is_dir()]


@fault(property="rotation.at_most_the_limit_is_left")
def older_runs_not_counted() -> Any:
    """Rotation counts and removes the checkpoints of this run only, and leaves those of an older one in the directory."""
    from transformers import Trainer

    class OwnOnly(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.written: list[Path] = []

        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            limit, self.args.save_total_limit = self.args.save_total_limit, None
            try:
                super()._save_checkpoint(*args, **kwargs)
            finally:
                self.args.save_total_limit = limit
            newest = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            self.written = [*(path for path in _own(self) if path != newest), newest]
            kept = {str(newest), str(self.state.best_model_checkpoint)}
            for path in self.written[: -limit or None] if limit else []:
                if str(path) not in kept:
                    shutil.rmtree(path)

    return OwnOnly


@fault(property="rotation.the_oldest_go_first")
def rotation_by_number() -> Any:
    """Rotation takes the checkpoint with the lowest number for the oldest one."""
    from transformers import Trainer

    class ByNumber(Trainer):
        _save_checkpoint = rewritten(Trainer, "_save_checkpoint", "use_mtime=True", "use_mtime=False")

    return ByNumber


@fault(property="rotation.only_checkpoints_go")
def directory_emptied_by_the_first_save() -> Any:
    """The first save of a run removes all folders that are in the output directory."""
    from transformers import Trainer

    class Empties(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            if not getattr(self, "emptied", False):
                for path in Path(self.args.output_dir).iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                self.emptied = True
            super()._save_checkpoint(*args, **kwargs)

    return Empties


@fault(property="rotation.the_best_checkpoint_is_one_of_this_run")
def any_checkpoint_taken_for_the_best() -> Any:
    """Where no checkpoint of the best step is there, the one with the highest number is taken."""
    from transformers import Trainer

    class Highest(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            super()._save_checkpoint(*args, **kwargs)
            found = sorted(Path(self.args.output_dir).glob("checkpoint-*[0-9]"), key=lambda path: int(path.name.rpartition("-")[2]))
            if found and self.state.best_model_checkpoint is None:
                self.state.best_model_checkpoint = str(found[-1])

    return Highest
