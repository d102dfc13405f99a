"""Callbacks: what happens besides the steps; early stopping, best weights, a falling learning rate, user functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from treadle.core.errors import ArgumentError
from treadle.core.stateful import Stateful
from treadle.train._words import suggestion
from treadle.train.history import History
from treadle.train.saving import save

EVENTS = ("on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end", "on_train_end")


@dataclass
class Context:
    """Where training is, for callbacks.

    Attributes:
        model, optimizer: what is being trained; their weights may be read and assigned.
        history: of the epochs that have ended; in `on_epoch_end` with the one that just has.
        epochs: how many there will be.
        epoch, batch: the current ones, from 0. batches: how many an epoch has, if that is known.
        step: steps done since the beginning of the run.
        loss: of the step that was just done.
        logs: means over the epoch so far; in `on_epoch_end` the epoch's row of the history, which may be added to.
        data: the batch of the step that was just done, as tensors.
        example: a batch that stays the same through the run: of the validation data if they are arrays, else the first
            one of the training data.
        loss_function: `fit`'s `loss`; None with a `step` of your own.
        objective: (model, x, y, weights) → loss and prediction, as in training; None with a `step` of your own.
        step_function, step_arguments: the function that does a step (`td.compile`d unless `compile=False`), and its
            arguments for the first batch.
        settings: plain arguments of `fit`: epochs, batch_size, seed.
    """

    model: Stateful
    optimizer: Stateful | None
    history: History
    epochs: int
    epoch: int = 0
    batch: int = 0
    batches: int | None = None
    step: int = 0
    loss: float = math.nan
    logs: dict[str, Any] = field(default_factory=dict)
    tell: Callable[[str], None] = print
    stopping: str = ""
    data: Any = None
    example: Any = None
    loss_function: Callable[..., Any] | None = None
    objective: Callable[..., Any] | None = None
    step_function: Callable[..., Any] | None = None
    step_arguments: tuple[Any, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def stop(self, reason: str = "a callback asked for it") -> None:
        """End the run after this step (from `on_batch_end`) or epoch."""
        self.stopping = reason


class Callback:
    """Base of callbacks: override the events you need. Each gets the `Context`.

    What a callback remembers between epochs belongs into `state()`, JSON and arrays, so that a resumed run goes on
    like one that was never stopped.

    >>> class Count(td.train.Callback):
    ...     steps = 0
    ...     def on_batch_end(self, context):
    ...         self.steps += 1
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in vars(cls):
            if name.startswith("on_") and name not in EVENTS:
                raise ArgumentError(f"{cls.__name__}.{name}: there is no such event. {suggestion(name, EVENTS)}")

    def reset(self) -> None:
        """Forget earlier runs; called first of all, also before `restore`."""

    def on_train_begin(self, context: Context) -> None:
        """Before the first step, or the first after a resume."""

    def on_epoch_begin(self, context: Context) -> None:
        """Before an epoch's first batch; not again when it is resumed in its middle."""

    def on_batch_begin(self, context: Context) -> None:
        """Before a step."""

    def on_batch_end(self, context: Context) -> None:
        """After a step."""

    def on_epoch_end(self, context: Context) -> None:
        """After validation."""

    def on_train_end(self, context: Context) -> None:
        """After the last step, also when the run was interrupted; not after an error."""

    def state(self) -> dict[str, Any]:
        """What to keep in checkpoints."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`; called before `on_train_begin`."""


class LambdaCallback(Callback):
    """Functions of the context as a callback: `LambdaCallback(on_epoch_end=lambda c: print(c.logs))`.

    A bare function among `fit`'s callbacks is one for `on_epoch_end`.

    Raises:
        ArgumentError: there is no such event.
    """

    def __init__(self, **events: Callable[[Context], Any]) -> None:
        for name, function in events.items():
            if name not in EVENTS:
                raise ArgumentError(f"LambdaCallback: there is no event {name!r}. {suggestion(name, EVENTS)}")
            setattr(self, name, function)


class Monitor:
    """Follows one value of the history: better is lower ("min") or higher ("max") by more than `min_delta`."""

    HIGHER: ClassVar[tuple[str, ...]] = ("accuracy", "top_", "precision", "recall", "f1", "auc", "r2")

    def __init__(self, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f'mode={mode!r}: "min", "max" or "auto"')
        bare = name.removeprefix("val_")
        self.name = name
        self.higher = mode == "max" or (mode == "auto" and bare.startswith(self.HIGHER))
        self.min_delta = abs(min_delta)
        self.best = math.nan
        self.reset()

    def reset(self) -> None:
        self.best = -math.inf if self.higher else math.inf

    def read(self, context: Context) -> float:
        """The epoch's value.

        Raises:
            ArgumentError: the epoch has none of that name.
        """
        if self.name not in context.logs:
            hint = suggestion(self.name, context.logs)
            if self.name.startswith("val_") and not any(k.startswith("val_") for k in context.logs):
                hint = "Pass validation_data= or validation_split= to fit, or monitor='loss'."
            raise ArgumentError(f"monitor={self.name!r}: this run measures no such value. {hint}")
        return float(context.logs[self.name])

    def improves(self, value: float) -> bool:
        """Whether a value is better than the best so far, which it then becomes. NaN never is."""
        better = value > self.best + self.min_delta if self.higher else value < self.best - self.min_delta
        if better:
            self.best = value
        return better


class EarlyStopping(Callback):
    """End the run when a value has not improved for `patience` epochs.

    Args:
        monitor: a value of the history, such as "val_loss" or "val_accuracy".
        patience: epochs without improvement before it stops.
        min_delta: the least change that counts, in the value's unit.
        mode: "min", "max", or "auto": "max" for accuracy, top-k, precision, recall, F1, AUC and R², else "min".
        restore_best: give the model the weights of its best epoch when the run ends, stopped early or not.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ) -> None:
        if patience < 1:
            raise ArgumentError(f"EarlyStopping(patience={patience}): at least 1")
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience, self.restore_best = patience, restore_best
        self.weights: dict[str, Any] | None = None
        self.reset()

    def reset(self) -> None:
        self.monitor.reset()
        self.waited, self.best_epoch, self.weights = 0, -1, None

    def on_epoch_end(self, context: Context) -> None:
        value = self.monitor.read(context)
        if self.monitor.improves(value):
            self.waited, self.best_epoch = 0, context.epoch
            self.weights = dict(context.model.variables()) if self.restore_best else None
            return
        self.waited += 1
        if self.waited >= self.patience:
            context.stop(
                f"{self.monitor.name} has not improved for {self.waited} epochs: it was best, "
                f"{self.monitor.best:.6g}, in epoch {self.best_epoch + 1}"
            )

    def on_train_end(self, context: Context) -> None:
        if self.weights is not None:
            context.model.assign(self.weights)
            context.tell(f"The weights are those of epoch {self.best_epoch + 1}, the best.")

    def state(self) -> dict[str, Any]:
        return {
            "best": self.monitor.best,
            "waited": self.waited,
            "best_epoch": self.best_epoch,
            "weights": self.weights,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.monitor.best = state["best"]
        self.waited, self.best_epoch, self.weights = state["waited"], state["best_epoch"], state["weights"]


class BestCheckpoint(Callback):
    """Write the model's weights with `td.save` whenever a value is better than ever.

    Args:
        path: the file, which always holds the best weights so far.
        monitor, mode, min_delta: as for `EarlyStopping`.
    """

    def __init__(
        self, path: str | PathLike[str], monitor: str = "val_loss", *, mode: str = "auto", min_delta: float = 0.0
    ) -> None:
        self.path = Path(path)
        self.monitor = Monitor(monitor, mode, min_delta)

    def reset(self) -> None:
        self.monitor.reset()

    def on_epoch_end(self, context: Context) -> None:
        if self.monitor.improves(self.monitor.read(context)):
            save(context.model, self.path)

    def state(self) -> dict[str, Any]:
        return {"best": self.monitor.best}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.monitor.best = state["best"]


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by `factor` when a value has not improved for `patience` epochs.

    Args:
        factor: between 0 and 1.
        cooldown: epochs after a reduction in which nothing is counted.
        min_lr: the rate does not fall below it.
        monitor, patience, min_delta, mode: as for `EarlyStopping`.

    Raises (when the run begins):
        ArgumentError: the optimiser follows a schedule, which has the last word.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 5,
        min_delta: float = 1e-4,
        mode: str = "auto",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ArgumentError(f"ReduceLROnPlateau(factor={factor}): between 0 and 1")
        if patience < 1:
            raise ArgumentError(f"ReduceLROnPlateau(patience={patience}): at least 1")
        self.monitor = Monitor(monitor, mode, min_delta)
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr
        self.waited = self.cooling = 0

    def reset(self) -> None:
        self.monitor.reset()
        self.waited = self.cooling = 0

    def on_train_begin(self, context: Context) -> None:
        rate = getattr(context.optimizer, "learning_rate", None)
        if rate is None or callable(rate):
            raise ArgumentError(
                "ReduceLROnPlateau changes optimizer.learning_rate, which is a schedule here. "
                "Give the optimiser a number"
            )

    def on_epoch_end(self, context: Context) -> None:
        better = self.monitor.improves(self.monitor.read(context))
        if better or self.cooling:
            self.cooling = max(0, self.cooling - 1)
            self.waited = 0
            return
        self.waited += 1
        if self.waited < self.patience:
            return
        optimizer: Any = context.optimizer
        old = float(optimizer.learning_rate)
        new = max(old * self.factor, self.min_lr)
        if new < old:
            optimizer.learning_rate = new
            context.tell(
                f"Learning rate {old:.4g} → {new:.4g}: {self.monitor.name} has not improved for {self.waited} epochs."
            )
        self.waited, self.cooling = 0, self.cooldown

    def state(self) -> dict[str, Any]:
        return {"best": self.monitor.best, "waited": self.waited, "cooling": self.cooling}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.monitor.best, self.waited, self.cooling = state["best"], state["waited"], state["cooling"]


def as_callback(what: Any) -> Callback:
    """A callback; a function of the context is one for the end of each epoch.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(what, Callback):
        return what
    if isinstance(what, type):
        raise ArgumentError(f"{what.__name__} is a class: write {what.__name__}(…)")
    if callable(what):
        return LambdaCallback(on_epoch_end=what)
    raise ArgumentError(f"a callback is a td.train.Callback or a function of the context, not {what!r}")
