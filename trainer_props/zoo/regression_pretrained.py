"""The line as a `PreTrainedModel`: saved, loaded and configured as transformers' own models are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from transformers import PretrainedConfig, PreTrainedModel


class RegressionConfig(PretrainedConfig):
    """Where the line starts."""

    model_type = "trainer-props-regression"

    def __init__(self, a: float = 0.5, b: float = -0.25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.a, self.b = float(a), float(b)


class RegressionPreTrainedModel(PreTrainedModel):
    """y = a * x + b with the mean squared error over the micro-batch; x and y have shape [rows]."""

    config_class = RegressionConfig
    base_model_prefix = "regression"
    main_input_name = "input_x"

    def __init__(self, config: RegressionConfig) -> None:
        super().__init__(config)
        self.a = nn.Parameter(torch.tensor(config.a))
        self.b = nn.Parameter(torch.tensor(config.b))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """(loss, y), or (y,) without labels."""
        y = self.a * input_x + self.b
        return (y,) if labels is None else (mse_loss(y, labels), y)
