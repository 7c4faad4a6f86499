"""pyproject.toml is the one source of dependencies: environment.yml adds none, and the code imports nothing else."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.project.tree import ROOT, imports, python_files

TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS = ["dev", "imagenet", "notebooks", "postgres"]

# Declared and never imported by name, each with its reason.
NOT_IMPORTED = {
    "torchvision": "imported by diffusers and transformers; ours is the matching one",
    "optuna-dashboard": "a command for people",
    "tensorboard": "imported by Lightning's logger and by people",
}


def names(requirements):
    """Distribution names in their canonical form."""
    return {canonicalize_name(Requirement(text).name) for text in requirements}


@pytest.fixture(scope="module")
def distributions():
    """Import name -> canonical names of the installed distributions that provide it."""
    return {name: {canonicalize_name(d) for d in found} for name, found in packages_distributions().items()}


def undeclared(files, distributions, declared, *, lazy_too=()):
    """Imports whose distribution is not in `declared` (inside a function: nor in `lazy_too`)."""
    first_party = {"workbench", "tests", *sys.stdlib_module_names}
    for found in (i for path in files for i in imports(path) if i.top not in first_party):
        allowed = declared | set(lazy_too) if found.lazy else declared
        if not distributions.get(found.top, set()) & allowed:
            yield str(found)


def test_environment_installs_from_pyproject_and_adds_nothing():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert environment["name"] == PROJECT["name"]
    assert sorted(re.split(r"[<>=]", entry)[0] for entry in plain) == ["pip", "python"]
    assert pip == ["-e .[dev,notebooks]"]


def test_environment_asks_for_the_same_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (python,) = [entry for entry in environment["dependencies"] if str(entry).startswith("python")]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])


def test_extras_are_the_promised_ones():
    assert sorted(PROJECT["optional-dependencies"]) == EXTRAS


def test_every_pin_says_why():
    pins = [line for line in TEXT.splitlines() if re.match(r'\s+"[\w.\[\]-]+(==|[^"]*<)[^"]*",', line)]
    requirements = [r for group in PROJECT["optional-dependencies"].values() for r in group] + PROJECT["dependencies"]
    pinned = [r for r in requirements if "<" in r or "==" in r]
    assert len(pins) == len(pinned), "a pin shares its line with another"
    silent = [line.strip() for line in pins if not re.search(r"#\s*\S", line)]
    assert not silent, "\n".join(silent)


def test_the_package_imports_only_what_it_declares(distributions):
    extras = names(PROJECT["optional-dependencies"]["imagenet"] + PROJECT["optional-dependencies"]["postgres"])
    wrong = undeclared(python_files("workbench"), distributions, names(PROJECT["dependencies"]), lazy_too=extras)
    assert not (found := list(wrong)), "\n".join(found)


def test_tests_and_scripts_import_only_what_is_declared(distributions):
    everything = names(PROJECT["dependencies"] + [r for e in EXTRAS for r in PROJECT["optional-dependencies"][e]])
    wrong = undeclared(python_files("tests", ".ci"), distributions, everything)
    assert not (found := list(wrong)), "\n".join(found)


def test_every_dependency_is_used(distributions):
    used = set().union(*(distributions.get(i.top, set()) for p in python_files("workbench") for i in imports(p)))
    assert names(PROJECT["dependencies"]) - used - set(NOT_IMPORTED) == set()
