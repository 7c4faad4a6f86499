"""Which combinations of levels a study runs."""

from workbench.study.designs.base import Design
from workbench.study.designs.cumulative import Cumulative
from workbench.study.designs.factorial import Factorial
from workbench.study.designs.leave_one_out import LeaveOneOut
from workbench.study.designs.none import NoDesign
from workbench.study.designs.one_at_a_time import OneAtATime

DESIGNS: dict[str, Design] = {
    design.name: design for design in (OneAtATime(), Cumulative(), LeaveOneOut(), Factorial(), NoDesign())
}

__all__ = ["DESIGNS", "Cumulative", "Design", "Factorial", "LeaveOneOut", "NoDesign", "OneAtATime"]
