import pytest
import torch

from tests.metrics.fakes import PixelMeans, TinyJudge, random_images
from workbench.metrics import known_extractors, make_extractor
from workbench.metrics.extractors import JudgeExtractor, check_extractor


def test_known_extractors_are_those_of_the_manual() -> None:
    assert list(known_extractors()) == ["clean-fid", "clip", "efficientnet-lite0", "inception", "judge"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("juge", "Did you mean judge"),
        ("inception", "inception:PATH"),
        ("judge:x", "takes no argument"),
        ("zzz", "Known: clean-fid, clip, efficientnet-lite0, inception, judge"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_loaded(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_extractor(spec)


def test_a_plugin_joins_by_existing() -> None:
    class Plugged(PixelMeans):
        kind = "plugged"

    try:
        assert isinstance(make_extractor("plugged"), Plugged)
    finally:
        del Plugged.kind  # no other test shall see it


def test_judge_features_are_the_judges_own_on_unit_pixels() -> None:
    judge, images = TinyJudge(), random_images(5, size=32)
    extractor = JudgeExtractor(judge)
    torch.testing.assert_close(extractor(images), judge.features(images.float() / 255))
    assert extractor.dim == 16 and extractor.metric_name("FD") == "FD[judge]"


def test_the_last_batch_is_filled_up_and_cut_again() -> None:
    images = random_images(9)
    one, eight = PixelMeans(batch_size=1), PixelMeans(batch_size=8)
    assert torch.equal(one(images), eight(images)) and (one.images_seen, eight.images_seen) == (9, 16)
    assert eight(images[:0]).shape == (0, 12)


def test_floats_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        PixelMeans()(torch.rand(2, 3, 4, 4))
