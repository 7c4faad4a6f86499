"""What a run raises besides Diverged and ConfigError."""

from __future__ import annotations


class Stopped(RuntimeError):
    """The run was asked to stop, and saved itself; running it again goes on."""


class RunFolderError(ValueError):
    """The run folder cannot be used: it is another run's, in use, or not writable."""
