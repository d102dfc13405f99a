"""Axes as callers name them: counted from the front, with errors that name the function and the tensor."""

from __future__ import annotations

from typing import Any

from treadle.array.convert import static_int
from treadle.core.errors import ShapeError
from treadle.core.spec import normalize_axes, normalize_axis
from treadle.core.tensor import Tensor


def axis_of(name: str, x: Tensor, axis: Any, ndim: int | None = None) -> int:
    """One axis of x, or of a result with `ndim` axes.

    Raises:
        ShapeError: there is no such axis.
        DTypeError: it is not an int.
    """
    try:
        return normalize_axis(static_int(name, axis, "axis"), x.ndim if ndim is None else ndim)
    except ShapeError as e:
        raise ShapeError(f"{name} of {x.spec}: {e.message}") from None


def axes_of(name: str, x: Tensor, axes: Any, ndim: int | None = None) -> tuple[int, ...]:
    """Axes of x (None: all), or of a result with `ndim` axes, sorted.

    Raises:
        ShapeError: there is no such axis, or one is named twice.
        DTypeError: one is not an int.
    """
    given = None if axes is None else tuple(static_int(name, a, "axis") for a in _several(axes))
    try:
        return normalize_axes(given, x.ndim if ndim is None else ndim)
    except ShapeError as e:
        raise ShapeError(f"{name} of {x.spec}: {e.message}") from None


def _several(axes: Any) -> Any:
    return axes if isinstance(axes, list | tuple) else (axes,)
