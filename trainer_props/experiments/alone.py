"""What a run on several devices is compared with: the same on one."""

from __future__ import annotations

from trainer_props.oracles.accounting import devices_of_a_batch
from trainer_props.scenario import Devices, Scenario


def on_one_device(scenario: Scenario) -> Scenario:
    """The same run on one device: its batches are those of all devices together."""
    count = devices_of_a_batch(scenario)
    sizes = {name: count * int(scenario.argument(name)) for name in ("per_device_train_batch_size", "per_device_eval_batch_size")}
    alone = scenario.with_arguments(**sizes).replace(devices=Devices())
    if "accelerator_config" not in scenario.arguments:
        return alone  # type: ignore[no-any-return]
    kept = {name: value for name, value in (scenario.argument("accelerator_config") or {}).items() if name == "use_seedable_sampler"}
    return alone.with_arguments(accelerator_config=kept) if kept else alone.without_arguments("accelerator_config")  # type: ignore[no-any-return]
