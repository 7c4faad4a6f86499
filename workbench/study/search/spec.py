"""What stands under `search:` in a sweep file, checked as far as its own words go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.study.config_file import with_files
from workbench.study.errors import SweepError, did_you_mean, shown
from workbench.study.metric_names import check_metric
from workbench.study.names import slug
from workbench.study.reading import read_yaml
from workbench.study.search.optunas import PRUNERS, SAMPLERS, Named, make_pruner, make_sampler, parse_named
from workbench.study.search.space import Space, Values, parse_space
from workbench.study.search.starting import parse_starts
from workbench.study.sweep_file import SweepFile, parse_sweep

KEYS = (
    "trials", "minimise", "maximise", "space", "sampler", "pruner", "intermediate", "seed", "confirm", "start",
)  # fmt: skip
NOT_HERE = {
    "factors": "a search has a space instead of factors",
    "baseline": "the baseline is the configuration of base and set",
    "design": "a search has no design",
    "primary": "a search's objectives are its primary metrics",
    "arms": "a search's rows are its trials",
    "seeds": "the trials train with search.seed, the confirmation with search.confirm.seeds",
}
MAX_TRIALS = 10_000
MOST_PARETO = 3


@dataclass(frozen=True)
class Intermediate:
    """When a running trial is looked at. at: percent of its updates; num_images: of the tune prompts, each time."""

    at: tuple[int, ...] = (33, 67)
    num_images: int = 96


@dataclass(frozen=True)
class Confirm:
    """What is trained again. seeds: disjoint from the trials' seed; most: trials beside the baseline."""

    seeds: tuple[int, ...]
    most: int = 1


@dataclass(frozen=True)
class Search:
    """A checked `search:`. sweep: the rest of the file, as a sweep whose one arm is the base configuration."""

    sweep: SweepFile
    trials: int
    objectives: Mapping[str, str]  # metric -> "min" or "max"
    space: Space
    sampler: Named
    pruner: Named | None
    intermediate: Intermediate | None
    seed: int  # of the sampler, and of every trial's training
    confirm: Confirm | None
    start: tuple[Values, ...] = ()  # the points of the first trials
    raw: Mapping[str, Any] = field(default_factory=dict)  # the file's own mapping

    @property
    def study(self) -> str:
        """The study's name."""
        return self.sweep.name

    @property
    def objective(self) -> str:
        """The first objective."""
        return next(iter(self.objectives))

    @property
    def confirmation(self) -> str:
        """The name of the study that confirms: a folder of this one's, and its name in a database."""
        return f"{self.study}-confirm"


def is_search(raw: Mapping[str, Any]) -> bool:
    """Whether a sweep file's mapping asks for a search."""
    return "search" in raw


def read_search(path: Path) -> Search:
    """Read and check a file with `search:`. SweepError, with file, key and remedy, for whatever is wrong with it."""
    return parse_search(read_yaml(path), path)


def parse_search(raw: Mapping[str, Any], path: Path, base: Path | None = None) -> Search:
    """As `read_search`, for a mapping that was read from `path`. base: stands in for the file's own, if given."""
    for key, why in NOT_HERE.items():
        if key in raw:
            raise SweepError(f"{path}: {key} and search exclude each other: {why}.")
    raw = _expanded(raw, path)
    where = f"{path}, search"
    spec = raw.get("search")
    if not isinstance(spec, dict):
        raise SweepError(f"{where}: must be a mapping with trials, minimise or maximise, and space, but is {spec!r}.")
    for key in spec:
        if key not in KEYS:
            raise SweepError(f"{where}: there is no key {key!r}.{did_you_mean(key, KEYS)}")
    objectives = _objectives(spec, where)
    trials = _whole(spec.get("trials"), f"{where}.trials", 1, MAX_TRIALS)
    seed = _whole(spec.get("seed", 0), f"{where}.seed", 0, 2**31 - 1)
    confirm = _confirm(spec.get("confirm", {}), f"{where}.confirm", seed, len(objectives))
    pruner = None if _is_none(spec.get("pruner")) else parse_named(spec["pruner"], PRUNERS, f"{where}.pruner")
    if pruner and len(objectives) > 1:
        raise SweepError(
            f"{where}.pruner: {pruner.name} compares one running value, but there are {len(objectives)} objectives, "
            "and Optuna takes reports of none. Remove the pruner, or all objectives but one."
        )
    intermediate = _intermediate(spec.get("intermediate"), f"{where}.intermediate", pruner is not None)
    if intermediate and len(objectives) > 1:
        raise SweepError(f"{where}.intermediate: has no use with several objectives, which allow no pruner. Remove it.")
    space = parse_space(spec.get("space"), f"{where}.space", path.parent)
    size = space.size()
    if size is not None and size < trials:
        raise SweepError(
            f"{where}.trials: asks for {trials}, but the space has {size} points, and no point is run twice. Lower it, "
            "or make every combination an arm of an ablation."
        )
    sampler = parse_named(spec.get("sampler", "TPESampler"), SAMPLERS, f"{where}.sampler")
    make_sampler(sampler, seed, f"{where}.sampler")
    make_pruner(pruner, f"{where}.pruner")
    given = {} if base is None else {"base": str(base.resolve())}
    return Search(
        _rest({**raw, **given}, path, objectives, confirm.seeds if confirm else (seed,)),
        trials, objectives, space, sampler, pruner, intermediate, seed, confirm,
        parse_starts(spec.get("start"), space, trials, f"{where}.start"), raw,
    )  # fmt: skip


def _expanded(raw: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The file with what its `file:` keys name written out: search.json is read where those files may not be.

    What is no mapping stays as it is, to be refused by whoever reads it.
    """

    def inside(value: Any, where: str, depth: int) -> Any:
        if not isinstance(value, dict):
            return value
        if depth == 0:
            return with_files(value, where, path.parent)
        return {key: inside(item, f"{where}.{key}", depth - 1) for key, item in value.items()}

    places = (("set", 0), ("references", 1), ("evaluate", 2))
    found = {**raw, **{key: inside(raw[key], f"{path}, {key}", depth) for key, depth in places if key in raw}}
    spec = raw.get("search")
    if isinstance(spec, dict) and isinstance(spec.get("space"), dict):
        space = dict(spec["space"])
        for name, parameter in space.items():
            if isinstance(parameter, dict) and isinstance(parameter.get("choices"), dict):
                where = f"{path}, search.space.{name}"
                space[name] = {**parameter, "choices": inside(parameter["choices"], where, 1)}
        found["search"] = {**spec, "space": space}
    return found


def _rest(raw: Mapping[str, Any], path: Path, objectives: Mapping[str, str], seeds: tuple[int, ...]) -> SweepFile:
    """The ordinary part of the file: base, set, evaluate, references, further metrics, run."""
    rest = {key: value for key, value in raw.items() if key != "search"}
    further = rest.get("metrics") or {}
    if not isinstance(further, dict):
        raise SweepError(f"{path}, metrics: must be a mapping (name: min or max), but is {further!r}.")
    for name, direction in objectives.items():
        if further.get(name, direction) != direction:
            raise SweepError(f"{path}, metrics.{name}: is {further[name]} here, and {direction} under search.")
    metrics = {**objectives, **further}
    whole = {**rest, "metrics": metrics, "arms": {"baseline": {}}, "seeds": list(seeds)}
    sweep = parse_sweep(whole, path, evaluated=False)
    slug(f"{sweep.name}-confirm", f"{path}: the study")
    levels = [overrides for factor in sweep.evaluate for overrides in factor.levels.values()]
    if any("evaluation.prompts" in overrides for overrides in levels):
        raise SweepError(f"{path}, evaluate: a search reports on the report half. Remove evaluation.prompts.")
    if "evaluation.prompts" in sweep.set:
        raise SweepError(
            f"{path}, set.evaluation.prompts: a search chooses on the tune half of the prompts and reports on the "
            "other. Remove the key."
        )
    for reference, overrides in sweep.references.items():
        if "evaluation.prompts" in overrides:
            raise SweepError(
                f"{path}, references.{reference}: a search reports on the report half. Remove the prompts."
            )
    return sweep


def _objectives(spec: Mapping[str, Any], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word, direction in (("minimise", "min"), ("maximise", "max")):
        names = spec.get(word)
        for name in [] if names is None else names if isinstance(names, list) else [names]:
            if not isinstance(name, str):
                raise SweepError(f"{where}.{word}: must be the name of a metric, or several, but is {names!r}.")
            try:
                check_metric(name)
            except ValueError as error:
                raise SweepError(f"{where}.{word}: {error}") from error
            if name in found:
                raise SweepError(f"{where}.{word}: {name} is named twice.")
            found[name] = direction
    if not found:
        raise SweepError(f"{where}: say what is best: minimise: FD[judge], or maximise, or both.")
    return found


def _confirm(raw: Any, where: str, seed: int, objectives: int) -> Confirm | None:
    if _is_none(raw):
        return None
    raw = {"seeds": raw} if isinstance(raw, int | list) else raw
    if not isinstance(raw, dict):
        raise SweepError(f"{where}: must be {{seeds: 3}}, or none, but is {raw!r}.")
    for key in raw:
        if key not in ("seeds", "most"):
            raise SweepError(f"{where}: there is no key {key!r}.{did_you_mean(key, ('seeds', 'most'))}")
    given = raw.get("seeds", 3)
    if isinstance(given, list):
        seeds = tuple(_whole(s, f"{where}.seeds", 0, 2**31 - 1) for s in given)
        if not seeds or len(set(seeds)) < len(seeds) or seed in seeds:
            raise SweepError(f"{where}.seeds: must be different ones, and not {seed}, with which the trials train.")
    else:
        count = _whole(given, f"{where}.seeds", 1, 1_000)
        seeds = tuple(seed + 1 + i for i in range(count))
    most = _whole(raw.get("most", 1 if objectives == 1 else MOST_PARETO), f"{where}.most", 1, 100)
    return Confirm(seeds, most)


def _intermediate(raw: Any, where: str, needed: bool) -> Intermediate | None:
    if _is_none(raw):
        return Intermediate() if needed else None
    if not isinstance(raw, dict):
        raise SweepError(f"{where}: must be {{at: [0.33, 0.67], num_images: 96}}, but is {raw!r}.")
    for key in raw:
        if key not in ("at", "num_images"):
            raise SweepError(f"{where}: there is no key {key!r}.{did_you_mean(key, ('at', 'num_images'))}")
    shares = raw.get("at", [0.33, 0.67])
    fine = isinstance(shares, list) and all(isinstance(s, int | float) and 0.01 <= s <= 0.99 for s in shares)
    at = tuple(round(100 * share) for share in shares) if fine else ()
    if not at or sorted(set(at)) != list(at):
        raise SweepError(
            f"{where}.at: must be growing shares of a training, from 0.01 to 0.99, but is {shown(shares)}."
        )
    return Intermediate(at, _whole(raw.get("num_images", 96), f"{where}.num_images", 2, 1_000_000))


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in ("none", "off", "null"))


def _whole(value: Any, where: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SweepError(f"{where}: must be a whole number from {low} to {high:,}, but is {value!r}.")
    return value
