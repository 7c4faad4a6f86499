"""UNetDenoiser: conversions, precision, features for discriminator heads."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import UNet2DModel

from tests.diffusion.processes import PROCESSES, sd_process
from workbench.models import Teacher, UNetDenoiser


def batch(teacher: Teacher):
    x = torch.randn(2, *teacher.latent_shape, generator=torch.Generator().manual_seed(0))
    return x, torch.tensor([1000, 300]), teacher.encode_text(["a red dress", "a boot"])


def test_the_network_sees_its_own_time_and_the_pair_adds_up(tiny_teacher):
    x, t, cond = batch(tiny_teacher)
    with torch.no_grad():
        pred = tiny_teacher.denoiser(x, t, cond)
        eps = tiny_teacher.denoiser.unet(x, t - 1, encoder_hidden_states=cond).sample
    assert pred.x0.shape == pred.eps.shape == x.shape
    assert torch.equal(pred.eps, eps)
    # At t = T, x0 is 15 times as large as the state: its rounding comes back into the sum.
    torch.testing.assert_close(tiny_teacher.process.add_noise(pred.x0, pred.eps, t), x, rtol=1e-5, atol=1e-5)


def test_binding_fills_in_the_condition(tiny_teacher):
    x, t, cond = batch(tiny_teacher)
    with torch.no_grad():
        assert torch.equal(tiny_teacher.denoiser.bind(cond)(x, t).x0, tiny_teacher.denoiser(x, t, cond).x0)
        other = tiny_teacher.denoiser.bind(tiny_teacher.encode_text(["a bag", "a coat"]))(x, t)
    assert not torch.equal(other.x0, tiny_teacher.denoiser(x, t, cond).x0)


def test_a_bfloat16_network_gives_float32_predictions(tiny_teacher):
    x, t, cond = batch(tiny_teacher)
    denoiser = UNetDenoiser(copy.deepcopy(tiny_teacher.denoiser.unet).bfloat16(), tiny_teacher.process, "epsilon")
    with torch.no_grad():
        pred, exact = denoiser(x, t, cond), tiny_teacher.denoiser(x, t, cond)
    assert pred.x0.dtype == pred.eps.dtype == torch.float32
    # x0 and eps still add up to the float32 state: the conversion was not made in bfloat16.
    torch.testing.assert_close(tiny_teacher.process.add_noise(pred.x0, pred.eps, t), x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pred.eps, exact.eps, rtol=0.1, atol=0.1)


def test_autocast_reaches_the_network_and_not_the_coefficients(tiny_teacher):
    x, t, cond = batch(tiny_teacher)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        pred = tiny_teacher.denoiser(x, t, cond)
    assert pred.x0.dtype == torch.float32
    assert torch.equal(pred.eps, pred.eps.bfloat16().float())  # the network's output was bfloat16
    torch.testing.assert_close(tiny_teacher.process.add_noise(pred.x0, pred.eps, t), x, rtol=1e-5, atol=1e-5)


def test_epsilon_without_signal_at_T_is_refused_at_construction(tiny_teacher):
    # METHOD.md section 5, 3
    with pytest.raises(ValueError, match=r"alpha_T = 0.*v_prediction"):
        UNetDenoiser(tiny_teacher.denoiser.unet, PROCESSES["zero_snr"], "epsilon")


def test_an_unconditional_unet_works_without_a_condition():
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        add_attention=False,
    )
    denoiser = UNetDenoiser(unet, sd_process(), "v_prediction")
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([1000, 1])
    assert denoiser(x, t).x0.shape == x.shape
    assert [f.shape[1] for f in denoiser.features(x, t)] == denoiser.feature_channels == [16, 16, 8]


def test_features_are_the_mid_and_up_blocks_deepest_first(tiny_teacher):
    x, t, cond = batch(tiny_teacher)
    features = tiny_teacher.denoiser.features(x, t, cond)
    assert [f.shape[1] for f in features] == tiny_teacher.denoiser.feature_channels == [16, 16, 16]
    assert [f.shape[-1] for f in features] == [4, 8, 8]
    # The last up block's output is what the output convolution receives.
    unet = tiny_teacher.denoiser.unet
    out = unet.conv_out(unet.conv_act(unet.conv_norm_out(features[-1])))
    torch.testing.assert_close(out, tiny_teacher.denoiser.output(x, t, cond))


def test_features_depend_on_the_text_and_pass_the_gradient_to_the_state(tiny_teacher):
    x, t, cond = batch(tiny_teacher)
    x.requires_grad_()
    features = tiny_teacher.denoiser.features(x, t, cond)
    others = tiny_teacher.denoiser.features(x, t, tiny_teacher.encode_text(["a bag", "a coat"]))
    for feature, other in zip(features, others, strict=True):
        assert not torch.equal(feature, other)
        (gradient,) = torch.autograd.grad(feature.square().sum(), x, retain_graph=True)
        assert gradient.isfinite().all() and (gradient.flatten(1).norm(dim=1) > 0).all()
    assert all(p.grad is None for p in tiny_teacher.denoiser.parameters())


def test_features_leave_no_hooks_behind_also_after_an_error(tiny_teacher):
    x, t, cond = batch(tiny_teacher)
    blocks = [tiny_teacher.denoiser.unet.mid_block, *tiny_teacher.denoiser.unet.up_blocks]
    tiny_teacher.denoiser.features(x, t, cond)
    with pytest.raises(RuntimeError):
        tiny_teacher.denoiser.features(x, t, cond[..., :3])  # a condition of the wrong width
    assert not any(block._forward_hooks for block in blocks)
