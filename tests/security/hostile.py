"""Files that would run something, or take all memory, if they were opened as what they pretend to be.

What they would run makes a file (`marker`), and names the canary that `watch` looks for.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from tests.security.watch import CANARY


class Call:
    """Pickles as a call of this function with these arguments."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def pickles(marker: Path) -> dict[str, bytes]:
    """Pickles that touch `marker` in as many ways as the format has."""
    import os
    import subprocess

    command = f"touch {marker}  # {CANARY}"
    source = f"open({str(marker)!r}, 'w')  # {CANARY}"
    line = command.encode() + b"\n"
    return {
        "reduce": pickle.dumps(Call(os.system, command), 2),
        "reduce-0": pickle.dumps(Call(os.system, command), 0),
        "exec": pickle.dumps({"weight": Call(exec, source)}, 4),
        "eval-in-a-list": pickle.dumps([1.0, [Call(eval, f"exec({source!r})")]], 5),
        "popen": pickle.dumps(Call(subprocess.Popen, ["touch", str(marker), CANARY]), 2),
        "inst": b"(S'" + line[:-1].replace(b"'", b"") + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'" + line[:-1].replace(b"'", b"") + b"'\no.",
        "global-build": b"\x80\x02cbuiltins\ngetattr\nq\x00(cos\nsystem\nX\x08\x00\x00\x00__call__tR}b.",
        "import": pickle.dumps(Call(__import__, f"{CANARY}_module"), 2),
        "find-by-dots": b"\x80\x04\x8c\x05torch\x8c\x0f_utils.os.system\x93\x8c"
        + bytes([len(line) - 1])
        + line[:-1]
        + b"\x85R.",
        "persistent": b"\x80\x02(X\x07\x00\x00\x00storagecos\nsystem\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ.",
    }


def files(marker: Path) -> dict[str, bytes]:
    """Name -> bytes: pickles bare and in the wrappings of torch, numpy and archives, and lying safetensors."""
    bare = pickles(marker)
    found = {f"{name}.pkl": data for name, data in bare.items()}
    found["torch-zip.ckpt"] = _archive({"archive/data.pkl": bare["reduce"], "archive/version": b"3\n"})
    found["torch-zip-nested.pt"] = _archive(
        {"archive/data.pkl": bare["exec"], "archive/inner.pt": found["torch-zip.ckpt"], "archive/version": b"3\n"}
    )
    found["torchscript.pt"] = _archive(
        {
            "a/constants.pkl": bare["reduce"],
            "a/data.pkl": bare["reduce"],
            "a/code/x.py": b"import os",
            "a/version": b"3",
        }
    )
    found["traversal.pt"] = _archive({"../../../" + CANARY: b"x", "archive/data.pkl": bare["reduce"]})
    found["packed-bomb.pt"] = _archive({"archive/data.pkl": b"\0" * 30_000_000, "archive/version": b"3\n"}, packed=True)
    found["legacy.pth"] = b"".join(
        pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, Call(exec, "1"))
    )
    found["legacy-tar.pt"] = _tar({"sys_info": bare["reduce"], "pickle": bare["reduce"]})
    found["objects.npy"] = _npy(bare["reduce"])
    found["objects.npz"] = _archive({"x.npy": found["objects.npy"]})
    buffer = io.BytesIO()
    torch.save({"state": torch.zeros(3)}, buffer)
    found["cut.ckpt"] = buffer.getvalue()[:-40]
    found["huge-header.safetensors"] = struct.pack("<Q", 2**63 - 1) + b"{}"
    found["large-header.safetensors"] = struct.pack("<Q", 2**40) + b"{}" * 50
    found["no-json.safetensors"] = struct.pack("<Q", 8) + b"[1, 2, 3" + bytes(8)
    found["beyond-the-end.safetensors"] = _safetensors(
        {"w": {"dtype": "F32", "shape": [2**30], "data_offsets": [0, 2**32]}}
    )
    found["overlapping.safetensors"] = _safetensors(
        {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in "ab"}
    )
    found["wrong-size.safetensors"] = _safetensors({"w": {"dtype": "F64", "shape": [4], "data_offsets": [0, 16]}})
    found["negative.safetensors"] = _safetensors({"w": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}})
    found["empty.safetensors"] = b""
    return found


def _archive(members: dict[str, bytes], packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _npy(data: bytes) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return buffer.getvalue() + data


def _safetensors(header: dict) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)
