"""A file that a configuration reads is part of its hash, however it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.study.asset_hashes import evaluation_assets, training_assets


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("prompts.txt", "inception.pth", "report"):
        (tmp_path / name).write_text(name)
    for name in ("mine", "wardrobe"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model_index.json").write_text(name)
    return tmp_path


def test_a_bare_name_under_a_paths_key_is_a_file(here: Path) -> None:
    config = {"teacher": {"path": "mine"}, "data": {"class_path": "PromptFile", "init_args": {"path": "prompts.txt"}}}
    before = training_assets(config)
    assert set(before) == {"teacher.path", "data.init_args.path"}
    (here / "prompts.txt").write_text("other prompts")
    after = training_assets(config)
    assert after["teacher.path"] == before["teacher.path"]
    assert after["data.init_args.path"] != before["data.init_args.path"]


def test_prompts_and_the_weights_of_an_extractor_are_files(here: Path) -> None:
    settings = {"prompts": "prompts.txt", "extractors": ["judge", f"inception:{here / 'inception.pth'}"]}
    assert set(evaluation_assets(settings)) == {"judge", "prompts", "extractors.1"}


def test_words_are_no_files_even_where_one_is_called_so(here: Path) -> None:
    assert set(training_assets({"teacher": {"path": "wardrobe"}})) == {"teacher"}  # the shipped one
    assert set(evaluation_assets({"prompts": "report", "subject": "mine"})) == {"judge"}
