from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from tests.metrics.fakes import Prompt, batch, random_images
from tests.tiny import _tokenizer
from workbench.metrics import Measurement
from workbench.metrics.clip_score import ClipScore, _next_other_caption
from workbench.metrics.extractors import ClipModel


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipModel:
    """A random CLIPModel of 32 px, through its folder."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = _tokenizer()
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ClipModel(str(folder))


def score(clip: ClipModel, images: torch.Tensor, captions: list[str]) -> dict[str, float]:
    prompts = [Prompt(c) for c in captions]
    measurement = Measurement([ClipScore(clip)], prompts)
    measurement.update(batch(images, prompts))
    return measurement.compute()


def test_is_the_cosine_that_the_model_itself_gives(clip: ClipModel) -> None:
    images, captions = random_images(5, size=32), ["a bag", "a coat", "a red coat", "a bag", "a sandal"]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (clip._mean, clip._std))
    tokens = clip.tokenizer(captions, padding=True, return_tensors="pt")
    with torch.inference_mode():
        out = clip.model(pixel_values=(images / 255 - mean) / std, **tokens)
    cosine = cosine_similarity(out.image_embeds, out.text_embeds)
    values = score(clip, images, captions)
    assert values["CLIP[tiny-clip]"] == pytest.approx(100 * float(cosine.clamp(min=0).mean()), rel=1e-5)
    other = [1, 2, 3, 4, 0]
    shuffled = cosine_similarity(out.image_embeds, out.text_embeds[other]).clamp(min=0).mean()
    assert values["CLIP[tiny-clip]/shuffled"] == pytest.approx(100 * float(shuffled), rel=1e-5)


def test_a_long_caption_is_cut_and_keeps_its_end_token(clip: ClipModel) -> None:
    long = "a very long caption " * 20
    ids = clip.tokenizer(long)["input_ids"]
    assert len(ids) > clip.context
    cut = torch.tensor([[*ids[: clip.context - 1], clip.tokenizer.eos_token_id]])
    with torch.inference_mode():
        expected = clip.model.text_projection(clip.model.text_model(input_ids=cut).pooler_output)
    torch.testing.assert_close(clip.texts([long])[0], torch.nn.functional.normalize(expected[0], dim=0))
    assert clip.truncated == 1
    clip.texts(["a bag"])
    assert clip.truncated == 0


def test_the_floor_never_pairs_an_image_with_its_own_caption() -> None:
    assert _next_other_caption(["a", "a", "b"]) is not None
    captions = ["a", "b", "b", "b", "a", "c"]
    other = _next_other_caption(captions)
    assert other is not None and all(captions[j] != captions[i] for i, j in enumerate(other.tolist()))
    assert _next_other_caption(["a", "a"]) is None


def test_equal_captions_leave_the_floor_out(clip: ClipModel) -> None:
    assert set(score(clip, random_images(2, size=32), ["a", "a"])) == {"CLIP[tiny-clip]"}


def test_the_hash_follows_the_weights(clip: ClipModel, tmp_path: Path) -> None:
    clip.model.save_pretrained(tmp_path / "tiny-clip")
    clip.tokenizer.save_pretrained(tmp_path / "tiny-clip")
    copy = ClipModel(str(tmp_path / "tiny-clip"))
    assert copy.sha256 == clip.sha256
    with torch.no_grad():
        next(copy.model.parameters()).flatten()[0] += 1
    copy.model.save_pretrained(tmp_path / "tiny-clip")
    assert ClipModel(str(tmp_path / "tiny-clip")).sha256 != clip.sha256


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no CLIPModel with its tokenizer at") as error:
        ClipModel(str(tmp_path / "nothing"))
    assert "\n" not in str(error.value)
