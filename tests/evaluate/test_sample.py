from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.sample import main

SIZE = (3 * 96 + 2 * 4, 2 * 96 + 4)  # 3 columns, 2 rows; 32 px tiles enlarged three times


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_student_draws_a_row_a_prompt(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    grid = tmp_path / "out.png"
    assert main([str(run_dir), "a bag", "a red coat", "--steps", "3", "-n", "3", "--grid", str(grid)]) == 0
    assert "2 x 3 images" in capsys.readouterr().out
    image = Image.open(grid)
    assert image.size == SIZE and image.info["prompts"] == "a bag\na red coat"


def test_the_seed_is_the_image_and_a_prompt_does_not_depend_on_the_others(run_dir: Path, tmp_path: Path) -> None:
    def draw(name: str, *words: str) -> np.ndarray:
        assert main([str(run_dir), *words, "-n", "2", "--grid", str(tmp_path / name)]) == 0
        return pixels(tmp_path / name)

    one = draw("a.png", "a bag")
    assert np.array_equal(draw("b.png", "a bag"), one)
    assert np.array_equal(draw("c.png", "a bag", "a coat")[:96], one)
    assert not np.array_equal(draw("d.png", "a bag", "--seed", "1"), one)


def test_a_teacher_by_its_folder_or_by_option(tiny_teacher_path: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    assert main([str(tiny_teacher_path), "a bag", "--steps", "4", "-n", "2", "--grid", str(first)]) == 0
    assert main(["a bag", "--teacher", str(tiny_teacher_path), "--steps", "4", "-n", "2", "--grid", str(second)]) == 0
    assert np.array_equal(pixels(first), pixels(second))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no/where", "a bag"], "neither a run"),
        (["nobody", "a bag"], "no shipped teacher of that name"),
        (["RUN"], "at least one prompt"),
        (["RUN", "a bag", "-n", "0"], "-n must be at least 1"),
        (["RUN", "a bag", "--guidance-scale", "3"], "a student runs unguided"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    grid = tmp_path / "out.png"
    assert main([str(run_dir) if w == "RUN" else w for w in words] + ["--grid", str(grid)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not grid.exists()
