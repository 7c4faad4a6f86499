"""Python imports this by itself at its start, from PYTHONPATH: the children of a test have no network either."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("_offline", Path(__file__).parents[1] / "offline.py")
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
sys.addaudithook(_module.refuse_network)
