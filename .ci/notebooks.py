"""Execute the notebooks from top to bottom, each in a fresh kernel, and stop at the first error.

python .ci/notebooks.py              every notebook; the files stay as they are
python .ci/notebooks.py --write      ... and keep the outputs in the files, for the pages that people read
python .ci/notebooks.py PATH ...     only these
"""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]


def execute(path: Path, seconds_a_cell: int, write: bool) -> None:
    """Run one notebook in its own folder. The errors of nbclient pass through."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=seconds_a_cell,
        kernel_name="python3",  # the environment's own kernel, whatever the author's was called
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    if write:
        nbformat.write(notebook, path)


def main() -> None:
    """Parse, execute each, print its time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument("--write", action="store_true", help="store the outputs in the notebooks")
    parser.add_argument("--timeout", type=int, default=300, metavar="SECONDS", help="for one cell (default 300)")
    arguments = parser.parse_args()
    paths = arguments.paths or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not paths:
        sys.exit("There is no notebook in notebooks/: nothing was executed.")
    for path in paths:
        start = time.monotonic()
        try:
            execute(path.resolve(), arguments.timeout, arguments.write)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            sys.exit(f"{path.name} failed after {time.monotonic() - start:.0f} s:\n{error}")
        print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
