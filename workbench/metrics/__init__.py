"""Figures of merit for generated images. Every metric sees uint8 pixels and is independent of batches and ranks."""

from workbench.metrics.alignment import Alignment
from workbench.metrics.appearance import Appearance
from workbench.metrics.base import Metric, Quantity
from workbench.metrics.batch import Batch
from workbench.metrics.clip_score import ClipScore
from workbench.metrics.coverage import Coverage
from workbench.metrics.diversity import Diversity
from workbench.metrics.extractors import Extractor, known_extractors, make_extractor
from workbench.metrics.features import Features, Reference
from workbench.metrics.frechet import Frechet
from workbench.metrics.frechet_solver import Moments, frechet_distance
from workbench.metrics.kernel import Kernel
from workbench.metrics.kernel_solver import kernel_distance
from workbench.metrics.manifold import PrecisionRecall, precision_recall
from workbench.metrics.measurement import Measurement
from workbench.metrics.quantise import to_uint8
from workbench.metrics.reference import reference_statistics
from workbench.metrics.teacher_distance import TeacherDistance

__all__ = [
    "Alignment",
    "Appearance",
    "Batch",
    "ClipScore",
    "Coverage",
    "Diversity",
    "Extractor",
    "Features",
    "Frechet",
    "Kernel",
    "Measurement",
    "Metric",
    "Moments",
    "PrecisionRecall",
    "Quantity",
    "Reference",
    "TeacherDistance",
    "frechet_distance",
    "kernel_distance",
    "known_extractors",
    "make_extractor",
    "precision_recall",
    "reference_statistics",
    "to_uint8",
]
