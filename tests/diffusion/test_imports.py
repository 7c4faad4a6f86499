"""The mathematics stands on torch alone."""

from __future__ import annotations

import subprocess
import sys


def test_diffusion_imports_neither_trainers_nor_model_libraries():
    code = (
        "import sys, workbench.diffusion;"
        "heavy = {'lightning', 'diffusers', 'transformers', 'optuna', 'yaml', 'peft'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_models_leave_the_slow_libraries_until_a_teacher_is_loaded():
    code = "import sys, workbench.models; sys.exit('diffusers' in sys.modules or 'peft' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
