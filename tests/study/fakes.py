"""A small configuration language and sweep files for it: what workbench.config is to the real sweep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from workbench.study.plan import Plan
from workbench.study.planning import make_plan
from workbench.study.sweep_file import parse_sweep

BASE = {
    "seed": 0,
    "teacher": {"path": "fake"},
    "model": {"trajectory": "Backward", "shift": {"kind": "none", "factor": None}, "correction": True},
    "train": {"updates": 3, "student_updates": 100, "snapshots": [], "devices": 1},
    "evaluation": {
        "subject": "student",
        "num_inference_steps": 3,
        "noise_correction": None,
        "num_images": 8,
        "snapshot": None,
    },
}


def resolve(base: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Apply dotted overrides to the base; an unknown key or a shift factor above 1 is refused."""
    config: dict[str, Any] = yaml.safe_load(base.read_text())
    for key, value in overrides.items():
        *parents, last = key.split(".")
        node = config
        for part in parents:
            if not isinstance(node.get(part), dict):
                raise ValueError(f"there is no key {key}")
            node = node[part]
        if last not in node:
            raise ValueError(f"there is no key {key}")
        if key == "model.shift" and isinstance(value, str):
            value = {"kind": value, "factor": None}
        if key == "model.shift.factor" and not 0 < value < 1:
            raise ValueError(f"factor must be between 0 and 1, but got {value}")
        node[last] = {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value
    return config


def sweep(**changes: Any) -> dict[str, Any]:
    """A sweep of two arms with everything that is mandatory; a change to None removes the key."""
    raw = {
        "question": "Where should the teacher look?",
        "base": "base.yaml",
        "factors": {"trajectory": {"backward": {}, "forward": {"model.trajectory": "Forward"}}},
        "baseline": {"trajectory": "backward"},
        "seeds": 3,
        "metrics": {"FD[judge]": "min", "CLIP[wardrobe]": "max"},
    }
    return {key: value for key, value in {**raw, **changes}.items() if value is not None}


SHIFTS: dict[str, Any] = {
    "trajectory": {"backward": {}, "forward": {"model.trajectory": "Forward"}},
    "shift": {"none": {}, "scale": {"model.shift": "scale"}, "constant": {"model.shift": "constant"}},
    "strength": {
        "under": {"shift": "scale"},
        "mild": {"model.shift.factor": 0.8},
        "strong": {"model.shift.factor": 0.4},
    },
}
EVALUATE: dict[str, Any] = {
    "steps": {"3": {"evaluation.num_inference_steps": 3}, "1": {"evaluation.num_inference_steps": 1}},
    "correction": {"off": {"evaluation.noise_correction": False}, "on": {"evaluation.noise_correction": True}},
}
REFERENCES: dict[str, Any] = {
    "teacher-25": {"evaluation.subject": "teacher", "evaluation.num_inference_steps": 25},
    "teacher-few": {"evaluation.subject": "teacher"},
    "real": {"evaluation.subject": "real", "evaluation.num_inference_steps": 0},
}


def big_sweep(**changes: Any) -> dict[str, Any]:
    """Three factors, one of them conditional, four evaluations, three references."""
    return sweep(
        **{
            "factors": SHIFTS,
            "baseline": {"trajectory": "backward", "shift": "none"},
            "evaluate": EVALUATE,
            "references": REFERENCES,
            **changes,
        }
    )


def write(folder: Path, raw: Mapping[str, Any], name: str = "shifts") -> Path:
    """Write the sweep and its base; returns the sweep's path."""
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(dict(raw), sort_keys=False))
    return path


def plan_of(folder: Path, raw: Mapping[str, Any], name: str = "shifts") -> Plan:
    """The plan of a sweep written into `folder`."""
    return make_plan(parse_sweep(raw, write(folder, raw, name)), resolve)
