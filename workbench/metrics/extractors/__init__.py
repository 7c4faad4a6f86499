"""Feature extractors, and how a config names one."""

from __future__ import annotations

import difflib

import torch

from workbench.metrics.extractors.base import Extractor
from workbench.metrics.extractors.clean_fid import CleanFid
from workbench.metrics.extractors.clip import ClipImages, ClipModel
from workbench.metrics.extractors.efficientnet_lite0 import EfficientNetLite0
from workbench.metrics.extractors.inception import Inception
from workbench.metrics.extractors.judge import JudgeExtractor

__all__ = [
    "CleanFid",
    "ClipImages",
    "ClipModel",
    "EfficientNetLite0",
    "Extractor",
    "Inception",
    "JudgeExtractor",
    "check_extractor",
    "known_extractors",
    "make_extractor",
]


def known_extractors() -> dict[str, type[Extractor]]:
    """kind -> class, of every subclass that has been imported: a plug-in joins by existing."""
    found: dict[str, type[Extractor]] = {}
    queue = list(Extractor.__subclasses__())
    while queue:
        cls = queue.pop()
        queue.extend(cls.__subclasses__())
        if "kind" in vars(cls):
            found[cls.kind] = cls
    return dict(sorted(found.items()))


def check_extractor(spec: str) -> tuple[type[Extractor], str | None]:
    """The class and the argument that `spec` names, without loading anything: cheap enough to check a whole sweep.

    spec: a kind ("judge"), or a kind, a colon and its argument ("inception:/data/weights.pth").
    Raises ValueError for an unknown kind, or a missing or superfluous argument.
    """
    kind, _, argument = spec.partition(":")
    known = known_extractors()
    if kind not in known:
        near = difflib.get_close_matches(kind, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"evaluation.extractors: no extractor {kind!r}.{hint} Known: {', '.join(known)}.")
    cls = known[kind]
    if cls.takes_argument and not argument:
        raise ValueError(f"evaluation.extractors: {kind} needs the {cls.argument_help}, as in {kind}:PATH.")
    if argument and not cls.takes_argument:
        raise ValueError(f"evaluation.extractors: {kind} takes no argument, but got {argument!r}.")
    return cls, argument or None


def make_extractor(spec: str, device: torch.device | str = "cpu") -> Extractor:
    """The extractor that a config names; see `check_extractor`. Raises ValueError, also for missing weights."""
    cls, argument = check_extractor(spec)
    return cls.make(argument, device)
