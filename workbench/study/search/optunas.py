"""Which of Optuna's samplers and pruners a search may name, and why not the others. Imports Optuna when it is used."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.study.errors import SweepError, did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

SAMPLERS = ("TPESampler", "RandomSampler", "NSGAIISampler")
PRUNERS = ("MedianPruner", "PercentilePruner", "SuccessiveHalvingPruner", "HyperbandPruner", "ThresholdPruner")
REFUSED = {
    "GridSampler": "several workers repeat and forget points. A grid is an ablation: factors, design: factorial",
    "BruteForceSampler": "several workers repeat points. A grid is an ablation: factors, design: factorial",
    "CmaEsSampler": "it keeps a pickle in the storage, and no pickle is opened here",
    "GPSampler": "it needs torch, which a worker never loads",
    "QMCSampler": "its place in the sequence is lost when a worker dies",
}
# Steps are percent of a training, so that runs of different lengths are compared at equal shares.
PRUNER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"HyperbandPruner": {"max_resource": 100}}


@dataclass(frozen=True)
class Named:
    """A class of Optuna by name, with arguments of its constructor."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name + (f"({', '.join(f'{k}={v}' for k, v in self.arguments.items())})" if self.arguments else "")


def parse_named(raw: Any, known: tuple[str, ...], where: str) -> Named:
    """A name, or class_path with arguments beside it or under init_args. SweepError for what is not known."""
    if isinstance(raw, str):
        raw = {"class_path": raw}
    if not isinstance(raw, dict) or not isinstance(raw.get("class_path"), str):
        raise SweepError(f"{where}: must be a name, or {{class_path: NAME, ...}}, but is {raw!r}.")
    given = dict(raw)
    name = given.pop("class_path")
    nested = given.pop("init_args", None)
    arguments = {**(nested if isinstance(nested, dict) else {}), **given}
    if name in REFUSED:
        raise SweepError(f"{where}: {name} is not used here: {REFUSED[name]}. Known: {', '.join(known)}.")
    if name not in known:
        raise SweepError(f"{where}: there is no {name!r}.{did_you_mean(name, known)}")
    return Named(name, arguments)


def make_sampler(named: Named, seed: int, where: str = "sampler") -> BaseSampler:
    """A new sampler. A search makes one for every proposal, with a seed of its own, so that no state is ever lost."""
    with _quiet():
        import optuna

        sampler: BaseSampler = _construct(optuna.samplers, named, {"seed": seed}, where)
    return sampler


def make_pruner(named: Named | None, where: str = "pruner") -> BasePruner:
    """The pruner; one that never prunes for None."""
    import optuna

    if named is None:
        return optuna.pruners.NopPruner()
    pruner: BasePruner = _construct(optuna.pruners, named, PRUNER_DEFAULTS.get(named.name, {}), where)
    return pruner


def _construct(module: Any, named: Named, defaults: Mapping[str, Any], where: str) -> Any:
    cls = getattr(module, named.name)
    known = {k: v for k, v in inspect.signature(cls.__init__).parameters.items() if k not in ("self", "seed")}
    for name, value in named.arguments.items():
        if name not in known:
            raise SweepError(f"{where}: {named.name} has no argument {name!r}.{did_you_mean(name, known)}")
        # A word only where the default is one: the others are numbers, switches, functions and objects.
        is_word = isinstance(value, str) and isinstance(known[name].default, str)
        if not (is_word or value is None or isinstance(value, bool | int | float)):
            raise SweepError(f"{where}: {named.name}'s {name} must be a number or a switch, but is {shown(value)}.")
    try:
        return cls(**{**defaults, **named.arguments})
    except (TypeError, ValueError) as error:
        raise SweepError(f"{where}: {named}: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes on what is experimental: the versions are pinned."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="optuna.*")
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield
