"""The trials of Optuna's record that are not over, read at a price that does not grow with those that are."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_STATES = ("WAITING", "RUNNING")


@dataclass(frozen=True)
class OpenTrial:
    """What the ledger asks of a trial that waits or runs. attempt counts failures; token is '' until it is taken."""

    id: int
    number: int
    running: bool
    cell: str  # key
    attempt: int
    token: str


def open_trials(storage: BaseStorage, study: int) -> list[OpenTrial]:
    """Every trial of the study that waits or runs, by number.

    A database answers in one query. Optuna would send seven and build an object for every value of every trial: with
    eight workers that ask one after the other, under a lock, most of a sweep's time.
    """
    engine = getattr(storage, "engine", None)
    found = _of_optuna(storage, study) if engine is None else _of_database(engine, study)
    return sorted(found, key=lambda trial: trial.number)


def _of_optuna(storage: BaseStorage, study: int) -> list[OpenTrial]:
    from optuna.trial import TrialState

    states = tuple(TrialState[name] for name in _STATES)
    trials = storage.get_all_trials(study, deepcopy=False, states=states)
    return [_trial(t._trial_id, t.number, t.state.name, t.user_attrs) for t in trials]


def _of_database(engine: Any, study: int) -> list[OpenTrial]:
    from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
    from optuna.trial import TrialState
    from sqlalchemy import select

    trial, attribute = TrialModel.__table__.c, TrialUserAttributeModel.__table__.c
    query = (
        select(trial.trial_id, trial.number, trial.state, attribute.key, attribute.value_json)
        .join(TrialUserAttributeModel.__table__, attribute.trial_id == trial.trial_id)
        .where(trial.study_id == study, trial.state.in_([TrialState[name] for name in _STATES]))
        .where(attribute.key.in_(("cell", "attempt", "token")))
    )
    heads: dict[int, tuple[int, str]] = {}
    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    with engine.connect() as connection:
        for found, number, state, key, value in connection.execute(query):
            heads[found] = (number, state.name)
            attributes[found][key] = json.loads(value)
    return [_trial(found, number, state, attributes[found]) for found, (number, state) in heads.items()]


def _trial(found: int, number: int, state: str, attributes: dict[str, Any]) -> OpenTrial:
    attempt, token = int(attributes.get("attempt", 0)), str(attributes.get("token", ""))
    return OpenTrial(found, number, state == "RUNNING", str(attributes.get("cell", "")), attempt, token)
