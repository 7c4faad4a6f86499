"""The Inception network of the FID, from a local file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.files import file_sha256
from workbench.metrics.extractors.base import Extractor
from workbench.metrics.resize import resize
from workbench.tensor_files import read_state_dict

# The 2015 network as PyTorch tensors. torch-fidelity publishes it as weights-inception-2015-12-05-6726825d.pth,
# pytorch-fid as pt_inception-2015-12-05-6726825d.pth: one file under two names.
NAME = "inception-2015-12-05"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class Inception(Extractor):
    """2048 pooled features of the Inception-v3 that defines the FID (weights of 2015-12-05). The only extractor whose
    Frechet distance may be called FID. Resizing is clean-fid's (bicubic, antialiased), then (x - 128) / 128.

    path: the state dict above; nothing is ever downloaded. Loaded with weights_only=True, hash pinned.
    Not torchvision's inception_v3: its weights differ, and so do the poolings (see `_pool_branch` and Mixed_7c).
    Reference: Szegedy et al. 2016, arXiv 1512.00567; Heusel et al. 2017, arXiv 1706.08500.
    """

    kind: ClassVar[str] = "inception"
    takes_argument: ClassVar[bool] = True
    argument_help: ClassVar[str] = "path of weights-inception-2015-12-05-6726825d.pth"

    @classmethod
    def label(cls, argument: str) -> str:
        return NAME

    def __init__(self, path: str) -> None:
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"inception: there is no file {path}. Give the {self.argument_help}.")
        self.sha256 = file_sha256(file)
        if self.sha256 != SHA256:
            raise ValueError(
                f"inception: {path} has SHA-256 {self.sha256[:12]}..., not {SHA256[:12]}...; "
                "a distance on other weights is no FID. Give the original file."
            )
        self._configure(read_state_dict(file))

    def _configure(self, weights: dict[str, Tensor]) -> None:
        self.name = NAME
        self.dim = 2048
        self.preprocessing = "bicubic antialiased to 299 px, (x - 128) / 128"
        self.batch_size = 32
        self.weights = weights

    def metric_name(self, symbol: str) -> str:
        """FD and KD on these weights have names of their own."""
        published = {"FD": "FID", "KD": "KID"}
        return published.get(symbol) or super().metric_name(symbol)

    def to(self, device: torch.device | str) -> None:
        super().to(device)
        self.weights = {name: w.to(device) for name, w in self.weights.items()}

    def forward(self, images: Tensor) -> Tensor:
        return self.trunk((resize(images, 299) - 128) / 128)

    def trunk(self, x: Tensor) -> Tensor:
        """(B, 3, 299, 299) in [-1, 1] -> (B, 2048)."""
        c = self._conv
        x = c(c(c(x, "Conv2d_1a_3x3", stride=2), "Conv2d_2a_3x3"), "Conv2d_2b_3x3", pad=1)
        x = F.max_pool2d(x, 3, 2)
        x = c(c(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3")
        x = F.max_pool2d(x, 3, 2)
        for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self._block_35(x, name + ".")
        x = self._to_17(x, "Mixed_6a.")
        for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self._block_17(x, name + ".")
        x = self._to_8(x, "Mixed_7a.")
        x = self._block_8(x, "Mixed_7b.", max_pool=False)
        x = self._block_8(x, "Mixed_7c.", max_pool=True)
        return x.mean((2, 3))

    def _conv(self, x: Tensor, name: str, stride: int = 1, pad: int | tuple[int, int] = 0) -> Tensor:
        w = self.weights
        x = F.conv2d(x, w[name + ".conv.weight"], stride=stride, padding=pad)
        mean, var = w[name + ".bn.running_mean"], w[name + ".bn.running_var"]
        return F.relu(F.batch_norm(x, mean, var, w[name + ".bn.weight"], w[name + ".bn.bias"], eps=1e-3))

    def _chain(self, x: Tensor, prefix: str, *layers: tuple[str, int | tuple[int, int]]) -> Tensor:
        for name, pad in layers:
            x = self._conv(x, prefix + name, pad=pad)
        return x

    def _pool_branch(self, x: Tensor, p: str, max_pool: bool = False) -> Tensor:
        # The padding is not counted, as in the original graph; torchvision counts it.
        x = F.max_pool2d(x, 3, 1, 1) if max_pool else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return self._conv(x, p + "branch_pool")

    def _block_35(self, x: Tensor, p: str) -> Tensor:
        one = self._conv(x, p + "branch1x1")
        five = self._chain(x, p, ("branch5x5_1", 0), ("branch5x5_2", 2))
        three = self._chain(x, p, ("branch3x3dbl_1", 0), ("branch3x3dbl_2", 1), ("branch3x3dbl_3", 1))
        return torch.cat([one, five, three, self._pool_branch(x, p)], 1)

    def _to_17(self, x: Tensor, p: str) -> Tensor:
        three = self._conv(x, p + "branch3x3", stride=2)
        double = self._chain(x, p, ("branch3x3dbl_1", 0), ("branch3x3dbl_2", 1))
        return torch.cat([three, self._conv(double, p + "branch3x3dbl_3", stride=2), F.max_pool2d(x, 3, 2)], 1)

    def _block_17(self, x: Tensor, p: str) -> Tensor:
        wide, tall = (0, 3), (3, 0)  # padding of the 1 x 7 and the 7 x 1 kernels
        one = self._conv(x, p + "branch1x1")
        seven = self._chain(x, p, ("branch7x7_1", 0), ("branch7x7_2", wide), ("branch7x7_3", tall))
        double = self._chain(
            x,
            p,
            ("branch7x7dbl_1", 0),
            ("branch7x7dbl_2", tall),
            ("branch7x7dbl_3", wide),
            ("branch7x7dbl_4", tall),
            ("branch7x7dbl_5", wide),
        )
        return torch.cat([one, seven, double, self._pool_branch(x, p)], 1)

    def _to_8(self, x: Tensor, p: str) -> Tensor:
        three = self._conv(self._conv(x, p + "branch3x3_1"), p + "branch3x3_2", stride=2)
        seven = self._chain(x, p, ("branch7x7x3_1", 0), ("branch7x7x3_2", (0, 3)), ("branch7x7x3_3", (3, 0)))
        return torch.cat([three, self._conv(seven, p + "branch7x7x3_4", stride=2), F.max_pool2d(x, 3, 2)], 1)

    def _block_8(self, x: Tensor, p: str, max_pool: bool) -> Tensor:
        one = self._conv(x, p + "branch1x1")
        three = self._conv(x, p + "branch3x3_1")
        double = self._chain(x, p, ("branch3x3dbl_1", 0), ("branch3x3dbl_2", 1))
        split = [
            self._conv(branch, p + name + end, pad=pad)
            for branch, name in ((three, "branch3x3_2"), (double, "branch3x3dbl_3"))
            for end, pad in (("a", (0, 1)), ("b", (1, 0)))
        ]
        return torch.cat([one, *split, self._pool_branch(x, p, max_pool)], 1)
