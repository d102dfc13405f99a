"""16-bit floats are summed in float32."""

from __future__ import annotations

from treadle.core.dtypes import float32
from treadle.core.tensor import Tensor


def widened(x: Tensor) -> Tensor:
    """bfloat16 and float16 as float32, anything else as it is: for sums that would lose digits."""
    return x.astype(float32) if x.dtype.bits < 32 else x
