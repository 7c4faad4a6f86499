"""Hostile configurations, sweeps, checkpoints, weights and statistics through the real verbs, in one other process.

The imports cost more than the payloads. Each job is a command as a person would type it; the audit hook sees what it
runs, imports, connects to, and writes outside of the folders that it was given.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.conftest import tiny_config
from tests.security.hostile import files
from tests.security.test_class_paths import PATHS, PLUGINS
from tests.security.test_folders import ASKS, put
from tests.security.test_text import CHANGES, JSON, YAML
from tests.security.watch import CANARY
from tests.study.fakes import plan_of
from tests.study.fakes import sweep as fake_sweep
from workbench.config import dump, training_part
from workbench.distill.checkpoint import LAST
from workbench.files import file_sha256
from workbench.study import plan as plans

ROOT = Path(__file__).resolve().parents[2]
SHIFT = "model.losses.reconstruction.target.shift"
FEW = (
    "torch-zip.ckpt",
    "exec.pkl",
    "legacy.pth",
    "legacy-tar.pt",
    "beyond-the-end.safetensors",
    "huge-header.safetensors",
)
Job = tuple[str, list[str], str]  # verb, words, what the one line must say


class Jobs:
    """Gathers jobs, and the files that they are about, below one folder. few: of each kind some, for every run."""

    def __init__(self, folder: Path, teacher: Path, few: bool = True) -> None:
        self.folder, self.teacher, self.few = folder, teacher, few
        self.given, self.results = folder / "given", folder / "results"
        self.given.mkdir()
        self.results.mkdir()
        self.payloads = files(folder / "marker")
        self.names = FEW if few else tuple(self.payloads)
        self.jobs: list[Job] = []
        self.config = tiny_config(teacher)

    def takes(self, index: int, one_of: int) -> bool:
        """Whether this one is used here: of the few, one of so many."""
        return not self.few or index % one_of == 0

    def file(self, name: str, text: str) -> str:
        (self.given / name).write_text(text)
        return str(self.given / name)

    def run_folder(self, name: str) -> Path:
        folder = self.results / name
        folder.mkdir()
        dump(training_part(self.config), folder / "config.yaml")
        return folder

    def all(self) -> None:
        self.texts()
        self.classes()
        self.checkpoints()
        self.teachers()
        self.studies()
        self.arguments()

    def texts(self) -> None:
        """YAML payloads as a configuration, a sweep, and a run's config.yaml."""
        for index, (name, text) in enumerate(YAML.items()):
            if self.few and (name in ("many", "large", "huge int") or name.startswith("deep")):
                continue  # a second each; tests/security/test_text.py has them
            path = self.file(f"text{index}.yaml", text)
            self.jobs.append(("train", ["--config", path, "--run-dir", str(self.results / "t")], f"text{index}.yaml"))
            if self.takes(index + 1, 2):
                self.jobs.append(("sweep", [path, "--plan", "--results", str(self.results)], f"text{index}.yaml"))
            if self.takes(index, 10):
                run = self.results / f"text{index}"
                run.mkdir()
                (run / "config.yaml").write_text(text)
                self.jobs.append(("evaluate", [str(run), "--quiet"], "config.yaml"))
                self.jobs.append(("sample", [str(run), "a dress", "--grid", str(run / "grid.png")], "config.yaml"))

    def classes(self) -> None:
        """Class paths and plug-ins in a configuration and in a level."""
        base = self.file("defaults.yaml", "{}")
        for index, path in enumerate(PATHS.values()):
            value = {"class_path": path, "init_args": {}}
            config = {"model": {"losses": {"x": {"class_path": "Reconstruction", "target": {"class_path": path}}}}}
            if self.takes(index + 1, 2) and not (isinstance(path, str) and len(path) > 10_000):  # too long for a word
                words = ["--config", base, f"--{SHIFT}", json.dumps(value), "--run-dir", str(self.results / "c")]
                self.jobs.append(("train", words, ""))
            path_of = self.file(f"class{index}.yaml", json.dumps(config))
            self.jobs.append(("train", ["--config", path_of, "--run-dir", str(self.results / "c")], "class"))
            if self.takes(index, 6):
                factors = {"shift": {"a": {}, "b": {SHIFT: value}}}
                metrics = {"FD[judge]": "min"}
                raw = {"base": "defaults.yaml", "factors": factors, "metrics": metrics, "baseline": {"shift": "a"}}
                sweep = self.file(f"level{index}.yaml", json.dumps(raw))
                self.jobs.append(("sweep", [sweep, "--plan", "--results", str(self.results)], "factors.shift.b"))
        for index, plugins in enumerate(PLUGINS):
            path_of = self.file(f"plugins{index}.yaml", json.dumps({"plugins": plugins}))
            self.jobs.append(("train", ["--config", path_of, "--run-dir", str(self.results / "p")], "plugins"))

    def checkpoints(self) -> None:
        """Hostile state to go on from, weights to score and sample, and networks to score with."""
        for index, name in enumerate(self.names):
            run = self.run_folder(f"resume{index}")
            shutil.copy(self.results / f"resume{index}" / "config.yaml", self.given / f"resume{index}.yaml")
            (run / LAST).write_bytes(self.payloads[name])
            (run / f"{LAST}.sha256").write_text(file_sha256(run / LAST))
            words = ["--config", str(self.given / f"resume{index}.yaml"), "--run-dir", str(run), "--quiet"]
            self.jobs.append(("train", words, LAST))
            if not self.takes(index, 2):
                continue
            run = self.run_folder(f"student{index}")
            (run / "student.safetensors").write_bytes(self.payloads[name])
            few = ["--num-images", "2", "--batch-size", "2", "--quiet", "--set", "evaluation.num_reference", "4"]
            self.jobs.append(("evaluate", [str(run), *few], "student.safetensors"))
            self.jobs.append(("sample", [str(run), "a dress", "--grid", str(run / "grid.png")], "student.safetensors"))
            (self.given / f"weights{index}.pth").write_bytes(self.payloads[name])
            extractor = ["--extractors", f"inception:{self.given}/weights{index}.pth", *few]
            self.jobs.append(("evaluate", ["--real", "--out", str(self.results / "e"), *extractor], "SHA-256"))
        # statistics: made once, replaced, asked for again
        real = ["--real", "--out", str(self.results / "real"), "--extractors", "judge", "--num-images", "4", "--quiet",
                "--set", "evaluation.num_reference", "8"]  # fmt: skip
        self.jobs.append(("evaluate", real, "ok"))
        for name in self.names[:: 2 if self.few else 1]:
            self.jobs.append(("evaluate", [*real, "--seed", "0"], f"ok {name}"))

    def teachers(self) -> None:
        for index, name in enumerate(list(ASKS)[:: 4 if self.few else 1]):
            folder = shutil.copytree(self.teacher, self.given / f"teacher{index}")
            put(folder, *ASKS[name])
            self.jobs.append(
                ("sample", [str(folder), "a dress", "--grid", str(self.results / "grid.png")], str(folder))
            )
            base = self.file(f"teacher{index}.yaml", json.dumps({"teacher": {"path": str(folder)}}))
            words = ["--config", base, "--run-dir", str(self.results / f"of{index}"), "--quiet"]
            self.jobs.append(("train", words, str(folder)))

    def studies(self) -> None:
        """Plans that are no JSON, or say what no plan says."""
        plan = plan_of(self.given, fake_sweep())
        for index, text in enumerate([*JSON.values(), *CHANGES.values()]):
            root = self.results / f"study{index}"
            root.mkdir()
            plans.save(plan, root)
            if callable(text):
                raw = json.loads((root / "plan.json").read_text())
                text(raw)
                text = json.dumps(raw)
            (root / "plan.json").write_bytes(text if isinstance(text, bytes) else text.encode())
            self.jobs.append(("report", [str(root)], "plan.json"))

    def arguments(self) -> None:
        base = self.file("plain.yaml", "{}")
        link = self.results / "link"
        link.symlink_to(self.folder / "outside")
        self.jobs += [
            ("train", ["--config", base, "--plugin", "../evil", "--run-dir", str(self.results / "a")], "--plugin"),
            ("train", ["--config", base, "--run-dir", str(link)], "symbolic link"),
            ("train", ["--config", "/dev/zero"], "/dev/zero"),
            ("evaluate", ["--real", "--out", str(link)], "symbolic link"),
            ("report", [str(link)], "symbolic link"),
            ("report", [str(self.folder)], "no plan.json"),
            ("sweep", [base, "--plan", "--results", str(link)], "base"),
            ("sample", ["../../../etc", "a dress"], "neither a run"),
        ]


@pytest.fixture(scope="module", params=["few", pytest.param("all", marks=pytest.mark.slow)])
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_teacher_path: Path
) -> tuple[Path, list[Job], list[Any]]:
    """Folder, jobs, answers. A folder `outside` and a module by the canary's name lie where they can be found."""
    folder = tmp_path_factory.mktemp("verbs")
    for name in ("outside", "home", "cache", "temporary", "modules"):
        (folder / name).mkdir()
    (folder / "outside" / "file").write_text("kept")
    (folder / "modules" / f"{CANARY}_module.py").write_text(f"open({str(folder / 'marker')!r}, 'w')")
    jobs = Jobs(folder, tiny_teacher_path, few=request.param == "few")
    jobs.all()
    roots = [str(folder / name) for name in ("results", "cache", "temporary", "home")]
    (folder / "payloads").mkdir()
    for name in jobs.names:
        (folder / "payloads" / name).write_bytes(jobs.payloads[name])
    statistics = {f"ok {name}": str(folder / "payloads" / name) for name in jobs.names}
    listed = [[verb, words, roots, statistics.get(says, "")] for verb, words, says in jobs.jobs]
    (folder / "jobs.json").write_text(json.dumps(listed))
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "WORKBENCH_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder / "temporary"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(folder / "modules")]),
        "CANARY_TOKEN": "s3cr3t-t0ken",
    }
    before = tree(folder)
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.verbs_worker", str(folder / "jobs.json")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    after = {
        name: data
        for name, data in tree(folder).items()
        if name.split("/")[0] not in ("results", "cache", "temporary", "home")
    }
    # What is made where anything may be made: matplotlib's list of fonts, and statistics of references.
    made = sorted(name for name in tree(folder) if name.split("/")[0] in ("home", "temporary", "cache"))
    assert all(name.startswith(("home/.cache/matplotlib/", "cache/reference-")) for name in made), made
    assert after == {name: data for name, data in before.items() if name in after} and not (folder / "marker").exists()
    return folder, jobs.jobs, [json.loads(line) for line in done.stdout.splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()}


def test_nothing_ran_and_nothing_was_written_outside(
    answers: tuple[Path, list[Job], list[Any]], counted: Callable[[str], None]
) -> None:
    _, jobs, given = answers
    assert len(jobs) == len(given) >= 150
    for (verb, words, _), answer in zip(jobs, given, strict=True):
        for what in ("ran", "wrote", "reached"):
            assert answer[what] == [], (verb, words, answer[what])
    counted(f"hostile files: {len(jobs)} commands, nothing run, imported, reached or written outside")


def test_each_refusal_is_one_line_and_no_success(answers: tuple[Path, list[Job], list[Any]]) -> None:
    wrong = []
    for (verb, words, says), answer in zip(answers[1], answers[2], strict=True):
        lines = [line for line in answer["error"].splitlines() if line.strip()]
        if says.startswith("ok"):
            fine = answer["status"] == 0
        else:
            fine = (
                answer["status"] not in (0, None, "raised")
                and len(lines) == 1
                and says in lines[0]
                and len(lines[0]) < 1_500
            )
        if not fine:
            wrong.append(f"{verb} {' '.join(words)[:200]}: {answer['status']!r}, {answer['error'][-600:]}")
    assert not wrong, "\n".join(wrong)


def test_no_secret_of_the_environment_was_written(answers: tuple[Path, list[Job], list[Any]]) -> None:
    folder, _, given = answers
    assert "s3cr3t-t0ken" not in json.dumps(given)
    for name, data in tree(folder).items():
        assert b"s3cr3t-t0ken" not in data, name
