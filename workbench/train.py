"""Train one student: `python -m workbench.train --config sweeps/base/wardrobe.yaml`. See --help."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.distill.module import Diverged
    from workbench.training.errors import RunFolderError, Stopped

__all__ = ["Diverged", "RunFolderError", "Stopped", "main", "run"]

HELP = """\
usage: python -m workbench.train --config FILE [--run-dir DIR] [--KEY VALUE ...]

Distil one student from one teacher, as a YAML file says. The same command again goes on where the run stopped.

  --config FILE     the configuration; sweeps/base/wardrobe.yaml is written out in full, with comments
  --run-dir DIR     where everything goes; by default results/runs/<name of FILE>-<hash of the configuration>
  --plugin MODULE   let the configuration name classes of this module (it is imported, so trust it); may be repeated
  --quarantine      leave out images of the data that are broken, instead of naming them and stopping (status 65)
  --print-config    print the complete configuration and stop
  --list            print every class that can be named, with its arguments, and stop
  --quiet           no progress
  -h, --help        this text

Every setting can be changed on the command line. A KEY is the path of the setting in the file, with dots:

  --train.student_updates 300                               a setting
  --model.num_steps 3                                       one number of steps instead of a draw from [1, 2, 3]
  --model.sampler.noise_correction off                      an argument of the class that is there
  --model.losses.reconstruction.target.shift.factor 0.5     the same, deeper
  --model.trajectory Forward                                another class, with its defaults
  --model.losses.reconstruction.target.shift "{class_path: OffsetShift, offset: -0.2}"      ... with arguments
  --model.losses.adversarial Adversarial                    one more loss
  --model.losses.adversarial null                           one loss less

Examples
  a look in a minute         --train.student_updates 20 --train.sample_every 10
  a published method         --config sweeps/methods/lcm.yaml (and others there; such a file holds base: and set:)
  your own teacher           --teacher.path /path/to/sd --data "{class_path: PromptFile, path: prompts.txt}"
  two processes on the CPU   --train.devices 2 --train.accelerator cpu

The run folder: config.yaml (complete), metrics.jsonl (a line an update), tb/ (tensorboard --logdir), samples/*.png (the
same noise at every look; a row a caption, a column 1, 2, 3 steps), last.ckpt, student.safetensors (the averaged
weights, written at the end), provenance.json. A file STOP in it, or Ctrl-C once, saves and stops after the current
update.

Next: python -m workbench.evaluate DIR · python -m workbench.sample DIR "a red dress" · python -m workbench.sweep FILE
"""


def run(
    config: dict[str, Any], run_dir: Path | str, *, stop: Callable[[], bool] | None = None, quiet: bool = False
) -> None:
    """Train as `config` (from workbench.config.resolve) says, into `run_dir`; go on if there is a checkpoint there.

    Writes config.yaml, provenance.json, metrics.jsonl, tb/, last.ckpt, samples/ and, at the end, student.safetensors.
    With several devices every rank runs this function; Lightning starts the others by repeating this process' command.

    Args:
        stop: asked after every update; True saves and raises Stopped.
        quiet: no progress on stderr.

    Raises:
        Stopped: `stop` said so.
        Diverged: something is not finite; what was measured is written, the last checkpoint is a sound one.
        ConfigError, ValueError: the configuration cannot work with this teacher or data.
        RunFolderError: the folder belongs to another configuration or process.
    """
    from workbench.training.run import Run

    Run(config, Path(run_dir), stop=stop, quiet=quiet).train()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 done, 2 wrong input, 3 diverged, 65 broken images, 74 the disk, 75
    stopped (go on later)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    from workbench.config import ConfigError

    try:
        return _main(arguments)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _main(arguments: list[str]) -> int:
    from workbench.cluster import is_further_rank
    from workbench.config import ConfigError, catalogue, instantiate, resolve, to_yaml
    from workbench.data.image_file import BrokenImage
    from workbench.distill.module import Diverged
    from workbench.files import EXIT_BROKEN, BrokenImages
    from workbench.training.command import default_run_dir, parse, stop_on_interrupt
    from workbench.training.errors import Stopped
    from workbench.training.images import ImageCheck, left_out_before
    from workbench.training.preflight import check_training

    command = parse(arguments)
    if command.list:
        print(catalogue())
        return 0
    if command.config is None:
        raise ConfigError("--config is missing. Try --config sweeps/base/wardrobe.yaml, or --help.")
    config = resolve(command.config, command.overrides, command.plugins)
    if command.quarantine or not command.print_config:
        check_training(instantiate(config))  # costs nothing, while a data set may take minutes
        if command.quarantine and command.run_dir and (names := left_out_before(command.run_dir)):
            config = resolve(config, {"data.quarantine": names}, command.plugins)
        lists = (command.run_dir or default_run_dir(command.config, config)).parent
        say = _say if not is_further_rank(os.environ) else _nothing
        try:
            config = ImageCheck(command.quarantine, lists, say)(config)
        except BrokenImages as error:
            print(f"error: {error}", file=sys.stderr)
            return EXIT_BROKEN
    if command.print_config:
        print(to_yaml(config), end="")
        return 0
    run_dir = command.run_dir or default_run_dir(command.config, config)
    was_finished = (run_dir / "student.safetensors").exists()
    try:
        with stop_on_interrupt() as interrupted:
            run(config, run_dir, stop=lambda: interrupted() or (run_dir / "STOP").exists(), quiet=command.quiet)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 75
    except Diverged as diverged:
        print(f"error: {run_dir}: {diverged} Try a lower train.learning_rate.", file=sys.stderr)
        return 3
    except BrokenImage as error:  # it was sound when the run began
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BROKEN
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {run_dir}: {error}. Checkpoints that were there are whole.", file=sys.stderr)
        return 74
    if not command.quiet and os.environ.get("LOCAL_RANK", "0") == "0":
        done = "is finished already; nothing was trained" if was_finished else "is finished"
        print(
            f"{run_dir} {done}. Next: python -m workbench.evaluate {run_dir}, or python -m workbench.sample {run_dir} "
            '"a red dress"'
        )
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _nothing(line: str) -> None:
    """The first rank says it."""


def __getattr__(name: str) -> Any:
    # These live where torch is imported, which costs seconds that --help should not.
    if name == "Diverged":
        from workbench.distill.module import Diverged

        return Diverged
    if name in ("RunFolderError", "Stopped"):
        from workbench.training import run as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    sys.exit(main())
