"""Faults in what a kill leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer_props.faults.registry import fault


@fault(property="resume_after_a_kill.a_killed_run_goes_on_or_refuses")
def state_saved_before_the_rest() -> Any:
    """The state of the run is the first thing that is written into a checkpoint, so that it looks complete from then on."""
    from transformers import Trainer

    class StateFirst(Trainer):
        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            if _internal_call and output_dir is not None:
                Path(output_dir).mkdir(parents=True, exist_ok=True)
                self.state.save_to_json(str(Path(output_dir, "trainer_state.json")))
            super().save_model(output_dir, _internal_call)

    return StateFirst


@fault(property="resume_after_a_kill.a_finished_save_outlives_a_kill")
def checkpoints_finished_by_the_next_one() -> Any:
    """The state of the run is held back until the next checkpoint is written, or training ends."""
    from transformers import Trainer

    class Late(Trainer):
        _late: tuple[Path, str] | None = None

        def _flush(self) -> None:
            if self._late is not None and self._late[0].parent.is_dir():
                self._late[0].write_text(self._late[1], encoding="utf-8")
            self._late = None

        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            self._flush()
            super()._save_checkpoint(*args, **kwargs)
            path = Path(str(self.args.output_dir), f"checkpoint-{self.state.global_step}", "trainer_state.json")
            if path.is_file():
                self._late = (path, path.read_text(encoding="utf-8"))
                path.unlink()

        def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
            self._flush()
            return super()._finalize_training(*args, **kwargs)

    return Late
