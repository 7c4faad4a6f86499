"""StudentKind: how a student is made from its teacher, fully trainable or as an adapter."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.denoiser import UNetDenoiser
from workbench.models.ema import check_same_tensors
from workbench.models.teacher import Teacher


@dataclass(frozen=True)
class StudentKind(ABC):
    """Makes a student that starts as its teacher: at first both give the same predictions, bit for bit."""

    @abstractmethod
    def make(self, teacher: Teacher) -> UNetDenoiser:
        """A trainable UNetDenoiser in train mode, with the teacher's process and prediction type, on its device."""


@dataclass(frozen=True)
class FullStudent(StudentKind):
    """Every parameter is trained, in float32 whatever the teacher's dtype."""

    def make(self, teacher: Teacher) -> UNetDenoiser:
        unet = copy.deepcopy(teacher.denoiser.unet)
        for parameter in unet.parameters():
            parameter.data = parameter.data.float()
        student = UNetDenoiser(unet, teacher.process, teacher.denoiser.prediction_type)
        return student.requires_grad_(True).train()


@dataclass(frozen=True)
class LoRAStudent(StudentKind):
    """Low-rank adapters are trained (float32); the frozen base is shared with the teacher, not copied.

    So `teacher.to(...)` moves both, and :func:`trainable_state` is the adapter alone.
    Reference: Hu et al. 2021, arXiv 2106.09685; implementation: peft.

    Raises:
        ValueError: rank < 1, alpha <= 0, or (in `make`) no module of the UNet matches.
    """

    rank: int = 16
    alpha: float = 16.0  # the update is alpha / rank * B A
    target_modules: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")  # ends of module names

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_modules", tuple(self.target_modules))  # YAML gives a list
        if self.rank < 1 or self.alpha <= 0:
            raise ValueError(f"LoRAStudent needs rank >= 1 and alpha > 0, got {self.rank} and {self.alpha}.")

    def make(self, teacher: Teacher) -> UNetDenoiser:
        from peft import LoraConfig  # seconds of import, only for those who use it

        unet = _copy_with_shared_tensors(teacher.denoiser.unet)
        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, target_modules=list(self.target_modules), init_lora_weights=True
        )
        try:
            unet.add_adapter(config)
        except ValueError as error:  # peft names the modules that it did not find
            raise ValueError(f"LoRAStudent target_modules {list(self.target_modules)}: {error}") from error
        for parameter in unet.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        return UNetDenoiser(unet, teacher.process, teacher.denoiser.prediction_type).train()


def trainable_state(student: nn.Module) -> dict[str, Tensor]:
    """What training changes, by name, as detached contiguous CPU copies: all weights, or the adapter alone."""
    return {n: p.detach().cpu().clone().contiguous() for n, p in student.named_parameters() if p.requires_grad}


@torch.no_grad()
def load_trainable_state(student: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put :func:`trainable_state` back. ValueError if the names or shapes are those of another student."""
    parameters = {name: p for name, p in student.named_parameters() if p.requires_grad}
    check_same_tensors(parameters, state, "Student")
    for name, parameter in parameters.items():
        parameter.copy_(state[name])


def _copy_with_shared_tensors(module: nn.Module) -> Any:
    """A copy of the modules around the very same parameters and buffers."""
    shared: dict[int, Any] = {id(t): t for t in itertools.chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, shared)
