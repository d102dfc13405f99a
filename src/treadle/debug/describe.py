"""How messages write arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.core.describing import describe
from treadle.core.tensor import Tensor

SHOWN = 60  # elements of an array from which on the middle is left out


class Shown:
    """An array as messages write it: a number as a number, a large array without its middle."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        # bfloat16 prints like float32: NumPy knows no format for it
        self.array = array.astype(np.float32) if array.dtype.kind == "V" or str(array.dtype) == "bfloat16" else array

    def __format__(self, spec: str) -> str:
        a = self.array
        if a.ndim == 0:
            number = a.item()
            return format(number, spec or ("" if not isinstance(number, float) else ".6g"))
        one = {"all": (lambda v: format(v, spec))} if spec else None
        return np.array2string(a, separator=", ", threshold=SHOWN, precision=6, formatter=one)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return format(self, "")

    __str__ = __repr__


class Summary:
    """A tensor that messages write in a few words: see `td.summary`."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __repr__(self) -> str:
        if isinstance(self.tensor, Tensor) and not self.tensor.is_concrete:
            return f"summary of {self.tensor!r}"
        return describe(self.tensor, moments=True)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def summary(x: Any) -> Summary:
    """What `td.print` and `td.check` write in a few words: shape, range, mean, standard deviation, NaN and infinities.

    The figures are computed when the message is written, and only then.

    >>> td.print("g: {}", td.summary(td.asarray([1.0, 2.0, float("nan")])))
    g: f32[3]  1 … 2, mean 1.5, std 0.5, 1 NaN
    """
    return Summary(x)
