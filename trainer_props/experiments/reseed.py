"""The experiment that runs the same under other seeds."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.experiments.pairs import changed_arguments, held_arguments
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.experiments.repeat import changes
from trainer_props.scenario import Data, Model, Scenario

NAME: Final = "reseed"
_SEEDS: Final = (42, 0, 1, 7, 3)
_HOW: Final = ("fixed", "filled", "taken", "other", "seeds")
_LENGTH: Final = 3


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Short runs on a few large batches, of a line, or of an LSTM with samples grouped by length.

    Parameters of a case: `change` (the seeds of the second run).
    """
    arguments = held_arguments(held)
    names = [name for name in ("regression", "lstm") if held.models is None or name in held.models]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        name = draw(st.sampled_from([*names, *names[:1] * 2]))
        scenario = draw(_runs(name, arguments))
        first, second, third = draw(st.permutations(_SEEDS))[:3]
        pairs: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
            "fixed": ({"seed": first, "data_seed": third}, {"seed": second}),
            "filled": ({"seed": first}, {"seed": second, "data_seed": first}),
            "taken": ({"seed": first, "data_seed": second}, {"seed": second, "data_seed": None}),
            "other": ({"data_seed": first}, {"data_seed": second}),
            "seeds": ({"seed": first}, {"seed": second}),
        }
        before, after = pairs[draw(st.sampled_from(_HOW))]
        scenario = scenario.with_arguments(**{**before, **arguments})
        changed = {key: value for key, value in after.items() if key not in arguments and scenario.argument(key) != value}
        return Case(experiment=NAME, scenario=scenario, parameters={"change": changed} if changed else {})

    return drawn()


@st.composite
def _runs(draw: st.DrawFn, name: str, held: dict[str, Any]) -> Scenario:
    n, batch = draw(st.integers(8, 20)), draw(st.integers(4, 8))
    said: dict[str, Any] = {"num_train_epochs": draw(st.integers(1, 2)), "per_device_train_batch_size": batch}
    said["gradient_accumulation_steps"] = draw(st.integers(1, 2))
    if name == "regression":
        return Scenario(arguments={**said, **held}, data=Data(n=n))
    said |= {"train_sampling_strategy": "group_by_length", "eval_strategy": "epoch", "per_device_eval_batch_size": batch}
    return Scenario(arguments={**said, **held}, data=Data(kind="tokens", n=n, n_eval=n, length=_LENGTH), model=Model(name=name))


run, body = changed_arguments(changes)

register(
    Experiment(
        NAME,
        "Train a short run under two pairs of seeds: the same seed for the data, given or filled in, or another one.",
        "test_trainer_data",
        cases,
        run,
        ("regression", "lstm"),
        0.6,
        body=body,
    )
)
