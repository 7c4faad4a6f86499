"""What every report.html is: one file that opens anywhere, loads nothing and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from workbench.study.figures import Drawn
from workbench.study.files import read_json

# No script, no font, no request: pictures come as data, and a prompt that holds HTML stays text.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1b1b1b; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid #e3e3e3; }
th[scope=row] { text-align: left; font-weight: 500; } thead th { border-bottom: 2px solid #999; }
tr.baseline { background: #f4f4f0; } tr.reference { color: #666; } small { color: #666; font-weight: 400; }
img { max-width: 100%; image-rendering: pixelated; } figure { margin: 1.5rem 0; } figcaption { color: #555; }
pre { background: #f6f6f6; padding: .6rem; overflow-x: auto; } li { margin: .2rem 0; }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A page of these parts, which are HTML already; empty ones are left out. The title is text."""
    title = escape(title)
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
    ]
    return "\n".join([*head, *(part for part in parts if part), "</body></html>"]) + "\n"


def pictures(figures: Sequence[Drawn]) -> list[str]:
    """The figures with their captions, their bytes within the page."""
    found = []
    for figure in figures:
        data = base64.b64encode(figure.path.read_bytes()).decode()
        caption = escape(figure.caption)
        found.append(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return found


def made_from(root: Path) -> str:
    """provenance.json of a study, a line a key; '' where there is none."""
    raw = read_json(root / "provenance.json")
    if not isinstance(raw, dict):
        return ""
    lines = [f"{key}: {value}" for key, value in sorted(raw.items()) if not isinstance(value, dict)]
    for key, group in sorted(raw.items()):
        if isinstance(group, dict):
            lines.append(f"{key}: " + ", ".join(f"{name} {value}" for name, value in sorted(group.items())))
    return f"<h2>Provenance</h2><pre>{escape(chr(10).join(lines))}</pre>"
