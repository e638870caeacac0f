"""Floating-point operations: how many are counted for a micro-batch, and how they add up in the state and in checkpoints."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, expecting, holds_for_all, not_applicable, same
from trainer_props.measures import operations as measures
from trainer_props.oracles import operations as oracle
from trainer_props.properties import sources
from trainer_props.properties.needs import FINISHED, SINGLE_DEVICE, Need
from trainer_props.properties.registry import SINGLE_RUN, WITH_FLAGS, trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.zoo.kinds import MODELS

SAVING: Final = ("train_and_save", "train_with_flags", "save_into_a_used_folder")
_HOME: Final = "transformers.trainer"
_TOTAL: Final = sources.docs("TrainerState")


def _all_counted(record: Record, scenario: Scenario) -> bool:
    return bool(record.batches) and all(batch.operations is not None for batch in record.batches)


COUNTED: Final = Need("counted", "no micro-batch, or its operations can't be asked for outside of the run", _all_counted)
STOCK_COUNT: Final = Need(
    "stock_count", "the subject counts operations in its own way, or brings a model of its own",
    lambda record, scenario: not record.own_data and record.state.get("floating_point_ops") == _HOME,
)  # fmt: skip


@trainer_property(source=_TOTAL, experiments=WITH_FLAGS, needs=[FINISHED, SINGLE_DEVICE, COUNTED])
def total_flos_is_the_sum_of_all_micro_batches(record: Record, scenario: Scenario) -> Judgement:
    """`total_flos`, in the state and as `train()` returns it, is the sum of `floating_point_ops` over all training micro-batches.

    Each is counted once, whatever is logged and saved in between.
    """
    counted = measures.operations_of_all(record)
    judgements = [same("total_flos", expected=counted, observed=measures.total_flos(record))]
    if "total_flos" in record.metrics:
        judgements.append(same("total_flos that train() returned", expected=counted, observed=measures.returned_total_flos(record)))
    return holds_for_all("total_flos", judgements)


@trainer_property(source=_TOTAL, experiments=SAVING, needs=[SINGLE_DEVICE, COUNTED])
def checkpoints_hold_the_sum_so_far(record: Record, scenario: Scenario) -> Judgement:
    """The `total_flos` in a checkpoint is the sum of `floating_point_ops` over the micro-batches until it was written."""
    if not record.checkpoints or any(each.state is None for each in record.checkpoints):
        return not_applicable("no checkpoint, or one without a state")
    return same(
        "total_flos in checkpoints", expected=measures.operations_until_saves(record), observed=measures.saved_total_flos(record),
        at="checkpoint",
    )


@trainer_property(source=sources.docs("Trainer.floating_point_ops"), experiments=SINGLE_RUN, needs=[SINGLE_DEVICE, COUNTED, STOCK_COUNT])
def a_micro_batch_counts_six_for_each_weight_and_token(record: Record, scenario: Scenario) -> Judgement:
    """`floating_point_ops` of a PreTrainedModel is six times the elements of its main input times its weights without embeddings.

    That is the usual estimate of a forward and a backward pass. For a model that is no PreTrainedModel nothing is counted.
    """
    tokens = [batch.tokens for batch in record.batches]
    pretrained = MODELS[scenario.model.name].pretrained
    weights = [(parameter.size, parameter.layer in measures.EMBEDDINGS) for parameter in record.parameters]
    expected = oracle.of_micro_batches(tokens, weights, counts=pretrained)
    judgement = same("floating-point operations", expected=expected, observed=measures.operations_of_each(record), at="micro-batch")
    return expecting(judgement, lambda: measures.sizes_of_each(record)) if pretrained else judgement
