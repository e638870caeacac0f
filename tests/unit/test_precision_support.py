"""What a processor can't compute in a precision is no run of ours, and says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from trainer_props import Scenario
from trainer_props.running import precision
from trainer_props.scenario import Data, Model


def scenario(**arguments: bool) -> Scenario:
    return Scenario(arguments=arguments, model=Model(name="regression_layers", dtype="float32"), data=Data(n=4, n_eval=4))


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    precision._computes.cache_clear()
    yield
    precision._computes.cache_clear()  # of what is true in one test only


def test_what_can_be_computed_is_let_through() -> None:
    precision.require_precision(scenario())
    precision.require_precision(scenario(bf16=True))
    precision.require_precision(scenario(bf16=True, bf16_full_eval=True))


def test_what_has_no_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(torch.nn.Linear, "forward", missing)
    with pytest.raises(precision.NoSuchPrecision, match=r"^torch can't compute model 'regression_layers' in bfloat16 on this processor$"):
        precision.require_precision(scenario(bf16=True))
    precision.require_precision(scenario())
