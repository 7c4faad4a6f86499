"""A folder of small images, some of them really broken."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def image_folder(folder: Path, count: int) -> Path:
    """`count` different images of 32 pixels, PNG and JPEG by turns, each with a caption of its own."""
    folder.mkdir()
    rows = []
    for i in range(count):
        kind = "png" if i % 2 else "jpg"
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:04}.{kind}")
        rows.append(json.dumps({"file_name": f"{i:04}.{kind}", "text": f"number {i}"}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


def file_of(folder: Path, index: int) -> Path:
    return next(folder.glob(f"{index:04}.*"))


def cut(file: Path) -> None:
    """As a copy that was interrupted."""
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def garble(file: Path) -> None:
    """As a block of the disk that was lost, beyond the header."""
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(range(64))
    file.write_bytes(bytes(data[: middle + 64]) if file.suffix == ".jpg" else data)


def nonsense_chunk(file: Path) -> None:
    """A PNG whose pixels begin, and are followed by what is no chunk: Pillow has a SyntaxError for it."""
    stream = io.BytesIO()
    Image.open(file).save(stream, "PNG")
    data = stream.getvalue()
    at = data.index(b"IDAT") - 4
    (length,) = struct.unpack(">I", data[at : at + 4])
    half = data[at + 8 : at + 8 + length // 2]
    chunk = struct.pack(">I", len(half)) + b"IDAT" + half + struct.pack(">I", zlib.crc32(b"IDAT" + half))
    file.write_bytes(data[:at] + chunk + b"\x00\x00\x00\x04\xb8\x01\x02\x03" + data[at:])


def empty(file: Path) -> None:
    file.write_bytes(b"")


BREAK = {3: nonsense_chunk, 58: cut, 121: garble, 199: cut, 200: garble, 299: empty}  # indices of 300: 2 %
