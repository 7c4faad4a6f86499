"""The teacher: loading, refusing, encoding, and the same images as diffusers' own pipeline."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline

from tests.tiny import IMAGE_SIZE, LATENT_SHAPE, TEXT_LENGTH, TEXT_WIDTH, make_tiny_teacher
from workbench.diffusion import DDIM, DPMSolverPP, TrailingGrid, sample
from workbench.models import UNetDenoiser, load_teacher


def test_a_teacher_has_what_its_folder_says(tiny_teacher, tiny_teacher_path):
    assert tiny_teacher.name == str(tiny_teacher_path) and tiny_teacher.path == tiny_teacher_path
    assert tiny_teacher.latent_shape == LATENT_SHAPE
    assert tiny_teacher.guidance_scale == 3.0 == tiny_teacher.settings["guidance_scale"]
    assert tiny_teacher.uncond.shape == (TEXT_LENGTH, TEXT_WIDTH)
    assert tiny_teacher.process.alpha_T == pytest.approx(0.0683, abs=5e-5)
    assert tiny_teacher.denoiser.prediction_type == "epsilon"


@pytest.mark.parametrize(
    ("prediction_type", "zero_snr"), [("v_prediction", True), ("v_prediction", False), ("sample", True)]
)
def test_prediction_type_and_schedule_come_from_the_scheduler(tmp_path, prediction_type, zero_snr):
    teacher = load_teacher(make_tiny_teacher(tmp_path, prediction_type, zero_terminal_snr=zero_snr))
    assert teacher.denoiser.prediction_type == prediction_type
    assert (teacher.process.alpha_T == 0) == zero_snr


def test_an_epsilon_teacher_without_signal_at_T_is_refused_at_loading(tmp_path):
    # METHOD.md section 5, 3
    with pytest.raises(ValueError, match=r"alpha_T = 0.*rescale_betas_zero_snr"):
        load_teacher(make_tiny_teacher(tmp_path, "epsilon", zero_terminal_snr=True))


def test_everything_is_frozen_and_in_eval_mode(tiny_teacher):
    for part in (tiny_teacher.denoiser, tiny_teacher.vae, tiny_teacher.text_encoder):
        assert not part.training
        assert not any(p.requires_grad for p in part.parameters())


def test_a_module_does_not_register_the_teacher(tiny_teacher):
    module = torch.nn.Linear(1, 1)
    module.teacher = tiny_teacher
    assert set(module.state_dict()) == {"weight", "bias"}


def test_without_settings_the_scale_is_stable_diffusions(tiny_teacher_path, tmp_path):
    folder = shutil.copytree(tiny_teacher_path, tmp_path / "plain")
    (folder / "workbench.json").unlink()
    teacher = load_teacher(folder)
    assert teacher.guidance_scale == 7.5 and teacher.settings == {}
    assert len(teacher.sha256) == 64


def test_captions_are_padded_truncated_and_independent_of_each_other(tiny_teacher):
    texts = ["a boot", "a very long caption about a purple checked ankle boot", ""]
    embeddings = tiny_teacher.encode_text(texts)
    assert embeddings.shape == (3, TEXT_LENGTH, TEXT_WIDTH) and embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings[2], tiny_teacher.uncond)
    for text, embedding in zip(texts, embeddings, strict=True):
        torch.testing.assert_close(tiny_teacher.encode_text([text])[0], embedding)
    assert not embeddings.requires_grad


def test_latents_are_the_scaled_posterior_mean_and_decode_inverts_the_scale(tiny_teacher):
    images = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE) * 2 - 1
    latents = tiny_teacher.encode(images)
    assert latents.shape == (2, *LATENT_SHAPE)
    mean = tiny_teacher.vae.encode(images).latent_dist.mode()
    torch.testing.assert_close(latents, mean * 0.7)
    torch.testing.assert_close(tiny_teacher.decode(latents), tiny_teacher.vae.decode(mean).sample, rtol=1e-4, atol=1e-4)


def test_decoding_passes_the_gradient_to_the_latents(tiny_teacher):
    # A distance in pixels after decoding needs it.
    latents = torch.randn(1, *LATENT_SHAPE, requires_grad=True)
    tiny_teacher.decode(latents).sum().backward()
    assert latents.grad is not None and latents.grad.abs().sum() > 0


def test_moving_to_bfloat16_keeps_float32_at_every_boundary(tmp_path):
    teacher = load_teacher(make_tiny_teacher(tmp_path)).to("cpu", torch.bfloat16)
    assert next(teacher.denoiser.parameters()).dtype == torch.bfloat16
    cond = teacher.encode_text(["a boot"])
    images = teacher.decode(torch.randn(1, *LATENT_SHAPE))
    pred = teacher.guided()(torch.randn(1, *LATENT_SHAPE), torch.tensor([1000]), cond)
    assert cond.dtype == images.dtype == teacher.encode(images).dtype == pred.x0.dtype == torch.float32


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize(
    ("scheduler", "sampler"), [(DDIMScheduler, DDIM()), (DPMSolverMultistepScheduler, DPMSolverPP())], ids=repr
)
def test_the_pipeline_of_diffusers_gives_the_same_image(
    tiny_teacher, tiny_teacher_path, guidance_scale, scheduler, sampler
):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_teacher_path)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    x_T = torch.randn(2, *LATENT_SHAPE, generator=torch.Generator().manual_seed(0))
    captions = ["a red dress", "a boot"]
    theirs = pipeline(
        captions, num_inference_steps=5, guidance_scale=guidance_scale, latents=x_T, output_type="pt"
    ).images  # [0, 1]
    denoise = tiny_teacher.guided(guidance_scale).bind(tiny_teacher.encode_text(captions))
    x_0 = sample(tiny_teacher.process, denoise, x_T, TrailingGrid().timesteps(tiny_teacher.process, 5), sampler)
    with torch.no_grad():
        ours = (tiny_teacher.decode(x_0) / 2 + 0.5).clamp(0, 1)
    assert theirs.std() > 0.01
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)  # 1/40 of a grey level


def test_guided_takes_the_teachers_scale_unless_told(tiny_teacher):
    assert tiny_teacher.guided().guidance_scale == 3.0
    assert tiny_teacher.guided(1.5).guidance_scale == 1.5


def test_the_hash_names_the_contents_not_the_folder(tiny_teacher, tiny_teacher_path, tmp_path):
    copied = shutil.copytree(tiny_teacher_path, tmp_path / "copy")
    assert load_teacher(copied).sha256 == tiny_teacher.sha256
    (copied / "workbench.json").write_text(json.dumps({"guidance_scale": 2.0}))
    assert load_teacher(copied).sha256 != tiny_teacher.sha256
    other = make_tiny_teacher(tmp_path / "other", seed=1)
    assert load_teacher(other).sha256 != tiny_teacher.sha256


def test_tiny_teachers_are_reproducible(tiny_teacher, tmp_path):
    assert load_teacher(make_tiny_teacher(tmp_path)).sha256 == tiny_teacher.sha256


def test_a_missing_folder_is_named():
    with pytest.raises(ValueError, match=r"'nowhere/at/all': no such folder, and no shipped teacher"):
        load_teacher("nowhere/at/all")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(tiny_teacher_path, tmp_path, part):
    folder = shutil.copytree(tiny_teacher_path, tmp_path / "broken")
    shutil.rmtree(folder / part)
    with pytest.raises(ValueError, match=f"folder {part}/ is missing"):
        load_teacher(folder)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_not_opened(tiny_teacher_path, tmp_path, part):
    folder = shutil.copytree(tiny_teacher_path, tmp_path / "pickled")
    for file in (folder / part).glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(ValueError, match=rf"{part}/ holds no .safetensors file. Pickled weights are not opened"):
        load_teacher(folder)


def test_a_missing_scheduler_config_is_named(tiny_teacher_path, tmp_path):
    folder = shutil.copytree(tiny_teacher_path, tmp_path / "broken")
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(ValueError, match=r"scheduler_config.json is missing"):
        load_teacher(folder)


def test_a_flow_matching_scheduler_makes_a_flow_teacher(tiny_teacher_path, tmp_path):
    from diffusers import FlowMatchEulerDiscreteScheduler

    folder = shutil.copytree(tiny_teacher_path, tmp_path / "flow")
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    teacher = load_teacher(folder)
    assert teacher.process.kind == "flow" and teacher.denoiser.prediction_type == "flow"
    assert isinstance(teacher.denoiser, UNetDenoiser)
