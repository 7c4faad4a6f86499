"""Imports go one way: read from the sources, and asked of a fresh interpreter, which also sees the indirect ones."""

import ast
import subprocess
import sys

import pytest

from tests.project.tree import ROOT, imports, python_files

VERBS = ["train", "sweep", "evaluate", "sample", "report", "claims"]
ROOMS = ["diffusion", "models", "distill", "training", "data", "metrics", "evaluation", "study", "world", "notebook"]

# room -> what it never imports, not even inside a function
NEVER = {
    "diffusion": ["lightning", "diffusers", "transformers", "torchvision", "optuna", "yaml", "safetensors"],
    "models": ["lightning", "optuna", "yaml", "torchvision"],
    "distill": ["optuna", "yaml", "workbench.study"],
    "metrics": ["torchvision", "lightning", "optuna", "workbench.distill", "workbench.study"],
    "training": ["optuna", "workbench.study", "workbench.evaluation"],
    "evaluation": ["lightning", "optuna", "workbench.study", "workbench.training"],
    "study": [
        "torch",
        "lightning",
        "diffusers",
        "transformers",
        "torchvision",
        "workbench.distill",
        "workbench.models",
    ],
}
# A training process knows nothing of Optuna: importing it there is how two ranks come to two trials.
TRAINING_SIDE = ["train.py", "evaluate.py", "sample.py", "cell.py", "config", "data", "training", "evaluation"]

IMPORT_ALL = """
import importlib, pkgutil, sys
for blocked in {blocked!r}:
    sys.modules[blocked] = None  # importing it is an ImportError that names the culprit
for name in {names!r}:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        importlib.import_module(found.name)
loaded = sorted({{name.partition(".")[0] for name, module in sys.modules.items() if module}} & set({absent!r}))
sys.exit("imported, if indirectly: " + ", ".join(loaded) if loaded else 0)
"""


def import_all(names, *, blocked=(), absent=()):
    """Import these modules with all their sub-modules in a fresh interpreter."""
    code = IMPORT_ALL.format(names=list(names), blocked=list(blocked), absent=list(absent))
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("room", NEVER)
def test_a_room_never_imports(room):
    wrong = [i for p in python_files(f"workbench/{room}") for i in imports(p) if any(i.within(m) for m in NEVER[room])]
    assert not wrong, "\n".join(map(str, wrong))


def test_diffusion_imports_torch_and_numpy_and_nothing_else():
    allowed = {"torch", "numpy", *sys.stdlib_module_names}
    found = [i for p in python_files("workbench/diffusion") for i in imports(p)]
    wrong = [i for i in found if i.top not in allowed and not i.within("workbench.diffusion")]
    assert not wrong, "\n".join(map(str, wrong))


def test_diffusion_touches_no_file():
    modules = {"io", "json", "os", "pathlib", "pickle", "shutil", "tempfile"}
    files = python_files("workbench/diffusion")
    wrong = [str(i) for p in files for i in imports(p) if i.top in modules]
    for path in files:
        calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        wrong += [
            f"{path}:{c.lineno} calls {ast.unparse(c.func)}"
            for c in calls
            if ast.unparse(c.func) in {"open", "torch.load", "torch.save"}
        ]
    assert not wrong, "\n".join(wrong)


def test_no_room_imports_a_verb():
    verbs = [f"workbench.{verb}" for verb in VERBS]
    files = python_files(*[f"workbench/{room}" for room in ROOMS])
    wrong = [i for p in files for i in imports(p) if any(i.within(verb) for verb in verbs)]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_training_side_never_imports_optuna():
    files = python_files(*[f"workbench/{name}" for name in TRAINING_SIDE])
    wrong = [i for p in files for i in imports(p) if i.within("optuna") or i.within("workbench.study.ledger")]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_study_and_the_verbs_around_it_load_no_torch():
    result = import_all(
        ["workbench.study", "workbench.report", "workbench.sweep"],
        absent=["torch", "torchvision", "lightning", "diffusers", "transformers"],
    )
    assert result.returncode == 0, result.stderr


def test_diffusion_works_where_only_torch_and_numpy_are_installed():
    blocked = ["lightning", "pytorch_lightning", "diffusers", "transformers", "torchvision", "optuna", "yaml", "scipy"]
    result = import_all(["workbench.diffusion"], blocked=blocked)
    assert result.returncode == 0, result.stderr


def test_metrics_work_where_torchvision_and_lightning_are_not_installed():
    result = import_all(["workbench.metrics"], blocked=["torchvision", "lightning", "pytorch_lightning", "cleanfid"])
    assert result.returncode == 0, result.stderr


def test_a_training_process_loads_no_optuna():
    result = import_all(["workbench.train", "workbench.evaluate", "workbench.cell"], absent=["optuna", "sqlalchemy"])
    assert result.returncode == 0, result.stderr
