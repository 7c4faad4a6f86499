"""What the README shows is there, and its results are the committed ones."""

import re
import subprocess
import sys

import pytest

from tests.project.tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_results_are_the_committed_files():
    result = subprocess.run([sys.executable, ROOT / ".ci" / "readme_results.py"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_it_shows_a_table_and_a_picture_of_a_real_run_before_anything_else():
    above_the_fold = README[: README.index("## Run it")]
    assert re.search(r"<!-- from results/reference/\S+/table\.md -->\n\s*\S", above_the_fold)
    assert re.search(r"!\[[^\]]+\]\(results/reference/\S+\.png\)", above_the_fold)


@pytest.mark.parametrize("page", ["README.md", "results/findings.md", "results/claims.md"])
def test_every_file_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [(ROOT / page).parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    named = re.findall(r"(?:sweeps|workbench|notebooks|results/reference)/[\w./-]*\w\.(?:yaml|py|md|ipynb|png)", text)
    listed = re.findall(r"^\| `(\w+\.yaml)`", text, re.MULTILINE)
    paths = {*links, *(ROOT / name for name in named), *(ROOT / "sweeps" / name for name in listed)}
    assert not sorted(str(path) for path in paths if not path.exists())


def test_the_findings_lead_to_their_own_pages() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "results" / "findings.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(results/findings\.md#([^)]+)\)", README)) <= anchors
