"""LPIPS: real networks of torchvision with random weights, the real weights of the differences, a real VAE."""

from __future__ import annotations

import hashlib
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from tests.distill.analytic import sd_process
from workbench.distill import LPIPS, Reconstruction, SNRWeighted
from workbench.distill.distances import lpips
from workbench.models import Teacher

T_OF = torch.tensor([1000, 333])
SHIFT, SCALE = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])  # the paper's code


def _alex() -> nn.Sequential:
    return models.alexnet(weights=None).features


def _vgg() -> nn.Sequential:
    return models.vgg.make_layers(models.vgg.cfgs["D"])  # without its 124 million classifier weights


def _squeeze() -> nn.Sequential:
    return models.squeezenet1_1(weights=None).features


# net -> its chain, and the layers whose outputs are compared (Zhang et al. 2018: after each ReLU before a pooling, ...)
NETS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "alex": (_alex, (1, 4, 7, 9, 11)),
    "vgg": (_vgg, (3, 8, 15, 22, 29)),
    "squeeze": (_squeeze, (1, 4, 7, 9, 10, 11, 12)),
}


def write(net: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, nn.Sequential]:
    """(a state dict as torchvision's, whose hash is then the wanted one, the chain that it belongs to)."""
    torch.manual_seed(0)
    chain = NETS[net][0]().eval().requires_grad_(False)
    file = folder / f"{net}.pth"
    torch.save({f"features.{name}": tensor for name, tensor in chain.state_dict().items()}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(lpips.BACKBONES, net, (lpips.BACKBONES[net][0], digest[:8]))
    return file, chain


@pytest.fixture
def squeeze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LPIPS:
    return LPIPS(net="squeeze", weights=str(write("squeeze", tmp_path, monkeypatch)[0]))


def by_hand(net: str, chain: nn.Sequential, one: Tensor, two: Tensor) -> Tensor:
    """sum over layers of mean over places of w . (f1 / |f1| - f2 / |f2|)^2, (B,)."""
    import torchmetrics.functional.image.lpips as reference

    heads = torch.load(Path(reference.__file__).parent / "lpips_models" / f"{net}.pth", "cpu", weights_only=True)
    x, y = ((image - SHIFT.view(3, 1, 1)) / SCALE.view(3, 1, 1) for image in (one, two))
    total, layer = torch.zeros(len(one)), 0
    for number, module in enumerate(chain[: NETS[net][1][-1] + 1]):
        x, y = module(x), module(y)
        if number in NETS[net][1]:
            difference = (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square()
            total = total + (heads[f"lin{layer}.model.1.weight"] * difference).sum(1).mean((1, 2))
            layer += 1
    return total


@pytest.mark.parametrize("net", NETS)
def test_is_the_papers_sum_over_layers_of_the_decoded_images(
    net: Any, tiny_teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, chain = write(net, tmp_path, monkeypatch)
    monkeypatch.setattr(models, "vgg16", lambda weights: nn.ModuleDict({"features": _vgg()}))  # not its classifier
    x0, target = torch.randn(2, *tiny_teacher.latent_shape), torch.randn(2, *tiny_teacher.latent_shape)
    distance = LPIPS(net=net, weights=str(file)).prepare(tiny_teacher)(x0, target, T_OF, sd_process())
    with torch.no_grad():
        expected = by_hand(net, chain, tiny_teacher.decode(x0), tiny_teacher.decode(target))
    torch.testing.assert_close(distance, expected, rtol=1e-4, atol=1e-7)
    assert (distance > 0).all()


def test_is_zero_at_the_target_and_its_gradient_reaches_the_latents(squeeze: LPIPS, tiny_teacher: Teacher) -> None:
    distance, process = squeeze.prepare(tiny_teacher), sd_process()
    target = torch.randn(2, *tiny_teacher.latent_shape)
    x0 = target.clone().requires_grad_()
    at_target = distance(x0, target, T_OF, process)
    (gradient,) = torch.autograd.grad(at_target.sum(), x0)
    assert at_target.tolist() == [0, 0] and gradient.isfinite().all()
    x0 = (target + 0.3 * torch.randn_like(target)).requires_grad_()
    before = distance(x0, target, T_OF, process)
    (gradient,) = torch.autograd.grad(before.sum(), x0)
    after = distance(x0 - 1e-3 * gradient / gradient.abs().max(), target, T_OF, process)
    assert (after < before).all()
    assert all(not p.requires_grad and p.grad is None for p in tiny_teacher.vae.parameters())


def test_is_computed_in_float32_whatever_autocast_says(squeeze: LPIPS, tiny_teacher: Teacher) -> None:
    x0, target = torch.randn(2, *tiny_teacher.latent_shape), torch.randn(2, *tiny_teacher.latent_shape)
    distance, process = squeeze.prepare(tiny_teacher), sd_process()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        images, wanted = tiny_teacher.decode(x0), tiny_teacher.decode(target)
        value = distance(x0, target, T_OF, process)
    assert value.dtype == torch.float32 and distance._network is not None
    torch.testing.assert_close(value, distance._network(images, wanted).flatten(), rtol=1e-6, atol=0)


def test_the_loss_prepares_it_also_within_another_distance(squeeze: LPIPS, tiny_teacher: Teacher) -> None:
    x0, target, process = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), sd_process()
    loss = Reconstruction(distance=squeeze)
    loss.prepare(tiny_teacher, None)  # type: ignore[arg-type]  # draws nothing
    alone = loss.distance(x0, target, T_OF, process)
    weighted = Reconstruction(distance=SNRWeighted(distance=squeeze, maximum=1e-3), normalise_per_t=False)
    weighted.prepare(tiny_teacher, None)  # type: ignore[arg-type]
    torch.testing.assert_close(weighted.distance(x0, target, T_OF, process), 1e-3 * alone)
    assert not any("network" in name for name in loss.state_dict())  # a checkpoint does not carry it


def test_other_weights_are_refused(tmp_path: Path, squeeze: LPIPS, tiny_teacher: Teacher) -> None:
    file = Path(str(squeeze.weights))
    state = torch.load(file, weights_only=True)
    torch.save({name: tensor + 1 for name, tensor in state.items()}, file)
    with pytest.raises(ValueError, match=r"has SHA-256 .*, not .* is no LPIPS\. Give torchvision's squeezenet1_1-"):
        squeeze.prepare(tiny_teacher)


def test_a_file_that_is_not_there_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*missing\.pth\. Give torchvision's alexnet-owt-7be5be79"):
        LPIPS(net="alex", weights=str(tmp_path / "missing.pth"))
    with pytest.raises(ValueError, match="must be one of alex, vgg, squeeze"):
        LPIPS(net="resnet")  # type: ignore[arg-type]


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch: pytest.MonkeyPatch, tiny_teacher: Teacher) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        assert options["weights_only"] and options["check_hash"]
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(ValueError, match=r"of vgg cannot be fetched .*no route.* vgg16-397923af\.pth as weights"):
        LPIPS().prepare(tiny_teacher)
