"""Update: all that a loss may look at when it judges one state."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from workbench.diffusion import NoiseProcess, Prediction
from workbench.distill.state import State
from workbench.distill.targets import Target, TeacherLike


@dataclass
class Update:
    """One state with the student's prediction there.

    Losses are functions of `pred.x0`, a leaf: the gradient at x0 is what they hand to the student, so that weights can
    be ratios of gradients, every loss' gradient is logged, and the student's network is passed backward once.

    Fields:
        state: where.
        pred: the student's prediction, cut from its network; x0 requires grad while the student is trained.
        teacher: frozen.
        latents: (B, C, H, W) of real images with the captions of this batch; None unless somebody needs them.
    """

    state: State
    pred: Prediction
    teacher: TeacherLike
    latents: Tensor | None = None
    _targets: dict[Target, Tensor] = field(default_factory=dict)

    @property
    def process(self) -> NoiseProcess:
        return self.teacher.process

    def target(self, target: Target) -> Tensor:
        """The target at this state, (B, C, H, W); computed once, however many losses share it."""
        if target not in self._targets:
            self._targets[target] = target(self.state, self.pred.detach(), self.teacher).detach()
        return self._targets[target]
