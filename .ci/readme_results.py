"""Put the committed results into README.md, or check that they are there.

    python .ci/readme_results.py            exit status 1 if README.md shows anything but the committed files
    python .ci/readme_results.py --write    copy them in

A block of README.md between `<!-- from FILE -->` and `<!-- end -->` holds FILE, word for word.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- from (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(readme: str) -> str:
    """The text with every block replaced by its file."""
    return BLOCK.sub(lambda m: m[1] + (ROOT / m[2]).read_text(encoding="utf-8").strip() + "\n" + m[3], readme)


def main() -> int:
    """0 if README.md is in step, or was written."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    if "--write" in sys.argv[1:]:
        path.write_text(filled(text), encoding="utf-8")
        return 0
    if filled(text) == text:
        return 0
    print("README.md does not show the committed results. Run: python .ci/readme_results.py --write", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
