"""What to try: Hypothesis strategies for training runs and their parts. Each can be used alone in anybody's test.

```python
from hypothesis import given
from trainer_props import strategies

@given(strategies.training_arguments(fixed={"optim": "sgd"}))
def test_my_trainer(arguments): ...
```
"""

if __name__ != "trainer_props.strategies":
    raise ImportError(f"these strategies are imported as trainer_props.strategies, not as {__name__}", name="trainer_props.strategies")

from trainer_props.strategies.argument_values import BadValue, bad_values, further_arguments
from trainer_props.strategies.arguments import training_arguments, training_arguments_objects
from trainer_props.strategies.best_model_plans import best_model_plans
from trainer_props.strategies.optimization import ADAPTIVE_SCHEDULES, OPTIMIZERS, SCHEDULES, optimizers, schedules
from trainer_props.strategies.parts import components, datasets, devices, models
from trainer_props.strategies.plans import evaluation_plans, logging_plans, saving_plans
from trainer_props.strategies.scenarios import (
    FLAVOURS,
    Flavour,
    hub_scenarios,
    idle_scenarios,
    optimizer_scenarios,
    random_scenarios,
    regression_scenarios,
    saving_scenarios,
    scenarios,
    seq2seq_scenarios,
    stream_scenarios,
    token_scenarios,
)
from trainer_props.strategies.sizes import accumulation_steps, batch_sizes, dataset_lengths
from trainer_props.strategies.spreading import SPREAD, sharded_scenarios, spread_scenarios

SCHEDULERS = (*SCHEDULES, *ADAPTIVE_SCHEDULES)
"""The values of `lr_scheduler_type` that are drawn."""

__all__ = [
    "FLAVOURS",
    "OPTIMIZERS",
    "SCHEDULERS",
    "SPREAD",
    "BadValue",
    "Flavour",
    "accumulation_steps",
    "bad_values",
    "batch_sizes",
    "best_model_plans",
    "components",
    "dataset_lengths",
    "datasets",
    "devices",
    "evaluation_plans",
    "further_arguments",
    "hub_scenarios",
    "idle_scenarios",
    "logging_plans",
    "models",
    "optimizer_scenarios",
    "optimizers",
    "random_scenarios",
    "regression_scenarios",
    "saving_plans",
    "saving_scenarios",
    "scenarios",
    "schedules",
    "seq2seq_scenarios",
    "sharded_scenarios",
    "spread_scenarios",
    "stream_scenarios",
    "token_scenarios",
    "training_arguments",
    "training_arguments_objects",
]
