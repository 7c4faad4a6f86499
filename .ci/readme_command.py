"""Print the README's test command: the line of a fenced block that ends in plain `pytest`.

`.ci/run` runs what this prints, so that the README cannot promise another command than the one that is checked.
"""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def fenced_lines(markdown: str) -> list[str]:
    """The lines inside ``` fences, without a leading `$ `, a trailing comment and surrounding blanks."""
    lines, inside = [], False
    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif inside:
            lines.append(re.sub(r"\s+#.*$", "", line).strip().removeprefix("$ "))
    return lines


def readme_command(markdown: str) -> str:
    """The one command that ends in `pytest` without arguments. ValueError if there is none, or more than one."""
    found = {line for line in fenced_lines(markdown) if re.fullmatch(r"(.*&& *)?pytest", line)}
    if len(found) != 1:
        raise ValueError(
            f"README.md must show one command for the tests, a line of a fenced block that ends in `pytest`, "
            f"but it shows {len(found)}: {sorted(found)}."
        )
    return found.pop()


if __name__ == "__main__":
    try:
        print(readme_command(README.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        sys.exit(str(error))
