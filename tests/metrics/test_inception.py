from pathlib import Path

import pytest
import torch

from tests.metrics.fakes import random_images
from workbench.metrics import make_extractor
from workbench.metrics.extractors import Inception


def random_weights() -> tuple[dict[str, torch.Tensor], torch.nn.Module]:
    """Random weights of the FID network, and the network of pytorch-fid (as clean-fid ships it) that holds them."""
    import cleanfid.inception_pytorch as peer

    with torch.random.fork_rng():
        torch.manual_seed(0)
        # What pytorch-fid builds before it loads its download.
        base = peer._inception_v3(num_classes=1008, aux_logits=False, init_weights=False, pretrained=False)
        base.Mixed_5b = peer.FIDInceptionA(192, pool_features=32)
        base.Mixed_5c = peer.FIDInceptionA(256, pool_features=64)
        base.Mixed_5d = peer.FIDInceptionA(288, pool_features=64)
        base.Mixed_6b = peer.FIDInceptionC(768, channels_7x7=128)
        base.Mixed_6c = peer.FIDInceptionC(768, channels_7x7=160)
        base.Mixed_6d = peer.FIDInceptionC(768, channels_7x7=160)
        base.Mixed_6e = peer.FIDInceptionC(768, channels_7x7=192)
        base.Mixed_7b = peer.FIDInceptionE_1(1280)
        base.Mixed_7c = peer.FIDInceptionE_2(2048)
        for module in base.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # away from the identity, or half of it would be untested
                assert module.running_mean is not None and module.running_var is not None
                torch.nn.init.normal_(module.running_mean, std=0.1)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 2)
                torch.nn.init.normal_(module.bias, std=0.1)
    original = peer.fid_inception_v3
    peer.fid_inception_v3 = lambda: base
    try:
        network = peer.InceptionV3(resize_input=False, normalize_input=False)
    finally:
        peer.fid_inception_v3 = original
    return base.state_dict(), network.eval()


@torch.inference_mode()
def test_is_the_network_of_pytorch_fid() -> None:
    weights, theirs = random_weights()
    ours = Inception.__new__(Inception)  # past the hash check: the original weights cannot be shipped
    ours._configure(weights)
    x = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = theirs(x)[0].flatten(1)
    assert expected.std() > 1e-3  # the random network tells the images apart
    torch.testing.assert_close(ours.trunk(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert ours.forward(random_images(1)).shape == (1, 2048)


def test_only_the_original_file_gives_an_fid(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    with pytest.raises(ValueError, match="there is no file"):
        make_extractor(f"inception:{file}")
    torch.save({}, file)
    with pytest.raises(ValueError, match="on other weights is no FID"):
        make_extractor(f"inception:{file}")
    (tmp_path / "inception-2015-12-05.pt").write_bytes(b"anything")
    with pytest.raises(ValueError, match="not f58cb9b6ec32"):  # refused before it reaches torch.jit.load
        make_extractor(f"clean-fid:{tmp_path}")


def test_names() -> None:
    extractor = Inception.__new__(Inception)
    extractor._configure({})
    assert extractor.metric_name("FD") == "FID" and extractor.metric_name("KD") == "KID"
    assert extractor.metric_name("recall") == "recall[inception-2015-12-05]"
