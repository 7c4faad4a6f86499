"""A snapshot is chosen on the tune half, and the report half is looked at once, by the chosen one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.evaluate.conftest import tiny_config
from workbench.cell import run_cell
from workbench.config import resolve
from workbench.evaluation import run, selection
from workbench.evaluation.selection import select_snapshot
from workbench.files import file_sha256
from workbench.models import FullStudent, Teacher, trainable_state

RULE = {"snapshots": [1, 0.25, 0.5], "on": "FD[judge]", "direction": "min", "num_images": 10}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The prompts that evaluations ask for, in order."""
    asked: list[tuple[str, int]] = []
    real = run.evaluation_prompts

    def asking(source: Any, name: str, n: int) -> Any:
        asked.append((name, n))
        return real(source, name, n)

    monkeypatch.setattr(run, "evaluation_prompts", asking)
    return asked


@pytest.fixture
def snapshots(tiny_teacher: Teacher, run_dir: Path) -> Path:
    """Three students, the middle one nearest to the teacher, the last one far."""
    state = trainable_state(FullStudent().make(tiny_teacher))
    generator = torch.Generator().manual_seed(1)
    for name, size in (("student-0.25", 0.05), ("student-0.5", 0.0), ("student", 0.4)):
        moved = {key: t + size * torch.randn(t.shape, generator=generator) for key, t in state.items()}
        save_file(moved, run_dir / f"{name}.safetensors")
    return run_dir


def test_the_best_on_tune_is_chosen_and_report_is_not_looked_at(
    snapshots: Path, tiny_teacher_path: Path, tmp_path: Path, seen: list[tuple[str, int]]
) -> None:
    config = tiny_config(tiny_teacher_path)
    out = tmp_path / "out"
    shares: list[float] = []
    chosen = select_snapshot(config, snapshots, out, RULE, shares.append)
    assert seen == [("tune", 10)] * 3
    scores = chosen["scores"]
    assert len(set(scores.values())) == 3
    assert float(chosen["snapshot"]) == float(min(scores, key=lambda share: scores[share]))
    assert shares == sorted(shares) and shares[-1] == 1
    for share, name in (("0.25", "student-0.25"), ("0.5", "student-0.5"), ("1", "student")):
        facts = json.loads((out / f"tune-{share}" / "evaluation.json").read_text())
        assert facts["subject"]["student_sha256"] == file_sha256(snapshots / f"{name}.safetensors")
        assert facts["metrics"]["FD[judge]"] == scores[share]
        assert "diversity[judge]" not in facts["metrics"] and "teacher/mse" not in facts["metrics"]
    assert select_snapshot(config, snapshots, out, RULE) == chosen
    assert len(seen) == 3, "a restart reads what is there"
    most = select_snapshot(config, snapshots, out, {**RULE, "direction": "max"})
    assert scores[f"{most['snapshot']:g}"] == max(scores.values())


def test_only_the_extractor_of_the_metric_looks() -> None:
    both = ["judge", "efficientnet-lite0"]
    assert selection._needed("FD[judge]", both) == ["judge"]
    assert selection._needed("recall[efficientnet-lite0]", both) == ["efficientnet-lite0"]
    assert selection._needed("CLIP[wardrobe]", both) == selection._needed("saturation", both) == both


def test_equal_scores_take_the_later_snapshot(
    snapshots: Path, tiny_teacher_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "evaluate_run", lambda *a, **k: {"FD[judge]": 3.0})
    assert select_snapshot(tiny_config(tiny_teacher_path), snapshots, tmp_path, RULE)["snapshot"] == 1


def test_a_metric_that_the_evaluation_lacks_is_named(snapshots: Path, tiny_teacher_path: Path, tmp_path: Path) -> None:
    rule = {**RULE, "on": "FD[efficientnet-lite0]"}
    with pytest.raises(ValueError, match=r"select\.on: FD\[efficientnet-lite0\] is no metric"):
        select_snapshot(tiny_config(tiny_teacher_path), snapshots, tmp_path, rule)


def test_a_cell_scores_its_chosen_snapshot_and_records_the_choice(
    tiny_teacher_path: Path, tmp_path: Path, seen: list[tuple[str, int]]
) -> None:
    settings = {"student_updates": 4, "batch_size": 2, "threads": 1, "snapshots": [0.5], "learning_rate": 0.05}
    quiet = {"sample_every": 0, "probe_every": 0, "reference_samples": 0, "accelerator": "cpu"}
    config = resolve(
        tiny_config(tiny_teacher_path), {f"train.{key}": value for key, value in {**settings, **quiet}.items()}
    )
    tasks = [
        {"key": "chosen", "evaluation": config["evaluation"], "select": {**RULE, "snapshots": [0.5, 1.0]}},
        {"key": "half", "evaluation": {**config["evaluation"], "snapshot": 0.5}},
        {"key": "end", "evaluation": config["evaluation"]},
    ]
    folder = tmp_path / "cell"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "evaluations.yaml").write_text(yaml.safe_dump({"key": "k", "training": "t", "evaluations": tasks}))
    run_cell(folder)
    assert seen == [("tune", 10), ("tune", 10), *[("report", 12)] * 3]
    result = json.loads((folder / "result.json").read_text())["evaluations"]
    selected = result["chosen"]["selected"]
    assert set(selected["scores"]) == {"0.5", "1"} and selected["on"] == "FD[judge]"
    twin = "half" if selected["snapshot"] == 0.5 else "end"
    other = "end" if twin == "half" else "half"
    assert result["chosen"]["metrics"] == result[twin]["metrics"] != result[other]["metrics"]
    assert "selected" not in result["half"] and "selected" not in result["end"]
    students = [load_file(folder / f"{name}.safetensors") for name in ("student-0.5", "student")]
    assert any(not torch.equal(students[0][name], students[1][name]) for name in students[0])
