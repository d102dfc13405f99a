"""`fit`: the training loop, and its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

from treadle.core import registry
from treadle.core.errors import ArgumentError
from treadle.optim import LossScale
from treadle.train._building import require_model
from treadle.train._words import refuse_unknown
from treadle.train.callbacks import as_callback
from treadle.train.checkpoints import Checkpoint
from treadle.train.data import Arrays, Batches, Source, as_source
from treadle.train.history import History
from treadle.train.loop import Run, Settings
from treadle.train.metrics import as_metrics
from treadle.train.progress import make_progress
from treadle.train.segments import segmented
from treadle.train.steps import (
    PRECISIONS,
    Compile,
    as_loss,
    as_optimizer,
    as_precision,
    check_compile,
    own_step,
    say_once_what_precision_costs,
    training_objective,
    training_step,
)
from treadle.train.texts import prepared_by

NAN = ("stop", "skip", "ignore")


def fit(
    model: Any,
    data: Any,
    *,
    loss: Any = None,
    optimizer: Any = None,
    epochs: int = 1,
    batch_size: int = 32,
    metrics: Any = (),
    validation_data: Any = None,
    validation_split: float | None = None,
    callbacks: Iterable[Any] = (),
    seed: int = 0,
    shuffle: bool = True,
    verbose: Any = None,
    checkpoint: Checkpoint | str | PathLike[str] | None = None,
    board: Any = None,
    resume: bool = True,
    compile: Compile = True,
    nan: str = "stop",
    nan_check: bool = False,
    tbptt: int | None = None,
    step: Callable[..., Any] | None = None,
    validation_step: Callable[..., Any] | None = None,
    precision: str = "float32",
    **unknown: Any,
) -> History:
    """Train a model: for each epoch and batch a compiled step, then metrics, validation, callbacks, checkpoints.

    Ctrl-C ends the run after the current step, saves a checkpoint if there is one to save to, and returns the history
    with `interrupted` set. A second Ctrl-C ends it at once.

    Args:
        model: a `td.nn.Module`. It is called `model(x, training=True)`; `model(*x, …)` if x is a tuple.
        data: `(x, y)` or `(x, y, weights)`: arrays or tensors, or trees of them, examples on axis 0; or a dict with
            these keys. Or an iterable of such batches (a list, a loader), read anew each epoch; or a function
            epoch → iterable. NumPy's float64 becomes float32 (unless all parameters are float64). x may be texts, for
            models that take them (`td.nn.Sequential`).
        loss: a name in `td.losses`, or a function (prediction, target[, weights=]) → scalar. For anything else, `step`.
        optimizer: such as `td.optim.Adam(1e-3)`; or its name.
        epochs: how many in all, those before a resume included.
        batch_size: rows a batch, when data is arrays. The last batch may be smaller; it counts by its rows.
        metrics: names ("accuracy"), `td.train.metrics`, functions (prediction, target); of training and validation.
        validation_data: like data; measured after each epoch.
        validation_split: a fraction of the arrays' rows, chosen at random by the seed, to validate on.
        callbacks: `td.train.Callback`s, or functions of the context for the end of each epoch.
        seed: of the order of the rows.
        shuffle: a new order each epoch: a pure function of (seed, epoch). Arrays only.
        verbose: None: a progress bar on a terminal, lines elsewhere; "bar", "lines"; False: nothing.
        checkpoint: a folder, or a `td.train.Checkpoint`, which says when to save.
        board: a folder for runs, "runs", to log this one in for TensorBoard (`treadle board runs` shows it); or a
            `td.board.Log`, which says what and how often.
        resume: go on from the newest complete checkpoint, if there is one: bit by bit as if the run had not stopped.
            Batches of an iterable that were already used are read and skipped, unless it has `state()` and
            `restore(state)`.
        compile: run the step as one compiled graph, traced once for each shape of a batch; False runs it op by op, for
            debugging. Names for sizes that change, `{"x": ("batch", "time", None)}`, let one version serve them all:
            td.compile's `dynamic=`, for x, y and weights.
        nan: what to do when the loss or a gradient is NaN or infinite (with `step`, the loss): "stop" raises, "skip"
            leaves that step out, "ignore" goes on.
        nan_check: where NaN and infinities are looked for, besides: in all that a step leaves, the updated parameters,
            the optimiser's moments, the model's states, and the results of a `step`. `nan` says what is done then.
        tbptt: truncated back-propagation through time: sequences x `[batch, time, …]`, with targets for each step, are
            cut into segments of so many steps. Each segment is a step of training; the layers made with
            `stateful=True` carry their state from one to the next, and the gradient ends where the segment begins.
            Each batch begins anew. (Data that is cut already: `td.data.SegmentedSequences`.)
        step: instead of loss: a function (model, optimizer, batch) → dict of scalars with "loss", that updates the
            model. For metrics, it also returns "prediction" and "target".
        validation_step: with `step`, to validate: a function (model, batch) → dict of scalars.
        precision: "mixed_bfloat16" computes training steps in bfloat16 where `td.nn.autocast` does; parameters, their
            gradients, statistics and the loss stay float32, as do validation and everything that is saved.
            "mixed_float16" is the same with float16 and a `td.optim.LossScale`: a step whose gradients overflow is left
            out and counted in `history.skipped`, and the next ones have a smaller scale (`loss_scale` in the rows).

    Returns: the `History`.

    Raises:
        ArgumentError: an unknown argument (the nearest name is given), or a value that does not fit.
        NonFiniteError: the loss (a gradient, with `nan_check` a weight, …) became NaN or infinite; the model has its
            weights from before that step.
        ShapeError, DTypeError, …: as model and loss raise them.
        SaveError: a checkpoint cannot be written, or belongs to another model or other data.

    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = td.nn.Dense(1)
    >>> history = td.fit(model, (x, 3 * x + 1), loss="mse", optimizer=td.optim.Adam(0.1), epochs=60, verbose=False)
    >>> round(model.kernel.item(), 2), round(model.bias.item(), 2)
    (3.0, 1.0)
    """
    refuse_unknown("td.fit", unknown, inspect.signature(fit).parameters)
    require_model(model, "td.fit")
    if nan not in NAN:
        raise ArgumentError(f"nan={nan!r}: there are {', '.join(map(repr, NAN))}")
    if nan_check and nan == "ignore":
        raise ArgumentError('nan_check=True looks for NaN, and nan="ignore" does nothing about it: leave one of them')
    if not isinstance(epochs, int) or epochs < 0:
        raise ArgumentError(f"epochs={epochs!r}: an integer of at least 0")
    if (loss is None) == (step is None):
        raise ArgumentError('td.fit needs a loss="mse" (a name or a function), or a step=; one of the two')
    if optimizer is None:
        raise ArgumentError("td.fit needs an optimizer=, such as td.optim.Adam(1e-3)")
    if validation_step is not None and step is None:
        raise ArgumentError("validation_step= goes with step=; with a loss=, validation uses it")
    if step is not None and validation_step is None and (validation_data is not None or validation_split is not None):
        raise ArgumentError(
            "with step=, validation needs validation_step=: a function (model, batch) → dict of scalars"
        )
    precision = as_precision(precision)
    if step is not None and precision != "float32":
        raise ArgumentError(
            f"precision={precision!r} is for loss=; in a step of your own, write "
            f'with td.nn.autocast("{PRECISIONS[precision]}"): around the call of the model'
            + (", and td.optim.LossScale" if precision == "mixed_float16" else "")
        )
    measures = as_metrics(metrics)
    source = as_source(data, batch_size=batch_size, shuffle=shuffle, seed=seed)
    if isinstance(source, Batches) and source.once and epochs > 1:
        raise ArgumentError(
            f"the data is an iterator, which can be read only once, and epochs={epochs}. "
            "Pass something that can be iterated over again, or a function epoch → iterable"
        )
    source, validation = _validation(source, validation_data, validation_split, batch_size)
    if step is None:
        source = prepared_by(model, source)
        validation = None if validation is None else prepared_by(model, validation)
    source = segmented(source, tbptt, model)
    validation = None if validation is None else segmented(validation, tbptt, model)
    progress = make_progress(verbose)
    if precision != "float32":
        say_once_what_precision_costs(precision, progress.tell)
    settings = Settings(
        epochs=epochs,
        seed=seed,
        shuffle=shuffle,
        batch_size=batch_size,
        nan=nan,
        nan_check=nan_check,
        compiled=compile,
        resume=resume,
        checkpoint=checkpoint if isinstance(checkpoint, Checkpoint) or checkpoint is None else Checkpoint(checkpoint),
    )
    return Run(
        model=model,
        optimizer=as_optimizer(optimizer),
        source=source,
        validation=validation,
        loss=None if loss is None else as_loss(loss),
        objective=None if loss is None else training_objective(as_loss(loss), precision),
        step=_step(model, loss, step, bool(measures), compile, precision, nan_check),
        own_step=step is not None,
        validation_step=None if validation_step is None else own_step(model, validation_step, compile),
        metrics=measures,
        callbacks=[as_callback(c) for c in callbacks] + ([] if board is None else [registry.board_log(board)]),
        progress=progress,
        settings=settings,
        loss_scale=LossScale() if precision == "mixed_float16" else None,
    ).run()


def _step(
    model: Any, loss: Any, step: Any, keep_prediction: bool, compiled: Compile, precision: str, nan_check: bool
) -> Callable[..., Any]:
    if step is not None:
        return own_step(model, step, compiled, nan_check)
    check_compile(compiled, ("x", "y", "weights"))
    return training_step(model, as_loss(loss), keep_prediction, compiled, precision, nan_check)


def _validation(source: Source, data: Any, fraction: float | None, batch_size: int) -> tuple[Source, Source | None]:
    if fraction is None:
        if data is None:
            return source, None
        return source, as_source(data, batch_size=batch_size, shuffle=False, seed=0, what="validation_data")
    if data is not None:
        raise ArgumentError("give validation_data= or validation_split=, not both")
    if not isinstance(source, Arrays):
        raise ArgumentError("validation_split= takes rows of arrays; for batches, pass validation_data=")
    return source.split(fraction)
