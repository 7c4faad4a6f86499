"""Ema: an exponential moving average of the student's trainable parameters, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """average <- decay average + (1 - decay) parameter, in float32, one fused call for all parameters.

    No module and no copy of one: the teacher, frozen weights and buffers are never averaged, stored or moved.

    Args:
        module: the student; its parameters with requires_grad at this moment are followed.
        decay: 0 <= decay < 1; the horizon is about 1 / (1 - decay) updates.

    Raises:
        ValueError: decay out of range, or nothing is trainable.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"Ema decay must be at least 0 and below 1, got {decay}.")
        self.decay = decay
        self.num_updates = 0
        self._parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not self._parameters:
            raise ValueError("Ema: the module has no trainable parameter to average.")
        self._average = {name: p.detach().float().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Call once after each optimiser step."""
        self._follow_devices()
        parameters = [p.detach().float() for p in self._parameters.values()]
        torch._foreach_lerp_(list(self._average.values()), parameters, 1 - self.decay)
        self.num_updates += 1

    @contextmanager
    def swap(self) -> Iterator[None]:
        """Inside, the parameters are the average; afterwards bit for bit what they were, also after an error."""
        saved = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._write(self._average)
        try:
            yield
        finally:
            self._write(saved)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the averages by parameter name, and `num_updates`: plain tensors, fit for safetensors."""
        state = {name: average.clone() for name, average in self._average.items()}
        return {**state, "num_updates": torch.tensor(self.num_updates)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from :meth:`state_dict`. ValueError if the names or shapes are those of another student."""
        averages = {name: value for name, value in state.items() if name != "num_updates"}
        check_same_tensors(self._average, averages, "Ema")
        for name, average in self._average.items():
            average.copy_(averages[name])
        self.num_updates = int(state["num_updates"])

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])

    def _follow_devices(self) -> None:
        # Lightning moves the module after this object is made: the average follows at the first update.
        for name, parameter in self._parameters.items():
            if self._average[name].device != parameter.device:
                self._average[name] = self._average[name].to(parameter.device)


def check_same_tensors(have: Mapping[str, Tensor], given: Mapping[str, Tensor], where: str) -> None:
    """ValueError, naming the first offender, unless both have the same names and shapes."""
    for names, word in ((have.keys() - given.keys(), "lack"), (given.keys() - have.keys(), "have the unknown")):
        if names:
            raise ValueError(
                f"{where}: the weights {word} parameter {min(names)!r} (and {len(names) - 1} more). "
                "They belong to another student; use the config they were trained with."
            )
    for name, tensor in have.items():
        if tensor.shape != given[name].shape:
            raise ValueError(
                f"{where}: {name!r} is {tuple(tensor.shape)} here, {tuple(given[name].shape)} in the weights. "
                "They belong to another student; use the config they were trained with."
            )
