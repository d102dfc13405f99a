"""`evaluate` and `predict`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.padded import Padded
from treadle.core.registry import array_namespace
from treadle.data.segments import Segment
from treadle.train._building import build_from, call_model, require_model
from treadle.train._words import refuse_unknown
from treadle.train.data import Source, as_source, as_tensors, batch_rows, float_of, unpack
from treadle.train.metrics import Mean, Metric, as_metrics
from treadle.train.metrics.base import both
from treadle.train.segments import begin, segmented
from treadle.train.steps import Compile, as_loss, check_compile, evaluation_step, own_step
from treadle.train.texts import prepared_by


def evaluate(
    model: Any,
    data: Any,
    *,
    loss: Any = None,
    metrics: Any = (),
    batch_size: int = 32,
    step: Callable[..., Any] | None = None,
    compile: Compile = True,
    tbptt: int | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """The loss and metrics of a model over a data set, without training.

    Args:
        data: as for `fit`; read once, in its order.
        loss: a name in `td.losses` or a function (prediction, target[, weights=]); None for metrics alone.
        metrics: names, `td.train.metrics`, or functions (prediction, target).
        batch_size: rows at a time, when data is arrays.
        step: instead of loss and metrics: a function (model, batch) → dict of scalars, averaged over examples.
        compile: as for `fit`.
        tbptt: steps of a segment, as for `fit`: for models whose layers keep their state.

    Returns: "loss" and each metric by its name.

    Raises:
        ArgumentError: an unknown argument, or neither a loss nor metrics.
        ShapeError, DTypeError: as the model, the loss or a metric raises them.

    >>> model = td.nn.Dense(1, kernel_initializer="zeros")
    >>> td.evaluate(model, (np.ones((3, 2)), np.array([[1.0], [2.0], [3.0]])), loss="mse", metrics=["mae"])
    {'loss': 4.666666507720947, 'mae': 2.0}
    """
    refuse_unknown("td.evaluate", unknown, inspect.signature(evaluate).parameters)
    require_model(model, "td.evaluate")
    measures = as_metrics(metrics)
    if loss is None and not measures and step is None:
        raise ArgumentError('td.evaluate needs a loss= ("mse") or metrics= (["accuracy"])')
    source = as_source(data, batch_size=batch_size, shuffle=False, seed=0)
    source = segmented(prepared_by(model, source) if step is None else source, tbptt, model)
    if step is None:
        check_compile(compile, ("x", "y", "weights"))
    else:
        return measure_with_step(model, source, own_step(model, step, compile))
    return measure(model, source, None if loss is None else as_loss(loss), measures, compile)


def measure(
    model: Any, source: Source, loss: Callable[..., Any] | None, metrics: Sequence[Metric], compiled: Compile
) -> dict[str, Any]:
    """Loss and metrics over one epoch of a source."""
    run, mean = evaluation_step(model, loss, compiled), Mean("loss")
    for metric in metrics:
        metric.reset()
    empty = True
    for batch in source.batches(0, 0):
        if empty:
            build_from(model, as_tensors(unpack(batch)[0]))
            empty, floating = False, float_of(model)
        x, y, weights = (as_tensors(part, floating) for part in unpack(batch))
        begin(model, batch)
        out = run(model, x, y, weights)
        if loss is not None:
            mean.update([float(out["loss"])], weights=[loss_weight(y, weights, batch)])
        for metric in metrics:
            metric.update(out["prediction"], y, weights)
    if empty:
        raise ArgumentError("the data gave no batches")
    first = {} if loss is None else {"loss": mean.result()}
    return {**first, **{m.name: m.result() for m in metrics}}


def measure_with_step(model: Any, source: Source, step: Callable[..., Any]) -> dict[str, Any]:
    """Means of what a user's step gives."""
    means: dict[str, Mean] = {}
    floating = float_of(model)
    for batch in source.batches(0, 0):
        tensors = as_tensors(batch, floating)
        for name, value in scalars(step(model, tensors), "validation_step").items():
            means.setdefault(name, Mean(name)).update([value], weights=[float(batch_rows(tensors))])
    return {name: m.result() for name, m in means.items()}


def loss_weight(target: Any, weights: Any, batch: Any = None) -> float:
    """How much a batch's mean loss counts: its examples, real steps, or the sum of their weights."""
    if isinstance(target, Padded):
        mask = np.asarray(target.mask)
        return float(mask.sum() if weights is None else both(mask, weights).astype(np.float64).sum())
    if isinstance(batch, Segment) and weights is None:
        return float(np.prod(trees.leaves(target)[0].shape[:2]))  # segments differ in their steps
    return float(batch_rows(target)) if weights is None else float(np.asarray(weights, np.float64).sum())


def scalars(values: Any, what: str) -> dict[str, float]:
    """The numbers that a user's step returned.

    Raises:
        ArgumentError: it returned no dict, or something in it is no scalar.
    """
    if not isinstance(values, dict):
        raise ArgumentError(
            f'{what} must return a dict of scalars such as {{"loss": loss}}, not {type(values).__name__}'
        )
    out = {}
    for name, value in values.items():
        if np.ndim(value) != 0:
            raise ArgumentError(
                f"{what} returned {name!r} of shape {list(np.shape(value))}; scalars are needed: its mean?"
            )
        out[name] = float(value)
    return out


def predict(
    model: Any,
    x: Any,
    *,
    batch_size: int = 32,
    compile: Compile = True,
    **unknown: Any,
) -> Any:
    """The model's prediction for every row of x, computed in batches, with `training=False`.

    Args:
        x: an array `[n, …]`, a list of texts, a tuple of arrays (the model's arguments) or a dict of them (its one
            argument); or an iterable of batches of these.
        batch_size: rows at a time, when x is arrays.
        compile: as for `fit`.

    Returns: `[n, …]`: a Tensor, or a tree of them if the model returns one.

    Raises:
        ArgumentError: an unknown argument; no batches.

    >>> model = td.nn.Sequential([td.nn.Flatten()])
    >>> td.predict(model, np.ones((70, 2, 2))).shape
    (70, 4)
    """
    refuse_unknown("td.predict", unknown, inspect.signature(predict).parameters)
    require_model(model, "td.predict")
    check_compile(compile, ("x",))
    source = prepared_by(model, as_source(x, batch_size=batch_size, shuffle=False, seed=0, what="x"), bare=True)
    run, parts, structure, floating = own_step(model, _forward, compile), [], None, None
    for batch in source.batches(0, 0):
        if floating is None:
            build_from(model, as_tensors(batch))
            floating = float_of(model)
        leaves, structure = trees.flatten(run(model, as_tensors(batch, floating)))
        parts.append([np.asarray(leaf) for leaf in leaves])
    if structure is None:
        raise ArgumentError("x gave no batches")
    columns = list(zip(*parts, strict=True))
    for column in columns:
        if column[0].ndim == 0:
            raise ShapeError("the model returned a scalar for a batch; predictions have one row an example")
    return trees.unflatten(structure, [array_namespace().asarray(np.concatenate(c)) for c in columns])


def _forward(model: Any, x: Any) -> Any:
    return call_model(model, x, training=False)
