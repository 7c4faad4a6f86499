"""One evaluation: prompts, images, measurement, files."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save
from torch import Tensor

from workbench.config import Config, EvaluationConfig
from workbench.evaluation.pictures import save_png, tile
from workbench.evaluation.progress import Advance, progress_bar
from workbench.evaluation.prompts import evaluation_prompts, reference_images
from workbench.evaluation.quiet import quiet_libraries
from workbench.evaluation.settings import plain, read_settings
from workbench.evaluation.student import pick_device
from workbench.evaluation.subjects import VERSION, Draw, Subject, comparison, make_subject
from workbench.files import write_atomically
from workbench.metrics import (
    Alignment,
    Appearance,
    Batch,
    Coverage,
    Diversity,
    Extractor,
    Frechet,
    Kernel,
    Measurement,
    Metric,
    TeacherDistance,
    make_extractor,
    reference_statistics,
)
from workbench.metrics.clip_score import ClipScore
from workbench.metrics.extractors import ClipModel, JudgeExtractor


def evaluate_run(
    config: Mapping[str, Any],
    run_dir: Path | None,
    out_dir: Path,
    *,
    quiet: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """Draw the images, measure them, write the files; see `workbench.evaluate.evaluate`."""
    started = time.monotonic()
    quiet_libraries()
    typed, settings = read_settings(config)
    device = pick_device(typed.train.accelerator)
    records = evaluation_prompts(typed.data, settings.prompts, settings.num_images)
    with _exact():
        subject, teacher, records = make_subject(typed, settings, run_dir, device, records)
        labelled = all(hasattr(r, "labels") for r in records)
        extractors = [make_extractor(spec, device) for spec in settings.extractors]
        metrics, names = _metrics(typed, settings, extractors, labelled, device)
        paired = comparison(settings, teacher, device)
        if paired is not None and extractors:
            metrics.append(TeacherDistance(extractors[0]))
        several = settings.diversity_prompts if subject.varied and extractors else 0
        groups = [records[i] for i in range(min(several, len(records))) for _ in range(settings.diversity_images)]
        seconds: list[float] = []
        with progress_bar(_share(len(records) + len(groups)), quiet, on_progress) as advance:
            measurement = Measurement(metrics, records)
            first = _measure(measurement, subject, records, settings, paired, "evaluation", seconds, advance)
            values = measurement.compute()
            if groups:
                spread = Measurement([Diversity(e) for e in extractors], groups)
                _measure(spread, subject, groups, settings, None, "evaluation/diversity", [], advance)
                values |= spread.compute()
    if _rank() == 0:
        facts = {
            "version": VERSION,
            "settings": plain(settings),
            "subject": subject.identity,
            "prompts_sha256": _captions_hash(records),
            "n": len(records),
            "extractors": {e.name: {"fingerprint": e.fingerprint, "weights_sha256": e.sha256} for e in extractors},
            "models": names,
            "metrics": values,
            "seconds": {
                "per_image": statistics.median(seconds) if seconds else None,
                "evaluation": time.monotonic() - started,
                "device": str(device),
                "threads": torch.get_num_threads(),
            },
        }
        _write(out_dir, facts, measurement, first)
    return values


# ---- what is measured -----------------------------------------------------------------------------------------------


def _metrics(
    config: Config, settings: EvaluationConfig, extractors: list[Extractor], labelled: bool, device: torch.device
) -> tuple[list[Metric], dict[str, Any]]:
    """The metrics that these prompts and this data allow; what is left out is said aloud."""
    metrics: list[Metric] = [Appearance()]
    models: dict[str, Any] = {}
    real = reference_images(config.data, settings.num_reference) if extractors else None
    if real is None and extractors:
        warnings.warn(f"{config.data!r} has no real images: no FD, KD, precision or recall.", stacklevel=2)
    for extractor in extractors:
        if real is not None:
            reference = reference_statistics(real, extractor)
            metrics += [Frechet(extractor, reference), Kernel(extractor, reference), Coverage(extractor, reference)]
    models["reference"] = 0 if real is None else len(real)
    if labelled:
        judge = next((e.judge for e in extractors if isinstance(e, JudgeExtractor)), None)
        judge = JudgeExtractor().judge if judge is None else judge
        metrics.append(Alignment(judge.to(device), device))
        models["judge_sha256"] = str(judge.sha256)
    if labelled or settings.clip is not None:
        clip = ClipModel(settings.clip, device)
        metrics.append(ClipScore(clip))
        models["clip"] = {"name": clip.name, "weights_sha256": clip.sha256, "input_size": clip.input_size}
    else:
        warnings.warn(
            "no CLIP score: the prompts are not the wardrobe's. Name a model in evaluation.clip.", stacklevel=2
        )
    return metrics, models


def _measure(
    measurement: Measurement,
    subject: Subject,
    records: Sequence[Any],
    settings: EvaluationConfig,
    paired: Draw | None,
    stream: str,
    seconds: list[float],
    advance: Advance,
) -> list[tuple[Tensor, str]]:
    """Draw and measure this rank's images; seconds an image of each batch go into `seconds`.

    Returns those of the first `grid_images` images that are this rank's, with their captions.
    """
    shown: list[tuple[Tensor, str]] = []
    for part in _batches(len(records), settings.batch_size):
        captions = [records[i].caption for i in part]
        images, elapsed = subject.draw(captions, part, stream)
        seconds.append(elapsed / len(part))
        twins = None if paired is None else paired(captions, part, stream)[0]
        measurement.update(Batch(torch.tensor(part), images, [records[i] for i in part], twins))
        shown += [(images[j], captions[j]) for j, i in enumerate(part) if i < settings.grid_images]
        advance(stream.rpartition("/")[2], len(part))
    return shown


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _share(n: int) -> int:
    return len(range(_rank(), n, _world()))


def _batches(n: int, size: int) -> Iterator[list[int]]:
    """This rank's indices rank, rank + world size, ..., `size` at a time."""
    mine = range(_rank(), n, _world())
    for start in range(0, len(mine), size):
        yield list(mine[start : start + size])


@contextmanager
def _exact() -> Iterator[None]:
    """float32 means float32, and the same call gives the same bits: no TF32, deterministic convolutions."""
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, convolution.allow_tf32, convolution.deterministic, convolution.benchmark)
    matmul.allow_tf32, convolution.allow_tf32 = False, False
    convolution.deterministic, convolution.benchmark = True, False
    try:
        yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32, convolution.deterministic, convolution.benchmark = before


# ---- what is written ------------------------------------------------------------------------------------------------


def _captions_hash(records: Sequence[Any]) -> str:
    return hashlib.sha256("\n".join(r.caption for r in records).encode()).hexdigest()


def _write(out_dir: Path, facts: dict, measurement: Measurement, first: list[tuple[Tensor, str]]) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    tensors = measurement.tables()
    # Features were float32 before they were summed; the other rows are few numbers each and stay float64.
    tensors = {name: t.float() if t.shape[1] > 8 else t for name, t in tensors.items()}
    if first:
        tensors["first_images"] = torch.stack([image for image, _ in first])
        save_png(tile(tensors["first_images"], columns=8), out_dir / "grid.png", [caption for _, caption in first])
    write_atomically(out_dir / "features.safetensors", lambda path: path.write_bytes(save(tensors)))
    text = json.dumps(facts, indent=2, allow_nan=False)
    write_atomically(
        out_dir / "evaluation.json", lambda path: path.write_text(text + "\n", encoding="utf-8")
    )  # last: its presence means complete
