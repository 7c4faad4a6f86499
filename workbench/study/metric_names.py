"""Which metrics a table can ask for."""

from __future__ import annotations

from workbench.study.errors import did_you_mean

# Of features: the name stands before the extractor's in brackets, as FD[judge]; FID and KID are those of Inception.
OF_FEATURES = ("FD", "KD", "FID", "KID", "precision", "recall", "coverage", "diversity", "teacher/distance", "CLIP")
APPEARANCE = ("colourfulness", "saturation", "contrast", "brightness", "high_frequency_energy")
ALIGNMENT = ("colour", "shape", "texture", "spatial", "background", "complex", "binding", "swapped")
PLAIN = (
    *APPEARANCE,
    "teacher/mse",
    "teacher/psnr",
    *(f"teacher/{name}" for name in APPEARANCE),
    *(f"align/{name}" for name in ALIGNMENT),
)


def check_metric(name: str) -> None:
    """Raises ValueError for a metric that no evaluation gives, with the nearest one that some do."""
    family, bracket, rest = name.partition("[")
    if bracket and family in OF_FEATURES and "]" in rest:
        return
    plain = name.removesuffix("/seen").removesuffix("/unseen")
    if plain in PLAIN or name in ("FID", "KID"):
        return
    if name in OF_FEATURES:
        raise ValueError(f"{name} is measured on features: name the extractor, as {name}[judge].")
    known = [*PLAIN, "FID", "KID", *(f"{family}[judge]" for family in OF_FEATURES if family not in ("FID", "KID"))]
    raise ValueError(f"there is no metric {name!r}.{did_you_mean(name, known)}")


def check_direction(name: str, direction: str) -> None:
    """Raises ValueError unless `direction` is min, max or zero, and zero for a signed difference to the teacher."""
    if name in tuple(f"teacher/{look}" for look in APPEARANCE) and direction != "zero":
        raise ValueError(f"{name} is a signed difference to the teacher, best at 0: write zero, not {direction}.")
    if direction not in ("min", "max", "zero"):
        raise ValueError(
            f"{name} must be min or max, whichever is better, or zero (the nearer the better), but is {direction!r}."
        )
