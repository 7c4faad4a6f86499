"""What holds around a training: the folder is this process's alone, and Lightning keeps quiet."""

from __future__ import annotations

import fcntl
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.files import OutsideError, refuse_links, remove_leftovers
from workbench.training.errors import RunFolderError


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Inside, this process alone trains in the folder, and what killed ones had not finished writing is gone.

    Raises:
        RunFolderError: another process does, or the folder cannot be made or written.
    """
    try:
        refuse_links(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OutsideError as error:
        raise RunFolderError(str(error)) from error
    except (OSError, ValueError) as error:
        error = error if isinstance(error, OSError) else OSError(0, str(error))  # a NUL in the name
        raise RunFolderError(f"{folder} cannot be written ({error.strerror}). Use another --run-dir.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunFolderError(f"{folder} is in use by another process, which trains there now.") from None
        remove_leftovers(folder)
        yield


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's greetings and its advice on data loaders; warnings of others pass."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            warnings.filterwarnings("ignore", message=".*(num_workers|val_dataloader|litlogger|GPU available).*")
            yield
    finally:
        logger.setLevel(level)
