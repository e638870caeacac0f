"""Faults where something lies in the output directory already."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from trainer_props.faults.registry import fault


@fault(property="resume_among_others.a_run_that_is_not_resumed_begins_anew")
def whatever_lies_there_is_resumed() -> Any:
    """A run goes on from the last checkpoint of its output directory, if there is one, without being told to."""
    from transformers import Trainer
    from transformers.trainer_utils import get_last_checkpoint

    class GoesOn(Trainer):
        def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
            found = get_last_checkpoint(self.args.output_dir) if Path(str(self.args.output_dir)).is_dir() else None
            return super().train(resume_from_checkpoint or found, *args, **kwargs)

    return GoesOn


@fault(property="resume_among_others.what_no_run_wrote_stays")
def directory_emptied_before_training() -> Any:
    """A run that is not resumed empties its output directory first."""
    from transformers import Trainer

    class Empties(Trainer):
        def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
            for each in Path(str(self.args.output_dir)).glob("*") if not resume_from_checkpoint else ():
                shutil.rmtree(each) if each.is_dir() else each.unlink()
            return super().train(resume_from_checkpoint, *args, **kwargs)

    return Empties


@fault(property="resume_among_others.a_damaged_checkpoint_is_not_half_used")
def unreadable_optimizer_passed_over() -> Any:
    """A state of the optimizer that can't be read is passed over: training goes on with a fresh one."""
    from transformers import Trainer

    class PassesOver(Trainer):
        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            with contextlib.suppress(Exception):
                super()._load_optimizer_and_scheduler(checkpoint)

    return PassesOver
