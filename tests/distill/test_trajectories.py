"""Where the student is trained: the states are those of inference, and nothing else enters."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.distill.analytic import SHAPE, gaussian, keyed, sd_process
from tests.distill.every import every
from workbench.diffusion import DDIM, Heun, NoiseProcess, Renoise, Sampler, TrailingGrid, sample
from workbench.distill import (
    AveragedBackward,
    Backward,
    FineForward,
    Forward,
    Mixture,
    Staged,
    Start,
    State,
    Trajectory,
)

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


class Average:
    """A copy of the student: the optimal denoiser of other data."""

    @staticmethod
    def bind(cond: Any = None) -> Any:
        return gaussian(sd_process(), -0.5, 0.3)


AVERAGE: Any = Average()


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


@pytest.mark.parametrize("cls", [Forward, Backward])
def test_a_power_trains_more_at_noisy_times_and_costs_shorter_rollouts(cls: type[Forward | Backward]) -> None:
    begins = [start(tick=tick) for tick in range(400)]
    states = [walk(cls(power=2.0), begin)[0] for begin in begins]
    shares = [sum(state.timestep == t for state in states) / 400 for t in GRID]
    assert shares == pytest.approx([9 / 14, 4 / 14, 1 / 14], abs=0.08)  # SD .024, .023, .013
    if cls is Backward:
        assert all(begin.denoise.calls == state.index for begin, state in zip(begins, states, strict=True))  # type: ignore[attr-defined]


def test_a_large_power_trains_at_the_noisiest_time_alone_and_its_opposite_at_the_last() -> None:
    for power, t in ((20.0, GRID[0]), (-20.0, GRID[-1])):
        assert all(walk(Backward(power=power), start(tick=tick))[0].timestep == t for tick in range(20))


def test_all_states_have_no_power() -> None:
    with pytest.raises(ValueError, match="says which state is drawn"):
        Backward(states="all", power=1.0)


@pytest.mark.parametrize("power", [21.0, -21.0, float("nan")])
@pytest.mark.parametrize("cls", [Forward, Backward, FineForward])
def test_a_power_out_of_its_range_is_refused(cls: type[Forward | Backward], power: float) -> None:
    with pytest.raises(ValueError, match=f"{cls.__name__} power must be between -20 and 20"):
        cls(power=power)


class TestFineForward:
    def test_visits_every_time_of_its_own_grid_and_no_other(self) -> None:
        fine = FineForward(times=5)
        states = [walk(fine, start(tick=tick))[0] for tick in range(60)]
        assert {s.timestep for s in states} == {200, 400, 600, 800, 1000}
        assert all(s.timesteps == (1000, 800, 600, 400, 200) for s in states)
        assert fine.grids(sd_process(), [GRID]) == [(1000, 800, 600, 400, 200)]
        assert Forward().grids(sd_process(), [GRID]) == [GRID]

    def test_refuses_no_times(self) -> None:
        with pytest.raises(ValueError, match="FineForward times"):
            FineForward(times=0)


class TestStaged:
    def test_stages_have_equal_shares_and_their_own_grids(self) -> None:
        staged = Staged(stages=(8, 4, 2))
        assert [staged.stage(update / 6) for update in range(6)] == [0, 0, 1, 1, 2, 2]
        assert staged.stage(1.0) == 2  # after the last update
        for progress, steps in ((0.0, 8), (0.4, 4), (0.9, 2)):
            (state,) = walk(staged, start(progress=progress))
            assert list(state.timesteps) == TrailingGrid().timesteps(sd_process(), steps)

    def test_the_states_are_those_of_its_trajectory_on_that_grid(self) -> None:
        begin = start(progress=0.5)
        staged = walk(Staged(trajectory=Backward(states="all"), stages=(6, 3)), begin)
        plain = walk(Backward(states="all"), start(timesteps=tuple(TrailingGrid().timesteps(sd_process(), 3))))
        assert all(torch.equal(a.x_t, b.x_t) for a, b in zip(staged, plain, strict=True))

    def test_must_end_where_the_student_samples(self) -> None:
        grids = Staged(stages=(6, 3)).grids(sd_process(), [GRID])
        assert [len(grid) for grid in grids] == [6, 3]
        with pytest.raises(ValueError, match=r"ends with 4 steps.*model\.num_steps to \[4\]"):
            Staged(stages=(8, 4)).grids(sd_process(), [GRID])
        with pytest.raises(ValueError, match="ends with 3"):
            Staged(stages=(6, 3)).grids(sd_process(), [GRID, (1000, 500)])

    @pytest.mark.parametrize("stages", [(), (4, 4), (4, 8), (2, 0)])
    def test_refuses_stages_that_do_not_fall(self, stages: tuple) -> None:
        with pytest.raises(ValueError, match="Staged stages must fall"):
            Staged(stages=stages)


class TestMixture:
    def test_has_the_stages_and_grids_of_its_parts(self) -> None:
        mixture = Mixture(first=Staged(stages=(6, 3)), second=FineForward(times=2))
        assert [mixture.stage(p) for p in (0.0, 0.5)] == [0, 1]
        assert [len(grid) for grid in mixture.grids(sd_process(), [GRID])] == [6, 3, 2]

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


class TestAveragedBackward:
    def test_its_states_are_the_averages_and_cost_the_student_nothing(self) -> None:
        trajectory = AveragedBackward(decay=0.8)
        (kind,) = trajectory.copies
        times = set()
        for tick in range(12):
            begin = dataclasses.replace(start(tick=tick), copies={kind: AVERAGE})
            (state,) = walk(trajectory, begin)
            assert begin.denoise.calls == 0  # type: ignore[attr-defined]
            of_average = next(Backward().walk(dataclasses.replace(begin, denoise=AVERAGE.bind())))
            (of_student,) = walk(Backward(), start(tick=tick))
            assert torch.equal(state.x_t, of_average.x_t) and state.timestep == of_student.timestep
            assert torch.equal(state.x_t, of_student.x_t) == (state.timestep == 1000)  # x_T is what both begin with
            times.add(state.timestep)
        assert times == set(GRID)

    def test_a_trajectory_around_it_asks_for_its_average_too(self) -> None:
        inner = AveragedBackward()
        assert list(Mixture(second=inner).copies) == list(Staged(trajectory=inner).copies) == list(inner.copies)
        assert not Mixture().copies and not Staged().copies

    @pytest.mark.parametrize("decay", [-0.1, 1.0])
    def test_refuses_a_decay_out_of_range(self, decay: float) -> None:
        with pytest.raises(ValueError, match="AveragedBackward"):
            AveragedBackward(decay=decay)


@pytest.mark.parametrize("cls", every(Trajectory), ids=lambda c: c.__name__)
def test_every_trajectory_yields_constant_states_of_its_grid_with_draws_of_their_own(cls: type[Trajectory]) -> None:
    for begin in (start(tick=3), start(tick=3)):
        states = walk(cls(), dataclasses.replace(begin, copies=dict.fromkeys(cls().copies, AVERAGE)))
        assert all(not s.x_t.requires_grad and s.timestep == s.timesteps[s.index] for s in states)
        assert all((s.t == s.timestep).all() and s.t.shape == (4,) for s in states)
        assert len({s.random.prefix for s in states}) == len(states)
