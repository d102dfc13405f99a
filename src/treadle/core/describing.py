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
    if not a.size:
        return f"{spec}  empty"
    numbers = a.astype(np.float64).reshape(-1)
    good = np.isfinite(numbers)
    finite = numbers[good]
    shown = f"{np.min(finite):.4g} … {np.max(finite):.4g}" if finite.size else "no finite values"
    if moments and finite.size:
        shown += f", mean {np.mean(finite):.4g}, std {np.std(finite):.4g}"
    nan, infinite = int(np.isnan(numbers).sum()), int(np.isinf(numbers).sum())
    odd = [f"{n} {word}" for n, word in ((nan, "NaN"), (infinite, "infinite")) if n]
    return f"{spec}  {shown}{', ' + ' and '.join(odd) if odd else ''}"


def _spec_text(a: np.ndarray[Any, Any]) -> str:
    try:
        return str(Spec(a.shape, as_dtype(a.dtype)))
    except (TypeError, ValueError):  # a dtype that no tensor has
        return f"{a.dtype}{list(a.shape)}"
