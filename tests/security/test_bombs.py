"""Files that unfold to far more than they are: refused before they unfold, in a bounded amount of memory."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
ENTRIES, SIDE, MEGABYTES = 100_000, 30_000, 300
# One process a file: how far its memory rises over what it was before the file, in MB, and what was said.
OPEN = """
import json, re, sys
from pathlib import Path
def peak():  # of this process alone, unlike ru_maxrss, which begins with the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
kind, path = sys.argv[1], Path(sys.argv[2])
if kind == "image":
    from workbench.data import ImageFolder
    source = ImageFolder(str(path.parent), size=8)
    load = lambda: source.images([0])
else:
    from workbench.tensor_files import read_safetensors, read_state_dict, read_torch
    load = lambda: {"torch": read_torch, "state": read_state_dict, "safetensors": read_safetensors}[kind](path)
before = peak()
try:
    load()
    said = ""
except ValueError as error:
    said = str(error)
print(json.dumps([said, peak() - before]))
"""


def archive(extra: int, size: int, method: int) -> bytes:
    """What torch.save writes, and so many members of zeros beside it; packed, as dense as the format allows."""
    whole, buffer, zeros = io.BytesIO(), io.BytesIO(), b"\0" * size
    torch.save({"x": torch.zeros(3)}, whole)
    with zipfile.ZipFile(whole) as sound, zipfile.ZipFile(buffer, "w", method) as written:
        for member in sound.infolist():
            written.writestr(zipfile.ZipInfo(member.filename), sound.read(member))
        for number in range(extra):
            written.writestr(f"archive/data/more{number}", zeros)
    return buffer.getvalue()


def lying(data: bytes) -> bytes:
    """The same archive whose directory says of each member that it is a gigabyte."""
    changed, at = bytearray(data), data.find(b"PK\1\2")
    while at >= 0:
        changed[at + 24 : at + 28] = struct.pack("<I", 2**30)
        at = data.find(b"PK\1\2", at + 46)
    return bytes(changed)


def png(side: int) -> bytes:
    """A whole picture of one colour, 30,000 pixels square: 2.7 GB of it, in less than 3 MB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9, wbits=-15)  # bare blocks, of which one is the whole picture when it is repeated
    rows, size = 1_000, 1 + 3 * side
    block = packer.compress(b"\0" * (rows * size)) + packer.flush(zlib.Z_FULL_FLUSH)
    sum_of_zeros = struct.pack(">I", (side * size % 65521) << 16 | 1)  # Adler-32
    pixels = b"\x78\xda" + block * (side // rows) + packer.flush() + sum_of_zeros
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


BOMBS = {  # name -> bytes, what is said of them
    "a thousandfold": (lambda: archive(1, 400_000_000, zipfile.ZIP_DEFLATED), "is packed"),
    "a millionfold": (lambda: archive(1, 400_000_000, zipfile.ZIP_BZIP2), "is packed"),
    "entries": (lambda: archive(ENTRIES, 0, zipfile.ZIP_STORED), "members"),
    "entries that lie": (lambda: lying(archive(ENTRIES // 100, 1, zipfile.ZIP_STORED)), "unfolds to more"),
    "a header of a terabyte": (lambda: struct.pack("<Q", 2**40) + b"{}" * 50, "no whole safetensors"),
    "tensors in one place": (
        lambda: header({f"t{i}": (0, 4_000_000) for i in range(1_000)}, 4_000_000),
        "no whole safetensors",
    ),
}


def header(tensors: dict[str, tuple[int, int]], size: int) -> bytes:
    """Safetensors of many names for the same bytes."""
    said = {
        name: {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end]}
        for name, (start, end) in tensors.items()
    }
    text = json.dumps(said).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def opened(kind: str, path: Path) -> tuple[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, kind, str(path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said, megabytes = json.loads(done.stdout)
    return said, megabytes


def check(kind: str, path: Path, says: str) -> None:
    said, megabytes = opened(kind, path)
    assert said.startswith(f"{path}: ") and says in said and "\n" not in said and len(said) < 700, said
    assert megabytes < MEGABYTES, f"{megabytes:.0f} MB more for {path.name} of {path.stat().st_size / 2**20:.1f} MB"


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_file_of_tensors(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    make, says = BOMBS[bomb]
    path.write_bytes(make())
    check("safetensors" if "safetensors" in says else "torch", path, says)


def test_what_the_bombs_are_made_of_is_sound(tmp_path: Path) -> None:
    """Without what is wrong with them they open: they are refused for that alone."""
    (tmp_path / "sound").write_bytes(archive(3, 10, zipfile.ZIP_STORED))
    assert opened("torch", tmp_path / "sound")[0] == ""


def test_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(SIDE))
    assert (tmp_path / "a.png").stat().st_size < 3_000_000
    check("image", tmp_path / "a.png", "not a readable image")


def test_the_picture_is_whole() -> None:
    """A smaller one of the same make opens: it is its size that is refused."""
    with Image.open(io.BytesIO(png(2_000))) as picture:
        assert picture.size == (2_000, 2_000) and picture.getextrema() == ((0, 0),) * 3


def test_a_sound_file_takes_more_memory_than_any_of_these(tmp_path: Path) -> None:
    """Else the measure would prove nothing."""
    torch.save({"x": torch.ones(100_000_000)}, tmp_path / "sound.pt")
    said, megabytes = opened("torch", tmp_path / "sound.pt")
    assert not said and megabytes > MEGABYTES
