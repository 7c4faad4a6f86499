"""What killed writers leave behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.files import remove_leftovers
from workbench.training.guards import owned

SLOW_WRITERS = {
    "file": """
import sys, time
from pathlib import Path
from workbench.files import write_atomically
def write(path):
    path.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
write_atomically(Path(sys.argv[1]) / "samples" / "a.png", write)
""",
    "checkpoint": """
import sys, time
from pathlib import Path
import torch
from workbench.distill.checkpoint import save_checkpoint
def save(state, stream):
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    time.sleep(60)
torch.save = save
save_checkpoint(Path(sys.argv[1]), {"tick": 1})
""",
    "json": """
import os, sys, time
from pathlib import Path
from workbench.study.files import write_json
def fsync(descriptor):
    print("writing", flush=True)
    time.sleep(60)
os.fsync = fsync
write_json(Path(sys.argv[1]) / "attempt.json", {})
""",
    "beat": """
import os, sys, time
from pathlib import Path
from workbench.study.heartbeat import beat
def replace(a, b):
    print("writing", flush=True)
    time.sleep(60)
os.replace = replace
beat(Path(sys.argv[1]), "training", 0.5, 1.0)
""",
}


def enter(folder: Path) -> None:
    with owned(folder):
        pass


@pytest.mark.parametrize("clean", [remove_leftovers, enter])
@pytest.mark.parametrize("what", SLOW_WRITERS)
def test_the_dead_leave_nothing_and_the_living_are_left_alone(
    tmp_path: Path, what: str, clean: Callable[[Path], None]
) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / ".tmp-no-number").touch()
    writer = subprocess.Popen([sys.executable, "-c", SLOW_WRITERS[what], str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None and writer.stdout.readline() == b"writing\n"

        def leftovers() -> list[Path]:
            return [path for path in tmp_path.rglob(".tmp*") if path.name != ".tmp-no-number"]

        assert len(leftovers()) == 1
        clean(tmp_path)
        assert len(leftovers()) == 1, "it is still being written"
    finally:
        writer.kill()
        writer.wait()
    clean(tmp_path)
    assert leftovers() == [] and (tmp_path / ".tmp-no-number").exists()
