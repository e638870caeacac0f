"""Known bugs of runs that draw random numbers while they train: by dropout in the model, or by noise that a collator draws."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import resume as measures
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.oracles import accounting
from trainer_props.record import MicroBatch, Record, Runs
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.zoo.kinds import draws_random_numbers

_DRAWING: Final = {"per_device_train_batch_size": 1, "optim": "sgd", "learning_rate": 0.1}


def _is_noisy(scenario: Scenario) -> bool:
    return scenario.components.collator == "noise"


def _advanced(state: Tensor | None, seeds: int = 0, noise: int = 0) -> Tensor | None:
    """The state of a generator after it has given so many seeds of data loaders, and so many numbers of noise, in whatever order: each
    takes as many bits.
    """
    if state is None:
        return None
    generator = torch.Generator()
    generator.set_state(state)
    for _ in range(seeds):
        torch.empty((), dtype=torch.int64).random_(generator=generator)
    torch.rand(noise, dtype=torch.float64, generator=generator)
    return generator.get_state()


def _same(state: Tensor | None, other: Tensor | None) -> bool:
    return state is not None and other is not None and torch.equal(state, other)


def _drawn_by_passes(record: Record, step: int, scenario: Scenario) -> tuple[int, int]:
    """The seeds, and the numbers of noise, that evaluations and predictions had drawn when a training micro-batch came."""
    passes = [each for each in record.evaluations if each.step <= step]
    rows = sum(batch.size for each in passes for batch in each.batches)
    return len(passes), rows if _is_noisy(scenario) else 0


def _ahead_by_passes(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """In each micro-batch the generator of the one run is ahead of the other's by what its evaluations and predictions have drawn more;
    until one of them has drawn more, both compute the same.
    """
    first, other = runs[BASELINE], runs[CHANGED]
    differ = [_drawn_by_passes(first, batch.step, scenario) != _drawn_by_passes(other, batch.step, scenario) for batch in first.batches]
    for one, two in zip(first.batches, other.batches, strict=False):
        state = _advanced(one.random, *_drawn_by_passes(other, two.step, scenario))
        if not _same(state, _advanced(two.random, *_drawn_by_passes(first, one.step, scenario))):
            return False
    alike = zip(first.updates, other.updates, strict=False)
    return any(differ) and all(torch.equal(one.weights, two.weights) for one, two in alike if not any(differ[: one.batches]))


known_bug(
    KnownBug(
        id="evaluation-changes-dropout",
        verdict="limit",
        sentence=(
            "Evaluating or predicting during training changes what a model with dropout learns: each pass over evaluation data draws a "
            "seed from torch's global generator, from which dropout, or noise in a collator, draws next."
        ),
        link="https://docs.pytorch.org/docs/stable/data.html#randomness-in-multi-process-data-loading",
        versions=">=4.46",
        properties=("observe.gradients_are_the_same", "observe.weights_are_the_same"),
        region=draws_random_numbers,
        symptom=_ahead_by_passes,
        example=Case(
            experiment="observe",
            scenario=Scenario(arguments={**_DRAWING, "max_steps": 2}, data=Data(n=2, n_eval=1), model=Model(name="regression_dropout")),
            parameters={"observe": {"eval_strategy": "steps", "eval_steps": 1}},
        ),
    )
)


def _lags(runs: Runs, scenario: Scenario) -> list[int]:
    """By how many numbers of noise the generator of each part is behind that of the run without interruptions: after a resume within an
    epoch by those for the batches that were fetched for its first window, which come before the state of the checkpoint is restored.
    """
    lags: list[int] = []
    parts = measures.parts(runs)
    per_epoch = max(1, accounting.updates_per_epoch(scenario))
    for number, part in enumerate(parts):
        begun = measures.first_step(part)
        wrote = [index for index in range(number) if any(saved.step == begun for saved in parts[index].checkpoints)]
        before = lags[wrote[-1]] if begun and wrote else 0
        lags.append(before + (_fetched_for_a_window(runs.first, begun, scenario) if begun % per_epoch else 0))
    return lags


def _fetched_for_a_window(record: Record, step: int, scenario: Scenario) -> int:
    """The rows that were fetched for the window after an update: one batch was there before, and one more comes, if the epoch has it."""
    if step >= len(record.updates):
        return 0
    begun, ended = record.updates[step - 1].batches, record.updates[step].batches
    place = sum(batch.epoch == record.batches[begun].epoch for batch in record.batches[:begun])
    last = min(place + ended - begun, accounting.batches_per_epoch(scenario) - 1)
    size = accounting.batch_size(scenario)
    return sum(min(size, scenario.data.n - number * size) for number in range(place + 1, last + 1))


def _behind_by_a_window(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """A part begins within an epoch; in each micro-batch of each part the generator is where `_lags` says that it is."""
    parts, per_epoch = measures.parts(runs), max(1, accounting.updates_per_epoch(scenario))
    lags = zip(parts, _lags(runs, scenario), strict=True)
    return any(measures.first_step(part) % per_epoch for part in parts) and all(_is_behind(part, runs.first, lag) for part, lag in lags)


def _is_behind(part: Record, first: Record, lag: int) -> bool:
    begun = measures.first_step(part)
    usual: list[MicroBatch] = [batch for batch in first.batches if batch.step >= begun]
    pairs = zip(part.batches, usual, strict=False)
    return all(_same(_advanced(batch.random, noise=lag), other.random) for batch, other in pairs)


known_bug(
    KnownBug(
        id="resume-random-collator",
        verdict="limit",
        sentence=(
            "A collator or a data set that draws from the global generator goes on otherwise in a run that is resumed within an epoch: the "
            "batches of its first window are fetched before the random state of the checkpoint is restored."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.ignore_data_skip",
        versions=">=4.46",
        properties=("resume.weights_go_on_where_they_were", "resume.random_numbers_go_on_where_they_were"),
        region=_is_noisy,
        symptom=_behind_by_a_window,
        example=Case(
            experiment="resume",
            scenario=Scenario(
                arguments={**_DRAWING, "max_steps": 2}, data=Data(n=2), model=Model(name="regression_dropout"),
                components=Components(collator="noise"),
            ),
            parameters={"interrupt_at": [1]},
        ),
    )
)  # fmt: skip
