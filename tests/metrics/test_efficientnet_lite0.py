from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

from tests.metrics.fakes import random_images
from workbench.metrics.extractors import EfficientNetLite0

MILITARY_UNIFORM = 652  # class of ImageNet


def test_recognises_a_photograph() -> None:
    # Matplotlib ships a portrait of Grace Hopper in uniform. Wrong padding, normalisation or wiring loses it.
    photo = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    side = min(photo.size)
    image = torch.from_numpy(np.array(photo.crop((0, 0, side, side)).resize((256, 256)))).permute(2, 0, 1)[None]
    extractor = EfficientNetLite0(input_size=224)
    with torch.inference_mode():
        logits = extractor.logits(image)[0]
    assert logits.argmax() == MILITARY_UNIFORM
    assert logits.softmax(0)[MILITARY_UNIFORM] > 0.1  # a hundred times chance


def test_one_row_does_not_depend_on_the_others_or_on_the_split() -> None:
    extractor = EfficientNetLite0(input_size=32)
    images = random_images(70)
    whole = extractor(images)
    assert whole.shape == (70, 1280) and whole.dtype == torch.float32
    assert torch.equal(torch.cat([extractor(images[:1]), extractor(images[1:])]), whole)


def test_sizes_have_fingerprints_of_their_own() -> None:
    assert EfficientNetLite0(64).fingerprint != EfficientNetLite0(96).fingerprint == EfficientNetLite0().fingerprint
