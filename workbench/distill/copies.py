"""Copies: the student at another time, for parts that look at it (an average, the student of a stage before).

A copy is a set of weights, not a network: it runs through the student's own modules. It holds the trainable weights
alone, so that a LoRA student's copy is an adapter; it is made only if a part asks for it; and since it follows the
student alone it is the same on every rank.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.diffusion import Denoise, Prediction
from workbench.models import Denoiser
from workbench.models.ema import check_same_tensors


class Copy:
    """The student with other weights: (x_t, t, cond) -> Prediction, without gradient.

    Args:
        student: whose modules are used; its weights are not touched.
    """

    def __init__(self, student: Denoiser) -> None:
        self._student = student
        self._weights: dict[str, Tensor] = {}

    @property
    def is_there(self) -> bool:
        """Whether it holds weights already."""
        return bool(self._weights)

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        assert self.is_there, "a copy was asked before it was taken"
        return torch.func.functional_call(self._student, self._weights, (x_t, t, cond))

    def bind(self, cond: Tensor | None = None) -> Denoise:
        """(x_t, t) -> Prediction with the condition (B, L, D) filled in."""
        return lambda x_t, t: self(x_t, t, cond)

    def begin(self, stage: int) -> None:
        """Before a tick, with the stage of the trajectory's curriculum."""
        for name, p in self._trainable().items():  # the student may have been moved, or cast, since
            if name in self._weights and (self._weights[name].device, self._weights[name].dtype) != (p.device, p.dtype):
                self._weights[name] = self._weights[name].to(p.device, p.dtype)

    def after_update(self) -> None:
        """After a student update."""

    def training_state(self) -> dict[str, Any]:
        """Everything that must survive a restart, on the CPU."""
        return {"weights": {name: value.cpu().clone() for name, value in self._weights.items()}}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`training_state`. ValueError if the weights are those of another student."""
        parameters = self._trainable()
        if state["weights"]:
            check_same_tensors(parameters, state["weights"], "A copy of the student")
        self._weights = {name: value.to(parameters[name].device, copy=True) for name, value in state["weights"].items()}

    def _take(self) -> None:
        self._weights = {name: p.detach().clone() for name, p in self._trainable().items()}

    def _trainable(self) -> dict[str, Tensor]:
        return {name: p for name, p in self._student.named_parameters() if p.requires_grad}


class Average(Copy):
    """average <- decay average + (1 - decay) student, after every student update; at first the student itself."""

    def __init__(self, student: Denoiser, decay: float) -> None:
        super().__init__(student)
        self._decay = decay
        self._take()

    @torch.no_grad()
    def after_update(self) -> None:
        now = [p.detach() for p in self._trainable().values()]
        torch._foreach_lerp_(list(self._weights.values()), now, 1 - self._decay)


class StageStart(Copy):
    """The student as it was when the present stage began; nothing in stage 0."""

    def __init__(self, student: Denoiser) -> None:
        super().__init__(student)
        self._stage = 0

    def begin(self, stage: int) -> None:
        super().begin(stage)
        if stage != self._stage:
            self._take()
            self._stage = stage

    def training_state(self) -> dict[str, Any]:
        return {**super().training_state(), "stage": self._stage}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        super().load_training_state(state)
        self._stage = int(state["stage"])


@dataclass(frozen=True)
class CopyKind(ABC):
    """What a target or a trajectory asks for: equal kinds share one copy. Its repr names the copy in checkpoints."""

    @abstractmethod
    def make(self, student: Denoiser) -> Copy:
        """The copy, at the start of training."""


@dataclass(frozen=True)
class AverageKind(CopyKind):
    """An exponential moving average of the student; the horizon is about 1 / (1 - decay) updates."""

    decay: float

    def make(self, student: Denoiser) -> Copy:
        return Average(student, self.decay)


@dataclass(frozen=True)
class StageStartKind(CopyKind):
    """The student at the end of the stage before."""

    def make(self, student: Denoiser) -> Copy:
        return StageStart(student)


class Copies(dict[CopyKind, Copy]):
    """The copies of a run, by kind: one for each kind that somebody asks for."""

    @classmethod
    def of(cls, student: Denoiser, kinds: Iterable[CopyKind]) -> Copies:
        """Made at the start of training."""
        return cls({kind: kind.make(student) for kind in dict.fromkeys(kinds)})

    def begin(self, stage: int) -> None:
        """Before a tick."""
        for copy in self.values():
            copy.begin(stage)

    def after_update(self) -> None:
        """After a student update."""
        for copy in self.values():
            copy.after_update()

    def training_state(self) -> dict[str, Any]:
        """By the kinds' names."""
        return {repr(kind): copy.training_state() for kind, copy in self.items()}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`training_state`. ValueError if the weights are those of another student."""
        for kind, copy in self.items():
            copy.load_training_state(state[repr(kind)])
