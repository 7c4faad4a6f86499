"""How much of the objective each parameter decides."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from workbench.study.search.spec import Search
from workbench.study.search.trials import Standing

LEAST = 10  # complete trials, below which the figure would be noise


def importances(search: Search, standings: Sequence[Standing]) -> dict[str, float]:
    """Parameter -> share of the first objective's importance; {} with fewer than 10 complete trials.

    PED-ANOVA (Watanabe et al. 2023, Optuna's implementation): how far the distribution of a parameter among the best
    tenth of the trials is from that among all. fANOVA would need scikit-learn. Parameters that exist under some choice
    only are left out: shares are comparable only where every trial has the parameter.
    """
    wanted = {search.objective: search.objectives[search.objective]}
    complete = [s for s in standings if s.values_of(wanted) is not None]
    shared = [p for p in search.space.parameters if not p.under and len({s.trial.values[p.name] for s in complete}) > 1]
    if len(complete) < LEAST or len(shared) < 2:
        return {}
    import optuna
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    minimise = search.objectives[search.objective] == "min"
    study = optuna.create_study(direction="minimize" if minimise else "maximize")
    distributions = {p.name: p.distribution() for p in shared}
    for found in complete:
        params = {name: found.trial.values[name] for name in distributions}
        study.add_trial(create_trial(value=found.scores[search.objective], params=params, distributions=distributions))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="optuna.*")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        result = optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(distributions))
    return {str(name): float(value) for name, value in result.items()}
