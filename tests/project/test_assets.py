"""What the package ships: small enough to clone, and every file under a licence that lies beside it."""

import pytest
from setuptools import Distribution

from tests.project.tree import ROOT, project_files

ASSETS = ROOT / "workbench" / "assets"
MAX_BYTES = 48_000_000


@pytest.fixture(scope="module")
def assets():
    """Every shipped asset; that there are some is the first thing to know."""
    found = [path for path in project_files() if ASSETS in path.parents and path.suffix != ".py"]
    assert found, "workbench/assets is empty"
    return found


def licensed(path):
    """Whether a LICENSE lies in the asset's folder, or above it but still inside assets/."""
    return any(list(folder.glob("LICENSE*")) for folder in path.parents if ASSETS in folder.parents)


def test_assets_stay_small(assets):
    assert sum(path.stat().st_size for path in assets) <= MAX_BYTES


def test_every_asset_has_a_licence_beside_it(assets):
    assert not [str(path.relative_to(ROOT)) for path in assets if not licensed(path)]


def test_no_asset_is_a_pickle(assets):
    assert not [path.name for path in assets if path.suffix in {".pt", ".pth", ".ckpt", ".pkl", ".bin", ".npy"}]


def test_the_package_ships_every_module_and_every_asset(assets, monkeypatch):
    monkeypatch.chdir(ROOT)
    distribution = Distribution({"script_name": "setup.py"})  # a name to leave out; there is no such file
    distribution.parse_config_files()
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    shipped = {ROOT / source for _, _, source in build.find_all_modules()}
    shipped |= {ROOT / folder / name for _, folder, _, names in build.data_files for name in names}
    wanted = {path for path in project_files() if ROOT / "workbench" in path.parents and path.suffix == ".py"} | set(
        assets
    )
    assert not sorted(str(path.relative_to(ROOT)) for path in wanted - shipped)
