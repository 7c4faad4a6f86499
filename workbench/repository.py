"""What git says of the checkout that this package lies in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import workbench


def git(*arguments: str) -> str | None:
    """Output of git in this package's repository; None outside of one, without git, or if it takes half a minute."""
    folder = Path(workbench.__file__).resolve().parent
    # Without its optional locks: `git status` refreshes the index, and killed with us it would leave index.lock behind.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
