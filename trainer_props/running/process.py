"""The state of the process while our runs go on: warmed up, frozen, single-threaded, and put back afterwards as it was."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from trainer_props.running.lookups import memoised_lookups
from trainer_props.running.randomness import kept_generators

_depth = 0
_warm = False
_frozen_modules = 0
_runs_since = 0
_RUNS_BETWEEN_FREEZES = 10
_runs_since_thaw = 0
_RUNS_BETWEEN_THAWS = 1000

# A run must not be steered by what a user's shell happens to hold, nor reach out with their token.
_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TENSORBOARD_LOGGING_DIR": None,
    "ACCELERATE_MIXED_PRECISION": None,
    "ACCELERATE_USE_DEEPSPEED": None,
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": None,
    # The other way to look for GPUs begins to use them, after which no process can be forked that uses them.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "RANK": None,
    "WORLD_SIZE": None,
    "LOCAL_RANK": None,
    "LOCAL_WORLD_SIZE": None,
    "HF_TOKEN": None,
    "HUGGING_FACE_HUB_TOKEN": None,
}


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Hold the process in the state that runs want; everything is undone at the end. May be nested."""
    global _depth
    if _depth:
        _depth += 1
        try:
            yield
        finally:
            _depth -= 1
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment())
        stack.enter_context(kept_generators())
        stack.enter_context(_one_thread())
        stack.enter_context(_quiet())
        stack.enter_context(memoised_lookups())
        _warm_up()
        stack.enter_context(_frozen_heap())
        stack.callback(_end_pools)
        _depth = 1
        try:
            yield
        finally:
            _depth = 0


def _end_pools() -> None:
    """End the processes that wait for runs on several devices, if there are any."""
    gloo = sys.modules.get("trainer_props.running.devices.gloo")
    if gloo is not None:
        gloo.close()


def _warm_up() -> None:
    """One run that imports all that runs import lazily, so that the heap can be frozen."""
    global _warm
    if _warm:
        return
    from trainer_props import subjects
    from trainer_props.running.run import run
    from trainer_props.scenario import Components, Data, EarlyStopping, Model, Scenario

    scenario = Scenario(
        arguments={
            "max_steps": 2,
            "logging_steps": 1,
            "eval_strategy": "steps",
            "eval_steps": 1,
            "save_strategy": "steps",
            "save_steps": 1,
            "metric_for_best_model": "score",
        },
        data=Data(n=4, n_eval=2),
        model=Model(name="regression"),
        components=Components(scores=(1.0, 2.0), early_stopping=EarlyStopping(patience=3)),
    )
    _warm = True
    run(scenario, subjects.load(subjects.DEFAULT))


@contextlib.contextmanager
def _frozen_heap() -> Iterator[None]:
    # accelerate collects garbage at every train(): without this, nine tenths of a small run go into walking imported modules.
    global _frozen_modules
    _frozen_modules = 0
    freeze_again()
    try:
        yield
    finally:
        gc.unfreeze()


def freeze_again() -> None:
    """Freeze the heap again where it has grown: by modules that a first run of a model imports, and by what is kept of hundreds of runs.

    What refers to itself, as trainers do and the trees of Hypothesis, is never freed once it is frozen: now and then all is looked through.
    """
    global _frozen_modules, _runs_since, _runs_since_thaw
    _runs_since += 1
    _runs_since_thaw += 1
    if _runs_since_thaw >= _RUNS_BETWEEN_THAWS:
        gc.unfreeze()
        _runs_since_thaw, _frozen_modules = 0, 0
    if len(sys.modules) != _frozen_modules or _runs_since >= _RUNS_BETWEEN_FREEZES:
        gc.collect()
        gc.freeze()
        _frozen_modules, _runs_since = len(sys.modules), 0


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    import transformers
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    loggers = [logging.getLogger(name) for name in ("accelerate", "torch.distributed", "datasets")]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    for name, value in _ENVIRONMENT.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    try:
        yield
    finally:
        # one by one, and only what differs: other threads may be reading
        for name in set(os.environ) - set(before):
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def is_prepared() -> bool:
    """Whether the process is in the state that runs want."""
    return _depth > 0
