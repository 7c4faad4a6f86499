"""What a cell costs in network passes: one pass is a forward without gradient, of one sample.

A forward and backward is 3 passes, a forward whose gradient goes to the input alone 2, and guidance doubles a pass
where conditional and unconditional run together. An update of a student that is trained at one of its N times costs

    (N - 1)/2     the rollout, where the N times are drawn alike; none for noised images
    3             the student
    its targets   k guided steps of the teacher (ConsistencyTarget: one, and the averaged student; ProgressiveTarget:
                  n, unguided from the second stage on); a target that two losses share counts once
    a critic      Adversarial: 2 to train the student through the teacher's features, and for each update of its own 2
                  (the features of a real and a generated batch) and 1 for its heads, which are no pass but cost about
                  as much; DistributionMatching: the teacher, the fake-score network, and 3 for each update of that

and a tick of warm-up 1 for the student instead of 3, no loss of the student's, and the critics. Where a target is
scored and nothing is trained, a step of an image is as many looks at the target as its fixed point takes.
Not counted: the VAE, the text encoder, the metrics, measurements beside the training, sample grids. Times that round to
the same value count as if they did not. The hours are a plan's hours, rounded up in your mind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from workbench.study.plan import Cell

GUIDED = 2.0
TRAINED = 3.0  # forward and backward
THROUGH = 2.0  # forward, and backward to the input alone
HEADS = 1.0  # of a critic, an update
FIXED_POINT = 9.0  # looks at a target until it stands still: ITERATIONS + 1 of workbench/evaluation/exact.py
NETWORK_CALLS = {"Heun": 2.0}  # of a solver's step; 1 for the others, and for the step to t = 0


def cell_passes(cell: Cell) -> float:
    """Network passes of the training, if there is one, and of all evaluations; at least 1."""
    training = training_passes(cell.config) if cell.training else 0.0
    return max(1.0, training + sum(evaluation_passes(task.settings, cell.config) for task in cell.tasks))


def training_passes(config: Mapping[str, Any], until: int | None = None) -> float:
    """Passes of all updates, or of the first `until`, and of the warm-up of critics.

    Keys that are missing count as their defaults. What a trajectory in stages or with a curriculum costs until then is
    what its first updates cost, not a part of the average.
    """
    model, train = _group(config, "model"), _group(config, "train")
    updates, batch = int(_number(train, "student_updates", 150)), _number(train, "batch_size", 32)
    steps = model.get("num_steps") or [1, 2, 3]
    trajectory = model.get("trajectory") or "Backward"
    num_steps = [int(n) for n in (steps if isinstance(steps, list) else [steps])]
    losses = [_Loss(loss, config) for loss in _group(model, "losses").values() if isinstance(loss, Mapping)]
    sampler = _calls(model.get("sampler"))
    total, seen = 0.0, updates if until is None else min(until, updates)
    for place in _places(trajectory, num_steps, updates, 0, seen):
        states = place.steps if place.is_all else 1
        losses_there = place.mean(partial(_state_passes, losses))
        total += seen * place.share * (place.rollout(sampler) + states * (TRAINED + losses_there))
    warmup = max((loss.warmup for loss in losses), default=0.0)
    for place in _places(trajectory, num_steps, updates, 0, 1):  # its first tick
        states = place.steps if place.is_all else 1
        critics = place.mean(partial(_critic_passes, losses))
        total += warmup * place.share * (place.rollout(sampler) + states * (1 + critics))
    return total * batch


def evaluation_passes(settings: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> float:
    """Passes of one evaluation: a student runs unguided, one pass a step.

    config: of the cell, whose reconstruction is what the subject target costs; None counts as its defaults.
    """
    subject = settings.get("subject") or "student"
    several = _number(settings, "diversity_prompts", 16) * _number(
        settings, "diversity_images", 8
    )  # of one prompt each
    images, steps = _number(settings, "num_images", 512) + several, _number(settings, "num_inference_steps", 3)
    if subject == "real":
        return 0.0
    if subject == "student":
        return images * steps
    if subject == "target":
        return images * _fitted_passes(config or {}, int(steps))
    guided = 1.0 if settings.get("guidance_scale") in (1, 1.0) else GUIDED
    return images * guided * ((steps - 1) * _calls(settings.get("solver")) + 1)


def _fitted_passes(config: Mapping[str, Any], steps: int) -> float:
    """An image of the student that fits its target: at every time of the grid the teacher's own prediction to begin
    with, and the target until it stands still."""
    losses = [_named(loss) for loss in _group(_group(config, "model"), "losses").values()]
    target = next((arguments.get("target") for name, arguments in losses if name == "Reconstruction"), None)
    scale, times = _group(config, "teacher").get("guidance_scale"), _Place(1.0, steps, is_backward=True).times()
    return sum(1 + _looks(target) * _target_passes(target, at, scale) for at in times)


def _looks(target: Any) -> float:
    """One where chi is x_t itself, whatever the student says there."""
    _, arguments = _named(target)
    (shift, at), (noise, of) = _named(arguments.get("shift")), _named(arguments.get("noise"))
    is_here = shift == "IdentityShift" or at.get("factor") == 1
    is_own = noise == "StudentNoise" or (noise == "MixedNoise" and of.get("rho") == 0)
    return 1.0 if is_here and is_own else FIXED_POINT


# ---- where the student is trained ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _At:
    """One time of a grid."""

    time: float  # of T
    index: int  # 0 at T
    steps: int  # of the grid
    stage: int = 0


@dataclass(frozen=True)
class _Place:
    """A share of the updates: from which grid their states come, and how."""

    share: float
    steps: int
    is_backward: bool
    is_all: bool = False
    stage: int = 0
    power: float = 0.0

    def times(self) -> list[_At]:
        """The times, as a trailing grid has them."""
        return [_At((self.steps - i) / self.steps, i, self.steps, self.stage) for i in range(self.steps)]

    def mean(self, passes: Callable[[_At], float]) -> float:
        """Over the states that the student is trained at."""
        times = self.times()
        weights = [at.time**self.power for at in times]
        return sum(weight * passes(at) for weight, at in zip(weights, times, strict=True)) / sum(weights)

    def rollout(self, calls: float) -> float:
        if not self.is_backward:
            return 0.0
        if self.is_all:  # the training's own passes are the rollout's; a solver may ask again within a step
            return (self.steps - 1) * (calls - 1)
        return self.mean(lambda at: at.index) * calls


def _places(trajectory: Any, num_steps: Iterable[int], updates: int, begin: int, end: int) -> list[_Place]:
    """Where the updates from `begin` to before `end`, of so many, are trained; the shares are shares of those."""
    name, arguments = _named(trajectory)
    num_steps = list(num_steps)
    power = _number(arguments, "power", 0.0)
    if name == "FineForward":
        return [_Place(1.0, int(_number(arguments, "times", 50)), is_backward=False, power=power)]
    if name == "Staged":
        stages = [int(n) for n in arguments.get("stages") or [16, 8, 4]]
        ends = [-(-updates * (i + 1) // len(stages)) for i in range(len(stages))]  # rounded up
        found = []
        for stage, (steps, first, last) in enumerate(zip(stages, [0, *ends], ends, strict=False)):
            here, there = max(first, begin), min(last, end)
            if here < there:
                inner = _places(arguments.get("trajectory") or "Forward", [steps], updates, here, there)
                share = (there - here) / (end - begin)
                found += [replace(place, share=place.share * share, stage=stage) for place in inner]
        return found
    if name == "Mixture":
        at, to = _number(arguments, "share_start", 0.5), _number(arguments, "share_end", 0.0)
        until = _number(arguments, "until", 0.5)
        both = arguments.get("first") or "Forward", arguments.get("second") or "Backward"
        # The average of the shares is exact where what they share does not change on its way.
        is_steady = not any(_named(inner)[0] in ("Staged", "Mixture") for inner in both)
        parts = [(begin, end)] if is_steady else [(u, u + 1) for u in range(begin, end)]
        found = []
        for here, there in parts:
            share = sum(at + (to - at) * min(u / updates / until, 1.0) for u in range(here, there)) / (end - begin)
            shares = (share, (there - here) / (end - begin) - share)
            found += [
                replace(place, share=place.share * part)
                for part, inner in zip(shares, both, strict=True)
                if part
                for place in _places(inner, num_steps, updates, here, there)
            ]
        return found
    is_all = arguments.get("states") == "all"
    return [_Place(1 / len(num_steps), n, "Forward" not in name, is_all, power=power) for n in num_steps]


# ---- what a state costs ----------------------------------------------------------------------------------------------


class _Loss:
    """What of a loss' settings counts."""

    def __init__(self, loss: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self.name, self.arguments = _named(loss)
        self.teacher_scale = _group(config, "teacher").get("guidance_scale")
        is_critic = self.name in ("Adversarial", "DistributionMatching")
        self.updates = _number(self.arguments, "critic_updates", 5 if self.name == "DistributionMatching" else 1)
        default = {"Adversarial": 20, "DistributionMatching": 10}.get(self.name, 0)
        self.warmup = _number(self.arguments, "critic_warmup", default) if is_critic else 0.0

    def applies(self, at: _At) -> bool:
        low, high = self.arguments.get("between") or (0.0, 1.0)
        last = self.arguments.get("last_steps")
        return low <= at.time <= high and (last is None or at.index >= at.steps - last)

    def targets(self, at: _At) -> dict[str, float]:
        """Each target, named by its settings -> its passes."""
        if self.name == "DistributionMatching":
            return {}
        target = self.arguments.get("real" if self.name == "Adversarial" else "target")
        if not isinstance(target, Mapping | str):
            return {}
        return {json.dumps(target, sort_keys=True): _target_passes(target, at, self.teacher_scale)}

    def student_side(self) -> float:
        """Passes of the student's own loss, without targets."""
        if self.name == "DistributionMatching":
            unguided = _teacher_passes({**self.arguments, "guidance": 1.0}, None, default=1)
            return _teacher_passes(self.arguments, self.teacher_scale, default=1) + unguided
        if self.name == "Adversarial":
            is_relative = _named(self.arguments.get("game"))[0] == "Relativistic"
            return THROUGH + is_relative  # which looks at the real side as well
        return 0.0 if "target" in self.arguments else TRAINED  # of a loss that nobody here knows

    def critic_side(self) -> float:
        if self.name == "DistributionMatching":
            return TRAINED * self.updates
        return (2 + HEADS) * self.updates if self.name == "Adversarial" else 0.0


def _state_passes(losses: list[_Loss], at: _At) -> float:
    """Losses and critics at one state, without the student's own pass."""
    acting = [loss for loss in losses if loss.applies(at)]
    targets: dict[str, float] = {}
    for loss in acting:
        targets |= loss.targets(at)  # computed once, however many share it
    return sum(targets.values()) + sum(loss.student_side() + loss.critic_side() for loss in acting)


def _critic_passes(losses: list[_Loss], at: _At) -> float:
    """The critics alone, in warm-up."""
    critics = [loss for loss in losses if loss.critic_side() and loss.applies(at)]
    targets: dict[str, float] = {}
    for loss in critics:
        targets |= loss.targets(at)
    return sum(targets.values()) + sum(loss.critic_side() for loss in critics)


def _target_passes(target: Any, at: _At, teacher_scale: Any) -> float:
    name, arguments = _named(target)
    calls = _calls(arguments.get("solver"))
    guided = _guided(arguments, teacher_scale)
    if name == "ConsistencyTarget":
        is_end = at.time <= _number(arguments, "skip", 0.02) + 1e-9
        return guided * (1.0 if is_end else calls) + (0.0 if is_end else 1.0)
    if name == "ProgressiveTarget":
        is_end = at.index == at.steps - 1
        moves = _number(arguments, "steps", 2) * calls - (calls - 1 if is_end else 0)
        return (guided if at.stage == 0 else 1.0) * moves
    if name == "FixedStepTarget":  # a shift other than ScaleShift counts as gamma = t
        shift, of = _named(arguments.get("shift"))
        gamma = at.time * (_number(of, "factor", 0.7) if shift in ("", "ScaleShift") else 1.0)
        steps = min(_number(arguments, "steps", 25), math.ceil(round(gamma / _number(arguments, "size", 0.2), 3)))
        return _teacher_passes({**arguments, "steps": steps}, teacher_scale, default=5)
    return _teacher_passes(arguments, teacher_scale, default=5)


def _teacher_passes(arguments: Mapping[str, Any], teacher_scale: Any, default: int) -> float:
    """k - 1 moves and a prediction."""
    moves = (_number(arguments, "steps", default) - 1) * _calls(arguments.get("solver"))
    return _guided(arguments, teacher_scale) * (moves + 1)


def _guided(arguments: Mapping[str, Any], teacher_scale: Any) -> float:
    scale = arguments.get("guidance")
    return 1.0 if (teacher_scale if scale is None else scale) in (1, 1.0) else GUIDED


# ---- reading ---------------------------------------------------------------------------------------------------------


def _named(part: Any) -> tuple[str, Mapping[str, Any]]:
    """(class without its module, arguments) of a part, given by name or with class_path."""
    if isinstance(part, Mapping):
        return str(part.get("class_path", "")).rpartition(".")[2], _group(part, "init_args")
    return str(part or "").rpartition(".")[2], {}


def _calls(solver: Any) -> float:
    return NETWORK_CALLS.get(_named(solver)[0], 1.0)


def _group(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    value = config.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float(default)
