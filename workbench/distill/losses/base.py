"""Loss: a scalar at the student's x0; it owns whatever networks and optimisers it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from workbench.diffusion import Draws, NoiseProcess, Sampler
from workbench.distill.copies import CopyKind
from workbench.distill.targets import Target
from workbench.distill.trajectories import Trajectory
from workbench.distill.update import Update


class Loss(nn.Module, ABC):
    """A term of the student's objective.

    Attributes:
        weight: factor of this term; > 0.
        gradient_ratio: None; or the norm of this term's gradient at x0 over that of the terms with a fixed weight,
            which then replaces `weight`.
    """

    weight: float = 1.0
    gradient_ratio: float | None = None

    @property
    def needs_images(self) -> bool:
        """Whether `Update.latents` is read."""
        return False

    @property
    def warmup_ticks(self) -> int:
        """Ticks before the first student update in which only the networks of this loss learn."""
        return 0

    @property
    def targets(self) -> Sequence[Target]:
        """The targets that this loss approaches; checked and calibrated before training."""
        return ()

    @property
    def copies(self) -> Sequence[CopyKind]:
        """Copies of the student that this loss looks at."""
        return [kind for target in self.targets for kind in target.copies]

    def prepare(self, teacher: Any, draws: Draws) -> None:
        """Build networks and buffers for this teacher, on its device; `draws` seed their initial weights."""

    def check(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> None:
        """ValueError for what cannot work with these student times."""
        for target in self.targets:
            target.check(process, grids)

    def check_parts(self, sampler: Sampler, trajectory: Trajectory) -> None:
        """ValueError for what cannot work with this sampler of the student, or this trajectory."""
        for target in self.targets:
            target.check_parts(sampler, trajectory)

    @property
    def needs_calibration(self) -> bool:
        """Whether a target of this loss waits for measurements."""
        return any(target.needs_calibration for target in self.targets)

    def calibrate(self, spread: Callable[[Target, int], float], process: NoiseProcess, times: Sequence[int]) -> None:
        """Replace targets that need measurements by the measured ones."""

    def applies(self, update: Update) -> bool:
        """Whether the loss acts at this state (its t): decided on the host, the same on every rank."""
        return True

    @abstractmethod
    def forward(self, update: Update) -> Tensor:
        """The loss, a scalar: the mean over this process' share of the batch, before `weight`. Grad only at pred.x0."""

    def distances(self, update: Update) -> Tensor | None:
        """How far the student's x0 is from the target, (B,), before normalisation and weight; None without a target."""
        return None

    def train_critic(self, update: Update) -> dict[str, Tensor]:
        """Let the loss' own networks learn from a state; returns scalars to log. Nothing for a loss without
        networks."""
        return {}

    def training_state(self) -> dict[str, Any]:
        """Everything that must survive a restart, as tensors and plain types."""
        return {"module": self.state_dict()}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`training_state`."""
        self.load_state_dict(state["module"])
