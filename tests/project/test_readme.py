"""What the README shows is there, and its results are the committed ones."""

import re
import subprocess
import sys

from tests.project.tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_results_are_the_committed_files():
    result = subprocess.run([sys.executable, ROOT / ".ci" / "readme_results.py"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_it_shows_a_table_and_a_picture_of_a_real_run_before_anything_else():
    above_the_fold = README[: README.index("## Run it")]
    assert re.search(r"<!-- from results/reference/\S+/table\.md -->\n\s*\S", above_the_fold)
    assert re.search(r"!\[[^\]]+\]\(results/reference/\S+\.png\)", above_the_fold)


def test_every_file_it_names_exists():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    named = re.findall(r"(?:sweeps|workbench|notebooks|results/reference)/[\w./-]*\w\.(?:yaml|py|md|ipynb|png)", README)
    listed = re.findall(r"^\| `(\w+\.yaml)`", README, re.MULTILINE)
    paths = {*links, *named, *(f"sweeps/{name}" for name in listed)}
    assert not sorted(p for p in paths if not (ROOT / p).exists())
