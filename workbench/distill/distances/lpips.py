"""A perceptual distance of the decoded images."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from workbench.diffusion import NoiseProcess
from workbench.distill.distances.base import Distance
from workbench.files import ReadingError, file_sha256
from workbench.tensor_files import read_state_dict

# net -> torchvision's model, and the first digits of its weights' SHA-256, which stand in the file's name as well
BACKBONES = {
    "alex": ("alexnet", "7be5be79"),
    "vgg": ("vgg16", "397923af"),
    "squeeze": ("squeezenet1_1", "b8a52dc0"),
}


@dataclass(frozen=True)
class LPIPS(Distance):
    """Learned perceptual similarity of the images that the teacher's VAE makes of x0 and of the target: the weighted
    squared difference of a frozen ImageNet network's features, of unit length at every place.

    The gradient goes through the VAE, which takes the memory of a backward pass of it; images are not clamped, so that
    no gradient is lost. The passes of a budget do not count it, as they do not count the VAE.

    net: alex, vgg or squeeze; consistency models are trained with vgg (Song et al. 2023, arXiv 2303.01469).
    weights: torchvision's state dict of that network, as alexnet-owt-7be5be79.pth, vgg16-397923af.pth or
        squeezenet1_1-b8a52dc0.pth, whose hash is checked; null = torchvision fetches it, or finds it in torch's cache.
        The weights of the differences come with torchmetrics.
    Reference: Zhang et al. 2018, arXiv 1801.03924. METHOD.md section 4, distance.
    ValueError for a net that does not exist, and for a file that is not there, cannot be read or is another one.
    """

    net: Literal["alex", "vgg", "squeeze"] = "vgg"
    weights: str | None = None
    _images: Callable[[Tensor], Tensor] | None = field(default=None, init=False, repr=False, compare=False)
    _network: nn.Module | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.net not in BACKBONES:
            raise ValueError(f"LPIPS net must be one of {', '.join(BACKBONES)}, but got {self.net!r}.")
        if self.weights is not None and not Path(self.weights).is_file():
            raise ValueError(f"LPIPS weights: there is no file {self.weights}. Give torchvision's {_file(self.net)}.")

    def prepare(self, teacher: Any) -> LPIPS:
        ready = dataclasses.replace(self)
        object.__setattr__(ready, "_images", teacher.decode)
        object.__setattr__(ready, "_network", _network(self.net, self._backbone()).to(teacher.device))
        return ready

    def __call__(self, x0: Tensor, target: Tensor, t: Tensor, process: NoiseProcess) -> Tensor:
        assert self._images is not None and self._network is not None, "LPIPS.prepare was not called"
        with torch.no_grad():
            wanted = self._images(target)
        images = self._images(x0)
        with torch.autocast(images.device.type, enabled=False):  # a loss is float32, whatever the networks' precision
            return self._network(images, wanted).flatten()

    def _backbone(self) -> Mapping[str, Tensor]:
        """The state dict of torchvision's model."""
        if self.weights is None:
            return _fetched(self.net)
        file, wanted = Path(self.weights), BACKBONES[self.net][1]
        digest = file_sha256(file)
        if not digest.startswith(wanted):
            raise ValueError(
                f"LPIPS weights: {self.weights} has SHA-256 {digest[:8]}..., not {wanted}...; on others it is no "
                f"LPIPS. Give torchvision's {_file(self.net)}."
            )
        try:
            return read_state_dict(file)
        except ReadingError as error:
            raise ValueError(f"LPIPS weights: {error}") from error


def _file(net: str) -> str:
    return f"{'alexnet-owt' if net == 'alex' else BACKBONES[net][0]}-{BACKBONES[net][1]}.pth"


def _fetched(net: str) -> Mapping[str, Tensor]:
    from torchvision import models

    try:
        weights = models.get_model_weights(BACKBONES[net][0]).DEFAULT
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)  # no pickle is run
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash a RuntimeError
        raise ValueError(
            f"LPIPS: the weights of {net} cannot be fetched ({error}). Give the path of {_file(net)} as weights."
        ) from error


def _network(net: Literal["alex", "vgg", "squeeze"], backbone: Mapping[str, Tensor]) -> nn.Module:
    """(images, images) in [-1, 1] -> (B, 1, 1, 1); frozen."""
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    network = _NoTrainLpips(pretrained=True, net=net, pnet_rand=True)
    # torchmetrics cuts torchvision's chain into slices and leaves its numbers: slice2.3.weight is features.3.weight
    names = {name: "features." + re.sub(r"^slices?\.?\d+\.", "", name) for name in network.net.state_dict()}
    network.net.load_state_dict({name: backbone[of] for name, of in names.items()})
    return network.requires_grad_(False)
