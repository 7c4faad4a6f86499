"""Names that become folders, and links that lead out of them: nothing is written outside of where the user said."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.study.fakes import plan_of, resolve, sweep, write
from workbench.files import OutsideError, as_file_name, refuse_links
from workbench.report import main as report
from workbench.study import plan as plans
from workbench.study.errors import SweepError
from workbench.study.files import write_json
from workbench.study.names import inside, slug
from workbench.study.plan import Plan
from workbench.sweep import main as run_sweep

TRAVERSALS = [
    "",
    ".",
    "..",
    "../x",
    "../../etc/passwd",
    "a/../../x",
    "a/..",
    "/etc/passwd",
    "/",
    "//x",
    "a/b",
    "a\\..\\b",
    "..\\x",
    "C:\\x",
    "C:x",
    "~",
    "~root",
    "$HOME",
    "a\0b",
    "a\nb",
    "a\rb",
    "a\tb",
    " a",
    "a ",
    "a.",
    "a..b",
    ".hidden",
    "-rf",
    "--",
    "x" * 81,
    "x" * 5_000,
    "․․/x",
    "a∕b",
    "a／b",
    "ａ",
    "аrm",
    "e\u0301",
    "a\u202eb",
    "a\u200bb",
    "con",
    "CON",
    "nul.txt",
    "com1",
    "LPT9.log",
    "aux",
    "figures",
    "Evaluations",
    "logs",
    "plans",
    "reference",
    "runs",
    "plan.json",
    "plan.yaml",
    "study.journal",
    "report.html",
    "table.md",
    "last.ckpt",
    "claim.lock",
    "*",
    "a?",
    "a|b",
    "a>b",
    "a:b",
    "<script>",
    "%2e%2e",
]
OUTWARD = [
    "",
    ".",
    "..",
    "../x",
    "../../etc/passwd",
    "a/../../x",
    "a/..",
    "/etc/passwd",
    "/",
    "//x",
    "a\0b",
]


def shown(name: str) -> str:
    return ascii(name[:20])


def test_there_are_enough() -> None:
    assert len(set(TRAVERSALS)) >= 30


@pytest.mark.parametrize("name", TRAVERSALS, ids=shown)
def test_a_name_that_is_no_slug(name: str) -> None:
    with pytest.raises(SweepError, match="becomes a folder's name") as caught:
        slug(name, "The arm")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["a", "shift-scale_factor-0.4", "A+b", "7", "x" * 80, "console", "comma", "figure"])
def test_a_name_that_is_one(name: str) -> None:
    assert slug(name, "The arm") == name


@pytest.mark.parametrize("name", TRAVERSALS, ids=shown)
def test_arms_levels_factors_references_and_seeds(name: str, tmp_path: Path) -> None:
    """Every place of a sweep file in which a name stands, and the file's own name."""
    for change in (
        {"arms": {name: {"model.trajectory": "Forward"}}},
        {"factors": {"trajectory": {"backward": {}, name: {"model.trajectory": "Forward"}}}},
        {
            "factors": {name: {"backward": {}, "forward": {"model.trajectory": "Forward"}}},
            "baseline": {name: "backward"},
        },
        {"references": {name: {"evaluation.subject": "teacher"}}},
        {"evaluate": {"steps": {name: {"evaluation.num_inference_steps": 1}}}},
    ):
        with pytest.raises(SweepError, match=r"becomes a folder's name|has no dot"):
            plan_of(tmp_path, sweep(**change))
    if name and "/" not in name and "\0" not in name and len(name) < 200 and name not in (".", ".."):
        with pytest.raises(SweepError, match="becomes a folder's name"):
            plan_of(tmp_path, sweep(), name)


@pytest.mark.parametrize("name", OUTWARD, ids=shown)
def test_a_path_does_not_leave_its_root(name: str, tmp_path: Path) -> None:
    root = tmp_path / "results"
    with pytest.raises(SweepError, match="leads outside") as caught:
        inside(root, name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TRAVERSALS, ids=shown)
def test_a_path_of_any_name_stays_in_its_root(name: str, tmp_path: Path) -> None:
    """Alone, below a folder, and above one: refused, or below the root; `slug` has refused them all before."""
    root = (tmp_path / "results").resolve()
    for parts in ((name,), ("arm", name), (name, "seed-0"), ("arm", name, "seed-0")):
        with suppress(SweepError):
            path = inside(root, *parts)
            assert path.is_relative_to(root) and path != root and ".." not in path.parts


def test_any_text_as_a_part_of_a_files_name() -> None:
    for name in TRAVERSALS:
        assert "/" not in as_file_name(name) and len(as_file_name(name)) <= 60 and as_file_name(name).isascii()


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Plan]:
    """A finished study that fake results make, and a folder outside that nobody may touch."""
    path = write(tmp_path, sweep(seeds=1))
    plan = plan_of(tmp_path, sweep(seeds=1))
    root = tmp_path / "results" / "shifts"
    for index, cell in enumerate(plan.cells):
        found = {"metrics": {"FD[judge]": float(index), "CLIP[wardrobe]": 1.0}, "n": 8, "extractors": {}}
        evaluations = {task.key: found for task in cell.tasks}
        result = {"key": cell.key, "training": cell.training, "status": "complete", "evaluations": evaluations}
        write_json(root / cell.folder / "result.json", result)
    plans.save(plan, root)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("kept")
    return path, plan


def links(plan: Plan) -> dict[str, str]:
    """Where a link may lie in a study -> what it leads to, from the folder outside."""
    cell = plan.cells[0].folder
    return {
        "figures": ".", "logs": ".", "plans": ".", "other-arm": ".", f"{cell}/tb": ".", f"{cell}/samples": ".",
        f"{cell}/evaluations": ".", f"{cell}/log.txt": "file", f"{cell}/metrics.jsonl": "file", f"{cell}/lock": "new",
        f"{cell}/STOP": "new", f"{cell}/config.yaml": "file", "report.html": "file", "study.journal": "file",
        "table.md": "new", "sweep.yaml": "file", "claim.lock": "new",
    }  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sweep_again(path: Path) -> int:
    return run_sweep([str(path), "--results", str(path.parent / "results")], resolve=resolve, program="tests.no_such")


def test_links_in_a_study(study: tuple[Path, Plan], capsys: pytest.CaptureFixture[str]) -> None:
    """`sweep` and `report` refuse each, and what they lead to stays as it was."""
    path, plan = study
    root, outside = path.parent / "results" / "shifts", path.parent / "outside"
    before = contents(outside)
    commands: list[Callable[[], int]] = [
        lambda: report([str(root)]),
        lambda: report([str(root), "--copy-to", str(path.parent / "copy")]),
        lambda: sweep_again(path),
    ]
    for name, target in links(plan).items():
        link = root / name
        link.parent.mkdir(parents=True, exist_ok=True)
        kept = link.read_bytes() if link.is_file() else None
        link.unlink(missing_ok=True)
        link.symlink_to(outside / target)
        for command in commands:
            assert command() == 2, name
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 1 and "symbolic link" in lines[0] and str(link.name) in lines[0], lines
            assert contents(outside) == before and not (path.parent / "copy").exists()
        link.unlink()
        if kept is not None:
            link.write_bytes(kept)
    assert report([str(root)]) == 0


def test_a_study_that_is_a_link(study: tuple[Path, Plan], capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = study
    results = path.parent / "results"
    (results / "shifts").rename(path.parent / "outside" / "shifts")
    (results / "shifts").symlink_to(path.parent / "outside" / "shifts")
    before = sorted((path.parent / "outside").rglob("*"))
    assert sweep_again(path) == 2 and "leads outside" in capsys.readouterr().err
    assert report([str(results / "shifts")]) == 2 and "symbolic link" in capsys.readouterr().err
    assert sorted((path.parent / "outside").rglob("*")) == before
    assert list(results.iterdir()) == [results / "shifts"]


def test_the_lock_beside_a_study(study: tuple[Path, Plan], capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = study
    (path.parent / "results" / ".shifts.active").symlink_to(path.parent / "outside" / "new")
    assert sweep_again(path) == 2 and "symbolic link" in capsys.readouterr().err
    assert not (path.parent / "outside" / "new").exists()


def test_a_copy_goes_where_it_was_said(study: tuple[Path, Plan], capsys: pytest.CaptureFixture[str]) -> None:
    """Not through a link, dangling or not, and never over something that is no copy."""
    path, _ = study
    root, outside = path.parent / "results" / "shifts", path.parent / "outside"
    before = contents(outside)
    for target in (outside, outside / "new", outside / "file"):
        link = path.parent / "copy"
        link.symlink_to(target)
        assert report([str(root), "--copy-to", str(link)]) == 2
        assert "symbolic link" in capsys.readouterr().err
        link.unlink()
    for wrong in (outside / "file", outside / "file" / "below", outside):
        assert report([str(root), "--copy-to", str(wrong)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(wrong) in line
    assert contents(outside) == before
    # a link that waits where the copy would have been made is no way out either
    (path.parent / ".tmp-copy").symlink_to(outside)
    assert report([str(root), "--copy-to", str(path.parent / "copy")]) == 0
    assert contents(outside) == before


def test_a_link_inside_a_folder_is_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "a").mkdir(parents=True)
    (folder / "latest").symlink_to("a")
    refuse_links(folder)
    refuse_links(tmp_path / "nothing")
    (folder / "a" / "b").symlink_to("../../elsewhere")
    with pytest.raises(OutsideError, match="leads out of"):
        refuse_links(folder)


def test_links_in_a_run(tmp_path: Path, tiny_teacher_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`train --run-dir` and `evaluate` alike: refused before a network is loaded."""
    from workbench.config import dump
    from workbench.config import resolve as real
    from workbench.evaluate import main as evaluate
    from workbench.train import main as train

    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    config = real({}, {"teacher.path": str(tiny_teacher_path), "train.accelerator": "cpu"})
    dump(config, tmp_path / "mine.yaml")
    run = tmp_path / "run"

    def refused(command: Callable[[list[str]], int], arguments: list[Any], name: str) -> None:
        assert command([str(word) for word in arguments]) == 2
        error = capsys.readouterr().err
        assert "symbolic link" in error and name in error and "Traceback" not in error
        assert contents(outside) == {"file": b"kept"}

    for name, target in (
        ("tb", "."),
        ("samples", "."),
        ("metrics.jsonl", "file"),
        ("last.ckpt", "file"),
        (".lock", "new"),
    ):
        run.mkdir()
        (run / name).symlink_to(outside / target)
        refused(train, ["--config", tmp_path / "mine.yaml", "--run-dir", run, "--quiet"], name)
        (run / name).unlink()
        run.rmdir()
    run.symlink_to(outside)
    refused(train, ["--config", tmp_path / "mine.yaml", "--run-dir", run, "--quiet"], "run")
    run.unlink()
    run.mkdir()
    dump(config, run / "config.yaml")
    (run / "evaluations").symlink_to(outside)
    refused(evaluate, [run, "--quiet"], "evaluations")
    (run / "evaluations").unlink()
    (tmp_path / "out").symlink_to(outside)
    refused(evaluate, [run, "--quiet", "--out", tmp_path / "out"], "out")


def test_a_grid_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    import torch

    from workbench.evaluation.pictures import save_png

    (tmp_path / "file").write_text("kept")
    os.symlink(tmp_path / "file", tmp_path / "grid.png")
    save_png(torch.zeros(3, 4, 4, dtype=torch.uint8), tmp_path / "grid.png")
    assert (tmp_path / "file").read_text() == "kept" and not (tmp_path / "grid.png").is_symlink()
