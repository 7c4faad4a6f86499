"""The notebooks as files: thin, without outputs, runnable by anybody's kernel."""

import json

import pytest

from tests.project.tree import ROOT

FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 45  # lines; what is longer belongs into workbench/notebook


def cells(path, kind):
    return [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def test_the_three_are_there():
    assert [path.stem for path in FILES] == ["01_one_run", "02_compare_arms", "03_target_atlas"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_that_running_leaves_behind_is_committed(path):
    for cell in cells(path, "code"):
        assert not cell["outputs"] and cell["execution_count"] is None, source(cell)[:80]
    assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cells_are_short_and_define_no_more_than_small_helpers(path):
    for cell in cells(path, "code"):
        assert len(source(cell).splitlines()) <= LONGEST_CELL, source(cell)[:80]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_question_stands_at_the_top_and_how_to_read_the_pictures_below_it(path):
    first = json.loads(path.read_text())["cells"][0]
    assert first["cell_type"] == "markdown"
    title, _, text = source(first).partition("\n")
    assert title.startswith("# ") and title.endswith("?")
    assert text.count(". ") + text.count(".\n") >= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_picture_is_announced(path):
    kinds = [cell["cell_type"] for cell in json.loads(path.read_text())["cells"]]
    # No three code cells in a row: a reader meets a sentence before each picture.
    assert all(kinds[i : i + 3] != ["code"] * 3 for i in range(len(kinds)))
