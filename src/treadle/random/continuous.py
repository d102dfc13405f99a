"""Continuous distributions. All but `gamma` are a formula of uniform numbers, through which derivatives pass."""

from __future__ import annotations

import math
from typing import Any

from treadle import array as xp
from treadle.array.convert import ArrayLike, cast, scalar_kind, stop_gradient
from treadle.core.dtypes import float64
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.random.draws import (
    Draw,
    is_number,
    open_unit,
    standard_exponential,
    standard_gumbel,
    standard_normal,
    unit,
)


def uniform(
    key: Tensor, shape: Any = None, *, low: ArrayLike = 0.0, high: ArrayLike = 1.0, dtype: Any = None
) -> Tensor:
    """Uniform numbers in [low, high): `low` may come, `high` never does. `[*shape]`, floating point.

    Between 0 and 1 they are the multiples of 2**-24 (float32), 2**-53 (float64), 2**-11 (float16), 2**-8 (bfloat16).

    Args:
        key: `u32[2]`.
        shape: None for the common shape of low and high.
        low, high: numbers or tensors that stretch to `shape`; high - low must be finite. Derivatives pass to them.
        dtype: None for that of low and high, float32 for numbers.

    Raises:
        ArgumentError: low > high, both being numbers.
        ShapeError: low or high does not stretch to the shape.

    >>> x = td.random.uniform(td.random.key(0), (1000,), low=2.0, high=4.0)
    >>> bool((x >= 2.0).all()), bool((x < 4.0).all()), round(x.mean().item(), 1)
    (True, True, 3.0)
    """
    _ordered("td.random.uniform", low, high, strictly=False)
    draw = Draw("td.random.uniform", shape, dtype, low=low, high=high)
    u = unit(key, draw.shape, draw.dtype)
    if is_number(low, 0) and is_number(high, 1):
        return draw.finish(u)
    first, last = draw.values["low"], draw.values["high"]
    x = draw.finish(first + u * (last - first))
    # Rounding may give `high`: then it is the number below, which moves as `high` does.
    first, last = cast(first, draw.dtype), cast(last, draw.dtype)
    fixed = stop_gradient(last)
    below = xp.nextafter(fixed, stop_gradient(first)) + (last - fixed)
    return xp.where(x < last, x, below)


def normal(key: Tensor, shape: Any = None, *, mean: ArrayLike = 0.0, std: ArrayLike = 1.0, dtype: Any = None) -> Tensor:
    """Normal (Gaussian) numbers: `mean + std * z`. `[*shape]`, floating point.

    z is the normal quantile of a uniform number with 32 bits (64 for float64) that keeps its precision towards both
    ends: the tails are right as far as |z| = 6.3 (9.1), what lies beyond having the probability 2**-32 (2**-64).

    Args:
        key: `u32[2]`.
        shape: None for the common shape of mean and std.
        mean, std: numbers or tensors that stretch to `shape`. Derivatives pass to them.
        dtype: None for that of mean and std, float32 for numbers.

    Raises:
        ArgumentError: std is a negative number.
        ShapeError: mean or std does not stretch to the shape.

    >>> x = td.random.normal(td.random.key(0), (10000,), mean=5.0)
    >>> round(x.mean().item(), 1)
    5.0
    """
    _not_negative("td.random.normal", "std", std)
    draw = Draw("td.random.normal", shape, dtype, mean=mean, std=std)
    z = standard_normal(key, draw.shape, draw.inner)
    return draw.finish(_moved(draw, z, "mean", mean, "std", std))


def truncated_normal(
    key: Tensor, shape: Any = None, *, low: ArrayLike = -2.0, high: ArrayLike = 2.0, dtype: Any = None
) -> Tensor:
    """Standard normal numbers, given that they lie in [low, high]. `[*shape]`, floating point.

    Scale and shift them yourself: `mean + std * truncated_normal(key, shape)`. With the default bounds their standard
    deviation is 0.8796. Computed in float64 as the quantile of a uniform number between the bounds' probabilities.

    Args:
        key: `u32[2]`.
        shape: None for the common shape of low and high.
        low, high: numbers or tensors that stretch to `shape`, low < 6 and high > -6. Derivatives pass to them.
        dtype: None for that of low and high, float32 for numbers.

    Raises:
        ArgumentError: low >= high, or an interval beyond ±6, being numbers.
        ShapeError: low or high does not stretch to the shape.

    >>> x = td.random.truncated_normal(td.random.key(0), (1000,), low=0.0, high=1.0)
    >>> bool((x >= 0.0).all()), bool((x <= 1.0).all())
    (True, True)
    """
    name = "td.random.truncated_normal"
    _ordered(name, low, high, strictly=True)
    for bound, sign in ((low, 1), (high, -1)):
        if scalar_kind(bound) is not None and sign * float(bound) >= 6:
            raise ArgumentError(
                f"{name}: [{low}, {high}] lies {abs(float(bound)):g} standard deviations away from 0, where less "
                "than 1e-9 of the distribution is and its quantiles are not precise. Give bounds in standard "
                "deviations around 0, and shift the result"
            )
    draw = Draw(name, shape, dtype, low=low, high=high)
    first, last = cast(draw.values["low"], float64), cast(draw.values["high"], float64)
    below, above = xp.erf(first * math.sqrt(0.5)), xp.erf(last * math.sqrt(0.5))
    u, _ = open_unit(key, draw.shape, draw.inner)
    x = math.sqrt(2.0) * xp.erfinv(below + (above - below) * cast(u, float64))
    return draw.finish(xp.clip(cast(x, draw.inner), draw.values["low"], draw.values["high"]))


def exponential(key: Tensor, shape: Any = None, *, scale: ArrayLike = 1.0, dtype: Any = None) -> Tensor:
    """Exponential numbers with mean `scale`. `[*shape]`, floating point.

    Args:
        key: `u32[2]`.
        shape: None for that of scale.
        scale: a number or a tensor that stretches to `shape`. Derivatives pass to it.
        dtype: None for that of scale, float32 for a number.

    Raises:
        ArgumentError: scale is a negative number.

    >>> x = td.random.exponential(td.random.key(0), (10000,), scale=3.0)
    >>> bool((x >= 0.0).all()), abs(x.mean().item() - 3.0) < 0.1
    (True, True)
    """
    _not_negative("td.random.exponential", "scale", scale)
    draw = Draw("td.random.exponential", shape, dtype, scale=scale)
    return draw.finish(standard_exponential(key, draw.shape, draw.inner) * draw.values["scale"])


def gumbel(
    key: Tensor, shape: Any = None, *, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, dtype: Any = None
) -> Tensor:
    """Gumbel numbers: `loc - scale * log(E)` with E exponential. `[*shape]`, floating point.

    Args:
        key: `u32[2]`.
        shape: None for the common shape of loc and scale.
        loc, scale: the mode and the width; numbers or tensors that stretch to `shape`. Derivatives pass to them.
        dtype: None for that of loc and scale, float32 for numbers.

    Raises:
        ArgumentError: scale is a negative number.

    >>> x = td.random.gumbel(td.random.key(0), (10000,))
    >>> round(x.mean().item(), 1)  # Euler's constant
    0.6
    """
    _not_negative("td.random.gumbel", "scale", scale)
    draw = Draw("td.random.gumbel", shape, dtype, loc=loc, scale=scale)
    return draw.finish(_moved(draw, standard_gumbel(key, draw.shape, draw.inner), "loc", loc, "scale", scale))


def laplace(
    key: Tensor, shape: Any = None, *, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, dtype: Any = None
) -> Tensor:
    """Laplace (two-sided exponential) numbers around `loc`; their standard deviation is `sqrt(2) * scale`. `[*shape]`.

    Args:
        key: `u32[2]`.
        shape: None for the common shape of loc and scale.
        loc, scale: numbers or tensors that stretch to `shape`. Derivatives pass to them.
        dtype: None for that of loc and scale, float32 for numbers.

    Raises:
        ArgumentError: scale is a negative number.

    >>> x = td.random.laplace(td.random.key(0), (10000,), loc=1.0)
    >>> abs(x.mean().item() - 1.0) < 0.05
    True
    """
    _not_negative("td.random.laplace", "scale", scale)
    draw = Draw("td.random.laplace", shape, dtype, loc=loc, scale=scale)
    u, rest = open_unit(key, draw.shape, draw.inner)
    size = xp.log(2.0 * xp.minimum(u, rest))
    return draw.finish(_moved(draw, xp.where(u < 0.5, size, -size), "loc", loc, "scale", scale))


def _moved(draw: Draw, z: Tensor, centre: str, given_centre: Any, width: str, given_width: Any) -> Tensor:
    """`centre + width * z`, without arithmetic that the numbers 0 and 1 do not need."""
    x = z if is_number(given_width, 1) else draw.values[width] * z
    return x if is_number(given_centre, 0) else draw.values[centre] + x


def _ordered(name: str, low: Any, high: Any, *, strictly: bool) -> None:
    if scalar_kind(low) is None or scalar_kind(high) is None:
        return
    if not (low < high if strictly else low <= high):
        raise ArgumentError(f"{name}: low must be below high; they are {low} and {high}")


def _not_negative(name: str, what: str, value: Any) -> None:
    if scalar_kind(value) is not None and not value >= 0:
        raise ArgumentError(f"{name}: {what} must be at least 0, and is {value}")
