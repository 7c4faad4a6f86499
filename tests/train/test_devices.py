"""More devices than there are: one line, at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.config import ConfigError, resolve
from workbench.training.devices import check_devices
from workbench.training.run import Run


def test_more_processes_than_cores_are_refused_before_anything_starts(tmp_path: Path) -> None:
    asked = {"train.devices": 4096, "train.batch_size": 4096, "train.accelerator": "cpu"}
    with pytest.raises(ConfigError, match=r"train\.devices: 4096 were asked for, but this node has \d+ CPU cores"):
        Run(resolve({}, asked), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_gpus_are_counted_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    check_devices("gpu", 4)
    with pytest.raises(ConfigError, match="this node has 4 visible GPUs"):
        check_devices("auto", 5)


def test_two_cpu_processes_are_always_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    check_devices("cpu", 2)
