"""One evaluation: prompts, images, measurement, files."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save
from torch import Tensor

from workbench.config import Config, EvaluationConfig, instantiate
from workbench.diffusion import DPMSolverPP, Sampler
from workbench.evaluation.generator import Generator, teacher_generator
from workbench.evaluation.pictures import save_png, tile
from workbench.evaluation.progress import Advance, progress_bar
from workbench.evaluation.prompts import evaluation_prompts, real_images, reference_images
from workbench.evaluation.quiet import quiet_libraries
from workbench.evaluation.student import WEIGHTS, pick_device, plain, student_generator
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
from workbench.metrics.cache import cached, write_atomically
from workbench.metrics.clip_score import ClipScore
from workbench.metrics.extractors import ClipModel, JudgeExtractor, check_extractor
from workbench.metrics.extractors.base import file_sha256
from workbench.models import Teacher, load_teacher

VERSION = 1  # of the evaluation code; another number is another evaluation, and no cached image is reused


@dataclass
class Settings:
    """The `evaluation` group of a config as this module reads it; what the config does not say has its default here."""

    num_inference_steps: int = 3
    noise_correction: bool | None = None  # None = as in model.sampler
    subject: str = "student"  # student, teacher, real
    guidance_scale: float | None = None  # of the teacher; None = its own
    solver: Sampler | None = None  # of the teacher; None = DPM-Solver++
    num_images: int = 512
    prompts: str = "report"  # report, tune, or a text file
    batch_size: int = 64
    seed: int = 0
    extractors: list[str] = field(default_factory=lambda: ["judge"])
    clip: str | None = None  # a transformers CLIPModel; None = the wardrobe's, for the wardrobe's prompts
    num_reference: int = 4096  # real images to compare with
    teacher_steps: int = 25  # of the teacher's images of the same noise; 0 = no comparison
    diversity_prompts: int = 16  # prompts that are drawn several times; 0 = no diversity
    diversity_images: int = 8  # images of each of them
    grid_images: int = 16  # tiles of grid.png

    @classmethod
    def of(cls, group: Any, more: Mapping[str, Any]) -> Settings:
        """From the config's typed group, and from what that does not know.

        Raises ValueError for an unknown name, a number out of range, or an unknown extractor.
        """
        for name in more:
            if name not in cls.__dataclass_fields__:
                near = difflib.get_close_matches(name, cls.__dataclass_fields__, 1)
                raise ValueError(f"evaluation.{name}: no such setting." + (f" Did you mean {near[0]}?" if near else ""))
        typed = {name: getattr(group, name) for name in cls.__dataclass_fields__ if hasattr(group, name)}
        settings = cls(**{**typed, **more})
        least = {"num_inference_steps": 1, "num_images": 2, "batch_size": 1, "num_reference": 2, "diversity_images": 2}
        for name in ("num_reference", "teacher_steps", "diversity_prompts", "grid_images", *least):
            if getattr(settings, name) < least.get(name, 0):
                raise ValueError(
                    f"evaluation.{name} must be at least {least.get(name, 0)}, but got {getattr(settings, name)}."
                )
        if settings.subject not in ("student", "teacher", "real"):
            raise ValueError(f"evaluation.subject must be student, teacher or real, but got {settings.subject!r}.")
        for spec in settings.extractors:
            check_extractor(spec)
        return settings


@dataclass
class Subject:
    """Whose images are scored: `draw` makes those of (captions, indices, stream); `identity` says what they come
    from.
    """

    draw: Callable[[Sequence[str], Sequence[int], str], tuple[Tensor, float]]  # -> images, seconds
    identity: dict[str, Any]
    varied: bool = True  # whether another index of the same prompt is another image


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
    typed, settings = _read(config)
    device = pick_device(typed.train.accelerator)
    records = evaluation_prompts(typed.data, settings.prompts, settings.num_images)
    with _exact():
        subject, teacher, records = _subject(typed, settings, run_dir, device, records)
        labelled = all(hasattr(r, "labels") for r in records)
        extractors = [make_extractor(spec, device) for spec in settings.extractors]
        metrics, names = _metrics(typed, settings, extractors, labelled, device)
        paired = _paired(settings, teacher, device) if _compares(settings) else None
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


def _read(config: Mapping[str, Any]) -> tuple[Config, Settings]:
    """The objects of the config. Settings that only this module knows are kept from the config's parser."""
    group = dict(config.get("evaluation") or {})
    known = {f.name for f in dataclasses.fields(EvaluationConfig)}
    typed = instantiate({**config, "evaluation": {k: v for k, v in group.items() if k in known}})
    return typed, Settings.of(typed.evaluation, {k: v for k, v in group.items() if k not in known})


# ---- who is scored --------------------------------------------------------------------------------------------------


def _subject(
    config: Config, settings: Settings, run_dir: Path | None, device: torch.device, records: Sequence[Any]
) -> tuple[Subject, Teacher | None, Sequence[Any]]:
    if settings.subject == "real":
        images, records = real_images(config.data, records)
        if len(records) < 2:
            raise ValueError("evaluation.subject: real needs at least 2 real images.")
        identity = {"real": repr(config.data), "count": len(records)}
        return Subject(lambda _, indices, __: (images[list(indices)], 0.0), identity, varied=False), None, records
    teacher = load_teacher(config.teacher.path).to(device)
    if settings.subject == "teacher":
        scale = settings.guidance_scale if settings.guidance_scale is not None else config.teacher.guidance_scale
        generator = teacher_generator(
            teacher,
            settings.num_inference_steps,
            seed=settings.seed,
            sampler=_with_correction(settings),
            guidance_scale=scale,
        )
        return Subject(_cached_images(generator, device), _identity(generator)), teacher, records
    if run_dir is None:
        raise ValueError("evaluation.subject: student needs the folder of its run.")
    generator = student_generator(
        config,
        run_dir,
        teacher,
        settings.num_inference_steps,
        seed=settings.seed,
        noise_correction=settings.noise_correction,
    )
    identity = _identity(generator) | {"student_sha256": file_sha256(run_dir / WEIGHTS)}
    return Subject(_fresh_images(generator, device), identity), teacher, records


def _with_correction(settings: Settings) -> Sampler | None:
    """The teacher's solver; `noise_correction: on` corrects it too, so that the undistilled teacher can have a row."""
    sampler = settings.solver if settings.solver is not None else DPMSolverPP()
    if settings.noise_correction is None:
        return sampler
    return dataclasses.replace(sampler, noise_correction=settings.noise_correction)


def _compares(settings: Settings) -> bool:
    return settings.subject != "real" and settings.teacher_steps > 0


def _paired(settings: Settings, teacher: Teacher | None, device: torch.device) -> Callable[..., tuple[Tensor, float]]:
    """The teacher's many-step images of the same noise, at its committed guidance scale; shared by every arm."""
    assert teacher is not None
    return _cached_images(teacher_generator(teacher, settings.teacher_steps, seed=settings.seed), device)


def _identity(generator: Generator) -> dict[str, Any]:
    scale = getattr(generator.network, "guidance_scale", None)
    return {
        "teacher_sha256": generator.teacher.sha256,
        "guidance_scale": scale,  # None: the student, which runs unguided
        "timesteps": list(generator.timesteps),
        "sampler": repr(generator.sampler),
    }


def _fresh_images(generator: Generator, device: torch.device) -> Callable[..., tuple[Tensor, float]]:
    def draw(captions: Sequence[str], indices: Sequence[int], stream: str) -> tuple[Tensor, float]:
        start = time.monotonic()
        images = generator.images(captions, indices, stream)  # on the CPU, hence the device has finished
        return images, time.monotonic() - start

    return draw


def _cached_images(generator: Generator, device: torch.device) -> Callable[..., tuple[Tensor, float]]:
    """A batch at a time through the cache: a row of the table, a comparison and a sweep's next arm share the work."""
    fresh = _fresh_images(generator, device)

    def draw(captions: Sequence[str], indices: Sequence[int], stream: str) -> tuple[Tensor, float]:
        def make() -> dict[str, Tensor]:
            images, seconds = fresh(captions, indices, stream)
            return {"images": images, "seconds": torch.tensor(seconds, dtype=torch.float64)}

        key = {
            "version": VERSION,
            **_identity(generator),
            "seed": generator.seed,
            "stream": stream,
            "indices": list(indices),
            "captions": list(captions),
            "device": device.type,
        }
        found = cached("teacher-images", key, make)
        return found["images"], float(found["seconds"])

    return draw


# ---- what is measured -----------------------------------------------------------------------------------------------


def _metrics(
    config: Config, settings: Settings, extractors: list[Extractor], labelled: bool, device: torch.device
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
    settings: Settings,
    paired: Callable[..., tuple[Tensor, float]] | None,
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
    write_atomically(out_dir / "features.safetensors", save(tensors))
    text = json.dumps(facts, indent=2, allow_nan=False)
    write_atomically(out_dir / "evaluation.json", (text + "\n").encode())  # last: its presence means complete
