"""A run has as many processes as its configuration says, whatever the environment that it inherits."""

from types import SimpleNamespace
from typing import Any

import pytest

from workbench.training.run import _Launched


def test_another_number_of_processes_is_refused_before_the_first_step() -> None:
    """SLURM_NTASKS and its like, inherited from an interactive job, make Lightning start one rank of the two."""
    module: Any = SimpleNamespace()
    with pytest.raises(RuntimeError, match=r"2 processes were asked for .* but there are 1.*SLURM"):
        _Launched(2, None, 0).on_fit_start(SimpleNamespace(), module)
