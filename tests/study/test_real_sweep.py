"""A sweep with the real configuration, training and evaluation, on the tiny teacher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.evaluate.conftest import tiny_clip_path  # noqa: F401
from workbench.study import plan as plans
from workbench.study.results import cell_result

HERE = Path(__file__).resolve().parents[2]
SWEEP = """
question: Does everything fit together?
base: base.yaml
factors:
  inference: {on: {}, off: {evaluation.noise_correction: off}}
baseline: {inference: on}
seeds: 1
evaluate:
  steps: {2: {evaluation.num_inference_steps: 2}}
references:
  real: {evaluation.subject: real}
metrics: {"FD[judge]": min}
run: {retries: 0}
"""


def write(folder: Path, teacher: Path, sweep: str) -> Path:
    """A sweep of two updates on the tiny teacher."""
    base = {
        "teacher": {"path": str(teacher)},
        "train": {
            "student_updates": 2, "batch_size": 4, "accelerator": "cpu", "sample_every": 0, "reference_samples": 0,
            "probe_every": 0, "log_every": 1, "warmup_updates": 1, "snapshots": [0.5],
        },
        "evaluation": {"num_images": 12, "batch_size": 6},
    }  # fmt: skip
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    (folder / "tiny.yaml").write_text(sweep)
    return folder / "tiny.yaml"


def run(path: Path, clip: Path, *more: str, workers: int = 1, **changes: str) -> str:
    """Run it with the tiny judge and CLIP; what it said, logs too where it failed. changes: of the environment."""
    script = "import sys; from workbench.sweep import main; sys.exit(main(program='tests.study.tiny_program'))"
    command = [sys.executable, "-c", script, str(path), "--results", str(path.parent / "results")]
    command += ["--workers", str(workers), *more]
    environment = {
        **os.environ,
        "TINY_CLIP": str(clip),
        "WORKBENCH_CACHE": str(path.parent / "cache"),
        **changes,
    }
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=1500)
    logs = "\n".join(file.read_text()[-3000:] for file in path.parent.glob("results/tiny/*/*/log.txt"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return done.stdout


def test_a_training_that_explodes_says_so_and_leaves_the_other_alone(
    tmp_path: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,  # noqa: F811
) -> None:
    arms = "arms: {sound: {}, exploding: {train.learning_rate: 1e30, train.student_updates: 4}}\nbaseline: sound\n"
    sweep = SWEEP.replace(SWEEP[SWEEP.index("factors:") : SWEEP.index("seeds:")], arms)
    path = write(tmp_path, tiny_teacher_path, sweep)
    run(path, tiny_clip_path)
    root = tmp_path / "results" / "tiny"
    results = {cell.arm: cell_result(plans.load(root), cell, root) for cell in plans.load(root).cells}
    exploded, sound = results["exploding"], results["sound"]
    assert exploded is not None and exploded["status"] == "diverged" and 1 <= exploded["step"] < 4
    assert sound is not None and sound["status"] == "complete"
    assert f"| exploding | diverged 1/1<br><sub>@{exploded['step']}</sub> |" in (root / "table.md").read_text()


def test_the_real_thing_from_file_to_table_and_again(
    tmp_path: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,  # noqa: F811
) -> None:
    path = write(tmp_path, tiny_teacher_path, SWEEP)
    root = tmp_path / "results" / "tiny"
    run(path, tiny_clip_path)
    plan = plans.load(root)
    assert len(plan.cells) == 2, "one training, since inference does not train, and one reference"
    for cell in plan.cells:
        result = cell_result(plan, cell, root)
        assert result is not None and all("FD[judge]" in e["metrics"] for e in result["evaluations"].values())
        assert (root / cell.folder / "provenance.json").exists()
        late = json.loads((root / cell.folder / "late.json").read_text())
        assert late["threads"] == 1, "forks of a process with threads can hang"
        assert len(late["late"]) < 10, "each cell would pay for these again"
        trained = (root / cell.folder / "student.safetensors").exists()
        assert late["code"] == {"asked": int(trained), "made": 0}, "asked before the fork"
    assert not list(root.glob("*/*/*.ckpt*")), "the training is over: what scores its student reads weights"
    table = (root / "table.csv").read_bytes()
    assert (root / "figures" / "samples.png").stat().st_size > 1000
    assert "N = 12" in (root / "table.md").read_text()
    assert json.loads((root / "provenance.json").read_text())["assets"]
    (weights,) = root.glob("*/*/student.safetensors")
    written = weights.stat().st_mtime_ns
    # Another evaluation of the same student trains nothing, and what stood in the table stays as it was.
    path.write_text(SWEEP.replace("2}}", "2}, 1: {evaluation.num_inference_steps: 1}}"))
    said = run(path, tiny_clip_path, "--plan")
    assert "Trained already, and only evaluated anew: 1." in said and "(0 in training" in said
    run(path, tiny_clip_path)
    assert weights.stat().st_mtime_ns == written
    assert set(table.splitlines()) < set((root / "table.csv").read_bytes().splitlines())
    # Nor does a snapshot, which was written on the way.
    path.write_text(SWEEP.replace("2}}", "2}, half: {evaluation.snapshot: 0.5}}"))
    run(path, tiny_clip_path)
    assert weights.stat().st_mtime_ns == written
    plan = plans.load(root)
    assert all(cell_result(plan, cell, root) for cell in plan.cells)
    assert len(list(root.glob("*/seed0-*/evaluations/*/evaluation.json"))) == 6, "three of each inference"


@pytest.mark.slow
def test_a_cell_of_two_ranks_equals_one_of_one(tmp_path: Path, tiny_teacher_path: Path, tiny_clip_path: Path) -> None:  # noqa: F811
    """Two gloo processes with the same global batch: the same student up to rounding, one result, no process left."""
    students = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        path = write(folder, tiny_teacher_path, SWEEP.replace("{retries: 0}", f"{{retries: 0, devices: {devices}}}"))
        run(path, tiny_clip_path)
        (weights,) = (folder / "results" / "tiny").glob("*/*/student.safetensors")
        students.append(load_file(weights))
        assert (folder / "results" / "tiny" / "table.md").read_text().count("…") == 0
    for name, tensor in students[0].items():
        torch.testing.assert_close(tensor, students[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_cells_of_two_ranks_at_once_inside_a_job(
    tmp_path: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,  # noqa: F811
) -> None:
    """Each worker's ranks meet each other alone, and a job's variables, which say one task, change neither number."""
    job = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "1",
           "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODELIST": "n1", "WORLD_SIZE": "1", "RANK": "0",
           "MASTER_ADDR": "nowhere", "MASTER_PORT": "1"}  # fmt: skip
    students: list[dict[str, dict[str, torch.Tensor]]] = []
    for devices, surroundings in ((1, {}), (2, job)):
        folder = tmp_path / str(devices)
        folder.mkdir()
        sweep = SWEEP.replace("{retries: 0}", f"{{retries: 0, devices: {devices}}}").replace("seeds: 1", "seeds: 2")
        path = write(folder, tiny_teacher_path, sweep)
        run(path, tiny_clip_path, workers=devices, **surroundings)
        cells = [file.parent for file in (folder / "results" / "tiny").glob("*/*/student.safetensors")]
        assert len(cells) == 2
        students.append({cell.name: load_file(cell / "student.safetensors") for cell in cells})
    began = [(cell / "lock").stat().st_mtime for cell in cells]
    ended = [(cell / "training.json").stat().st_mtime for cell in cells]
    assert max(began) < min(ended), "both at once"
    for cell in cells:
        assert len((cell / "ranks.txt").read_text().split()) == 2
    for name, single in students[0].items():
        (double,) = (student for other, student in students[1].items() if other[:6] == name[:6])  # seed0-, seed1-
        for weight, tensor in single.items():
            torch.testing.assert_close(tensor, double[weight], rtol=1e-4, atol=1e-6)
