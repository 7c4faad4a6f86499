"""Rules that hold for every file of the project."""

import re

from tests.project.tree import ROOT, project_files, python_files

MAX_LINES = 400
# Spelt in two parts, so that this file keeps its own rule.
PERSONAL = re.compile(r"(?<![\w.])(/" + r"home/|/" + r"root/|/" + r"Users/|/" + r"work/|[A-Za-z]:\\{1,2}" + r"Users\b)")


def read(path):
    """The text of a file, or None of a binary one."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None


def test_no_python_file_outgrows_its_subject():
    lengths = {p.relative_to(ROOT): len(p.read_text(encoding="utf-8").splitlines()) for p in python_files(".")}
    assert not {p: n for p, n in lengths.items() if n >= MAX_LINES}


def test_no_file_names_a_home_or_a_machine():
    wrong = []
    for path in project_files():
        for number, line in enumerate((read(path) or "").splitlines(), start=1):
            if match := PERSONAL.search(line):
                wrong.append(
                    f"{path.relative_to(ROOT)}:{number}: {line[max(0, match.start() - 20) : match.end() + 40]}"
                )
    assert not wrong, "\n".join(wrong)


def test_the_rule_against_paths_sees_what_it_should():
    assert PERSONAL.search("path: /" + "home/ada/data")
    assert PERSONAL.search('"/' + 'work/data"')
    assert PERSONAL.search("C:\\" + "Users\\ada")
    assert PERSONAL.search('"C:\\\\' + 'Users\\\\ada"')  # the same in JSON
    assert not PERSONAL.search("results/" + "work/one, https://example.org/home/page, ." + "/root" + "/x")
