"""A pool of ranks that each have a GPU, or share one.

They speak by NCCL if each has a card, and by gloo where they share: NCCL refuses two ranks on one card.
"""

from __future__ import annotations

import torch

from trainer_props.record import Record
from trainer_props.running.devices import gloo
from trainer_props.running.devices.cards import on_cards
from trainer_props.running.devices.errand import Errand
from trainer_props.scenario import Scenario
from trainer_props.subjects import Subject


def run(scenario: Scenario, subject: Subject, errand: Errand, directory: str) -> list[Record]:
    """Do the errand on `scenario.devices.count` ranks that share an output directory; their records, in order.

    Raises:
        NoSuchDevices: there is no GPU here, or this process uses one before there are ranks, which can't be forked from it then.
        SubjectError: the subject gave no Trainer.
    """
    scenario = on_cards(scenario)
    return gloo.run(scenario, subject, errand, directory, cards=torch.cuda.device_count())
