import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.evaluate.conftest import tiny_config
from workbench.evaluate import evaluate, main
from workbench.evaluation.generator import Generator
from workbench.models import FullStudent, Teacher, trainable_state


def read(out: Path) -> dict[str, Any]:
    return json.loads((out / "evaluation.json").read_text())


def test_a_student_gets_every_figure_and_its_files(run_dir: Path, tiny_teacher_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    values = evaluate(tiny_config(tiny_teacher_path), run_dir, out, quiet=True)
    wanted = {"FD[judge]", "KD[judge]", "precision[judge]", "recall[judge]", "coverage[judge]", "diversity[judge]"}
    wanted |= {"CLIP[wardrobe]", "CLIP[wardrobe]/shuffled", "align/colour", "align/shape", "align/complex"}
    wanted |= {"colourfulness", "saturation", "high_frequency_energy", "teacher/mse", "teacher/psnr"}
    wanted |= {"teacher/distance[judge]", "teacher/saturation"}
    assert wanted <= set(values)
    facts = read(out)
    assert facts["metrics"] == values and facts["n"] == 12
    assert facts["extractors"]["judge"]["weights_sha256"] == "1" * 64
    assert facts["seconds"]["per_image"] > 0
    assert len(facts["subject"]["timesteps"]) == 3 and len(facts["subject"]["student_sha256"]) == 64
    assert Image.open(out / "grid.png").size == (8 * 96 + 7 * 4, 2 * 96 + 4)  # 12 tiles in rows of 8
    features = load_file(out / "features.safetensors")
    assert features["first_images"].shape == (12, 3, 32, 32)
    assert any(name.startswith("images/judge/") and t.shape == (12, 16) for name, t in features.items())


def test_the_teacher_at_its_comparison_steps_is_at_distance_zero(tiny_teacher_path: Path, tmp_path: Path) -> None:
    config = tiny_config(tiny_teacher_path, subject="teacher", num_inference_steps=4)
    values = evaluate(config, None, tmp_path, quiet=True)
    assert values["teacher/mse"] == values["teacher/distance[judge]"] == 0


def test_a_student_that_still_is_its_teacher_draws_the_teachers_images(
    tiny_teacher: Teacher, tiny_teacher_path: Path, run_dir: Path, tmp_path: Path
) -> None:
    # Same noise, same prompts, same solver, no guidance: arms differ in their weights and in nothing else.
    save_file(trainable_state(FullStudent().make(tiny_teacher)), run_dir / "student.safetensors")
    student = evaluate(tiny_config(tiny_teacher_path, noise_correction=False), run_dir, tmp_path / "s", quiet=True)
    config = tiny_config(tiny_teacher_path, subject="teacher", guidance_scale=1.0, solver="DDIM")
    assert evaluate(config, None, tmp_path / "t", quiet=True) == student
    images = [load_file(tmp_path / f / "features.safetensors")["first_images"] for f in "st"]
    assert torch.equal(*images)


def test_noise_correction_of_inference_changes_an_epsilon_student(
    run_dir: Path, tiny_teacher_path: Path, tmp_path: Path
) -> None:
    on, off = (
        evaluate(tiny_config(tiny_teacher_path, noise_correction=nc), run_dir, tmp_path / str(nc), quiet=True)
        for nc in (True, False)
    )
    assert on["saturation"] != off["saturation"]
    default = evaluate(tiny_config(tiny_teacher_path), run_dir, tmp_path / "default", quiet=True)
    assert default == on  # null: as in model.sampler, where it is on


def test_teacher_images_are_drawn_once_for_all_arms(
    run_dir: Path, tiny_teacher_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(tiny_config(tiny_teacher_path), run_dir, tmp_path / "a", quiet=True)
    drawn: list[int] = []
    original = Generator.images

    def counted(self: Generator, captions: Any, indices: Any, stream: str = "evaluation") -> torch.Tensor:
        drawn.extend([len(self.timesteps)] * len(indices))
        return original(self, captions, indices, stream)

    monkeypatch.setattr(Generator, "images", counted)
    assert evaluate(tiny_config(tiny_teacher_path), run_dir, tmp_path / "b", quiet=True) == first
    assert drawn == [3] * (12 + 2 * 3)  # the student's, none of the teacher's 4 steps
    evaluate(tiny_config(tiny_teacher_path, seed=1), run_dir, tmp_path / "c", quiet=True)
    assert 4 in drawn  # another noise is another comparison


def test_real_images_are_the_floor(tiny_teacher_path: Path, tmp_path: Path) -> None:
    config = tiny_config(tiny_teacher_path, subject="real", num_images=200, num_reference=200)
    real = evaluate(config, None, tmp_path / "real", quiet=True)
    teacher = evaluate(
        tiny_config(tiny_teacher_path, subject="teacher", num_reference=200), None, tmp_path / "teacher", quiet=True
    )
    assert 0 < real["FD[judge]"] < teacher["FD[judge]"]  # an untrained teacher draws mud
    assert real["recall[judge]"] > 0.5 and abs(real["KD[judge]"]) < teacher["KD[judge]"]
    assert not any(name.startswith(("teacher/", "diversity")) for name in real)


def test_a_file_of_prompts_has_no_labels_and_is_said_so(tiny_teacher_path: Path, run_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a bag\na red coat\n")
    with pytest.warns(UserWarning, match="no CLIP score"):
        values = evaluate(tiny_config(tiny_teacher_path, prompts=str(file)), run_dir, tmp_path / "out", quiet=True)
    assert "FD[judge]" in values and not any(name.startswith(("align", "CLIP")) for name in values)


def test_progress_reaches_one(tiny_teacher_path: Path, run_dir: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    evaluate(tiny_config(tiny_teacher_path), run_dir, tmp_path, quiet=True, on_progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 3


def test_two_ranks_give_what_one_gives(
    tiny_teacher_path: Path, tiny_clip_path: Path, run_dir: Path, tmp_path: Path
) -> None:
    # Real processes; 12 images in strides of 2. The network sees other batches, so a pixel may round the other way.
    code = (
        "import sys, json, pytest, torch, torch.distributed as dist\n"
        "from pathlib import Path\n"
        "from tests.evaluate.conftest import tiny_config, use_tiny_models\n"
        "from workbench.evaluate import evaluate\n"
        "rank, folder, teacher, clip, run = int(sys.argv[1]), *map(Path, sys.argv[2:])\n"
        "use_tiny_models(pytest.MonkeyPatch(), clip)\n"
        "dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)\n"
        "values = evaluate(tiny_config(teacher), run, folder / 'two', quiet=True)\n"
        "(folder / f'{rank}.json').write_text(json.dumps(values))\n"
        "dist.destroy_process_group()\n"
    )
    arguments = [str(p) for p in (tmp_path, tiny_teacher_path, tiny_clip_path, run_dir)]
    ranks = [
        subprocess.Popen([sys.executable, "-c", code, str(r), *arguments], env=os.environ | {"OMP_NUM_THREADS": "1"})
        for r in range(2)
    ]
    assert [p.wait(timeout=110) for p in ranks] == [0, 0]
    one = evaluate(tiny_config(tiny_teacher_path), run_dir, tmp_path / "one", quiet=True)
    two = [json.loads((tmp_path / f"{r}.json").read_text()) for r in range(2)]
    assert two[0] == two[1] == read(tmp_path / "two")["metrics"]
    assert two[0] == pytest.approx(one, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_images": 1}, r"evaluation\.num_images must be at least 2, but got 1"),
        ({"num_inference_steps": 0}, r"evaluation\.num_inference_steps must be at least 1"),
        ({"num_imgaes": 5}, "Did you mean num_images"),
        ({"extractors": ["juge"]}, "Did you mean judge"),
        ({"prompts": "nowhere.txt"}, "PromptFile path: no such file: 'nowhere.txt'"),
    ],
)
def test_wrong_settings_are_one_line(
    setting: dict[str, Any], message: str, tiny_teacher_path: Path, run_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        evaluate(tiny_config(tiny_teacher_path, **setting), run_dir, tmp_path / "out", quiet=True)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_the_command(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(run_dir), "--steps", "2", "--num-images", "6", "--quiet"]) == 0
    assert "FD[judge]" in capsys.readouterr().out
    facts = read(run_dir / "evaluations" / "2-steps")
    assert facts["n"] == 6 and len(facts["subject"]["timesteps"]) == 2


def test_the_commands_mistakes(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    assert "no config.yaml, so this is no run folder" in capsys.readouterr().err
    (run_dir / "student.safetensors").write_bytes(b"torn")
    assert main([str(run_dir)]) == 2
    assert "student.safetensors" in capsys.readouterr().err
    (run_dir / "student.safetensors").unlink()
    assert main([str(run_dir)]) == 2
    assert "has not finished" in capsys.readouterr().err
