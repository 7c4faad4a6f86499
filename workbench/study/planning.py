"""From a sweep file to a plan: every configuration resolved, every hash taken, nothing started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.study import asset_hashes
from workbench.study.budget import at_share, within_budget
from workbench.study.designs import DESIGNS
from workbench.study.designs.base import completed
from workbench.study.digest import EVALUATION_VERSION, TRAINING_VERSION, data_without_later, digest, without_later
from workbench.study.distinct import check_distinct
from workbench.study.errors import SweepError, did_you_mean
from workbench.study.names import slug
from workbench.study.overrides import merged
from workbench.study.plan import Cell, Entry, Plan, Row, Task
from workbench.study.primary import primary_of_rows
from workbench.study.reading import as_name
from workbench.study.restriction import check_scored, is_scored
from workbench.study.selecting import keeping
from workbench.study.sweep_file import Levels, Overrides, SweepFile
from workbench.study.untrained import TARGET, check_untrained, is_target, subject_of, what_decides, without_training

Resolve = Callable[[Path, Mapping[str, Any]], dict[str, Any]]  # base, overrides -> configuration; ValueError in words
ReadsImages = Callable[[Mapping[str, Any]], bool]
MAX_CELLS = 20_000
_SAMPLING = ("num_inference_steps", "noise_correction", "guidance_scale", "solver")  # nothing to real images


@dataclass(frozen=True)
class _Arm:
    row: Row
    overrides: Overrides


def make_plan(sweep: SweepFile, resolve: Resolve, reads_images: ReadsImages | None = None) -> Plan:
    """The plan of a sweep file.

    resolve: the configuration's own parser. It sees every arm under every evaluation before anything starts; a seed
    changes one number of a parsed arm. reads_images: whether a configuration's training reads real images, if anybody
    knows. Raises SweepError with the place in the file for a level that the parser refuses
    or that changes nothing, for arms that are the same, and for values that could not stand in one table.
    """
    arms, baseline = _arms(sweep)
    if len(arms) * len(sweep.seeds) > MAX_CELLS:
        raise SweepError(
            f"{sweep.path}: {len(arms)} arms x {len(sweep.seeds)} seeds are more than {MAX_CELLS:,} cells."
        )
    planner = _Planner(sweep, resolve)
    check_scored(sweep.only_at, [arm.row for arm in arms], baseline, planner.evaluations, sweep.path)
    configs = [planner.arm(arm) for arm in arms]
    compared = [[without_training(config) for config in by_evaluation] for by_evaluation in configs]
    check_distinct(sweep, [arm.row for arm in arms], compared, planner.evaluations)
    for reference, overrides in sweep.references.items():
        planner.reference(reference, overrides)
    for seed in sweep.seeds:  # seed-major: stopped early, the table is balanced
        for arm, by_evaluation in zip(arms, configs, strict=True):
            planner.add(arm, seed, by_evaluation)
    planner.check_image_counts()
    references = [Row(name, name, "reference") for name in sweep.references]
    rows = [arm.row for arm in arms]
    if reads_images is not None:
        rows = [
            row if is_target(c[0]) else replace(row, real_data=reads_images(c[0]))
            for row, c in zip(rows, configs, strict=True)
        ]
    return Plan(
        study=sweep.name,
        question=sweep.question,
        design=sweep.design,
        baseline=baseline,
        seeds=sweep.seeds,
        metrics=dict(sweep.metrics),
        evaluations=tuple(planner.evaluations),
        factors={factor.name: tuple(factor.levels) for factor in sweep.factors},
        run=sweep.run,
        rows=(*rows, *references),
        cells=planner.finished_cells(),
        entries=tuple(planner.entries),
        assets=planner.assets,
        primary=primary_of_rows(sweep, rows, baseline),
        budget=sweep.budget,
        columns=sweep.columns,
    )


def _arms(sweep: SweepFile) -> tuple[list[_Arm], str]:
    """The arms in the order of the table, and the name of the one to compare with."""
    if sweep.design not in DESIGNS:
        raise SweepError(
            f"{sweep.path}, design: there is no design {sweep.design!r}.{did_you_mean(sweep.design, DESIGNS)}"
        )
    design = DESIGNS[sweep.design]
    try:
        combinations = design.combinations(sweep.factors, sweep.baseline)
    except SweepError as error:
        raise SweepError(f"{sweep.path}, {error}") from error
    base = combinations and design.compare_with(combinations, sweep.baseline)
    arms = []
    for levels in combinations:
        name, label = _named(sweep, levels, base or {})
        if levels == base:  # of one factor its level says more; of several it would be a sentence
            name, label = "baseline", f"{label} (baseline)" if len(levels) == 1 else "baseline"
        if levels == base and design.name == "leave_one_out":
            name, label = "full", "full"
        arms.append(_Arm(Row(name, label, "arm", levels), merged(sweep.set, *_level_overrides(sweep, levels))))
    for name, spec in sweep.arms.items():
        arms.append(_extra_arm(sweep, name, spec))
    names = [arm.row.name for arm in arms]
    for name in [*names, *sweep.references]:
        if [*names, *sweep.references].count(name) > 1:
            raise SweepError(
                f"{sweep.path}: two rows of the table are called {name!r}. Rename the arm or the reference."
            )
    if sweep.factors:
        return arms, next(arm.row.name for arm in arms if arm.row.levels == base)
    chosen = sweep.baseline_arm or names[0]
    if chosen not in names:
        raise SweepError(f"{sweep.path}, baseline: there is no arm {chosen!r}.{did_you_mean(chosen, names)}")
    arms.sort(key=lambda arm: arm.row.name != chosen)
    return arms, chosen


def _named(sweep: SweepFile, levels: Levels, base: Levels) -> tuple[str, str]:
    """A row is named after what it changes: shift-scale, "shift = scale"."""
    changed = {factor: level for factor, level in levels.items() if base.get(factor) != level} or dict(levels)
    name = "_".join(f"{factor}-{level}" for factor, level in changed.items())
    if len(name) > 80:
        name = f"{name[:60].rstrip('-_.+')}-{digest(changed)[:8]}"
    return slug(name, f"{sweep.path}: the arm"), ", ".join(f"{factor} = {level}" for factor, level in changed.items())


def _level_overrides(sweep: SweepFile, levels: Levels) -> list[Overrides]:
    return [factor.levels[levels[factor.name]] for factor in sweep.factors if factor.name in levels]


def _extra_arm(sweep: SweepFile, name: str, spec: Mapping[str, Any]) -> _Arm:
    """An arm that is written out: the baseline with the levels that it names, then its own keys."""
    where = f"{sweep.path}, arms.{name}"
    known = {factor.name: factor for factor in sweep.factors}
    named = {key: as_name(value) for key, value in spec.items() if key in known}
    for factor, level in named.items():
        if level not in known[factor].levels:
            raise SweepError(
                f"{where}.{factor}: there is no level {level!r}.{did_you_mean(level, known[factor].levels)}"
            )
    levels = completed(sweep.factors, {**sweep.baseline, **named})
    if lost := [factor for factor in named if factor not in levels]:
        raise SweepError(f"{where}.{lost[0]}: exists only under {dict(known[lost[0]].under)}.")
    own = {key: value for key, value in spec.items() if key not in known}
    return _Arm(Row(name, name, "arm", levels), merged(sweep.set, *_level_overrides(sweep, levels), own))


class _Planner:
    """Resolves configurations once each, and gathers cells and entries."""

    def __init__(self, sweep: SweepFile, resolve: Resolve) -> None:
        self.sweep = sweep
        self._resolve = resolve
        self.evaluations = _evaluations(sweep)
        self.entries: list[Entry] = []
        self.assets: dict[str, str] = {}
        self._cells: dict[str, Cell] = {}  # folder -> cell
        self._tasks: dict[str, str] = {}  # task key -> folder of the cell that does it
        self._folders: dict[tuple[str, int], str] = {}  # training or target, seed -> folder of its cell
        self._hashes: dict[str, dict[str, str]] = {}  # files do not change while a plan is made
        self._shares: dict[str, dict[float, float]] = {}  # arm -> share in the file -> share of its updates
        self._settings: dict[str, list[dict[str, Any]]] = {}  # an arm's own evaluation keys -> settings by evaluation

    def _evaluation_overrides(self, levels: Levels) -> Overrides:
        return merged(*(f.levels[levels[f.name]] for f in self.sweep.evaluate if f.name in levels))

    def _run_overrides(self) -> Overrides:
        return {"train.devices": self.sweep.run.devices} if self.sweep.run.devices > 1 else {}

    def arm(self, arm: _Arm) -> list[dict[str, Any]]:
        """The arm's configuration under every evaluation, for the first seed."""
        own = {key: value for key, value in arm.overrides.items() if key.split(".")[0] == "evaluation"}
        first = self._parse(
            arm.row, merged(arm.overrides, self._run_overrides(), self._evaluation_overrides(self.evaluations[0]))
        )
        # Evaluations write to their own group only, so that arms with the same evaluation keys share what is parsed.
        # But whether a target can be scored at other steps is the model's.
        key = digest([own, first.get("model") if is_target(first) else None])
        known = self._settings.get(key)
        if known is None:
            configs = [first] + [
                self._parse(arm.row, merged(arm.overrides, self._run_overrides(), self._evaluation_overrides(levels)))
                for levels in self.evaluations[1:]
            ]
            known = self._settings[key] = [config.get("evaluation") or {} for config in configs]
        self._check_subjects(arm, known)
        if subject_of(known[0]) == TARGET:
            return [{**first, "evaluation": settings} for settings in known]
        kept = keeping(first, self.sweep.select)
        try:
            trained = within_budget(kept, self.sweep.budget)
        except ValueError as error:
            raise SweepError(f"{self.sweep.path}, arm {arm.row.name}: {error}") from error
        # What the file calls a share of the budget -> what it is of this arm's updates.
        shares = dict(zip(*(config["train"].get("snapshots") or [] for config in (kept, trained)), strict=True))
        self._shares[arm.row.name] = shares
        return [{**trained, "evaluation": at_share(settings, shares)} for settings in known]

    def _check_subjects(self, arm: _Arm, known: list[dict[str, Any]]) -> None:
        """An arm scores its student everywhere, or its target everywhere."""
        subjects, where = {subject_of(settings) for settings in known}, f"{self.sweep.path}: the arm {arm.row.name}"
        if subjects == {"student", TARGET}:
            raise SweepError(
                f"{where} evaluates its student here and its target there. Set evaluation.subject in the arm or under "
                "set, the same for every evaluation."
            )
        if subjects == {TARGET}:
            check_untrained(
                self.sweep, arm.row.name, [arm.overrides, *map(self._evaluation_overrides, self.evaluations)]
            )
        elif subjects != {"student"}:
            raise SweepError(f"{where} evaluates something else than its student or its target. Use references.")

    def _parse(self, row: Row, overrides: Overrides) -> dict[str, Any]:
        try:
            return self._resolve(self.sweep.base, overrides)
        except (ValueError, OSError) as error:
            raise SweepError(f"{self.sweep.path}, {self._culprit(row)}: {error}") from error

    def _culprit(self, row: Row) -> str:
        """The part of the file that the parser refuses on its own, or the row that it refuses as a whole."""
        candidates: list[tuple[str, Overrides]] = [("set", self.sweep.set)]
        for factor in self.sweep.factors:
            if factor.name in row.levels:
                levels = {name: level for name, level in row.levels.items() if name in factor.under}
                parents = merged(*_level_overrides(self.sweep, levels))
                level = row.levels[factor.name]
                candidates.append(
                    (f"factors.{factor.name}.{level}", merged(self.sweep.set, parents, factor.levels[level]))
                )
        for factor in self.sweep.evaluate:
            for level, overrides in factor.levels.items():
                candidates.append((f"evaluate.{factor.name}.{level}", merged(self.sweep.set, overrides)))
        try:
            self._resolve(self.sweep.base, {})
        except (ValueError, OSError):
            return f"base {self.sweep.base}"
        for where, overrides in candidates:
            try:
                self._resolve(self.sweep.base, overrides)
            except (ValueError, OSError):
                return where
        return f"{row.kind} {row.name}"

    def reference(self, name: str, overrides: Overrides) -> None:
        """Add the entries of a row that needs no training. Its own keys win over an evaluation's."""
        row = Row(name, name, "reference")
        allowed = ("evaluation", "teacher")
        for key in overrides:
            if key.split(".")[0] not in allowed:
                raise SweepError(
                    f"{self.sweep.path}, references.{name}: {key} belongs to a training, but a reference has none. "
                    "Only keys "
                    "under evaluation and teacher have an effect. Make it an arm."
                )
        for levels in self.evaluations:
            config = self._parse(row, merged(self.sweep.set, self._evaluation_overrides(levels), overrides))
            settings = config.get("evaluation") or {}
            if subject_of(settings) == TARGET:
                raise SweepError(
                    f"{self.sweep.path}, references.{name}: evaluates a target, which only an arm has. Make it an arm, "
                    "or set evaluation.subject: teacher, or real."
                )
            if subject_of(settings) == "student":
                raise SweepError(
                    f"{self.sweep.path}, references.{name}: evaluates a student, which only an arm has. "
                    "Set evaluation.subject: teacher, or real."
                )
            model = config.get("model") or {}
            untrained = {
                **{key: config.get(key) for key in ("plugins", "teacher")},
                "data": data_without_later(config.get("data")),
                "model": {key: model.get(key) for key in ("grid", "num_steps", "sampler")},
            }
            identity = digest([untrained, self._hashed(asset_hashes.training_assets, config), EVALUATION_VERSION])
            self._add(row, None, levels, f"{name}/untrained-{identity[:8]}", None, identity, config)

    def add(self, arm: _Arm, seed: int, by_evaluation: list[dict[str, Any]]) -> None:
        """Add the entries of an arm for one seed: of its training, or of the noise that its target is scored with."""
        for levels, config in zip(self.evaluations, by_evaluation, strict=True):
            if not is_scored(self.sweep.only_at, arm.row, levels):
                continue
            if is_target(config):
                self._fit(arm.row, seed, levels, config)
                continue
            seeded = {**config, "seed": seed}
            assets = self._hashed(asset_hashes.training_assets, config)
            self.assets.update(assets)
            what = {key: value for key, value in seeded.items() if key != "evaluation"}
            what["train"] = without_later("train", what.get("train") or {})
            if "data" in what:
                what["data"] = data_without_later(what["data"])
            training = digest([what, assets, TRAINING_VERSION])
            self._add(arm.row, seed, levels, f"{arm.row.name}/seed{seed}-{training[:8]}", training, training, seeded)

    def _fit(self, row: Row, seed: int, levels: Levels, config: Mapping[str, Any]) -> None:
        what = what_decides(config)
        assets = self._hashed(asset_hashes.training_assets, what)
        self.assets.update(assets)
        identity = digest([what, assets, EVALUATION_VERSION])
        seeded = {**config, "evaluation": {**config["evaluation"], "seed": seed}}
        self._add(row, seed, levels, f"{row.name}/seed{seed}-{identity[:8]}", None, identity, seeded)

    def _add(
        self,
        row: Row,
        seed: int | None,
        levels: Levels,
        folder: str,
        training: str | None,
        identity: str,
        config: Mapping[str, Any],
    ) -> None:
        settings = config.get("evaluation") or {}
        assets = self._hashed(asset_hashes.evaluation_assets, settings)
        self.assets.update(assets)
        subject = subject_of(settings)
        idle = ("snapshot", *_SAMPLING) if subject == "real" else () if subject == "student" else ("snapshot",)
        asked = {k: v for k, v in without_later("evaluation", settings).items() if k not in idle}
        select = None
        if training and self.sweep.select and settings.get("snapshot") is None:
            shares = self._shares[row.name]
            select = self.sweep.select.identity()
            select["snapshots"] = [shares.get(share, share) for share in select["snapshots"]]
        rule = [select] if select else []
        task = Task(digest([identity, asked, assets, EVALUATION_VERSION, *rule]), settings, select)
        if task.key not in self._tasks:
            # What another arm has already asked for keeps the other arm's folder.
            folder = folder if seed is None else self._folders.setdefault((identity, seed), folder)
            cell = self._cells.get(folder) or Cell("", folder, training, row.name, seed, row.levels, config, ())
            self._cells[folder] = Cell(
                "", cell.folder, cell.training, cell.arm, cell.seed, cell.levels, cell.config, (*cell.tasks, task)
            )
            self._tasks[task.key] = folder
        steps = settings.get("num_inference_steps")
        self.entries.append(Entry(row.name, seed, dict(levels), self._tasks[task.key], task.key, subject, steps))

    def _hashed(
        self, assets: Callable[[Mapping[str, Any]], dict[str, str]], config: Mapping[str, Any]
    ) -> dict[str, str]:
        key = digest([assets.__name__, config])
        if key not in self._hashes:
            self._hashes[key] = assets(config)
        return self._hashes[key]

    def finished_cells(self) -> tuple[Cell, ...]:
        """The cells with their keys; the entries learn them too."""
        cells = {}
        for folder, cell in self._cells.items():
            key = digest(
                [folder.split("/")[-1] if cell.training is None else cell.training, [t.key for t in cell.tasks]]
            )
            cells[folder] = Cell(key, folder, cell.training, cell.arm, cell.seed, cell.levels, cell.config, cell.tasks)
        self.entries = [
            Entry(e.row, e.seed, e.evaluation, cells[e.cell].key, e.task, e.subject, e.num_inference_steps)
            for e in self.entries
        ]
        return tuple(cells.values())

    def check_image_counts(self) -> None:
        """A Frechet distance depends on the number of images: one table, one number."""
        counts = {
            task.settings["num_images"]
            for cell in self._cells.values()
            for task in cell.tasks
            if task.settings.get("num_images") is not None
        }
        if len(counts) > 1:
            raise SweepError(
                f"{self.sweep.path}: evaluates {', '.join(map(str, sorted(counts)))} images in one table. A Frechet "
                "distance "
                "depends on the number: give all rows the same evaluation.num_images."
            )


def _evaluations(sweep: SweepFile) -> list[dict[str, str]]:
    """All combinations of the evaluation's levels; a conditional factor exists only under its parent's level."""
    found: list[dict[str, str]] = [{}]
    for factor in sweep.evaluate:
        found = [
            {**levels, **chosen}
            for levels in found
            for chosen in ([{factor.name: level} for level in factor.levels] if factor.exists(levels) else [{}])
        ]
    return found
