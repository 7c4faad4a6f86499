"""Score a run, a teacher, real images, or the student that would fit a configuration's target exactly.

    python -m workbench.evaluate results/my-run
    python -m workbench.evaluate results/my-run --steps 1 --noise-correction off
    python -m workbench.evaluate --teacher wardrobe --steps 25
    python -m workbench.evaluate --real
    python -m workbench.evaluate --exact sweeps/methods/forward_distillation.yaml --steps 3

`evaluate` is the same as a function, for a sweep.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def evaluate(
    config: Mapping[str, Any],
    run_dir: Path | None,
    out_dir: Path,
    *,
    quiet: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """Score what `config["evaluation"]` asks for and return name -> value.

    config: a resolved config (`workbench.config.resolve`). run_dir: the student's run, unused for other subjects.
    Writes to out_dir: grid.png (the first prompts; the same noise for every arm), features.safetensors (per image, so
    that a bootstrap needs no model) and, last, evaluation.json with settings, metrics, n, hashes and seconds.
    In a process group every rank draws its share, every rank returns the whole result, and rank 0 writes.
    on_progress hears the share done, 0 to 1, after every batch.
    Raises ValueError, one line, for settings, weights or data that do not work.
    """
    from workbench.evaluation.run import evaluate_run

    return evaluate_run(config, run_dir, out_dir, quiet=quiet, on_progress=on_progress)


EXTRACTORS = "judge, efficientnet-lite0, inception:FILE, clean-fid:FOLDER, clip:FOLDER"  # --help loads no torch


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workbench.evaluate",
        description="Score a run, a teacher or real images: Frechet and kernel distance, recall, alignment, CLIP "
        "score, colour, distance to the teacher. Prints the figures; files go to --out.",
        epilog="Settings that are not given are those of the run's config.yaml (evaluation: ...). Real images and the "
        "teacher's images are cached in $WORKBENCH_CACHE (default ~/.cache/workbench).",
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("run", nargs="?", type=Path, help="folder of a run of workbench.train")
    who.add_argument(
        "--teacher", metavar="NAME", help="score a teacher: a shipped name (wardrobe) or a diffusers folder"
    )
    who.add_argument("--real", action="store_true", help="score real images against real images: the floor of a table")
    who.add_argument(
        "--exact",
        metavar="FILE",
        type=Path,
        help="score the student that fits the reconstruction target of this configuration exactly, without a training: "
        "what the target asks for. A file as for workbench.train, or a run; its other losses are left out",
    )
    parser.add_argument(
        "--steps", type=int, dest="num_inference_steps", metavar="N", help="network evaluations in time"
    )
    parser.add_argument("--noise-correction", choices=("on", "off"), help="at inference, whatever training did")
    parser.add_argument("--guidance-scale", type=float, metavar="X", help="of --teacher; default: its own")
    parser.add_argument(
        "--num-images", type=int, metavar="N", help="at least 500 for a Frechet distance that means much"
    )
    parser.add_argument("--prompts", metavar="NAME", help="report, tune, or a text file with one prompt a line")
    parser.add_argument("--extractors", nargs="+", metavar="NAME", help=EXTRACTORS)
    parser.add_argument("--batch-size", type=int, metavar="N", help="images a pass")
    parser.add_argument("--seed", type=int, metavar="N", help="of the evaluation's noise")
    parser.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="any other key of the config"
    )
    parser.add_argument("--plugin", action="append", default=[], metavar="MODULE", help="allow classes of this module")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: below the run, or evaluations/ here")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


SETTINGS = ("num_inference_steps", "guidance_scale", "num_images", "prompts", "extractors", "batch_size", "seed")


def _config(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.config import allow_plugins, parse_yaml, resolve
    from workbench.evaluation.student import read_config

    allow_plugins(args.plugin)
    given = {f"evaluation.{name}": getattr(args, name) for name in SETTINGS if getattr(args, name) is not None}
    if args.noise_correction is not None:
        given["evaluation.noise_correction"] = args.noise_correction == "on"
    if args.teacher is not None:
        given["teacher.path"] = args.teacher
    if args.guidance_scale is not None and args.teacher is None:
        raise ValueError("--guidance-scale belongs to --teacher: a student runs unguided, real images are not drawn.")
    given["evaluation.subject"] = _subject(args)
    given |= {key: parse_yaml(value, f"--set {key}") for key, value in args.set}
    if args.exact is not None and not args.exact.is_dir():
        return resolve(args.exact, given, args.plugin)
    run = args.run if args.exact is None else args.exact
    return resolve(read_config(run) if run is not None else {}, given, args.plugin)


def _subject(args: argparse.Namespace) -> str:
    if args.exact is not None:
        return "target"
    return "teacher" if args.teacher is not None else "real" if args.real else "student"


def _folder(args: argparse.Namespace, evaluation: Mapping[str, Any]) -> Path:
    if args.out is not None:
        return args.out
    name = "real" if args.real else f"{evaluation['num_inference_steps']}-steps"
    if evaluation["noise_correction"] is not None and not args.real:
        name += f"-noise-correction-{'on' if evaluation['noise_correction'] else 'off'}"
    if args.run is not None:
        return args.run / "evaluations" / name
    from workbench.files import as_file_name

    if args.exact is not None:
        of = args.exact.resolve().name if args.exact.is_dir() else args.exact.stem
        return Path("evaluations") / f"{as_file_name(of)}-exact-{name}"
    return Path("evaluations") / (name if args.real else f"{as_file_name(Path(args.teacher).name)}-{name}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for a mistake of the user."""
    args = _parser().parse_args(argv)
    from workbench.files import refuse_links

    try:
        config = _config(args)
        out_dir = _folder(args, config["evaluation"])
        refuse_links(out_dir if args.run is None or args.out is not None else args.run)
        values = evaluate(config, args.run, out_dir, quiet=args.quiet)
    except (ValueError, OSError) as error:
        print(f"workbench.evaluate: {error}", file=sys.stderr)
        return 2
    width = max(map(len, values))
    for name, value in values.items():
        print(f"{name:<{width}}  {value:.5g}")
    print(f"{config['evaluation']['num_images']} images; {out_dir}/evaluation.json, grid.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
