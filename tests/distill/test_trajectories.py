"""Where the student is trained: the states are those of inference, and nothing else enters."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.distill.analytic import SHAPE, gaussian, keyed, sd_process
from tests.distill.every import every
from workbench.diffusion import DDIM, Heun, NoiseProcess, Renoise, Sampler, sample
from workbench.distill import Backward, Forward, Mixture, Start, State, Trajectory

GRID = (1000, 667, 333)


class Counting:
    """A denoiser that counts its calls."""

    def __init__(self, process: NoiseProcess) -> None:
        self.inner = gaussian(process)
        self.calls = 0

    def __call__(self, x_t: torch.Tensor, t: torch.Tensor) -> Any:
        self.calls += 1
        return self.inner(x_t, t)


def start(sampler: Sampler | None = None, tick: int = 0, progress: float = 0.0, timesteps: tuple = GRID) -> Start:
    process = sd_process()
    return Start(
        process=process,
        denoise=Counting(process),
        cond=None,
        shape=SHAPE,
        timesteps=timesteps,
        sampler=sampler or DDIM(noise_correction=True),
        latents=torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0)),
        random=keyed(tick),
        progress=progress,
    )


def walk(trajectory: Trajectory, begin: Start) -> list[State]:
    """All states, the student's prediction being sent back as training does."""
    states: list[State] = []
    walking = trajectory.walk(begin)
    state = next(walking)
    while True:
        states.append(state)
        try:
            state = walking.send(begin.denoise.inner(state.x_t, state.t))  # type: ignore[attr-defined]
        except StopIteration:
            return states


@pytest.mark.parametrize("sampler", [DDIM(noise_correction=True), DDIM(), DDIM(eta=0.5), Renoise(), Heun()], ids=repr)
def test_the_rollout_is_inference_bit_for_bit(sampler: Sampler) -> None:
    begin = start(sampler)
    x_T = begin.random.normal("x_T", SHAPE)
    seen: list[torch.Tensor] = []
    sample(
        begin.process,
        begin.denoise,
        x_T,
        GRID,
        sampler,
        noise=lambda move: begin.random.within("moves").normal(str(move), SHAPE),
        callback=lambda step: seen.append(step.x_t),
    )
    states = walk(Backward(states="all"), begin)
    assert [s.timestep for s in states] == list(GRID)
    assert all(torch.equal(s.x_t, x) for s, x in zip(states, seen, strict=True))
    assert all(torch.equal(s.noise, x_T) for s in states)
    one = walk(Backward(states="one"), begin)[0]  # the one state is a state of that same rollout
    assert torch.equal(one.x_t, states[one.index].x_t)


def test_network_calls_are_as_few_as_there_are_moves() -> None:
    """t = T costs none; all states of a rollout cost none, since the training's own predictions are used."""
    for tick in range(12):
        begin = start(tick=tick)
        (state,) = walk(Backward(states="one"), begin)
        assert begin.denoise.calls == state.index  # type: ignore[attr-defined]
    begin = start()
    walk(Backward(states="all"), begin)
    assert begin.denoise.calls == 0  # type: ignore[attr-defined]


def test_one_step_students_are_trained_on_pure_noise() -> None:
    begin = start(timesteps=(1000,))
    (state,) = walk(Backward(), begin)
    assert torch.equal(state.x_t, begin.random.normal("x_T", SHAPE))


def test_backward_never_reads_real_images() -> None:
    begin = dataclasses.replace(start(), latents=None)
    assert not Backward().needs_images and len(walk(Backward(states="all"), begin)) == 3


def test_forward_is_a_noised_real_image() -> None:
    for tick in range(6):
        begin = start(tick=tick)
        (state,) = walk(Forward(), begin)
        eps = begin.random.normal("eps", SHAPE)
        assert begin.latents is not None
        assert torch.equal(state.x_t, begin.process.add_noise(begin.latents, eps, state.timestep))
        assert torch.equal(state.noise, eps) and begin.denoise.calls == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("trajectory", [Forward(), Backward()], ids=repr)
def test_every_student_time_is_drawn_about_equally(trajectory: Trajectory) -> None:
    drawn = [walk(trajectory, start(tick=tick))[0].timestep for tick in range(150)]
    counts = [drawn.count(t) for t in GRID]
    assert min(counts) > 30, counts  # expected 50, SD 5.8


class TestMixture:
    def test_the_curriculum_is_linear_and_then_stays(self) -> None:
        mixture = Mixture(share_start=0.8, share_end=0.2, until=0.5)
        assert [round(mixture.share(p), 3) for p in (0, 0.25, 0.5, 0.9)] == [0.8, 0.5, 0.2, 0.2]

    def test_follows_the_share(self) -> None:
        def is_forward(tick: int, progress: float) -> bool:
            begin = start(tick=tick, progress=progress)
            state = walk(Mixture(share_start=1.0, share_end=0.0, until=0.5), begin)[0]
            return torch.equal(state.noise, begin.random.normal("eps", SHAPE))

        assert all(is_forward(tick, 0.0) for tick in range(10))
        assert not any(is_forward(tick, 0.5) for tick in range(10))
        assert 15 < sum(is_forward(tick, 0.25) for tick in range(60)) < 45  # expected 30, SD 3.9

    def test_needs_what_its_parts_need(self) -> None:
        assert Mixture().needs_images
        assert not Mixture(first=Backward(), second=Backward(states="all")).needs_images

    @pytest.mark.parametrize("bad", [{"share_start": 1.1}, {"share_end": -0.1}, {"until": 0.0}])
    def test_refuses_shares_out_of_range(self, bad: dict) -> None:
        with pytest.raises(ValueError, match="Mixture"):
            Mixture(**bad)


@pytest.mark.parametrize("cls", every(Trajectory), ids=lambda c: c.__name__)
def test_every_trajectory_yields_constant_states_of_its_grid_with_draws_of_their_own(cls: type[Trajectory]) -> None:
    for begin in (start(tick=3), start(tick=3)):
        states = walk(cls(), begin)
        assert all(not s.x_t.requires_grad and s.timestep == s.timesteps[s.index] for s in states)
        assert all((s.t == s.timestep).all() and s.t.shape == (4,) for s in states)
        assert len({s.random.prefix for s in states}) == len(states)
