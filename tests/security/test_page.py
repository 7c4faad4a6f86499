"""report.html and table.html: whatever a file or a log says stays text."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.study.fakes import EVALUATE, plan_of, sweep
from workbench.study.files import write_json
from workbench.study.plan import Plan
from workbench.study.publish import publish
from workbench.study.results import collect
from workbench.study.tables import build_table, markdown, terminal

OWNED = "document.title='owned'"
XSS = [
    f"<script>{OWNED}</script>",
    f"</title><script>{OWNED}</script>",
    f"<img src=x onerror={OWNED}>",
    f'" onmouseover="{OWNED}',
    f"' onfocus='{OWNED}' autofocus='",
    f"<svg onload={OWNED}>",
    f"<body onload={OWNED}>",
    f'<a href="javascript:{OWNED}">x</a>',
    f'<iframe srcdoc="<script>parent.{OWNED}</script>">',
    '<meta http-equiv="refresh" content="0;url=http://192.0.2.1/">',
    '<link rel="stylesheet" href="//192.0.2.1/x.css">',
    '<base href="//192.0.2.1/">',
    f"</pre></li></ul><script>{OWNED}</script>",
    f"</style><script>{OWNED}</script>",
    f"<details open ontoggle={OWNED}>",
    '<form action="//192.0.2.1/"><input name=x></form>',
    f"<!--><script>{OWNED}</script>",
    f"<![CDATA[<script>{OWNED}</script>]]>",
    "&lt;script&gt;",
    f"<scr<script>ipt>{OWNED}</script>",
    f"<math><mi onclick={OWNED}>",
    '<object data="data:text/html,<script>alert(1)</script>">',
    f"\u2028<x contenteditable onbeforeinput={OWNED}>",
    f"[x](javascript:{OWNED})",
    "${7*7}{{7*7}}<%= 7*7 %>",
    "$\\frac{1}{0$",
]
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "caption", "thead", "tbody", "tr",
        "th", "td", "br", "small", "b", "ul", "li", "figure", "figcaption", "img", "pre"}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "alt", "src"}


class Page(HTMLParser):
    """Tags and attributes as a browser would find them, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, (tag, name)
            assert name != "src" or (value or "").startswith("data:image/png;base64,"), value
            assert name != "http-equiv" or value == "Content-Security-Policy", value
            self.text += f" {value}" if name == "alt" else ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")


def study(folder: Path, payload: str) -> tuple[Plan, Path]:
    """A study in which everything that a page shows says the payload; sweep files could not say most of it."""
    plan = plan_of(folder, sweep(seeds=1, evaluate={"steps": EVALUATE["steps"]}))
    rows = tuple(dataclasses.replace(row, label=f"{row.label} {payload}") for row in plan.rows)
    levels = {old["steps"]: {"steps": f"{old['steps']} {payload}"} for old in plan.evaluations}
    plan = dataclasses.replace(
        plan,
        question=payload,
        design=payload,
        rows=rows,
        metrics={"FD[judge]": "min", f"CLIP[{payload}]": "max"},
        evaluations=tuple(levels.values()),
        entries=tuple(dataclasses.replace(e, evaluation=levels[e.evaluation["steps"]]) for e in plan.entries),
    )
    root = folder / "results" / "shifts"
    for index, cell in enumerate(plan.cells):
        found = {
            "metrics": {"FD[judge]": 1.0 + index, f"CLIP[{payload}]": 2.0},
            "n": 8,
            "extractors": {payload: payload},
        }
        result = {"training": cell.training, "status": "complete", "evaluations": {t.key: found for t in cell.tasks}}
        if index:
            failure = {"key": cell.key, "kind": payload, "message": payload, "attempts": payload, "log": payload}
            write_json(root / cell.folder / "failure.json", failure)
        write_json(root / cell.folder / "result.json", result)
    write_json(root / "provenance.json", {payload: payload, "command": payload, "versions": {payload: payload}})
    return plan, root


def test_there_are_enough() -> None:
    assert len(set(XSS)) >= 20


@pytest.mark.parametrize("payload", XSS, ids=range(len(XSS)))
def test_a_page_runs_nothing(payload: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if payload != XSS[-1]:  # drawing takes a second; what a figure's caption says is in the page all the same
        monkeypatch.setattr("workbench.study.publish.draw", lambda *_, **__: [])
    plan, root = study(tmp_path, payload)
    table = publish(plan, root)
    page = Page((root / "report.html").read_text())
    assert page.text.count(payload) >= 5
    assert Page((root / "table.html").read_text()).text.count(payload) >= 2
    assert "<script" not in markdown(table) and "<img" not in markdown(table) and "](javascript" not in markdown(table)


def test_a_terminal_obeys_nothing(tmp_path: Path) -> None:
    """Escape sequences from a file move no cursor and set no title."""
    plan, root = study(tmp_path, "\x1b]0;owned\x07[red]x[/red]")
    out = StringIO()
    Console(file=out, width=400).print(terminal(build_table(plan, collect(plan, root))))
    assert "\x1b" not in out.getvalue() and "\x07" not in out.getvalue() and "[red]x[/red]" in out.getvalue()


def test_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("no chromium here to open the page in; the parser above stands in for it")
    monkeypatch.setattr("workbench.study.publish.draw", lambda *_, **__: [])
    plan, root = study(tmp_path, "".join(XSS))
    publish(plan, root)
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--virtual-time-budget=2000", "--dump-dom", (root / "report.html").as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "<title>owned" not in done.stdout and "<script" not in done.stdout
    assert Page(done.stdout).text.count("javascript:") >= 5
