"""Distillation: the training step, and nothing else. It never names a loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor

from workbench.diffusion import Draws, Prediction, Sampler
from workbench.distill.batches import Batch, Batches
from workbench.distill.checkpoint import is_finite
from workbench.distill.copies import Copies
from workbench.distill.losses import Loss
from workbench.distill.optimizers import OptimizerKind
from workbench.distill.ranks import max_over_ranks, mean_over_ranks, world_size
from workbench.distill.recorder import Recorder
from workbench.distill.state import Keyed, State
from workbench.distill.trajectories import Start, Trajectory
from workbench.distill.update import Update
from workbench.models import Ema, Teacher, UNetDenoiser, load_trainable_state, trainable_state


class Diverged(RuntimeError):
    """A loss, a gradient or a weight is not finite; `step` is the last student update that was still sound."""

    def __init__(self, step: int) -> None:
        super().__init__(f"diverged after student update {step}: a gradient or a weight is not finite.")
        self.step = step


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Learning rate over the student updates: linear warm-up, then a cosine to 0 or a constant."""

    learning_rate: float
    updates: int
    warmup_updates: int = 10
    shape: Literal["cosine", "constant"] = "cosine"

    def __call__(self, update: int) -> float:
        """The rate of update number `update`, counted from 0. A warm-up as long as the run is cut to half of it."""
        warmup = min(self.warmup_updates, self.updates // 2)
        if update < warmup:
            return self.learning_rate * (update + 1) / (warmup + 1)
        if self.shape == "constant":
            return self.learning_rate
        share = (update - warmup) / max(1, self.updates - warmup)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2


@dataclasses.dataclass(frozen=True)
class Plan:
    """The numbers of a training.

    Fields:
        grids: the student's list of times for each number of steps; one is drawn for every tick.
        schedule: of the learning rate; its `updates` is the length of the training.
        ema_decay: of the student's average.
        gradient_clip: largest norm of the student's gradient, or None.
        log_every: student updates between two writes.
    """

    grids: tuple[tuple[int, ...], ...]
    schedule: Schedule
    ema_decay: float = 0.98
    gradient_clip: float | None = 1.0
    log_every: int = 10


class Distillation(pl.LightningModule):
    """One tick: a batch, a trajectory, at each of its states the losses and their critics, and one student update.

    A tick before `warmup_ticks` trains critics only. Losses are judged at the student's x0 as a leaf (see Update);
    their gradients there are added up and passed through the student's network once a state. Only the student is
    registered, so that DDP, checkpoints and `parameters()` know nothing else: the teacher is frozen, and each loss owns
    its networks.

    Args:
        student: trained in place.
        teacher: frozen; on the student's device when training starts.
        batches: tick -> samples.
        trajectory, sampler, losses: the parts that an ablation varies; losses by name.
        optimizer: of the student.
        plan: numbers.
        draws: the run's randomness.
        recorder: where scalars go.
    """

    def __init__(
        self,
        student: UNetDenoiser,
        teacher: Teacher,
        batches: Batches,
        trajectory: Trajectory,
        sampler: Sampler,
        losses: Mapping[str, Loss],
        optimizer: OptimizerKind,
        plan: Plan,
        draws: Draws,
        recorder: Recorder,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.student = student
        self.teacher = teacher  # no module: it is not registered
        self.batches = batches
        self.trajectory = trajectory
        self.sampler = sampler
        self.losses = dict(
            losses
        )  # a dict hides the modules from DDP, whose reducer would wait for the critics' gradients
        self.plan = plan
        self.draws = draws
        self.recorder = recorder
        self.tick = 0  # the next tick
        self.teacher_std: dict[int, float] = {}  # t -> std(teacher at 25 steps), if it was measured
        self.trainable = [p for p in student.parameters() if p.requires_grad]
        self.student_optimizer = optimizer.make(self.trainable, plan.schedule.learning_rate)
        self.ema = Ema(student, plan.ema_decay)
        wanted = [kind for loss in self.losses.values() for kind in loss.copies]
        self.copies = Copies.of(student, [*trajectory.copies, *wanted])
        self._start = self._start_weights()
        self._signal: Tensor | None = None
        # (stop, save) as this process wishes; asked after every tick
        self.wants: Callable[[], tuple[bool, bool]] = lambda: (False, False)
        # (stop, save) as some process wished; called on every rank after a tick, False ends the training
        self.after_tick: Callable[[bool, bool], bool] = lambda stop, save: not stop

    # ---- counting ----------------------------------------------------------------------------------------------------

    @property
    def warmup_ticks(self) -> int:
        """Ticks before the first student update."""
        return max(loss.warmup_ticks for loss in self.losses.values())

    @property
    def total_ticks(self) -> int:
        """Warm-up and student updates."""
        return self.warmup_ticks + self.plan.schedule.updates

    @property
    def update(self) -> int:
        """Student updates that are done."""
        return max(0, self.tick - self.warmup_ticks)

    @property
    def progress(self) -> float:
        """The share of the student updates that are done."""
        return self.update / self.plan.schedule.updates

    # ---- Lightning ---------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> None:
        """None: optimisers are stepped by hand, and Lightning's step counter, which counts all of them, is not used."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        if self._signal is None:  # nothing has been done yet
            return None
        return None if self.after_tick(*self._read_signal()) else -1  # -1 ends the epoch, and training is one epoch

    def on_train_epoch_end(self) -> None:
        if self.tick == self.total_ticks and self._signal is not None:
            self.after_tick(*self._read_signal())

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Tick number `batch`."""
        assert int(batch) == self.tick, (batch, self.tick)
        is_warmup = self.tick < self.warmup_ticks
        samples = self.batches.share(self.tick, self.global_rank, world_size())
        self.copies.begin(self.trajectory.stage(self.progress))
        visited: list[tuple[int, dict[str, Tensor | float]]] = []
        num_steps = 0
        for state, is_last, answer in self._walk(self._begin(samples)):
            num_steps = len(state.timesteps)
            visited.append((state.timestep, self._visit(state, samples.latents, is_warmup, is_last, answer)))
        where = {"update": self.update, "tick": self.tick, "num_steps": num_steps}
        scalars = visited[-1][1]  # what is known once a tick stands in the last state's row
        finite = torch.ones((), device=self.device)
        if not is_warmup:
            norm = self._step(len(visited))
            where["update"] += 1
            scalars |= {"gradient_norm": norm, "learning_rate": self.plan.schedule(self.update)}
            finite = norm.isfinite().float()
            if where["update"] % self.plan.log_every == 0 or self.tick + 1 == self.total_ticks:
                scalars["moved"] = self.moved()
        for t, row in [*visited[:-1], (visited[-1][0], scalars)]:
            self.recorder.add({**where, "t": t}, row)
        self.tick += 1
        self._raise_signal(finite)
        if self.tick % self.plan.log_every == 0:
            self.recorder.flush()

    # ---- one tick ----------------------------------------------------------------------------------------------------

    def _begin(self, samples: Batch) -> Start:
        random = Keyed(self.draws, self.tick, samples.numbers, self.device)
        grids = self.plan.grids
        return Start(
            process=self.teacher.process,
            denoise=self.student.bind(samples.cond),
            cond=samples.cond,
            shape=self.teacher.latent_shape,
            timesteps=grids[int(random.one("num_steps").integers(len(grids)))],
            sampler=self.sampler,
            latents=samples.latents,
            random=random,
            progress=self.progress,
            copies=self.copies,
        )

    def _walk(self, start: Start) -> Iterator[tuple[State, Callable[[], bool], list[Prediction]]]:
        """The states; the consumer puts its prediction into the list, and then may ask whether the state is the
        last."""
        walk = self.trajectory.walk(start)
        state = next(walk)
        while True:
            state = dataclasses.replace(state, copies=self.copies)
            answer: list[Prediction] = []
            following: list[State | None] = []

            def is_last(
                answer: list[Prediction] = answer, following: list[State | None] = following, walk: Any = walk
            ) -> bool:
                try:
                    following.append(walk.send(answer[0]))
                except StopIteration:
                    following.append(None)
                return following[0] is None

            yield state, is_last, answer
            if following[0] is None:
                return
            state = following[0]

    def _visit(
        self,
        state: State,
        latents: Tensor | None,
        is_warmup: bool,
        is_last: Callable[[], bool],
        answer: list[Prediction],
    ) -> dict[str, Tensor | float]:
        """Losses and critics at one state; the student's gradient is added to `.grad`."""
        with torch.set_grad_enabled(not is_warmup):
            pred = self.student(state.x_t, state.t, state.cond)
        answer.append(pred.detach())
        leaf = pred.x0.detach().requires_grad_(not is_warmup)
        update = Update(state, Prediction(leaf, pred.eps.detach()), self.teacher, latents)
        scalars: dict[str, Tensor | float] = {}
        if not is_warmup:
            gradient, scalars = self._judge(update)
        last = is_last()
        if not is_warmup:
            # The chain rule in two pieces: d loss / d x0 is known, so the network is passed backward once, for all
            # losses.
            surrogate = (pred.x0 * gradient).sum()
            if last:
                self.manual_backward(surrogate)  # DDP averages over the ranks here, all states together
            else:
                surrogate.backward()
        for name, loss in self.losses.items():
            if loss.applies(update):
                scalars |= {f"{key}/{name}": value for key, value in loss.train_critic(update).items()}
        return scalars

    def _judge(self, update: Update) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The weighted sum of the losses' gradients at x0, (B, C, H, W), and what there is to log."""
        acting = {name: loss for name, loss in self.losses.items() if loss.applies(update)}
        scalars: dict[str, Tensor | float] = {}
        gradients: dict[str, Tensor] = {}
        fixed = torch.zeros_like(update.pred.x0)
        for name, loss in acting.items():
            value = loss(update)
            (gradients[name],) = torch.autograd.grad(value, update.pred.x0)
            scalars[f"loss/{name}"] = value.detach()
            if loss.gradient_ratio is None:
                fixed += loss.weight * gradients[name]
        # Norms over the global batch, so that the ratio does not depend on how it is split.
        squares = torch.stack([g.square().sum() for g in (fixed, *gradients.values())])
        norms = dict(zip(("", *gradients), (mean_over_ranks(squares) / world_size()).sqrt(), strict=True))
        total = fixed
        for name, loss in acting.items():
            scalars[f"gradient_at_x0/{name}"] = norms[name]
            if loss.gradient_ratio is not None:
                tiny = torch.finfo(fixed.dtype).tiny
                weight = loss.gradient_ratio * norms[""] / norms[name].clamp(min=tiny)
                total = total + weight * gradients[name]
                scalars[f"weight/{name}"] = weight
            scalars |= self._describe(name, loss, update)
        return total, scalars

    @torch.no_grad()
    def _describe(self, name: str, loss: Loss, update: Update) -> dict[str, Tensor | float]:
        """Distance and spread of the target; the recorder turns moments over the global batch into a ratio of
        spreads."""
        scalars: dict[str, Tensor | float] = {}
        distances = loss.distances(update)
        if distances is not None:
            scalars[f"distance/{name}"] = distances.mean()
        for target in loss.targets:
            x0 = update.target(target).float()
            scalars |= {f"_moments/{name}": x0.mean(), f"_squares/{name}": x0.square().mean()}
            if update.state.timestep in self.teacher_std:
                scalars[f"_reference/{name}"] = self.teacher_std[update.state.timestep]
        return scalars

    def _step(self, visited: int) -> Tensor:
        """One student update from the accumulated gradients; returns their norm before clipping."""
        gradients = [p.grad for p in self.trainable if p.grad is not None]
        if visited > 1:  # the mean over the states
            torch._foreach_div_(gradients, float(visited))
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.plan.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.trainable, self.plan.gradient_clip, norm)
        for group in self.student_optimizer.param_groups:
            group["lr"] = self.plan.schedule(self.update)
        self.student_optimizer.step()
        self.student_optimizer.zero_grad(set_to_none=True)
        self.ema.update()
        self.copies.after_update()
        return norm

    # ---- signals between the ranks -----------------------------------------------------------------------------------

    def _raise_signal(self, finite: Tensor) -> None:
        """(diverged, stop, save), the maximum over the ranks: one collective, read at the next tick without waiting."""
        own = torch.tensor([0.0, *map(float, self.wants())], device=self.device)
        own[0] = 1 - finite
        self._signal = max_over_ranks(own).to("cpu", non_blocking=True)

    def _read_signal(self) -> tuple[bool, bool]:
        """(stop, save) after the last tick. Raises Diverged, before anything of that tick is saved."""
        assert self._signal is not None
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        diverged, stop, save = (bool(value) for value in self._signal)
        if diverged:
            self.recorder.flush()
            raise Diverged(max(0, self.update - 1))
        return stop, save

    # ---- state -------------------------------------------------------------------------------------------------------

    def training_state(self) -> dict[str, Any]:
        """Everything that a restart needs, as tensors and plain types. Random numbers need none: they are keyed.

        Raises:
            Diverged: a weight, an average or a moment is not finite; such a state is not for saving.
        """
        state = {
            "tick": self.tick,
            "student": trainable_state(self.student),
            "ema": {name: value.cpu() for name, value in self.ema.state_dict().items()},
            "optimizer": self.student_optimizer.state_dict(),
            "losses": {name: loss.training_state() for name, loss in self.losses.items()},
            "copies": self.copies.training_state(),
            "teacher_std": dict(self.teacher_std),
        }
        if not is_finite(state):
            raise Diverged(max(0, self.update - 1))
        return state

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`training_state`. ValueError if it belongs to another student or other losses."""
        if state["losses"].keys() != self.losses.keys():
            raise ValueError(f"The checkpoint has the losses {list(state['losses'])}, this run {list(self.losses)}.")
        load_trainable_state(self.student, state["student"])
        self.ema.load_state_dict(state["ema"])
        self.student_optimizer.load_state_dict(state["optimizer"])
        for name, loss in self.losses.items():
            loss.load_training_state(state["losses"][name])
        self.copies.load_training_state(state.get("copies", {}))  # checkpoints of before have none, and need none
        self.teacher_std = dict(state["teacher_std"])
        self.tick = state["tick"]

    @torch.no_grad()
    def moved(self) -> Tensor:
        """|student - its start| / |its start|, (): weights that do not move are a common way to fail."""
        parameters = {name: p for name, p in self.student.named_parameters() if p.requires_grad}
        start = [self._start[name].to(p.device, p.dtype) for name, p in parameters.items()]
        difference = torch._foreach_sub([p.detach() for p in parameters.values()], start)
        size = torch.nn.utils.get_total_norm(start)
        return torch.nn.utils.get_total_norm(difference) / size.clamp(min=1e-12)

    def _start_weights(self) -> dict[str, Tensor]:
        """The trainable weights as they were: the teacher's own tensors where they are equal, so that nothing is
        copied."""
        theirs = dict(self.teacher.denoiser.named_parameters())
        found = {}
        for name, parameter in self.student.named_parameters():
            if parameter.requires_grad:
                same = name in theirs and torch.equal(theirs[name].to(parameter), parameter)
                found[name] = theirs[name] if same else parameter.detach().clone()
        return found
