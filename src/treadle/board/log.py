"""`Log`: what `td.fit(…, board="runs")` writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from treadle import random
from treadle.board import _samples
from treadle.board._extra import tensorboard
from treadle.board.writer import Writer
from treadle.core.errors import ArgumentError, SaveError, TraceError
from treadle.core.running import quiet
from treadle.core.stateful import Variables
from treadle.core.tensor import Tensor
from treadle.nn.calls import observed
from treadle.optim.optimizer import updates_observed
from treadle.train._building import call_model
from treadle.train.callbacks import Callback, Context
from treadle.train.data import batch_rows, unpack
from treadle.transforms import compile as _compile
from treadle.transforms import graph as graph_of
from treadle.transforms import profile as _profile
from treadle.transforms import value_and_grad
from treadle.transforms.compiling import Compiled


class Log(Callback):
    """Log a run of `td.fit` for TensorBoard: `td.fit(…, board=td.board.Log("runs", histograms=50))`.

    It writes the loss, the learning rate and the speed while an epoch runs, all measures at its end, histograms of
    parameters, gradients and what each layer gives, predictions of a few examples, the settings, and two graphs: the
    model's, and that of a whole training step (tag "training step"). What is trained stays the same, bit by bit.

    The tags: `loss/step`, `loss/train`, `loss/validation`, the same of each metric; `learning_rate`,
    `speed/examples per second`; `parameters/<path>`, `gradients/<path>`, `outputs/<layer>`; `predictions`.

    A run that is resumed from a checkpoint goes on in the same folder, and what it had written after the checkpoint is
    taken back. With `fit(step=…)` of your own, gradients are those that the step gives to `optimizer.update`; there are
    neither outputs nor predictions nor the model's graph, as `fit` does not know which part of the batch is what.

    Args:
        folder: holds all runs; each gets a folder inside.
        name: of the run's folder. None: the model's class and the time, `Sequential-20261128-194422`. A name that is
            taken is refused.
        every: steps between two values of loss, learning rate and speed.
        histograms: steps between two histograms, each of which costs about two training steps; 0: none.
        samples: how many examples are predicted after each epoch, of the validation data if they are arrays, else of
            the training data; 0: none.
        graph: whether to write the graphs.
        profile: measure a training step at first, and colour its graph by time and memory. Costs six steps.
        hparams: more settings for the page "HParams", by name.

    Raises:
        MissingExtraError: tensorboard is not installed.
        ArgumentError: a number below its least; when the run begins: the name is taken.

    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    >>> history = td.fit(td.nn.Dense(1), (x, 3 * x), loss="mse", optimizer="sgd", epochs=2, verbose=False,
    ...                  board=td.board.Log("runs", name="line"))
    >>> run = td.board.read("runs/line")
    >>> run.scalars["loss/train"].steps.tolist()
    [2, 4]
    >>> [tag for tag in run.histograms]
    ['parameters/kernel', 'parameters/bias', 'gradients/kernel', 'gradients/bias']
    """

    def __init__(
        self,
        folder: str | PathLike[str] = "runs",
        *,
        name: str | None = None,
        every: int = 10,
        histograms: int = 200,
        samples: int = 16,
        graph: bool = True,
        profile: bool = False,
        hparams: Mapping[str, Any] | None = None,
    ) -> None:
        tensorboard("compat.proto.event_pb2")  # that it is missing is to be known before training
        for argument, value, least in (("every", every, 1), ("histograms", histograms, 0), ("samples", samples, 0)):
            if not isinstance(value, int) or value < least:
                raise ArgumentError(f"Log({argument}={value!r}): an integer of at least {least}")
        if name is not None and (not name or Path(name).is_absolute() or ".." in Path(name).parts):
            raise ArgumentError(f"Log(name={name!r}): a name of a folder inside of {str(folder)!r}")
        self.folder, self.name = Path(folder), name
        self.every, self.histograms, self.samples = every, histograms, samples
        self.graph, self.profile, self.hparams = graph, profile, dict(hparams or {})
        self.writer: Writer | None = None
        self.run = ""  # the name of the folder of this run, once it has begun
        self._examine: Callable[..., Any] | None = None
        self._rows, self._due = 0, False  # examples since the clock started; whether histograms are due
        self._since: float | None = None
        self._usual: int | None = None  # rows of the first batch
        self._told = False  # that there are no gradients

    def reset(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer, self.run, self._examine = None, "", None
        self._rows, self._since, self._usual, self._told = 0, None, None, False
        self._due = bool(self.histograms)

    def state(self) -> dict[str, Any]:
        return {"run": self.run}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.run = state["run"]

    # events

    def on_train_begin(self, context: Context) -> None:
        resumed = bool(self.run)
        if not resumed:
            self.run = self._claim(context)
        self.writer = Writer(self.folder / self.run, resume_at=context.step + 1 if resumed else None)
        context.tell(f"Logging to {self.folder / self.run}; to look at it: treadle board {self.folder}")
        self.writer.hparams({**_settings(context), **self.hparams})
        if resumed:
            self._due = False
        else:
            self._graphs(context, self.writer)
            if self.histograms:
                self._parameters(context, self.writer)
        self.writer.flush()

    def on_epoch_begin(self, context: Context) -> None:
        self._since = None  # validation is not training

    def on_batch_end(self, context: Context) -> None:
        rows = batch_rows(context.data)
        self._rows += rows
        self._usual = self._usual or rows
        if context.step % self.every == 0 or context.step == 1:
            self._numbers(context)
        self._due = self._due or (self.histograms > 0 and context.step % self.histograms == 0)
        # A batch of another size, as the last of an epoch is, would be compiled for itself: wait for the next.
        if self._due and rows == self._usual:
            self._due = False
            self._histograms(context)
            self._since = None
        if self._since is None:
            self._since, self._rows = time.perf_counter(), 0

    def on_epoch_end(self, context: Context) -> None:
        assert self.writer is not None
        values = {}
        for name, value in context.logs.items():
            if name in ("epoch", "step", "learning_rate") or not isinstance(value, int | float):
                continue
            measure, part = (name[4:], "validation") if name.startswith("val_") else (name, "train")
            values[f"{measure}/{part}"] = value
        self.writer.scalars(values, context.step)
        if self.samples and context.loss_function is not None:
            _samples.write(self.writer, context, self.samples, _is_compiled(context))

    def on_train_end(self, context: Context) -> None:
        assert self.writer is not None
        self.writer.finished()
        self.writer.close()

    # what is written

    def _claim(self, context: Context) -> str:
        """Make the run's folder, which no other run has."""
        stem = self.name or f"{type(context.model).__name__}-{time.strftime('%Y%m%d-%H%M%S')}"
        for k in range(1, 1000):
            run = stem if k == 1 else f"{stem}-{k}"
            try:
                (self.folder / run).mkdir(parents=True)
                return run
            except FileExistsError:
                if self.name is not None:
                    if not any((self.folder / run).iterdir()):
                        return run
                    raise ArgumentError(
                        f"{self.folder / run} holds a run already. Choose another name=, or remove that folder; "
                        "a run goes on in its folder when it is resumed from a checkpoint="
                    ) from None
            except OSError as e:
                raise SaveError(f"{self.folder / run} cannot be made: {e}") from e
        raise SaveError(f"{self.folder} has 1000 runs of the name {stem}")

    def _graphs(self, context: Context, writer: Writer) -> None:
        if not self.graph and not self.profile:
            return
        function: Any = context.step_function
        if context.loss_function is not None:
            x = context.step_arguments[2]
            try:
                writer.graph(graph_of(lambda model, x: call_model(model, x, training=False))(context.model, x))
            except TraceError as e:
                if _is_compiled(context):
                    raise
                context.tell(f"No graph is logged, since the model cannot be traced: {e.message}")
        if _is_compiled(context):
            measured = _profile(function)(*context.step_arguments) if self.profile else None
            writer.graph(function.graph(*context.step_arguments), tag="training step", profile=measured)

    def _numbers(self, context: Context) -> None:
        assert self.writer is not None
        values: dict[str, Any] = {"loss/step": context.loss}
        rate = getattr(context.optimizer, "rate", None)
        if rate is not None:
            values["learning_rate"] = float(rate())
        if self._since is not None and self._rows:
            now = time.perf_counter()
            values["speed/examples per second"] = self._rows / max(now - self._since, 1e-9)
            self._since, self._rows = now, 0
        self.writer.scalars(values, context.step)

    def _parameters(self, context: Context, writer: Writer) -> None:
        for path, x in context.model.parameters().items():
            writer.histogram(f"parameters/{path}", x, context.step)

    def _histograms(self, context: Context) -> None:
        assert self.writer is not None
        self._parameters(context, self.writer)
        own = context.objective is None
        if self._examine is None:
            self._examine = _own_examiner(context.step_function) if own else _examiner(context)
        arguments = (context.optimizer, context.data) if own else unpack(context.data)
        # What the model draws and notes down while it is looked at is no part of the training.
        variables = Variables([context.model, context.optimizer, random.default_stream()])
        before = variables.read()
        try:
            with quiet():
                gradients, outputs = self._examine(context.model, *arguments)
        except TraceError:
            gradients, outputs = {}, {}
        finally:
            variables.write(before)
        if own and not gradients and not self._told:
            self._told = True
            context.tell(
                "No gradients are logged: the step= does not give them to optimizer.update(model, gradients) outside "
                "of loops and derivatives"
            )
        for path, g in gradients.items():
            self.writer.histogram(f"gradients/{path}", g, context.step)
        for layer, out in outputs.items():
            self.writer.histogram(f"outputs/{layer}", out, context.step)


def _is_compiled(context: Context) -> bool:
    """Whether `fit` compiles; if not, the model may go ways that cannot be traced."""
    return hasattr(context.step_function, "graph")


def _own_examiner(step: Any) -> Callable[..., Any]:
    """(model, optimizer, batch) → the gradients by path that a step gives its optimiser; the second time `2/path`."""
    function = step.function if isinstance(step, Compiled) else step

    def examine(model: Any, optimizer: Any, batch: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
        seen: list[Mapping[str, Any]] = []
        with updates_observed(seen.append):
            function(model, optimizer, batch)
        return {path if k == 1 else f"{k}/{path}": g for k, gs in enumerate(seen, 1) for path, g in gs.items()}, {}

    return step.around(examine) if isinstance(step, Compiled) else examine


def _examiner(context: Context) -> Callable[..., Any]:
    """(model, x, y, weights) → gradients by path, and what each layer gives, as in training."""
    objective = context.objective
    assert objective is not None

    def examine(model: Any, x: Any, y: Any, weights: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        def watched(model: Any, x: Any, y: Any, weights: Any) -> tuple[Tensor, dict[str, Tensor]]:
            seen: dict[str, Tensor] = {}

            def note(module: Any, scope: str, output: Any) -> None:
                if scope and isinstance(output, Tensor) and output.dtype.is_floating:
                    seen.setdefault(scope, output)

            with observed(note):
                loss, _ = objective(model, x, y, weights)
            return loss, seen

        (_, outputs), gradients = value_and_grad(watched, has_aux=True)(model, x, y, weights)
        return gradients, outputs

    return _compile(examine) if _is_compiled(context) else examine


def _settings(context: Context) -> dict[str, Any]:
    """What the page "HParams" compares runs by."""
    optimizer = context.optimizer
    found: dict[str, Any] = {"model": type(context.model).__name__, "optimizer": type(optimizer).__name__}
    rate = getattr(optimizer, "learning_rate", None)
    if isinstance(rate, Tensor):
        found["learning_rate"] = float(rate)
    elif rate is not None:
        found["schedule"] = getattr(rate, "__name__", type(rate).__name__)
    if context.loss_function is not None:
        found["loss"] = getattr(context.loss_function, "__name__", type(context.loss_function).__name__)
    found["parameters"] = sum(x.numpy().size for x in context.model.parameters().values())
    return {**found, **context.settings}


def as_log(board: Any) -> Log:
    """What `fit(board=…)` was given: a folder for runs, or a `Log`.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(board, Log):
        return board
    if isinstance(board, str | PathLike):
        return Log(board)
    raise ArgumentError(f'board={board!r}: a folder for runs, board="runs", or a td.board.Log("runs", …)')
