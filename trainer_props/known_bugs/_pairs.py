"""Known bugs of single runs, where two runs are compared that may both have them."""

from __future__ import annotations

from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import Symptom
from trainer_props.properties._pairs import scenario_of
from trainer_props.record import Observation, Runs
from trainer_props.scenario import Scenario


def in_each_run_that_failed(symptom: Symptom) -> Symptom:
    """The symptom of a run; of several runs: each that did not finish shows it, and there is one."""

    def of_the_failed(judgement: Violated, observation: Observation, scenario: Scenario) -> bool:
        if not isinstance(observation, Runs):
            return symptom(judgement, observation, scenario)
        failed = [name for name, record in observation.items() if not record.finished]
        return bool(failed) and all(symptom(judgement, observation[name], scenario_of(observation, name, scenario)) for name in failed)

    return of_the_failed


def in_each_run(symptom: Symptom) -> Symptom:
    """The symptom of a run; of several runs: each of them shows it."""

    def of_one_or_all(judgement: Violated, observation: Observation, scenario: Scenario) -> bool:
        if not isinstance(observation, Runs):
            return symptom(judgement, observation, scenario)
        return all(symptom(judgement, record, scenario_of(observation, name, scenario)) for name, record in observation.items())

    return of_one_or_all
