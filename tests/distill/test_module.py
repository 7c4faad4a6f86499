"""The training step on the tiny teacher: where gradients go, and what does not matter."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from workbench.data import Wardrobe
from workbench.diffusion import DDIM, Draws
from workbench.distill import (
    SGD,
    AdamW,
    Adversarial,
    AveragedBackward,
    Backward,
    ConsistencyTarget,
    DistributionMatching,
    FineForward,
    Forward,
    Loss,
    ProgressiveTarget,
    Reconstruction,
    Relativistic,
    Staged,
    TeacherTarget,
    Trajectory,
)
from workbench.distill.batches import Batches
from workbench.distill.module import Distillation, Diverged, Plan, Schedule
from workbench.distill.recorder import Recorder
from workbench.models import FullStudent, LoRAStudent

GRID = (1000, 667, 333)


def build(
    teacher: Any,
    losses: dict[str, Loss] | None = None,
    trajectory: Trajectory | None = None,
    updates: int = 4,
    folder: Path | None = None,
    kind: Any = None,
    optimizer: Any = None,
    grids: tuple = (GRID,),
    clip: float | None = None,
    seed: int = 0,
) -> Distillation:
    draws = Draws(seed)
    losses = losses or {"reconstruction": Reconstruction(target=TeacherTarget(steps=2))}
    for loss in losses.values():
        loss.prepare(teacher, draws)
    trajectory = trajectory or Backward()
    images = trajectory.needs_images or any(loss.needs_images for loss in losses.values())
    torch.manual_seed(0)
    return Distillation(
        student=(kind or FullStudent()).make(teacher),
        teacher=teacher,
        batches=Batches(Wardrobe(size=50), teacher, draws, 4, images),
        trajectory=trajectory,
        sampler=DDIM(noise_correction=True),
        losses=losses,
        optimizer=optimizer or AdamW(),
        plan=Plan(grids, Schedule(1e-3, updates, warmup_updates=0, shape="constant"), 0.5, clip, log_every=1),
        draws=draws,
        recorder=Recorder(folder),
    )


def fit(module: Distillation, ticks: int | None = None) -> Distillation:
    last = module.total_ticks if ticks is None else module.tick + ticks
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(range(module.tick, last), batch_size=None))  # type: ignore[arg-type]
    return module


def flat(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.fixture(autouse=True)
def _no_advice() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        yield


def test_the_gradient_is_that_of_the_loss_with_the_rollout_as_a_constant(tiny_teacher: Any) -> None:
    """One SGD update against a direct computation: x_t by hand, one forward, one backward."""
    from workbench.diffusion import sample
    from workbench.distill import Keyed, State

    seen: list[State] = []

    class Watching(Backward):
        def walk(self, start: Any) -> Any:
            walking = super().walk(start)
            state = next(walking)
            seen.append(state)
            yield state

    loss = Reconstruction(target=TeacherTarget(steps=2), normalise_per_t=False)
    seed = next(s for s in range(50) if Draws(s).one("index", 0).integers(len(GRID)) == 2)  # behind two student moves
    module = build(tiny_teacher, {"r": loss}, Watching(), updates=1, optimizer=SGD(), seed=seed)
    start = copy.deepcopy(module.student)
    fit(module)
    (state,) = seen
    assert state.index == 2
    states: dict[int, Tensor] = {}
    random = Keyed(module.draws, 0, (0, 1, 2, 3))
    sample(
        start.process,
        lambda x, t: start(x, t, state.cond),
        random.normal("x_T", tiny_teacher.latent_shape),
        GRID,
        module.sampler,
        callback=lambda step: states.update({step.timestep: step.x_t}),
    )
    assert torch.equal(states[state.timestep], state.x_t)  # inference and training, the same bits
    pred = start(state.x_t, state.t, state.cond)
    target = loss.target(state, pred.detach(), tiny_teacher)
    gradients = torch.autograd.grad((pred.x0 - target).square().mean(), list(start.parameters()))
    expected = torch.cat([(p - 1e-3 * g).flatten() for p, g in zip(start.parameters(), gradients, strict=True)])
    moved = (flat(module.student) - flat(start)).norm()
    assert (flat(module.student) - expected).norm() < 1e-5 * moved
    assert all(p.grad is None and not p.requires_grad for p in tiny_teacher.denoiser.parameters())


def test_only_the_student_is_registered(tiny_teacher: Any) -> None:
    module = build(tiny_teacher, {"r": Reconstruction(), "a": Adversarial(width=8)})
    assert {name.split(".")[0] for name, _ in module.named_parameters()} == {"student"}
    assert set(module.ema.state_dict()) - {"num_updates"} == {n for n, _ in module.student.named_parameters()}


def test_all_states_of_a_rollout_give_the_mean_of_their_gradients(tiny_teacher: Any) -> None:
    def moved(trajectory: Trajectory) -> Tensor:
        loss = Reconstruction(target=TeacherTarget(steps=1), normalise_per_t=False)
        module = build(tiny_teacher, {"r": loss}, trajectory, updates=1, optimizer=SGD())
        return flat(fit(module).student) - flat(tiny_teacher.denoiser)

    class Only(Backward):
        index = 0

        def walk(self, start: Any) -> Any:
            for state in Backward(states="all").walk(start):
                if state.index == self.index:
                    yield state

    parts = []
    for index in range(3):
        Only.index = index
        parts.append(moved(Only()))
    mean = torch.stack(parts).mean(0)
    # The weights hardly move, and float32 leaves four digits of such a difference.
    assert (moved(Backward(states="all")) - mean).norm() < 1e-3 * mean.norm()


def test_every_state_of_a_rollout_is_logged_at_its_own_time(tiny_teacher: Any, tmp_path: Path) -> None:
    fit(build(tiny_teacher, trajectory=Backward(states="all"), updates=2, folder=tmp_path))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["update"], row["t"]) for row in rows] == [(update, t) for update in (1, 2) for t in GRID]
    assert all(row["loss/reconstruction"] > 0 for row in rows)
    assert ["gradient_norm" in row for row in rows] == [False, False, True] * 2  # once an update


def test_warm_up_trains_the_critic_alone(tiny_teacher: Any) -> None:
    losses: dict[str, Loss] = {
        "r": Reconstruction(target=TeacherTarget(steps=1)),
        "a": Adversarial(width=8, critic_warmup=2, gradient_ratio=0.5),
    }
    module = build(tiny_teacher, losses, updates=1)
    heads = copy.deepcopy(losses["a"].heads)
    fit(module, ticks=2)
    assert module.update == 0 and torch.equal(flat(module.student), flat(tiny_teacher.denoiser))
    assert not torch.equal(flat(losses["a"].heads), flat(heads))  # type: ignore[arg-type]
    fit(module, ticks=1)
    assert module.update == 1 and not torch.equal(flat(module.student), flat(tiny_teacher.denoiser))


def test_a_gradient_ratio_sets_the_norms_at_x0(tiny_teacher: Any, tmp_path: Path) -> None:
    losses: dict[str, Loss] = {
        "r": Reconstruction(weight=2.0, target=TeacherTarget(steps=1)),
        "a": Adversarial(width=8, critic_warmup=0, gradient_ratio=0.3),
    }
    module = fit(build(tiny_teacher, losses, updates=2))
    row = module.recorder.last
    weighted = row["weight/a"] * row["gradient_at_x0/a"]
    assert weighted == pytest.approx(0.3 * 2.0 * row["gradient_at_x0/r"], rel=1e-5)


def test_ema_follows_the_student(tiny_teacher: Any) -> None:
    module = build(tiny_teacher, updates=1)
    fit(module)
    with module.ema.swap():
        averaged = flat(module.student)
    expected = (flat(tiny_teacher.denoiser) + flat(module.student)) / 2  # decay .5, one update
    torch.testing.assert_close(averaged, expected)


def _adversarial() -> dict[str, Loss]:
    return {
        "r": Reconstruction(target=TeacherTarget(steps=2)),
        "a": Adversarial(width=8, critic_warmup=1, gradient_ratio=0.3),
    }


def _consistency() -> dict[str, Loss]:
    return {"r": Reconstruction(target=ConsistencyTarget(skip=0.1, decay=0.7))}


def _progressive() -> dict[str, Loss]:
    return {
        "r": Reconstruction(target=ProgressiveTarget()),
        "a": Adversarial(width=8, critic_warmup=1, real=ProgressiveTarget()),
    }


def _matching() -> dict[str, Loss]:
    return {
        "d": DistributionMatching(critic_updates=2, critic_warmup=1),
        "a": Adversarial(width=8, critic_warmup=1, gradient_ratio=0.3),
    }


def _relativistic() -> dict[str, Loss]:
    return {**_adversarial(), "a": Adversarial(width=8, critic_warmup=1, game=Relativistic())}


STAGED = Staged(stages=(12, 6, 3))  # stages end after updates 2, 4 and 5 of 5: a part ends with the first
RESUMED: dict[str, tuple[Any, Trajectory, Any]] = {
    "adversarial": (_adversarial, Backward(states="all"), FullStudent()),
    "consistency": (_consistency, FineForward(times=10), FullStudent()),
    "progressive": (_progressive, STAGED, FullStudent()),
    "progressive-lora": (_progressive, STAGED, LoRAStudent(rank=2)),
    "matching": (_matching, Backward(), FullStudent()),
    "averaged": (_relativistic, AveragedBackward(decay=0.7), FullStudent()),
    "averaged-lora": (_relativistic, AveragedBackward(decay=0.7), LoRAStudent(rank=2)),
}


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("case", RESUMED)
def test_a_resumed_run_ends_bit_for_bit_like_an_undisturbed_one(tiny_teacher: Any, tmp_path: Path, case: str) -> None:
    losses, trajectory, kind = RESUMED[case]
    whole = fit(build(tiny_teacher, losses(), trajectory, updates=5, kind=kind))
    state: dict[str, Any] = {}
    part = whole
    while part is whole or part.tick < part.total_ticks:  # a chain of parts
        part = build(tiny_teacher, losses(), trajectory, updates=5, kind=kind)
        if state:
            part.load_training_state(state)
        fit(part, ticks=min(2, part.total_ticks - part.tick))
        torch.save(part.training_state(), tmp_path / "state")
        state = torch.load(tmp_path / "state", weights_only=True)
    assert part.tick == whole.tick
    # student, average, optimisers, critics and copies
    assert same(part.training_state(), whole.training_state())
    assert part.recorder.last == whole.recorder.last
    assert len(state["copies"]) == any(name in case for name in ("consistency", "progressive", "averaged"))


def test_nobody_pays_for_a_copy_that_no_target_asks_for(tiny_teacher: Any) -> None:
    assert not build(tiny_teacher).copies
    both: dict[str, Loss] = {
        "a": Reconstruction(target=ConsistencyTarget(decay=0.9)),
        "b": Reconstruction(target=ConsistencyTarget(decay=0.9, skip=0.1)),
    }
    assert len(build(tiny_teacher, both).copies) == 1  # the same average


def test_stages_shorten_the_grid_and_the_student_of_the_stage_before_teaches(tiny_teacher: Any, tmp_path: Path) -> None:
    module = build(tiny_teacher, _progressive(), Staged(stages=(12, 6, 3)), updates=6, folder=tmp_path)
    (copy_of_stage,) = module.copies.values()
    seen: list[Tensor | None] = []
    after: list[Tensor] = [flat(module.student)]

    def watch(stop: bool, save: bool) -> bool:
        weights = copy_of_stage.training_state()["weights"]
        seen.append(torch.cat([value.flatten() for value in weights.values()]) if weights else None)
        after.append(flat(module.student))
        return True

    module.after_tick = watch
    fit(module)
    module.recorder.flush()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["num_steps"] for row in rows if row["tick"]] == [12, 12, 6, 6, 3, 3]  # tick 0 is warm-up
    # after[k + 1] is the student after tick k; stage 1 begins at tick 3, stage 2 at tick 5
    assert seen[1] is None and seen[2] is None
    assert seen[3] is not None and torch.equal(seen[3], after[3]) and torch.equal(seen[4], after[3])  # type: ignore[arg-type]
    assert torch.equal(seen[5], after[5])  # type: ignore[arg-type]


def test_lora_trains_the_adapter_alone_and_leaves_the_teacher(tiny_teacher: Any) -> None:
    before = flat(tiny_teacher.denoiser)
    module = fit(build(tiny_teacher, updates=2, kind=LoRAStudent(rank=2)))
    assert torch.equal(flat(tiny_teacher.denoiser), before)
    assert all("lora" in name for name in module.training_state()["student"])
    assert float(module.moved()) > 0


@pytest.mark.parametrize("where", ["loss", "weight", "gradient", "average", "moment"])
def test_nan_stops_the_run_at_once_and_is_never_saved(tiny_teacher: Any, where: str) -> None:
    module = build(tiny_teacher, updates=6)

    def poison(stop: bool, save: bool) -> bool:
        if module.update == 2:
            first = next(module.student.parameters())
            if where == "loss":
                module.losses["reconstruction"].weight = float("nan")
            elif where == "gradient":
                first.register_hook(lambda gradient: gradient * float("inf"))
            else:
                held = {
                    "weight": first,
                    "average": next(iter(module.ema._average.values())),
                    "moment": module.student_optimizer.state[first].get("exp_avg"),
                }[where]
                with torch.no_grad():
                    held.view(-1)[0] = float("nan")
                with pytest.raises(Diverged):  # whatever was poisoned, it is not saved
                    module.training_state()
                if where == "average":  # it takes no part in the training: found at the next save
                    raise Diverged(module.update)
        return True

    module.after_tick = poison
    with pytest.raises(Diverged) as diverged:
        fit(module)
    # A poisoned moment makes update 3 itself unsound, which the gradient of the next one shows.
    assert diverged.value.step == (3 if where == "moment" else 2)


def test_forward_needs_images_and_backward_reads_none(tiny_teacher: Any) -> None:
    class NoImages(Wardrobe):
        def images(self, indices: Any) -> Tensor:
            raise AssertionError("rendered an image that nobody needs")

    backward = build(tiny_teacher, updates=1)
    backward.batches = Batches(NoImages(size=50), tiny_teacher, Draws(0), 4, images=False)
    fit(backward)
    forward = fit(build(tiny_teacher, trajectory=Forward(), updates=1))
    assert forward.update == 1


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    schedule = Schedule(1.0, 100, warmup_updates=10)
    rates = [schedule(update) for update in range(101)]
    assert (
        rates[0] == pytest.approx(1 / 11) and max(rates) == rates[10] == 1 and rates[100] == pytest.approx(0, abs=1e-12)
    )
    assert all(a < b for a, b in zip(rates[:10], rates[1:11], strict=True))
    assert all(a > b for a, b in zip(rates[10:100], rates[11:], strict=True))
    assert Schedule(1.0, 4, warmup_updates=10)(2) == 1  # a warm-up longer than the run is cut
    assert Schedule(1.0, 100, 0, "constant")(99) == 1
