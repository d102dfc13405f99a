"""The training loop: epochs, steps, and the position from which a run goes on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treadle import random
from treadle.core import trees
from treadle.core.errors import ArgumentError, NonFiniteError, SaveError, TraceError
from treadle.core.spec import show_shape
from treadle.core.stateful import Variables
from treadle.core.tensor import Tensor
from treadle.optim import LossScale
from treadle.train import nonfinite
from treadle.train._building import build_from
from treadle.train.callbacks import Callback, Context
from treadle.train.checked import NO_RESULTS
from treadle.train.checkpoints import Checkpoint, Saved
from treadle.train.data import Source, as_tensors, batch_rows, float_of, unpack
from treadle.train.evaluation import loss_weight, measure, measure_with_step, scalars
from treadle.train.history import History
from treadle.train.interrupt import Interrupt, watched
from treadle.train.metrics import Mean, Metric
from treadle.train.progress import Progress
from treadle.train.saving import assign_all
from treadle.train.segments import Segments, begin, check_state_is_kept
from treadle.train.steps import Compile, evaluation_step
from treadle.transforms import compile
from treadle.transforms.compiling import Compiled

ORDINARY_VERSIONS = 2  # of the step: for whole batches, and for the rest at the end of an epoch
SHOWN_VERSIONS = 8


@dataclass(frozen=True)
class Settings:
    """The plain arguments of `fit`."""

    epochs: int
    seed: int
    shuffle: bool
    batch_size: int
    nan: str
    nan_check: bool
    compiled: Compile
    resume: bool
    checkpoint: Checkpoint | None


@dataclass(frozen=True)
class Before:
    """What a step began with: the variables of the model and the optimiser, and its batch."""

    variables: list[Tensor]
    batch: Any
    number: int


@dataclass
class Run:
    """One call of `fit`. The position is (epoch, batch): the next batch to be taken."""

    model: Any
    optimizer: Any
    source: Source
    validation: Source | None
    loss: Callable[..., Any] | None
    objective: Callable[..., Any] | None
    step: Callable[..., Any]
    own_step: bool
    validation_step: Callable[..., Any] | None
    metrics: list[Metric]
    callbacks: list[Callback]
    progress: Progress
    settings: Settings
    loss_scale: LossScale | None = None
    epoch: int = 0
    batch: int = 0
    history: History = field(default_factory=History)
    means: dict[str, Mean] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)  # the batches' shapes for which the step was compiled
    recent: deque[Before] = field(default_factory=lambda: deque(maxlen=2))  # before the last steps

    def run(self) -> History:
        first, self._batches = self.source.peek()
        if first is None:
            raise ArgumentError("the data gave no batches")
        self._build(first)
        self.context = self._context(first)
        try:
            with watched(self.progress.tell) as interrupt:
                self._begin()
                self._epochs(interrupt)
                self.history.interrupted = interrupt.pressed
                self.history.stopped = self.context.stopping
                self._save()
                self._call("on_train_end")
                if self.context.stopping:
                    self.progress.tell(f"Stopped: {self.context.stopping}.")
        finally:
            self.progress.close()
        return self.history

    # before the first step

    def _context(self, first: Any) -> Context:
        batch = as_tensors(first, self.floating)
        s = self.settings
        return Context(
            self.model,
            self.optimizer,
            self.history,
            s.epochs,
            batches=self.source.count(),
            tell=self.progress.tell,
            example=next(self.validation.batches(0, 0)) if self.validation and self.validation.in_memory else first,
            loss_function=self.loss,
            objective=self.objective,
            step_function=self.step,
            step_arguments=self._step_arguments(batch),
            settings={"epochs": s.epochs, "batch_size": s.batch_size, "seed": s.seed},
        )

    def _build(self, batch: Any) -> None:
        """Make all parameters and moments, so that what follows can be saved and put back."""
        x = batch if self.own_step else unpack(batch)[0]
        if not self.own_step:
            check_state_is_kept(self.model, batch)
        if not self.own_step:
            build_from(self.model, as_tensors(x))
        self.floating = float_of(self.model)
        if not getattr(self.optimizer, "moments", True) and int(self.optimizer.step) == 0:
            self.optimizer.init(self.model)

    def _begin(self) -> None:
        for callback in self.callbacks:
            callback.reset()
        checkpoint = self.settings.checkpoint
        found = None
        if checkpoint is not None:
            found = checkpoint.latest(self.progress.tell)
            if found is not None and not self.settings.resume:
                raise ArgumentError(
                    f"{checkpoint.folder} already holds a run's checkpoints, up to {found[0].name}, and resume=False. "
                    "Choose another folder or remove this one; or resume=True to go on from there"
                )
            checkpoint.begin(None if found is None else self._restored_step(found[1]))
        if found is not None:
            self._restore(found[1])
            self.progress.tell(f"Resuming from {found[0]}: epoch {self.epoch + 1}, batch {self.batch + 1}.")
        self._place()
        self._call("on_train_begin")
        if isinstance(self.source, Segments):
            steps = self.source.steps
            self.progress.tell(
                f"Segments of {steps} steps; the state goes on from one to the next, the gradient does not."
            )
        if found is None:
            self._save()

    # the loop

    def _epochs(self, interrupt: Interrupt) -> None:
        while self.epoch < self.settings.epochs and not (interrupt.pressed or self.context.stopping):
            if self.batch == 0:
                self._reset_means()
                self._place()
                self._call("on_epoch_begin")
            self.progress.epoch(self.epoch, self.settings.epochs, self.context.batches, self.batch)
            known = len(self.versions)
            if not self._one_epoch(interrupt):
                return
            self._tell_versions(known)
            self._end_epoch()

    def _tell_versions(self, known: int) -> None:
        """Say for which batches the step was compiled in this epoch, if there are more than whole ones and a rest."""
        if len(self.versions) > max(known, ORDINARY_VERSIONS):
            more = ", …" if len(self.versions) > SHOWN_VERSIONS else ""
            self.progress.tell(
                f"The step was compiled {len(self.versions)} times, for batches of different shapes: "
                f"{', '.join(self.versions[:SHOWN_VERSIONS])}{more}."
            )

    def _one_epoch(self, interrupt: Interrupt) -> bool:
        """Steps until the data ends; False when the run is to end before that."""
        begun = self.batch
        for raw in self._batches(self.epoch, self.batch):
            self._place()
            self._call("on_batch_begin")
            begin(self.model, raw)
            self.context.data = as_tensors(raw, self.floating)
            self._one_step(self.context.data)
            self.batch += 1
            self._call("on_batch_end")
            self.progress.step(self.context.logs)
            if interrupt.pressed or self.context.stopping:
                return False
            # The last batch's checkpoint waits for the end of the epoch, which then need not be done again.
            if self.batch != self.context.batches:
                self._save_if_due(None)
        if self.batch == 0 or (self.batch == begun and self.context.batches not in (None, self.batch)):
            raise ArgumentError(f"the data gave no batches in epoch {self.epoch + 1}")
        self.context.batches = self.batch
        return True

    def _one_step(self, batch: Any) -> None:
        variables = Variables([self.model, self.optimizer])
        before = Before(variables.read(), batch, self.context.step + 1)
        traces = getattr(self.step, "traces", 0)
        out = self.step(*self._step_arguments(batch))
        if getattr(self.step, "traces", 0) > traces:
            self.versions.append(_shapes(batch))
        out, good = out if self.settings.nan_check else (out, True)
        values = self._own_results(out) if self.own_step else {"loss": float(out["loss"])}
        if not self.own_step and bool(out.get("overflown", False)):
            self._left_out(values["loss"])
            return
        # The step adds numbers up to see whether they are finite: of very large ones that may be wrong.
        good = bool(good) or nonfinite.all_finite([*values.values(), *variables.read()])
        good = good and math.isfinite(values["loss"]) and (self.own_step or bool(out["finite"]))
        if not good and self.settings.nan != "ignore":
            self._not_finite(values, variables, before, {} if self.own_step else out["gradients"])
            return
        self.recent.append(before)
        self.context.step += 1
        self.context.loss = values["loss"]
        self.history.steps.append(values["loss"])
        if self.own_step:
            self._gather(values, float(batch_rows(batch)))
            measured = (out.get("prediction"), out.get("target"), out.get("weights"))
        else:
            _, y, weights = unpack(batch)
            self._gather(values, loss_weight(y, weights, batch))
            measured = (out["prediction"], y, weights)
        for metric in self.metrics:
            metric.update(*measured)

    def _step_arguments(self, batch: Any) -> tuple[Any, ...]:
        scale = () if self.loss_scale is None else (self.loss_scale,)
        return (self.model, self.optimizer, *((batch,) if self.own_step else unpack(batch)), *scale)

    def _left_out(self, loss: float) -> None:
        """A step that changed no weights."""
        self.history.skipped += 1
        self.context.step += 1
        self.history.steps.append(loss)

    def _own_results(self, out: Any) -> dict[str, float]:
        if not isinstance(out, dict) or "loss" not in out:
            raise ArgumentError('step= must return a dict with "loss" in it')
        if self.metrics and not {"prediction", "target"} <= set(out):
            raise ArgumentError('with step=, metrics need "prediction" and "target" in the dict that it returns')
        return scalars({k: v for k, v in out.items() if k not in NO_RESULTS}, "step")

    def _gather(self, values: dict[str, float], weight: float) -> None:
        for name, value in values.items():
            self.means.setdefault(name, Mean(name)).update([value], weights=[weight])
        self.context.logs = {name: m.result() for name, m in self.means.items()}

    def _not_finite(self, values: dict[str, float], variables: Variables, before: Before, flags: Any) -> None:
        """Put the last good weights back; then go on ("skip") or say what was seen ("stop")."""
        spoilt = [path for path, x in _places(variables) if not nonfinite.all_finite([x])]
        good = next((b for b in (before, *reversed(self.recent)) if nonfinite.all_finite(b.variables)), before)
        variables.write(good.variables)
        if self.settings.nan == "skip":
            self._left_out(values["loss"])
            return
        saved = ""
        if self.settings.checkpoint is not None:
            saved = f", and so has the checkpoint {self._save()}"
        raise nonfinite.report(
            results=values,
            epoch=self.epoch,
            batch=self.batch,
            step=self.context.step,
            good=good.number,
            losses=self.history.steps,
            rate=self._rate(),
            gradients=flags if good is before else {},
            spoilt=spoilt,
            variables=dict(self.model.variables()),
            data=good.batch,
            prediction=None if self.own_step else self._prediction(good.batch),
            saved=saved,
            origin=self._origin(good.batch),
        )

    def _origin(self, batch: Any) -> NonFiniteError | None:
        """What made it so: the step repeated node by node from the last good weights, nothing assigned."""
        step = self.step if isinstance(self.step, Compiled) else compile(self.step, backend="reference")
        try:
            return step.why_not_finite(*self._step_arguments(batch))
        except TraceError:  # a step that only runs op by op
            return None

    def _prediction(self, batch: Any) -> Any:
        """What the last good weights predict for a batch, without what differs in training."""
        return evaluation_step(self.model, None, self.settings.compiled)(self.model, *unpack(batch))["prediction"]

    def _end_epoch(self) -> None:
        row: dict[str, Any] = {"epoch": self.epoch + 1, "step": self.context.step}
        rate = self._rate()
        if rate is not None:
            row["learning_rate"] = rate
        if self.loss_scale is not None:
            row["loss_scale"] = float(self.loss_scale.scale)
        row |= {name: m.result() for name, m in self.means.items()}
        row |= {m.name: m.result() for m in self.metrics}
        row |= {f"val_{k}": v for k, v in self._validate().items()}
        self.context.logs = row
        self.context.epoch = self.epoch
        self.history.rows.append(row)
        self._call("on_epoch_end")
        self.progress.epoch_end(row)
        self.epoch, self.batch = self.epoch + 1, 0
        self._save_if_due(self.epoch)

    def _validate(self) -> dict[str, Any]:
        if self.validation is None:
            return {}
        if self.validation_step is not None:
            return measure_with_step(self.model, self.validation, self.validation_step)
        return measure(self.model, self.validation, self.loss, self.metrics, self.settings.compiled)

    # position and state

    def _place(self) -> None:
        self.context.epoch, self.context.batch = self.epoch, self.batch

    def _reset_means(self) -> None:
        self.means = {}
        for metric in self.metrics:
            metric.reset()

    def _rate(self) -> float | None:
        rate = getattr(self.optimizer, "rate", None)
        return None if rate is None else float(rate())

    def _call(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self.context)

    def _save_if_due(self, epoch_ended: int | None) -> None:
        checkpoint = self.settings.checkpoint
        if checkpoint is not None and checkpoint.is_due(self.context.step, epoch_ended):
            self.history.stopped = self.context.stopping
            self._save()

    def _save(self) -> str:
        checkpoint = self.settings.checkpoint
        if checkpoint is None:
            return ""
        return str(
            checkpoint.write(Saved(_arrays(self.model), _arrays(self.optimizer), self._state()), self.context.step)
        )

    def _state(self) -> dict[str, Any]:
        return {
            "position": {"epoch": self.epoch, "batch": self.batch, "step": self.context.step},
            "settings": self._place_settings(),
            "data": self.source.state(),
            "stream": random.default_stream().variables(),
            "history": self.history.state(),
            "loss_scale": {} if self.loss_scale is None else self.loss_scale.variables(),
            "means": [[name, m.state()] for name, m in self.means.items()],
            "metrics": [m.state() for m in self.metrics],
            "callbacks": {f"{i}.{type(c).__name__}": c.state() for i, c in enumerate(self.callbacks)},
        }

    def _place_settings(self) -> dict[str, Any]:
        """What decides which rows a batch of an epoch holds."""
        s = self.settings
        if self.source.rows is None:
            return {"metrics": [m.name for m in self.metrics]}
        return {
            "metrics": [m.name for m in self.metrics],
            "rows": self.source.rows,
            "batch_size": s.batch_size,
            "seed": s.seed,
            "shuffle": s.shuffle,
        }

    @staticmethod
    def _restored_step(saved: Saved) -> int:
        return int(saved.state["position"]["step"])

    def _restore(self, saved: Saved) -> None:
        state, place = saved.state, saved.state["position"]
        then, now = state["settings"], self._place_settings()
        changed = [
            f"{k} was {then.get(k)!r} and is {now.get(k)!r}" for k in {**then, **now} if then.get(k) != now.get(k)
        ]
        if changed and place["batch"]:
            raise SaveError(
                f"the checkpoint lies inside of epoch {place['epoch'] + 1}, and its position means nothing now: "
                f"{', '.join(changed)}. Use the same, or begin anew in another folder"
            )
        assign_all(self.model, saved.weights, "the checkpoint")
        assign_all(self.optimizer, saved.optimizer, "the checkpoint's optimiser")
        random.default_stream().assign(state["stream"])
        if self.loss_scale is not None and state.get("loss_scale"):
            self.loss_scale.assign(state["loss_scale"])
        self.epoch, self.batch, self.context.step = place["epoch"], place["batch"], place["step"]
        self.source.restore(state["data"])
        self.history.restore(state["history"])
        self.context.stopping = self.history.stopped
        self.means = {}
        for name, totals in state["means"]:
            self.means[name] = Mean(name)
            self.means[name].restore(totals)
        if self.batch:
            for metric, totals in zip(self.metrics, state["metrics"], strict=True):
                metric.restore(totals)
        for i, callback in enumerate(self.callbacks):
            known = state["callbacks"].get(f"{i}.{type(callback).__name__}")
            if known is not None:
                callback.restore(known)


def _shapes(batch: Any) -> str:
    """The shape of a batch's first array that has one."""
    return next((show_shape(x.shape) for x in trees.leaves(batch) if getattr(x, "shape", ())), "[]")


def _places(variables: Variables) -> list[tuple[str, Tensor]]:
    """The variables of the model and the optimiser with words for them: "kernel", "optimizer.moments.kernel"."""
    owners = {"0": "", "1": "optimizer."}
    parts = [path.partition(".") for path in variables.paths]
    return [(owners[head] + rest, x) for (head, _, rest), x in zip(parts, variables.read(), strict=True)]


def _arrays(owner: Any) -> dict[str, Any]:
    return {path: np.asarray(x) for path, x in owner.variables().items()}
