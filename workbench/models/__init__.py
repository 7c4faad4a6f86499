"""Networks: denoisers, guidance, the teacher, students, EMA, prompt cache, closed-form teachers."""

from workbench.models.analytic import AnalyticDenoiser, GaussianDenoiser, GaussianMixtureDenoiser
from workbench.models.denoiser import Denoiser, UNetDenoiser
from workbench.models.ema import Ema
from workbench.models.guidance import GuidanceScale, GuidedDenoiser
from workbench.models.prompts import PromptCache
from workbench.models.student import FullStudent, LoRAStudent, StudentKind, load_trainable_state, trainable_state
from workbench.models.teacher import Teacher, load_process, load_teacher

__all__ = [
    "AnalyticDenoiser",
    "Denoiser",
    "Ema",
    "FullStudent",
    "GaussianDenoiser",
    "GaussianMixtureDenoiser",
    "GuidanceScale",
    "GuidedDenoiser",
    "LoRAStudent",
    "PromptCache",
    "StudentKind",
    "Teacher",
    "UNetDenoiser",
    "load_process",
    "load_teacher",
    "load_trainable_state",
    "trainable_state",
]
