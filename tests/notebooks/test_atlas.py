"""The atlas: measurement and closed form are two routes to one number."""

import dataclasses
from typing import Any

import pytest
import torch

from tests.diffusion.processes import cosine_process, sd_process
from tests.diffusion.test_theory import fixed_point
from workbench.diffusion import DDIM, DPMSolverPP
from workbench.distill.noises import FreshNoise, StudentNoise
from workbench.distill.shifts import IdentityShift, ScaleShift
from workbench.distill.targets import TeacherTarget
from workbench.models import GaussianDenoiser
from workbench.notebook import atlas
from workbench.notebook.atlas import Gaussian, Solving

UNIT = Gaussian.unit()


@dataclasses.dataclass
class _ClosedTeacher:
    """N(0, std^2) data and the optimal denoiser: what of a Teacher the atlas touches."""

    std: Any = 1.0
    latent_shape: tuple = (2, 8, 8)
    device: str = "cpu"

    def __post_init__(self):
        self.process = sd_process()
        self.denoiser = GaussianDenoiser(self.process, 0.0, self.std)

    def guided(self, guidance_scale=None):
        return self.denoiser

    def encode_text(self, captions):
        return torch.zeros(len(captions), 1, 1)


ClosedTeacher: Any = _ClosedTeacher  # no Teacher, but all that is asked of one


@pytest.mark.parametrize("how", [Solving(5, DDIM()), Solving(25, DDIM()), Solving(5, DPMSolverPP())], ids=str)
@pytest.mark.parametrize("share", [1.0, 0.8, 0.6])
def test_measured_on_gaussian_data_is_the_closed_form(how, share):
    measured = atlas.measured_ratios(ClosedTeacher(), ["a"] * 4, [share], how)[share]
    (expected,) = atlas.closed_form(sd_process(), UNIT, [share], how)
    # The sample's own spread cancels in the ratio; what is left is when the repetition stops, and float32.
    assert measured == pytest.approx(expected, rel=0.01)


def test_measured_on_data_of_two_spreads_is_the_closed_form_of_their_directions():
    std = torch.tensor([2.0, 0.3]).view(2, 1, 1)
    data = Gaussian(torch.zeros(2).double(), std.flatten().double(), torch.eye(2).double())
    how = Solving(5, DDIM())
    measured = atlas.measured_ratios(ClosedTeacher(std), ["a"] * 40, [0.7], how)[0.7]
    (expected,) = atlas.closed_form(sd_process(), data, [0.7], how)
    (white,) = atlas.closed_form(sd_process(), UNIT, [0.7], how)
    assert measured == pytest.approx(expected, rel=0.02)  # 2,560 numbers a channel: their spread is known to 1.4 %
    assert abs(expected - white) > 0.05  # the covariance matters, or this test could not fail


@pytest.mark.parametrize("steps", [5, 25])
def test_the_closed_form_is_the_fixed_point_over_the_teachers_own_spread(steps):
    shares = [1.0, 0.8, 0.6, 0.4]
    ours = atlas.closed_form(sd_process(), UNIT, shares, Solving(steps, DDIM()))
    points = [fixed_point(sd_process(), round(1000 * share), steps) for share in shares]
    ratios = [a / b for a, b in zip(points, ours, strict=True)]  # std(teacher at 25 steps): the same for all
    assert ratios == pytest.approx([ratios[0]] * 4, rel=1e-9)
    assert ratios[0] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_many_steps_approach_the_exact_gain(share):
    process = cosine_process(2**12)
    (fine,) = atlas.closed_form(process, UNIT, [share], Solving(1000, DDIM()))
    own = atlas.closed_form(process, UNIT, [1.0], Solving(1000, DDIM()))[0]  # exact_gain is 1 there
    assert fine / own == pytest.approx(atlas.exact_gain(process, share), rel=0.01)


def test_one_noise_for_all_rows_but_fresh_noise_for_each():
    teacher = ClosedTeacher()
    state = atlas.look(teacher, ["a"] * 3, same_noise=True)
    assert torch.equal(state.x_t[0], state.x_t[2])
    fresh = FreshNoise()(state, atlas.untrained(teacher, state))
    assert not torch.equal(fresh[0], fresh[2])
    assert torch.equal(atlas.look(teacher, ["a"]).x_t[0], state.x_t[0])  # the noise of one row is that of all


def test_with_the_students_noise_there_is_nothing_to_average():
    teacher = ClosedTeacher()
    state = atlas.look(teacher, ["a"] * 3, same_noise=True)
    target = TeacherTarget(shift=ScaleShift(0.7), noise=StudentNoise(), steps=5)
    one, mean = (atlas.settle(target, state, teacher, mean=m) for m in (False, True))
    torch.testing.assert_close(one, mean)


def test_fresh_noise_settles_flat():
    # method section 6: a full fit multiplies the spread by .16 at gamma = .8 T; the mean over n copies leaves 1/sqrt(n)
    # of the noise's own part.
    teacher = ClosedTeacher()
    state = atlas.look(teacher, ["a"] * 64, same_noise=True)
    target = TeacherTarget(shift=ScaleShift(0.8), noise=FreshNoise(), steps=5)
    assert float(atlas.settle(target, state, teacher, mean=True).std()) < 0.2
    own = TeacherTarget(shift=IdentityShift(), noise=StudentNoise(), steps=5)
    assert float(atlas.settle(own, state, teacher, mean=True).std()) > 0.6


def test_spread_along_directions_is_the_spread_of_the_elements():
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    slope, offset = (torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(2))
    noise = torch.randn(200_000, 6, generator=generator, dtype=torch.float64)
    samples = (slope * noise + offset) @ basis.T
    data = Gaussian(offset, slope.abs(), basis)
    assert data.spread(slope, offset) == pytest.approx(float(samples.std()), rel=0.01)


def test_the_latents_gaussian_has_their_mean_and_covariance(tiny_teacher):
    from workbench.data import Wardrobe

    source = Wardrobe("teacher", 40)
    data = Gaussian.of_latents(tiny_teacher, source, 40)
    with torch.no_grad():
        latents = tiny_teacher.encode(source.images(range(40)).float() / 127.5 - 1).flatten(1).double()
    torch.testing.assert_close(data.directions @ data.mean, latents.mean(0), rtol=1e-4, atol=1e-6)
    covariance = data.directions @ torch.diag(data.std**2) @ data.directions.T
    torch.testing.assert_close(covariance, torch.cov(latents.T), rtol=1e-4, atol=1e-6)
