"""Features of the real images, computed once and shared by every arm."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor

from workbench.metrics.cache import cached
from workbench.metrics.extractors.base import Extractor
from workbench.metrics.features import Reference

LAYOUT = {"features": (2, "float32")}


def reference_statistics(images: Tensor, extractor: Extractor, folder: Path | None = None) -> Reference:
    """The reference of `images`, uint8 (M, 3, H, W), M >= 2, from the cache if these images were seen before.

    Keyed by the pixels and the extractor, not by a name: a data set that changes has another key. The images are
    put in the order of their hashes first, so that neither the key nor the last bit depends on the order of files.
    """
    digests = [hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest() for image in images.cpu()]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    whole = hashlib.sha256(f"{tuple(images.shape[1:])}".encode())
    for i in order:
        whole.update(bytes.fromhex(digests[i]))
    key = {
        "images": whole.hexdigest(),
        "count": len(images),
        "extractor": extractor.fingerprint,
        "name": extractor.name,
    }
    tensors = cached("reference", key, lambda: {"features": extractor(images[order])}, folder, LAYOUT)
    return Reference(tensors["features"])
