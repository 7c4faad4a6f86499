"""Studies as notebooks read them: from files alone, and nothing is written into them."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.project.tree import ROOT
from tests.study.fakes import plan_of, sweep
from workbench.notebook.study import NoStudyError, open_study, pictures, training_rows
from workbench.study.files import write_json, write_text
from workbench.study.plan import save

STEPS = {"3": {"evaluation.num_inference_steps": 3}, "1": {"evaluation.num_inference_steps": 1}}


@pytest.fixture
def folder(tmp_path):
    """A finished study of two arms and three seeds, scored at two numbers of steps; forward is worse in FD by 1."""
    plan = plan_of(tmp_path, sweep(evaluate={"steps": STEPS}))
    root = tmp_path / "study"
    save(plan, root)
    for cell in plan.cells:
        worse = "forward" in cell.arm
        assert cell.seed is not None
        evaluations = {}
        for task in cell.tasks:
            fd = 10.0 + worse + 0.1 * cell.seed
            evaluations[task.key] = {"metrics": {"FD[judge]": fd, "CLIP[wardrobe]": 30 - cell.seed - 2 * worse}, "n": 8}
            grid = root / cell.folder / "evaluations" / task.key / "grid.png"
            grid.parent.mkdir(parents=True)
            Image.new("RGB", (64, 32), (200 if worse else 20, 0, 0)).save(grid)
        result = {"key": cell.key, "training": cell.training, "status": "complete", "evaluations": evaluations}
        write_json(root / cell.folder / "result.json", result)
        row = {"update": 1, "tick": 0, "t": 1000, "distance/reconstruction": 1.0 + worse}
        write_text(root / cell.folder / "metrics.jsonl", json.dumps(row) + "\n")
    return root


def snapshot(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_the_table_is_that_of_the_files(folder):
    study = open_study(folder)
    (line,) = [line for line in study.table.blocks[0].lines if line.row.name != study.table.baseline]
    assert line.figures["FD[judge]"].mean == pytest.approx(11.1)
    comparison = line.figures["FD[judge]"].comparison
    assert comparison is not None and comparison.difference == pytest.approx(1.0)


def test_figures_are_drawn_and_the_study_stays_untouched(folder):
    before = snapshot(folder)
    names = [picture.name for picture in pictures(open_study(folder))]
    assert names == ["differences", "differences-1", "steps-fd-judge", "steps-clip-wardrobe", "samples", "samples-1"]
    assert snapshot(folder) == before


def test_another_metric_may_lead_and_a_misspelt_one_is_named(folder):
    study = open_study(folder)
    assert "CLIP[wardrobe]" in pictures(study, "CLIP[wardrobe]")[0].caption
    assert "FD[judge]" in pictures(study)[0].caption
    with pytest.raises(ValueError, match=r'FD\[jugde\] is no metric of this study. Did you mean "FD\[judge\]"'):
        pictures(study, "FD[jugde]")


def test_samples_show_each_arms_own_images(folder):
    sheet = next(picture for picture in pictures(open_study(folder)) if picture.name == "samples")
    reds = np.asarray(Image.open(io.BytesIO(sheet.png)).convert("RGB"))[:, -1, 0]
    assert {20, 200} <= set(reds.tolist())


def test_without_images_of_its_cells_the_committed_sheet_is_shown(folder):
    for grid in folder.rglob("grid.png"):
        grid.unlink()
    assert "samples" not in [picture.name for picture in pictures(open_study(folder))]
    (folder / "figures").mkdir()
    (folder / "figures" / "samples.png").write_bytes(b"kept")
    assert [picture.png for picture in pictures(open_study(folder)) if picture.name == "samples"] == [b"kept"]


def test_trainings_are_found_by_arm_once_a_seed_and_may_be_missing(folder):
    rows = training_rows(open_study(folder))
    assert [len(seeds) for seeds in rows.values()] == [3, 3]
    values = sorted({seed[0]["distance/reconstruction"] for seeds in rows.values() for seed in seeds})
    assert values == [1.0, 2.0]
    for file in folder.rglob("metrics.jsonl"):
        file.unlink()
    assert training_rows(open_study(folder)) == {}


def test_what_is_missing_is_said_in_one_line(folder, tmp_path):
    with pytest.raises(NoStudyError, match=r"no such folder. Run `python -m workbench.sweep"):
        open_study(tmp_path / "nowhere")
    for file in folder.rglob("result.json"):
        file.unlink()
    with pytest.raises(NoStudyError, match=r"none of its 12 values is there"):
        open_study(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(NoStudyError, match=r"holds no plan.json") as caught:
        open_study(folder)
    assert len(caught.value._render_traceback_()) == 1


def test_the_notebook_fails_with_that_line(monkeypatch, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("WORKBENCH_STUDY", str(tmp_path / "nowhere"))
    path = ROOT / "notebooks" / "02_compare_arms.ipynb"
    notebook = nbformat.read(path, 4)
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    with pytest.raises(nbclient.exceptions.CellExecutionError):
        client.execute()
    (shown,) = [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "error"
    ]
    (line,) = shown.traceback
    assert line.startswith("NoStudyError: ") and "no such folder" in line
