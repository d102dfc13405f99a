"""What all augmentations ask of their arguments."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle import random
from treadle.array.convert import as_tensor
from treadle.core.dims import Size
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor


def images(x: Any, name: str, *, floating: bool = False) -> Tensor:
    """x as a tensor `[batch, height, width, channels]`.

    Raises:
        ShapeError, DTypeError: it is none.
    """
    t = as_tensor(x, name)
    if t.ndim != 4:
        more = ". Write x[None] for one image" if t.ndim == 3 else ""
        raise ShapeError(f"{name} takes [batch, height, width, channels], and x is {show_shape(t.shape)}{more}")
    if floating and not t.dtype.is_floating:
        raise DTypeError(f"{name} takes floating point, and x is {t.spec}; td.data.Rescale() makes 0..1 of uint8")
    return t


def probability(p: Any, name: str) -> float:
    """A number from 0 to 1."""
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise ArgumentError(f"{name}: p is a probability, from 0 to 1; got {p!r}")
    return float(p)


def interval(value: Any, name: str, what: str, *, low: float) -> tuple[float, float]:
    """Two numbers, the first not above the second, neither below `low`."""
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(v, int | float) for v in pair) or not low <= pair[0] <= pair[1]:
        raise ArgumentError(f"{name}: {what} is (least, greatest), not below {low}; got {value!r}")
    return float(pair[0]), float(pair[1])


def uniform(key: Tensor, batch: Size, low: float, high: float) -> Tensor:
    """One number an image, float32, `[batch, 1, 1, 1]`."""
    return random.uniform(key, (batch, 1, 1, 1), low=low, high=high)


def beta(key: Tensor, alpha: float, batch: Size) -> Tensor:
    """Numbers of the distribution Beta(alpha, alpha), float32, `[batch, 1, 1, 1]`."""
    a, b = (random.gamma(k, alpha, (batch, 1, 1, 1)) for k in random.split(key))
    total = a + b
    return xp.where(total > 0, a / xp.where(total > 0, total, 1), 0.5)


def positive(value: Any, name: str, what: str) -> float:
    """A number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ArgumentError(f"{name}: {what} is a number above 0; got {value!r}")
    return float(value)
