"""The typed groups of settings, with their defaults. sweeps/base/wardrobe.yaml explains each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from workbench.data import DataSource, Wardrobe
from workbench.diffusion import DDIM, Sampler, StudentGrid, TrailingGrid
from workbench.distill import AdamW, Backward, Loss, OptimizerKind, Reconstruction, Trajectory
from workbench.models import FullStudent, StudentKind


@dataclass
class TeacherConfig:
    """The frozen model that is distilled."""

    path: str = "wardrobe"  # a shipped teacher's name, or a folder in diffusers' Stable Diffusion layout
    guidance_scale: float | None = None  # null = the scale committed with the teacher


@dataclass
class EmaConfig:
    """The average of the student's weights, which is the student that is evaluated."""

    decay: float = 0.98  # horizon 1 / (1 - decay) updates; at most a quarter of them


@dataclass
class ModelConfig:
    """What is trained, where, and towards what."""

    student: StudentKind = field(default_factory=FullStudent)
    grid: StudentGrid = field(default_factory=TrailingGrid)
    num_steps: list[int] = field(default_factory=lambda: [1, 2, 3])  # N, drawn for each batch
    sampler: Sampler = field(default_factory=lambda: DDIM(noise_correction=True))  # of the rollout and of inference
    trajectory: Trajectory = field(default_factory=Backward)
    losses: dict[str, Loss] = field(default_factory=lambda: {"reconstruction": Reconstruction()})
    ema: EmaConfig = field(default_factory=EmaConfig)


@dataclass
class TrainConfig:
    """How long, how fast, on what, and what is written down."""

    student_updates: int = 150  # the length of a run; updates of critics do not count
    batch_size: int = 32  # over all processes
    learning_rate: float = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"  # cosine ends at 0
    warmup_updates: int = 10  # linear from 0 to learning_rate
    gradient_clip: float | None = 1.0  # largest norm of the student's gradient; null = any
    optimizer: OptimizerKind = field(default_factory=AdamW)
    devices: int = 1  # processes on each node
    num_nodes: int = 1
    accelerator: str = "auto"  # auto, cpu, gpu, ...
    # 64-true takes rounding out of a comparison; nothing is learnt better with it
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    threads: int | None = None  # CPU threads of a process; null = torch's choice
    checkpoint_minutes: float = 2.0  # between two checkpoints; one more is written at the end
    log_every: int = 10  # student updates between two writes of metrics.jsonl (every update has its line)
    sample_every: int = 50  # student updates between two sample grids; 0 = none
    sample_prompts: int = 5  # rows of a sample grid; three students a row
    reference_samples: int = 16  # images behind std(teacher at 25 steps), measured once before training; 0 = not logged
    probe_every: int = 50  # student updates between two measurements of the exposure gap; 0 = never
    probe_samples: int = 8  # images behind it
    snapshots: list[float] = field(default_factory=list)  # shares of the updates after which the student is also kept


@dataclass
class EvaluationConfig:
    """How a student is scored; no part of the training."""

    num_inference_steps: int = 3
    noise_correction: bool | None = None  # null = as in model.sampler
    # target: the student that fits its target exactly, which needs no training
    subject: Literal["student", "teacher", "real", "target"] = "student"
    guidance_scale: float | None = None  # of the subject teacher; null = its own
    solver: Sampler | None = None  # of the subject teacher; null = DPMSolverPP
    num_images: int = 512
    prompts: str = "report"  # report, tune, or a text file with one prompt a line
    batch_size: int = 64
    seed: int = 0
    extractors: list[str] = field(default_factory=lambda: ["judge"])
    clip: str | None = None  # a transformers CLIPModel, folder or id; null = the wardrobe's
    num_reference: int = 4096  # real images to compare with
    teacher_steps: int = 25  # of the teacher's images of the same noise; 0 = no comparison
    diversity_prompts: int = 16  # prompts that are drawn several times; 0 = no diversity
    diversity_images: int = 8  # images of each of them
    grid_images: int = 16  # tiles of grid.png
    snapshot: float | None = None  # of the subject student: one of train.snapshots; null = the student at the end


@dataclass
class Config:
    """One training run and the way it is scored."""

    seed: int = 0
    plugins: list[str] = field(default_factory=list)  # modules outside workbench that classes may come from
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    data: DataSource = field(default_factory=Wardrobe)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
