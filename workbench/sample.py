"""Draw images for a prompt, with a distilled student or with a teacher.

python -m workbench.sample results/my-run "a red striped dress on a blue background" --steps 3 --grid out.png
python -m workbench.sample wardrobe "a green bag" "a white sandal" --steps 25 -n 8
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workbench.sample",
        usage="%(prog)s (RUN | TEACHER) PROMPT [PROMPT ...] [--steps N] [-n N] [--seed N] [--grid FILE]",
        description="Draw images: a row a prompt, a column a noise. The same seed gives every student and teacher of "
        "one latent shape the same noise, so two grids can be compared tile by tile.",
    )
    parser.add_argument(
        "who", metavar="RUN | TEACHER", help="a run's folder, a shipped teacher (wardrobe), or a folder"
    )
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="what to draw")
    parser.add_argument("--teacher", metavar="NAME", help="the same as TEACHER; then every word is a prompt")
    parser.add_argument("--steps", type=int, metavar="N", help="inference steps; default 3, for a teacher 25")
    parser.add_argument("-n", "--num-images", type=int, default=8, metavar="N", help="images a prompt, default 8")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise, default 0")
    parser.add_argument("--noise-correction", choices=("on", "off"), help="default: as in the run; off for a teacher")
    parser.add_argument("--guidance-scale", type=float, metavar="X", help="of a teacher; default: its own")
    parser.add_argument("--grid", type=Path, default=Path("samples.png"), metavar="FILE", help="default samples.png")
    parser.add_argument("--plugin", action="append", default=[], metavar="MODULE", help="allow classes of this module")
    return parser


def sample(
    prompts: Sequence[str],
    grid: Path,
    *,
    run_dir: Path | None = None,
    teacher: str | None = None,
    steps: int | None = None,
    num_images: int = 8,
    seed: int = 0,
    noise_correction: bool | None = None,
    guidance_scale: float | None = None,
    plugins: Sequence[str] = (),
    quiet: bool = True,
) -> float:
    """Write `grid` (a row a prompt, `num_images` columns) and return the seconds an image.

    Exactly one of run_dir and teacher. steps: None is 3 for a student, 25 for a teacher. Column j of every row starts
    from the same noise. Raises ValueError, one line, for what does not work.
    """
    import torch

    from workbench.config import allow_plugins, instantiate, resolve
    from workbench.diffusion import DPMSolverPP
    from workbench.evaluation.generator import teacher_generator
    from workbench.evaluation.pictures import save_png, tile
    from workbench.evaluation.progress import progress_bar
    from workbench.evaluation.quiet import quiet_libraries
    from workbench.evaluation.student import pick_device, read_config, student_generator
    from workbench.models import load_teacher

    if (run_dir is None) == (teacher is None):
        raise ValueError("Give either the folder of a run or a teacher.")
    if not prompts:
        raise ValueError('Give at least one prompt, for example "a red striped dress on a blue background".')
    if num_images < 1:
        raise ValueError(f"-n must be at least 1, but got {num_images}.")
    quiet_libraries()
    steps = (25 if teacher is not None else 3) if steps is None else steps
    if run_dir is None:
        assert teacher is not None
        model = load_teacher(teacher).to(pick_device("auto"))
        solver = DPMSolverPP(noise_correction=bool(noise_correction))
        generator = teacher_generator(model, steps, seed=seed, sampler=solver, guidance_scale=guidance_scale)
    else:
        if guidance_scale is not None:
            raise ValueError("--guidance-scale is a teacher's: a student runs unguided. Leave it out.")
        allow_plugins(plugins)
        config = instantiate(resolve(read_config(run_dir), {}, plugins))
        model = load_teacher(config.teacher.path).to(pick_device(config.train.accelerator))
        generator = student_generator(config, run_dir, model, steps, seed=seed, noise_correction=noise_correction)
    rows = []
    start = time.monotonic()
    with progress_bar(len(prompts) * num_images, quiet) as advance:
        for prompt in prompts:
            rows.append(generator.images([prompt] * num_images, range(num_images), "sample"))
            advance("sampling", num_images)
    elapsed = time.monotonic() - start
    save_png(tile(torch.cat(rows), columns=num_images), grid, prompts)
    return elapsed / (len(prompts) * num_images)


def _who(args: argparse.Namespace) -> tuple[Path | None, str | None, list[str]]:
    """(run, teacher, prompts): with --teacher the first word is a prompt like the others."""
    if args.teacher is not None:
        return None, args.teacher, [args.who, *args.prompts]
    from workbench.evaluation.student import run_or_teacher

    return *run_or_teacher(args.who), args.prompts


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for a mistake of the user."""
    args = _parser().parse_args(argv)
    try:
        run, teacher, prompts = _who(args)
        seconds = sample(
            prompts,
            args.grid,
            run_dir=run,
            teacher=teacher,
            steps=args.steps,
            num_images=args.num_images,
            seed=args.seed,
            noise_correction=None if args.noise_correction is None else args.noise_correction == "on",
            guidance_scale=args.guidance_scale,
            plugins=args.plugin,
            quiet=False,
        )
    except (ValueError, OSError) as error:
        print(f"workbench.sample: {error}", file=sys.stderr)
        return 2
    print(f"{args.grid}: {len(prompts)} x {args.num_images} images, {seconds:.3g} s an image")
    return 0


if __name__ == "__main__":
    sys.exit(main())
