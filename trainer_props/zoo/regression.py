"""Lines: the cheapest models that a Trainer can train, in the variants that make a difference to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss


class RegressionModel(nn.Module):
    """y = a * x + b with the mean squared error over the micro-batch; x and y have shape [rows], the parameters a and b no dimensions.

    It starts at values that are exact in every dtype, and far from the line 2x + 3 of the data.
    """

    main_input_name = "input_x"

    def __init__(self, a: float = 0.5, b: float = -0.25) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.b = nn.Parameter(torch.tensor(b))

    def forward(self, input_x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """(loss, y), or (y,) without labels."""
        y = self.a * input_x + self.b
        return (y,) if labels is None else (mse_loss(y, labels), y)


class RegressionDictModel(RegressionModel):
    """The line, with `{"loss", "output"}` as output."""

    def forward(self, input_x: Tensor, labels: Tensor | None = None) -> Any:
        """The loss, where there are labels, and y."""
        y = self.a * input_x + self.b
        return {"output": y} if labels is None else {"loss": mse_loss(y, labels), "output": y}


class RegressionDoubleModel(RegressionModel):
    """Two outputs, a * x + b and b * x + a, each with its own column of labels; the loss is the sum of both errors."""

    def forward(self, input_x: Tensor, labels_a: Tensor | None = None, labels_b: Tensor | None = None) -> tuple[Tensor, ...]:
        """(loss, y, z), or (y, z) unless both columns of labels are given."""
        y, z = self.a * input_x + self.b, self.b * input_x + self.a
        if labels_a is None or labels_b is None:
            return (y, z)
        return (mse_loss(y, labels_a) + mse_loss(z, labels_b), y, z)


class RegressionKwargsModel(RegressionModel):
    """The line, whose loss is the sum of squared errors divided by `num_items_in_batch` where that is given, else the mean."""

    def forward(self, input_x: Tensor, labels: Tensor | None = None, **kwargs: Any) -> tuple[Tensor, ...]:
        """(loss, y), or (y,) without labels."""
        y = self.a * input_x + self.b
        items = kwargs.get("num_items_in_batch")
        if labels is None:
            return (y,)
        return (mse_loss(y, labels) if items is None else mse_loss(y, labels, reduction="sum") / items, y)


class RegressionRenamedModel(RegressionModel):
    """The line, whose labels are called `target`: the loss is divided by `num_items_in_batch` where that is given, else it is the mean.

    A Trainer takes for labels what has `label` in its name, and what `label_names` names.
    """

    def forward(self, input_x: Tensor, target: Tensor | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """The loss, where there are labels, and y."""
        y = self.a * input_x + self.b
        items = kwargs.get("num_items_in_batch")
        if target is None:
            return {"output": y}
        return {"loss": mse_loss(y, target) if items is None else mse_loss(y, target, reduction="sum") / items, "output": y}


class RegressionUnlabelledModel(RegressionModel):
    """The line that is to give back its input: it needs no labels, and says by `return_loss` that it has a loss all the same.

    The loss is divided by `num_items_in_batch` where that is given, else it is the mean.
    """

    def forward(self, input_x: Tensor, return_loss: bool = True, **kwargs: Any) -> Any:  # type: ignore[override]
        """The loss, unless it is not wanted, and y."""
        y = self.a * input_x + self.b
        items = kwargs.get("num_items_in_batch")
        if not return_loss:
            return {"output": y}
        return {"loss": mse_loss(y, input_x) if items is None else mse_loss(y, input_x, reduction="sum") / items, "output": y}


class RegressionForQuestionAnswering(RegressionModel):
    """Two outputs, a * x + b and b * x + a, whose labels are called as those of models that mark an answer.

    The loss is the sum of both errors, divided by `num_items_in_batch` where that is given; else both are means.
    """

    def forward(  # type: ignore[override]
        self, input_x: Tensor, start_positions: Tensor | None = None, end_positions: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """The loss, where there are both columns of labels, and both outputs."""
        y, z = self.a * input_x + self.b, self.b * input_x + self.a
        if start_positions is None or end_positions is None:
            return {"start": y, "end": z}
        items = kwargs.get("num_items_in_batch") or len(input_x)
        errors = mse_loss(y, start_positions, reduction="sum") + mse_loss(z, end_positions, reduction="sum")
        return {"loss": errors / items, "start": y, "end": z}


class RegressionKwargsUnawareModel(RegressionModel):
    """The line, whose forward takes `**kwargs` and ignores them."""

    def forward(self, input_x: Tensor, labels: Tensor | None = None, **kwargs: Any) -> tuple[Tensor, ...]:
        """(loss, y), or (y,) without labels."""
        y = self.a * input_x + self.b
        return (y,) if labels is None else (mse_loss(y, labels), y)


class RegressionKwargsIgnoredModel(RegressionKwargsUnawareModel):
    """The line, whose forward ignores its `**kwargs` and says so, as the Trainer's documentation asks."""

    accepts_loss_kwargs = False


class RegressionLayersModel(nn.Module):
    """Linear, LayerNorm, tanh, Linear: the kinds of parameters that weight decay tells apart. x and y have shape [rows].

    The name of the LayerNorm is none by which it could be told without its class.
    """

    main_input_name = "input_x"

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 4)
        self.ln = nn.LayerNorm(4)
        self.last = nn.Linear(4, 1)

    def forward(self, input_x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """(loss, y), or (y,) without labels."""
        y = self.last(torch.tanh(self.ln(self.first(input_x.unsqueeze(-1))))).squeeze(-1)
        return (y,) if labels is None else (mse_loss(y, labels), y)


class RegressionRMSNormModel(nn.Module):
    """Linear, RMSNorm, tanh, Linear; the norm is named as GPT models name theirs, so that its name alone does not tell. Shapes [rows]."""

    main_input_name = "input_x"

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 4)
        self.ln_f = nn.RMSNorm(4, eps=1e-6)
        self.last = nn.Linear(4, 1)

    def forward(self, input_x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """(loss, y), or (y,) without labels."""
        y = self.last(torch.tanh(self.ln_f(self.first(input_x.unsqueeze(-1))))).squeeze(-1)
        return (y,) if labels is None else (mse_loss(y, labels), y)


class RegressionDropoutModel(nn.Module):
    """Linear, tanh, Dropout, Linear: what it computes while it trains depends on torch's global generator. Shapes [rows]."""

    main_input_name = "input_x"

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 4)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(4, 1)

    def forward(self, input_x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """(loss, y), or (y,) without labels."""
        y = self.last(self.dropout(torch.tanh(self.first(input_x.unsqueeze(-1))))).squeeze(-1)
        return (y,) if labels is None else (mse_loss(y, labels), y)
