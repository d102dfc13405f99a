"""Activations as functions, in forms that are stable for any input."""

from __future__ import annotations

from treadle.array.axes import axes_of
from treadle.array.convert import ArrayLike, Axes, apply, cast, floating, like, numeric, stop_gradient
from treadle.array.reductions import keep_axes
from treadle.core.dtypes import float32
from treadle.core.tensor import Tensor
from treadle.ops import elementwise as ew
from treadle.ops import reduce as reduce_ops


def relu(x: ArrayLike, /) -> Tensor:
    """`maximum(x, 0)`; its derivative at 0 is 0. `[...]` of numbers → same.

    >>> td.relu(td.asarray([-1., 2.])).tolist()
    [0.0, 2.0]
    """
    t = numeric("relu", x)
    zero = like(0, t)
    return apply(ew.select, apply(ew.le, t, zero), zero, t)  # this way round NaN stays NaN


def sigmoid(x: ArrayLike, /) -> Tensor:
    """`1 / (1 + exp(-x))`. `[...]` floating → same.

    >>> td.sigmoid(td.asarray([0., -1000.])).tolist()
    [0.5, 0.0]
    """
    return apply(ew.sigmoid, floating("sigmoid", x))


def softplus(x: ArrayLike, /) -> Tensor:
    """`log(1 + exp(x))`, without overflow. `[...]` floating → same.

    >>> td.softplus(1000.0).item()
    1000.0
    """
    t = floating("softplus", x)
    return apply(ew.logaddexp, t, like(0, t))


def softmax(x: ArrayLike, /, *, axis: Axes = -1) -> Tensor:
    """`exp(x) / sum(exp(x))` along `axis` (one, several, or None for all): positive, with sum 1. `[...]` → same.

    Elements of -inf get 0; a slice of nothing but -inf gives NaN.

    Raises:
        ShapeError: there is no such axis.

    >>> td.softmax(td.asarray([0., 0., 0., 0.])).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    t = floating("softmax", x)
    shifted, axes = _shifted("softmax", t, axis)
    e = apply(ew.exp, shifted)
    return cast(apply(ew.div, e, _sum(e, axes)), t.dtype)


def log_softmax(x: ArrayLike, /, *, axis: Axes = -1) -> Tensor:
    """`log(softmax(x))`, without taking the logarithm of what has vanished. `[...]` floating → same.

    Raises:
        ShapeError: there is no such axis.

    >>> td.log_softmax(td.asarray([1000., 0.])).tolist()
    [0.0, -1000.0]
    """
    t = floating("log_softmax", x)
    shifted, axes = _shifted("log_softmax", t, axis)
    return cast(apply(ew.sub, shifted, apply(ew.log, _sum(apply(ew.exp, shifted), axes))), t.dtype)


def _shifted(name: str, t: Tensor, axis: Axes) -> tuple[Tensor, tuple[int, ...]]:
    """x minus its largest element, a constant for the derivative: the result does not depend on the shift.

    16-bit floats as float32: a sum of many small numbers would stop growing.
    """
    if t.dtype.bits < 32:
        t = cast(t, float32)
    axes = axes_of(name, t, axis)
    if not axes or any(isinstance(t.shape[a], int) and t.shape[a] == 0 for a in axes):
        return t, axes
    largest = apply(reduce_ops.max, stop_gradient(t), axes=axes)
    return apply(ew.sub, t, keep_axes(largest, t.shape, axes)), axes


def _sum(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return keep_axes(apply(reduce_ops.sum, x, axes=axes), x.shape, axes)
