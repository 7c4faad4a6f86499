"""The teacher's guidance scale as a target is given it: a number, a range, or the teacher's own."""

from __future__ import annotations

from torch import Tensor

from workbench.distill.state import State

Guidance = float | tuple[float, float] | None  # scale; or [low, high], drawn for each sample; None = the teacher's


def checked_guidance(guidance: Guidance, who: str) -> Guidance:
    """The same, a range as a tuple. ValueError for a range that is not low <= high."""
    if isinstance(guidance, list):  # YAML gives a list
        guidance = tuple(guidance)
    if isinstance(guidance, tuple) and (len(guidance) != 2 or guidance[0] > guidance[1]):
        raise ValueError(f"{who} guidance must be a number or [low, high], but got {list(guidance)}.")
    return guidance


def guidance_scale(guidance: Guidance, state: State) -> float | Tensor | None:
    """What `Teacher.guided` takes: a number, None, or (B,) drawn from the range."""
    if not isinstance(guidance, tuple):
        return guidance
    low, high = guidance
    return (low + (high - low) * state.random.uniform("guidance")).to(state.x_t)
