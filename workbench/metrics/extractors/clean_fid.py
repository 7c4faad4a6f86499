"""clean-fid's own resize and network, for those who must report its exact number."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from workbench.files import file_sha256
from workbench.metrics.extractors.base import Extractor

FILE = "inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"


class CleanFid(Extractor):
    """clean-fid 0.1.35 itself up to the features: Pillow resize, one image at a time, and the TorchScript Inception.

    folder: where inception-2015-12-05.pt lies. clean-fid would download it to the system's temporary folder, not
    atomically, and load whatever stands there; here its hash is checked first and nothing is downloaded.
    Slower than `Inception` and equal to it within resize rounding; use it to reproduce a published clean-fid number.
    """

    kind: ClassVar[str] = "clean-fid"
    takes_argument: ClassVar[bool] = True
    argument_help: ClassVar[str] = f"folder that holds {FILE}"

    def __init__(self, folder: str) -> None:
        file = Path(folder) / FILE
        if not file.is_file():
            raise ValueError(f"clean-fid: there is no {FILE} in {folder}. Give the {self.argument_help}.")
        self.sha256 = file_sha256(file)
        if self.sha256 != SHA256:
            raise ValueError(f"clean-fid: {file} has SHA-256 {self.sha256[:12]}..., not {SHA256[:12]}...")
        try:
            from cleanfid.inception_torchscript import InceptionV3W
            from cleanfid.resize import build_resizer
        except ImportError as error:
            raise ValueError("clean-fid is not installed: pip install 'workbench[imagenet]'.") from error
        self.name = "clean-fid"
        self.dim = 2048
        self.preprocessing = "clean-fid resize to 299 px"
        self.batch_size = 32
        self.network = InceptionV3W(folder, download=False, resize_inside=False).eval()
        self._resize = build_resizer("clean")

    def metric_name(self, symbol: str) -> str:
        """FID and KID, marked as clean-fid's so that they can stand beside `Inception`'s in one table."""
        return f"{ {'FD': 'FID', 'KD': 'KID'}.get(symbol, symbol) }[clean-fid]"

    def to(self, device: torch.device | str) -> None:
        super().to(device)
        self.network.to(device)

    def forward(self, images: Tensor) -> Tensor:
        arrays = images.permute(0, 2, 3, 1).cpu().numpy()
        resized = np.stack([self._resize(a) for a in arrays]).transpose(0, 3, 1, 2)
        return self.network(torch.from_numpy(resized).to(self.device))
