"""Run: one training in one folder, from the configuration to the student's weights."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader
from transformers.utils import logging as transformers_logging

from workbench.cluster import adopt_task, is_further_rank
from workbench.config import dump, instantiate, load_yaml, training_part
from workbench.diffusion import Draws, NoiseProcess, Sampler
from workbench.distill.batches import Batches
from workbench.distill.checkpoint import load_checkpoint
from workbench.distill.diagnostics import Diagnostics
from workbench.distill.module import Distillation, Plan, Schedule
from workbench.distill.ranks import max_over_ranks, world_size
from workbench.distill.recorder import Recorder
from workbench.distill.state import Keyed
from workbench.distill.targets import Target
from workbench.files import write_atomically
from workbench.models import Teacher, load_teacher
from workbench.snapshots import STUDENT, snapshot_file, snapshot_update
from workbench.training.clock import CLOCK, read_clock
from workbench.training.errors import RunFolderError, Stopped
from workbench.training.guards import owned, quiet_lightning
from workbench.training.identity import config_hash, flat, what_decides
from workbench.training.keeper import Keeper
from workbench.training.lost_ranks import ends_with_its_ranks
from workbench.training.preflight import check_training, reads_images, student_grids
from workbench.training.progress import Progress
from workbench.training.provenance import provenance
from workbench.training.weights import write_student

SAMPLE_STEPS = (1, 2, 3)  # columns of a sample grid; and what the student is trained for beyond them


class Run:
    """See workbench.train.run.

    Raises:
        ConfigError: a plug-in nobody allowed, an argument out of its range, more devices than there are, no such
            teacher, or parts that do not fit its schedule.
    """

    def __init__(
        self,
        resolved: dict[str, Any],
        folder: Path,
        stop: Callable[[], bool] | None = None,
        quiet: bool = False,
        on_update: Callable[[Distillation], None] | None = None,
        final_checkpoint: bool = True,
    ) -> None:
        self.resolved = resolved
        self.config = instantiate(resolved)
        self.folder = folder
        self.stop = stop
        self.quiet = quiet
        self.on_update = on_update  # see Keeper; it may look, but not touch
        self.final_checkpoint = final_checkpoint
        self.provenance: dict[str, Any] = {}
        check_training(self.config)
        train = self.config.train
        self.processes = train.devices * train.num_nodes
        # The other ranks are this very command, started by Lightning with LOCAL_RANK set, or by srun.
        if self.processes > 1:
            adopt_task(os.environ, self.processes)
        self.is_main = self.processes == 1 or not is_further_rank(os.environ)

    def train(self) -> None:
        """Start or go on; returns when the student is trained and written. Errors as in workbench.train.run."""
        if not self.is_main:
            self._train()
            return
        with owned(self.folder):
            self._check_folder()
            if (self.folder / STUDENT).exists():
                return  # it is written last
            dump(self.resolved, self.folder / "config.yaml")
            self._train()

    # ---- the folder --------------------------------------------------------------------------------------------------

    def _check_folder(self) -> None:
        file = self.folder / "config.yaml"
        if not file.exists() or not (self.folder / "last.ckpt").exists():
            return
        theirs, ours = flat(what_decides(load_yaml(file))), flat(what_decides(self.resolved))
        different = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
        if different:
            raise RunFolderError(
                f"{self.folder} holds another run: {different[0]} is {theirs.get(different[0])!r} there, "
                f"{ours.get(different[0])!r} here ({len(different)} settings differ). Use another --run-dir."
            )

    # ---- the training ------------------------------------------------------------------------------------------------

    def _train(self) -> None:
        began = time.time()
        earlier = read_clock(self.folder)
        config = self.config
        if config.train.threads is not None:
            torch.set_num_threads(config.train.threads)
        transformers_logging.disable_progress_bar()
        teacher = load_teacher(config.teacher.path)
        if config.teacher.guidance_scale is not None:
            teacher.guidance_scale = config.teacher.guidance_scale
        trainer = self._trainer()
        if teacher.device != trainer.strategy.root_device:
            teacher.to(trainer.strategy.root_device)
        if config.train.precision == "64-true":
            teacher.to(dtype=torch.float64)
        state = load_checkpoint(self.folder, set_aside=self.is_main)
        module, draws = self._module(teacher, state["tick"] if state else 0)
        if self.is_main:
            self.provenance = provenance(teacher.sha256)
            self._write_json("provenance.json", self.provenance)
        if state is not None and state.get("teacher") != teacher.sha256:
            raise RunFolderError(
                f"{self.folder}: the checkpoint was made with another teacher than {teacher.path} (SHA-256 differs). "
                "Use another --run-dir."
            )
        keeper = self._prepare(module, teacher, draws, state, lambda: earlier + time.time() - began)
        if state is not None and self.is_main:
            updates = f"student update {module.update} of {module.plan.schedule.updates}"
            print(f"Going on after {updates} (tick {module.tick} of {module.total_ticks}).", file=sys.stderr)
        if module.tick < module.total_ticks:
            if state is None:
                keeper.begin()
            ticks: Any = list(range(module.tick, module.total_ticks))
            loader: DataLoader = DataLoader(ticks, batch_size=None)
            with quiet_lightning(), ends_with_its_ranks(lambda: getattr(trainer.strategy.launcher, "procs", ())):
                trainer.fit(module, loader)
        module.recorder.flush()
        if keeper.stopped:
            module.recorder.close()
            raise Stopped(
                f"{self.folder}: stopped after student update {module.update} of {module.plan.schedule.updates}. "
                "The same command goes on."
            )
        if self.is_main:
            self._finish(module, teacher, began, earlier)

    def _trainer(self) -> pl.Trainer:
        train = self.config.train
        with quiet_lightning():
            return pl.Trainer(
                accelerator=train.accelerator,
                devices=train.devices,
                num_nodes=train.num_nodes,
                strategy="ddp" if self.processes > 1 else "auto",
                precision=train.precision,
                # Inherited variables of SLURM would change the world size, and Lightning's environment for it takes
                # SIGUSR1 for an order to requeue the whole job. What srun does say, adopt_task has read.
                plugins=[LightningEnvironment()],
                max_epochs=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[_Launched(self.processes, train.threads, config_hash(self.resolved))],
                use_distributed_sampler=False,  # every rank sees every tick, and takes its share of the batch
            )

    def _module(self, teacher: Teacher, resume_tick: int) -> tuple[Distillation, Draws]:
        config, process = self.config, teacher.process
        model, train = config.model, config.train
        draws = Draws(config.seed)
        grids = student_grids(config, process)
        for loss in model.losses.values():
            loss.prepare(teacher, draws)
        _warn_of_idle_noise_correction(model.sampler, process, model.num_steps)
        with torch.random.fork_rng(devices=[]):  # LoRA's first weights: of the run's seed, on every rank
            torch.manual_seed(int(draws.one("student", 0).integers(2**62)))
            student = model.student.make(teacher)
        module = Distillation(
            student=student,
            teacher=teacher,
            batches=Batches(config.data, teacher, draws, train.batch_size, reads_images(config)),
            trajectory=model.trajectory,
            sampler=model.sampler,
            losses=model.losses,
            optimizer=train.optimizer,
            plan=Plan(
                grids=grids,
                schedule=Schedule(train.learning_rate, train.student_updates, train.warmup_updates, train.schedule),
                ema_decay=model.ema.decay,
                gradient_clip=train.gradient_clip,
                log_every=train.log_every,
            ),
            draws=draws,
            recorder=Recorder(self.folder if self.is_main else None, resume_tick),
        )
        return module, draws

    def _prepare(
        self,
        module: Distillation,
        teacher: Teacher,
        draws: Draws,
        state: dict[str, Any] | None,
        clock: Callable[[], float],
    ) -> Keeper:
        """Measure what must be known before training, or take it from the checkpoint; then everything between ticks."""
        config = self.config
        model, train = config.model, config.train
        measurements = self._measure(module, teacher, draws, state)
        if state is not None:
            try:
                module.load_training_state(state)
            except torch.OutOfMemoryError:
                raise
            except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                raise RunFolderError(
                    f"{self.folder}: the checkpoint is whole, but not one of this training ({type(error).__name__}: "
                    f"{' '.join(str(error).split())[:200]}). Use another --run-dir, or remove it to start again."
                ) from error
        has_images = config.data.has_images and train.probe_every > 0
        probe = self._diagnostics(module, teacher, draws, "probe", train.probe_samples)
        shown = _spread_indices(len(config.data), train.sample_prompts)
        keeper = Keeper(
            module,
            self.folder if self.is_main else None,
            {"teacher": teacher.sha256, "measurements": measurements},
            checkpoint_seconds=60 * train.checkpoint_minutes,
            sample_every=train.sample_every,
            sample_cond=module.batches.cond(shown),
            sample_random=Keyed(draws, 0, shown, teacher.device, "samples/"),
            sample_grids=_sample_grids(model.grid, teacher.process, model.num_steps),
            probe_every=train.probe_every,
            diagnostics=probe,
            probe_latents=module.batches.latents(probe.indices) if has_images else None,
            snapshots={
                snapshot_update(share, train.student_updates): self.folder / snapshot_file(share)
                for share in train.snapshots
            },
            on_save=lambda: self._write_json(CLOCK, {"seconds": round(clock(), 1)}),
            stop=self.stop,
            progress=Progress(
                train.student_updates, module.update, sys.stderr if self.is_main and not self.quiet else None
            ),
            on_update=self.on_update,
            final_checkpoint=self.final_checkpoint,
        )
        return keeper

    def _measure(
        self, module: Distillation, teacher: Teacher, draws: Draws, state: dict[str, Any] | None
    ) -> dict[str, list[float]]:
        """Spreads that calibrated parts asked for, by loss; asked again after a restart, they get the same answers."""
        waiting = {name: loss for name, loss in module.losses.items() if loss.needs_calibration}
        samples = self.config.train.reference_samples or (16 if waiting else 0)
        if not samples:
            return {}
        diagnostics = self._diagnostics(module, teacher, draws, "reference", samples)
        if state is not None:
            measurements: dict[str, list[float]] = state.get("measurements") or {}
            if any(name not in measurements for name in waiting):
                raise RunFolderError(f"{self.folder}: the checkpoint lacks measurements. Remove it to start again.")
            for name, loss in waiting.items():
                loss.calibrate(_replay(measurements[name]), teacher.process, diagnostics.times)
            return measurements
        states = diagnostics.states()
        module.teacher_std = diagnostics.teacher_std(states)
        spread = diagnostics.spread(states, module.teacher_std)
        measurements = {}
        for name, loss in waiting.items():
            answered: list[float] = []
            measurements[name] = answered

            def ask(target: Target, t: int, answered: list[float] = answered) -> float:
                answered.append(spread(target, t))
                return answered[-1]

            loss.calibrate(ask, teacher.process, diagnostics.times)
        if self.is_main:
            found = {name: [str(target) for target in loss.targets] for name, loss in waiting.items()}
            self._write_json("calibration.json", {"teacher_std": module.teacher_std, "targets": found})
        return measurements

    def _diagnostics(
        self, module: Distillation, teacher: Teacher, draws: Draws, stream: str, samples: int
    ) -> Diagnostics:
        indices = _spread_indices(len(self.config.data), samples)
        random = Keyed(draws, 0, indices, teacher.device, f"{stream}/")
        cond = module.batches.cond(indices)
        return Diagnostics(
            teacher,
            module.student,
            module.plan.grids,
            module.sampler,
            cond,
            teacher.latent_shape,
            random,
            module.copies,
        )

    def _finish(self, module: Distillation, teacher: Teacher, began: float, earlier: float) -> None:
        latest = {f"final/{tag}": value for tag, value in module.recorder.latest.items()}
        module.recorder.hparams(flat(training_part(self.resolved)), latest)
        module.recorder.close()
        self._write_json(
            "provenance.json",
            {
                **self.provenance,  # of this start, whose code it is
                "student_updates": module.update,
                "seconds_since_last_start": round(time.time() - began, 1),
                "training_seconds": round(earlier + time.time() - began, 1),
            },
        )
        write_student(module, self.folder / STUDENT, teacher.sha256)

    def _write_json(self, name: str, value: dict[str, Any]) -> None:
        text = json.dumps(value, indent=1) + "\n"
        write_atomically(self.folder / name, lambda path: _write_text(path, text))


class _Launched(pl.Callback):
    """Right after Lightning has started the ranks."""

    def __init__(self, processes: int, threads: int | None, config: int) -> None:
        self._processes = processes
        self._threads = threads
        self._config = config  # a hash of it

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if world_size() != self._processes:
            raise RuntimeError(
                f"train: {self._processes} processes were asked for (devices x num_nodes), but there are "
                f"{world_size()}. An inherited environment (SLURM_*, WORLD_SIZE, LOCAL_RANK) is the usual reason."
            )
        ours = torch.tensor([self._config, -self._config], device=trainer.strategy.root_device)
        largest, negative = max_over_ranks(ours).tolist()
        if largest != -negative:  # every rank has read files by itself
            raise RuntimeError("train: the processes have read different configurations. Start the same command again.")
        if self._threads is not None:
            torch.set_num_threads(self._threads)  # the launcher sets its own


def _replay(answers: list[float]) -> Callable[[Target, int], float]:
    """The answers of an earlier measurement, in the order in which they were asked for."""
    remaining = iter(answers)
    return lambda target, t: next(remaining)


def _sample_grids(grid: Any, process: NoiseProcess, num_steps: list[int]) -> list[list[int]]:
    """1, 2 and 3 steps, and more if it is trained for more; a grid without them (ExplicitGrid) is shown as it is
    trained."""
    found = []
    more = sorted({n for n in num_steps if n > max(SAMPLE_STEPS)})
    for n in (*SAMPLE_STEPS, *more):
        try:
            found.append(grid.timesteps(process, n))
        except ValueError:
            continue
    return found or [grid.timesteps(process, n) for n in num_steps]


def _spread_indices(length: int, count: int) -> tuple[int, ...]:
    """`count` indices spread over 0 .. length - 1; some repeat where there are fewer."""
    return tuple(i * length // count for i in range(count))


def _warn_of_idle_noise_correction(sampler: Sampler, process: NoiseProcess, num_steps: list[int]) -> None:
    if sampler.noise_correction and process.alpha_T == 0:
        warnings.warn(
            "model.sampler.noise_correction: on changes nothing with this teacher (alpha_T = 0: the implied noise "
            "already is x_T). Its results will equal those of off.",
            stacklevel=2,
        )
    elif sampler.noise_correction and max(num_steps) == 1:
        warnings.warn(
            "model.sampler.noise_correction: on changes nothing with num_steps: [1]: there is no second step.",
            stacklevel=2,
        )


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
