"""Arrays in a few words."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.core.dtypes import as_dtype
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor


def describe(x: Any, *, moments: bool = False) -> str:
    """`f32[32,784]  -0.42 … 2.82`: the range of the finite numbers, and how many are not finite.

    Args:
        x: a tensor or an array.
        moments: also the mean and the standard deviation of the finite numbers.
    """
    a = np.asarray(x)
    spec = str(x.spec) if isinstance(x, Tensor) else _spec_text(a)
    _, nan, infinite = tally(a)
    odd = [f"{n} {word}" for n, word in ((nan, "NaN"), (infinite, "infinite")) if n]
    return f"{spec}  {figures(a, moments=moments)}{', ' + ' and '.join(odd) if odd else ''}"


def tally(a: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    """How many elements are zero, NaN, infinite."""
    numbers = a.astype(np.float64)
    return int((numbers == 0).sum()), int(np.isnan(numbers).sum()), int(np.isinf(numbers).sum())


def figures(a: np.ndarray[Any, Any], *, moments: bool = False) -> str:
    """`-0.42 … 2.82`, of the finite elements; `7` of one alone, `all 7` of equal ones; `3 of 12 are true` of bools."""
    if not a.size:
        return "no elements"
    if a.dtype.kind == "b":
        return f"{int(a.sum())} of {a.size} are true"
    numbers = a.astype(np.float64).reshape(-1)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return "no finite elements"
    if finite.size == a.size and finite.min() == finite.max():
        return f"{finite[0]:.6g}" if a.size == 1 else f"all {finite[0]:.6g}"
    shown = f"{finite.min():.4g} … {finite.max():.4g}"
    return f"{shown}, mean {finite.mean():.4g}, std {finite.std():.3g}" if moments else shown


def _spec_text(a: np.ndarray[Any, Any]) -> str:
    try:
        return str(Spec(a.shape, as_dtype(a.dtype)))
    except (TypeError, ValueError):  # a dtype that no tensor has
        return f"{a.dtype}{list(a.shape)}"
