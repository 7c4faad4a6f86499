"""One image file, read whole: the only place where Pillow opens somebody else's file."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # Pillow goes by the content: of others some start programs (EPS)
# What Pillow raises for bytes that are no image: a chunk of nonsense in a PNG is a SyntaxError, for one.
_NONSENSE = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, ArithmeticError, TypeError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip


class BrokenImage(ValueError):
    """A file that is no image, not all of one, or too large a one; the message is one line, the file first.

    lost: it could not be opened or read at all (permissions, the disk), which says nothing of its content.
    """

    def __init__(self, file: Path, reason: str, lost: bool) -> None:
        super().__init__(f"{file}: not a readable image ({reason}). Remove or replace it, or see --quarantine.")
        self.reason, self.lost = reason, lost


def read_image(file: Path) -> Image.Image:
    """The decoded image, RGB. BrokenImage for whatever is not one."""
    try:
        with Image.open(file, formats=FORMATS) as opened:
            return opened.convert("RGB")
    except _NONSENSE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise BrokenImage(file, str(error.strerror), lost=True) from error
        reason = " ".join(str(error).replace(str(file), file.name).split())[:200]
        raise BrokenImage(file, reason or type(error).__name__, lost=False) from error
