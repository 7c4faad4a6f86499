"""The shipped teacher is an ordinary Stable Diffusion folder, and our sampler draws diffusers' own pictures with it."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline

from workbench.data import Wardrobe, prompts
from workbench.data.wardrobe.attributes import VALUES
from workbench.diffusion import DDIM, DPMSolverPP, Draws, TrailingGrid, sample
from workbench.models import Teacher, load_teacher
from workbench.world.judge import load_judge
from workbench.world.leak import probe
from workbench.world.teacher import BETA_END
from workbench.world.vae import to_signed


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher("wardrobe")


@pytest.fixture(scope="module")
def pipeline(teacher: Teacher) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(teacher.path, local_files_only=True, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize(
    ("scheduler", "sampler"),
    [
        (DDIMScheduler, DDIM()),
        (DPMSolverMultistepScheduler, DPMSolverPP()),
    ],
    ids=["DDIM", "DPM-Solver++"],
)
@pytest.mark.parametrize("steps", [4, 8])  # DDIMScheduler strays from its own list where steps do not divide 1000
def test_the_pipeline_of_diffusers_draws_the_same_pixels(teacher, pipeline, scheduler, sampler, steps):
    captions = [r.caption for r in prompts("report", 4)]
    x_T = Draws(0).normal("noise", 0, range(4), teacher.latent_shape)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    scale = teacher.guidance_scale if teacher.guidance_scale > 1 else 2.0  # the pipeline guides only above 1
    theirs = pipeline(
        captions, num_inference_steps=steps, guidance_scale=scale, latents=x_T.clone(), output_type="pt"
    ).images
    denoise = teacher.guided(scale).bind(teacher.encode_text(captions))
    timesteps = TrailingGrid().timesteps(teacher.process, steps)
    ours = (teacher.decode(sample(teacher.process, denoise, x_T, timesteps, sampler)) / 2 + 0.5).clamp(0, 1)
    # float32 rounding through the solver and the decoder; a grey level is 1/255 = 3.9e-3
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


def test_it_is_as_small_as_promised_and_its_latents_have_unit_variance(teacher):
    size = sum(p.numel() for p in teacher.denoiser.unet.parameters())
    assert 1_000_000 <= size <= 2_500_000
    with torch.no_grad():
        latents = teacher.encode(to_signed(Wardrobe("test").images(range(256))))
    assert latents.shape[1:] == teacher.latent_shape
    assert latents.std().item() == pytest.approx(1, abs=0.03)


def test_its_noisiest_state_leaks_the_ground_as_stable_diffusions_does(teacher):
    """Chance is 1/8. The card's figure comes from more images, hence a better probe."""
    images, records = Wardrobe("teacher").batch(range(6000))
    with torch.no_grad():
        latents = torch.cat([teacher.encode(to_signed(part)) for part in images.split(500)])
    ground = torch.tensor([r.labels["background"] for r in records])
    assert probe(latents, ground, BETA_END) >= 0.6


def test_the_judge_finds_in_its_samples_what_their_captions_name(teacher):
    """A coarse guard over 64 samples, some way below the card's figures (`python -m workbench.world measure`)."""
    records = prompts("report", 64)
    x_T = Draws(0).normal("noise", 0, range(64), teacher.latent_shape)
    denoise = teacher.guided().bind(teacher.encode_text([r.caption for r in records]))
    timesteps = TrailingGrid().timesteps(teacher.process, 25)
    images = (teacher.decode(sample(teacher.process, denoise, x_T, timesteps, DPMSolverPP())) / 2 + 0.5).clamp(0, 1)
    answers = load_judge().attributes(images)
    for name, least in {"colour": 0.9, "background": 0.9, "position": 0.9, "texture": 0.8, "garment": 0.7}.items():
        named = [i for i, r in enumerate(records) if name in r.named]
        right = [VALUES[name][int(answers[name][i].argmax())] == getattr(records[i], name) for i in named]
        assert sum(right) / len(named) >= least, name
