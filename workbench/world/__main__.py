"""python -m workbench.world: make the shipped assets again. Each command resumes if it is started again."""

from __future__ import annotations

import argparse
from pathlib import Path

TEACHER = Path(__file__).resolve().parents[1] / "assets" / "teachers" / "wardrobe"


def parser() -> argparse.ArgumentParser:
    """The command line: one sub-command an asset."""
    top = argparse.ArgumentParser(
        prog="python -m workbench.world",
        description="Make the shipped assets again, in this order. A command that was stopped goes on where it was.",
    )
    verbs = top.add_subparsers(dest="verb", required=True)

    def verb(
        name: str, text: str, steps: int | None, learning_rate: float | None, batch_size: int = 64
    ) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
        if steps is not None:
            sub.add_argument("--steps", type=int, default=steps, help="optimiser steps (default: %(default)s)")
            sub.add_argument("--batch-size", type=int, default=batch_size, help="images a step (default: %(default)s)")
            sub.add_argument("--learning-rate", type=float, default=learning_rate, help="peak (default: %(default)s)")
        return sub

    verb("garments", "choose garments out of Fashion-MNIST and divide them into folds", None, None).add_argument(
        "folder", type=Path, help="the folder of Fashion-MNIST's four .gz files"
    )
    verb("vae", "train the VAE", 800, 2e-3)
    verb("leak", "how much of a real image can be read from the noisiest state, for several schedules", None, None)
    teacher = verb("teacher", "train the UNet and the text encoder, and write the diffusers folder", 24_000, 1e-3)
    teacher.add_argument("--from-shipped", action="store_true", help="begin with the shipped weights, not random ones")
    verb("export", "write the teacher's folder from the last checkpoint of its training", None, None)
    verb("judge", "train the judge", 6000, 2e-3)
    verb("clip", "train the judge's CLIP", 1500, 1e-3, batch_size=96)
    measure = verb("measure", "choose the teacher's guidance scale, score it, write workbench.json", None, None)
    measure.add_argument("--num-images", type=int, default=500, help="images a figure (default: %(default)s)")
    return top


def main(argv: list[str] | None = None) -> None:
    """Run one command."""
    args = parser().parse_args(argv)
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        print(run(args))
    except ValueError as error:
        raise SystemExit(f"workbench.world {args.verb}: {error}") from None


def run(args: argparse.Namespace) -> object:
    """Dispatch; imports only what the command needs."""
    if args.verb == "garments":
        from workbench.world import garments

        return garments.make(args.folder)
    if args.verb == "leak":
        from workbench.world import leak

        return "\n".join(f"{key}: {value}" for key, value in leak.table(TEACHER).items())
    if args.verb == "measure":
        from workbench.world import measure

        return measure.measure(TEACHER, args.num_images)
    if args.verb == "export":
        from workbench.world import teacher

        return teacher.export(TEACHER)
    options = {"steps": args.steps, "batch_size": args.batch_size, "learning_rate": args.learning_rate}
    if args.verb == "vae":
        from workbench.world import vae

        return vae.train(TEACHER / "vae", **options)
    if args.verb == "teacher":
        from workbench.world import teacher

        return teacher.train(TEACHER, from_shipped=args.from_shipped, **options)
    if args.verb == "judge":
        from workbench.world import judge

        return judge.train(**options)
    from workbench.world import clip

    return clip.train(**options)


if __name__ == "__main__":
    main()
