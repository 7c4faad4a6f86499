"""workbench.cell with the tiny judge and CLIP of the metrics' tests; $TINY_CLIP is the CLIP's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.evaluate.conftest import use_tiny_models
from workbench.cell import run_cell

use_tiny_models(pytest.MonkeyPatch(), Path(os.environ["TINY_CLIP"]))

__all__ = ["run_cell"]
