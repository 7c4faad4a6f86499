"""From values to a cell: every trial goes through the configuration's own parser, as an arm of an ablation does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workbench.study.cost import cell_passes
from workbench.study.digest import digest
from workbench.study.errors import SweepError
from workbench.study.plan import Plan
from workbench.study.planning import Resolve, make_plan
from workbench.study.search.spec import Search
from workbench.study.sweep_file import Overrides, SweepFile

TUNE, REPORT = {"evaluation.prompts": "tune"}, {"evaluation.prompts": "report"}
ON_FEATURES = ("FD", "KD", "precision", "recall", "coverage", "diversity", "teacher/distance")


def trial_name(number: int) -> str:
    """The name of a trial's folder and row."""
    return f"trial-{number:03d}"


class TrialPlanner:
    """Makes plans of one cell. resolve: the configuration's parser, which a worker does not have."""

    def __init__(self, search: Search, resolve: Resolve) -> None:
        self.search = search
        self.resolve = resolve

    def base(self) -> Plan:
        """The base configuration as a trial would be scored. SweepError in the words of the file."""
        return make_plan(self._alone("baseline", {}), self.resolve)

    def trial(self, number: int, values: Mapping[str, Any]) -> Plan:
        """The plan of a trial. SweepError where the parser refuses what the values write."""
        name = trial_name(number)
        plan = make_plan(self._alone(name, self.search.space.overrides(values)), self.resolve)
        labels = {p.name: p.label(values[p.name]) for p in self.search.space.parameters if p.name in values}
        return replace(plan, rows=tuple(replace(row, levels=labels) for row in plan.rows), design="search")

    def _alone(self, name: str, overrides: Overrides) -> SweepFile:
        """A sweep of one training, scored on the tune half."""
        sweep = self.search.sweep
        return replace(
            sweep,
            set={**sweep.set, **TUNE},
            arms={name: overrides},
            baseline_arm=name,
            seeds=(self.search.seed,),
            evaluate=(),
            references={},
        )

    def check(self) -> tuple[Plan, list[Plan]]:
        """The base and the space's corners, all parsed. SweepError for the first that is refused, with its values."""
        base = self.base()
        if base.cells[0].training is None:
            raise SweepError(
                f"{self.search.sweep.path}, search: evaluation.subject: target trains nothing, and a search is one of "
                "trainings. Make its points levels of factors: such arms take seconds each."
            )
        self._check_extractors(base)
        corners = []
        for values in self.search.space.corners():
            try:
                corners.append(self.trial(0, values))
            except SweepError as error:
                where = ", ".join(f"{p.name} = {p.label(values[p.name])}"
                                  for p in self.search.space.parameters if p.name in values)  # fmt: skip
                raise SweepError(
                    f"{self.search.sweep.path}, search.space: at {where}: {error.__cause__ or error}"
                ) from error
        return base, corners

    def _check_extractors(self, base: Plan) -> None:
        """An objective on features of an extractor that no evaluation loads would be found out after a training."""
        extractors = base.cells[0].tasks[0].settings.get("extractors")
        if not isinstance(extractors, list):
            return
        for name in self.search.objectives:
            family, bracket, rest = name.partition("[")
            known = [str(spec).partition(":")[0] for spec in extractors]
            if bracket and family in ON_FEATURES and rest.partition("]")[0] not in known:
                raise SweepError(
                    f"{self.search.sweep.path}, search: {name} is measured on an extractor that no evaluation loads. "
                    f"Add it to set: {{evaluation.extractors: [{', '.join([*known, rest.partition(']')[0]])}]}}."
                )

    def key(self, base: Plan) -> str:
        """What makes trials those of one search: another space, base, seed or sampler is another one."""
        search = self.search
        raw = {key: value for key, value in search.raw["search"].items() if key not in ("trials", "confirm")}
        cell = base.cells[0]
        return digest([cell.config, cell.training, [task.key for task in cell.tasks], raw])


def cost_bound(corners: list[Plan]) -> float:
    """Network passes of the dearest corner."""
    return max(cell_passes(plan.cells[0]) for plan in corners)


def intermediate_settings(search: Search, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation of a running trial: the same, on fewer images, and without what the objective does not need."""
    assert search.intermediate is not None
    cheap: dict[str, Any] = {"num_images": search.intermediate.num_images, "grid_images": 0}
    if not search.objective.startswith("teacher/"):
        cheap["teacher_steps"] = 0
    if not search.objective.startswith("diversity"):
        cheap["diversity_prompts"] = 0
    return {**settings, **{key: value for key, value in cheap.items() if key in settings}}
