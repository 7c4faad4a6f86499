"""The command line of workbench.train."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from workbench.config import ConfigError, load_yaml, resolve
from workbench.train import main
from workbench.training.command import default_run_dir, parse, stop_on_interrupt


def test_options_and_overrides() -> None:
    command = parse(
        ["--config", "a.yaml", "--model.trajectory", "Forward", "--train.learning_rate=1e-3", "--quiet", "--seed", "3",
         "--model.losses.reconstruction.target.shift", "{class_path: OffsetShift, offset: -0.2}", "--plugin", "mine",
         "--model.losses.adversarial", "null", "--x.y", "-0.5"]
    )  # fmt: skip
    assert command.config == Path("a.yaml") and command.quiet and command.plugins == ["mine"]
    assert command.overrides == {
        "model.trajectory": "Forward",
        "train.learning_rate": 1e-3,
        "seed": 3,
        "model.losses.reconstruction.target.shift": {"class_path": "OffsetShift", "offset": -0.2},
        "model.losses.adversarial": None,
        "x.y": -0.5,
    }
    assert next(iter(command.overrides)) == "model.trajectory"


def test_of_two_values_the_last_counts_and_at_its_place() -> None:
    command = parse(["--seed", "1", "--model.trajectory", "Forward", "--seed", "2"])
    assert list(command.overrides.items()) == [("model.trajectory", "Forward"), ("seed", 2)]


@pytest.mark.parametrize("words", [["--seed"], ["stray"], ["--config"], ["--=3"]])
def test_what_is_no_setting_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="--help"):
        parse(words)


def test_mistakes_end_with_code_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine.yaml").write_text("train: {batch_size: 4}")
    mine = ["--config", str(tmp_path / "mine.yaml")]
    no_teacher = [*mine, "--teacher.path", str(tmp_path), "--run-dir", str(tmp_path / "run")]
    for words in (["--quiet"], ["--config", str(tmp_path / "no.yaml")], [*mine, "--sed", "1"], no_teacher):
        assert main(words) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert error[-1].startswith("error: "), error
        assert not any("Traceback" in line for line in error)


def test_print_config_is_the_resolved_configuration(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine.yaml").write_text("train: {batch_size: 4}")
    assert main(["--config", str(tmp_path / "mine.yaml"), "--seed", "5", "--print-config"]) == 0
    assert load_yaml(capsys.readouterr().out) == resolve({"train": {"batch_size": 4}, "seed": 5})


def test_the_default_folder_depends_on_the_training_alone() -> None:
    name = Path("sweeps/base/wardrobe.yaml")
    first = default_run_dir(name, resolve({}))
    assert first == default_run_dir(name, resolve({}, {"evaluation.num_images": 7}))
    assert first != default_run_dir(name, resolve({}, {"seed": 1}))
    assert first.parts[:2] == ("results", "runs") and first.name.startswith("wardrobe-")


def test_the_first_interrupt_asks_and_the_second_interrupts() -> None:
    # Shells let background jobs ignore SIGINT; the test is about a process that does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with stop_on_interrupt() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)
