"""What the samplers share: reading their arguments, and uniform numbers that are fine near both ends."""

from __future__ import annotations

import math
from typing import Any

from treadle import array as xp
from treadle.array.convert import as_shape, as_tensor, cast, scalar_kind
from treadle.core.dims import Shape
from treadle.core.dtypes import DType, as_dtype, default_float, float32, float64, result_type, uint32, uint64
from treadle.core.errors import DimError, DTypeError, ShapeError
from treadle.core.spec import broadcast_shapes, same_shape, show_shape
from treadle.core.tensor import Tensor
from treadle.random.keys import bits

# The number of bits that a significand holds, hidden one included: uniform numbers are multiples of 2**-digits.
_DIGITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}


class Draw:
    """The shape and dtype of what is sampled, and the distribution's parameters in the dtype that one computes in.

    Args:
        shape: None for the parameters' common shape.
        dtype: None for the dtype of those parameters that are tensors, or float32.

    Raises:
        ShapeError: a parameter does not stretch to the shape.
        DTypeError: a dtype that is not floating point.
    """

    def __init__(self, name: str, shape: Any, dtype: Any, **parameters: Any) -> None:
        self.name = name
        self.dtype = self._dtype(dtype, parameters)
        self.inner = float64 if self.dtype is float64 else float32  # half precision is computed in float32
        self.values = {k: self._value(k, v) for k, v in parameters.items()}
        self.shape = stretched_shape(name, shape, {k: v.shape for k, v in self.values.items()})

    def _dtype(self, dtype: Any, parameters: dict[str, Any]) -> DType:
        if dtype is None:
            own = [as_tensor(v, self.name).dtype for v in parameters.values() if scalar_kind(v) is None]
            own = [d for d in own if d.is_floating]  # others are refused by name below
            out = result_type(*own) if own else default_float
        else:
            out = as_dtype(dtype)
        if not out.is_floating:
            raise DTypeError(f"{self.name} gives floating-point numbers, not {out}; td.random.randint gives integers")
        return out

    def _value(self, what: str, value: Any) -> Tensor:
        x = as_tensor(value, self.name, self.inner)
        if not x.dtype.is_floating:
            raise DTypeError(f"{self.name}: {what} is {x.spec} and must be floating point: {what}.astype(td.float32)")
        return cast(x, self.inner)

    def finish(self, x: Tensor) -> Tensor:
        """What was computed, in the shape and dtype that were asked for."""
        out = x if x.shape == self.shape else xp.broadcast_to(x, self.shape)
        return cast(out, self.dtype)


def stretched_shape(name: str, shape: Any, parameters: dict[str, Shape]) -> Shape:
    """The shape asked for, or that of the parameters.

    Raises:
        ShapeError: the parameters do not stretch to it.
    """
    if shape is None:
        return broadcast_shapes(*parameters.values()) if parameters else ()
    out = as_shape(name, shape)
    for what, have in parameters.items():
        if not _stretches(have, out):
            raise ShapeError(
                f"{name}: {what} has the shape {show_shape(have)}, which does not stretch to {show_shape(out)}"
            )
    return out


def _stretches(have: Shape, want: Shape) -> bool:
    try:
        return have == () or same_shape(broadcast_shapes(have, want), want)
    except DimError:
        raise
    except ShapeError:
        return False


def is_number(x: Any, value: float) -> bool:
    """Whether a parameter is that Python number: then its arithmetic can be left out."""
    return scalar_kind(x) is not None and isinstance(x, int | float) and x == value


def unit(key: Tensor, shape: Shape, dtype: DType) -> Tensor:
    """Multiples of 2**-digits in [0, 1), each as likely."""
    digits = _DIGITS[dtype.name]
    word = uint64 if dtype is float64 else uint32
    drawn = bits(key, shape, dtype=word) >> (word.bits - digits)
    return drawn.astype(float64 if dtype is float64 else float32) * 2.0**-digits


def open_unit(key: Tensor, shape: Shape, dtype: DType) -> tuple[Tensor, Tensor]:
    """u and 1 - u for u in (0, 1), each to full relative precision: 2**-33 (float32) or 2**-65 is the least."""
    word = uint64 if dtype is float64 else uint32
    drawn = bits(key, shape, dtype=word)
    step = 2.0**-word.bits
    return (drawn.astype(dtype) + 0.5) * step, ((~drawn).astype(dtype) + 0.5) * step


def standard_exponential(key: Tensor, shape: Shape, dtype: DType) -> Tensor:
    """-log(1 - u), precise where it is small and where it is large."""
    u, rest = open_unit(key, shape, dtype)
    return -xp.where(u < 0.5, xp.log1p(-u), xp.log(rest))


def standard_gumbel(key: Tensor, shape: Shape, dtype: DType) -> Tensor:
    """-log(E), E exponential."""
    return -xp.log(standard_exponential(key, shape, dtype))


# |x| - s as a polynomial of 1 / s, where s = sqrt(-2 log v) and v = P(|N| > |x|): a least-squares fit in Chebyshev
# points for 2**-65 <= v <= 2**-6; it is off by at most 1.1e-7.
_TAIL = (
    -0.0242172749,
    -3.44642598,
    17.482333,
    -87.5293965,
    354.738488,
    -1012.13451,
    1881.71002,
    -2039.96417,
    976.590563,
)


def standard_normal(key: Tensor, shape: Shape, dtype: DType) -> Tensor:
    """The normal quantile of u. 1 - v cancels where v, the probability of both tails, is small: there it is the fit."""
    u, rest = open_unit(key, shape, dtype)
    v = 2.0 * xp.minimum(u, rest)
    tail = v < (2.0**-26 if dtype is float64 else 2.0**-6)
    s = xp.sqrt(-2.0 * xp.log(v))
    r, correction = 1.0 / xp.where(tail, s, 1.0), xp.full_like(s, _TAIL[-1])
    for coefficient in reversed(_TAIL[:-1]):
        correction = correction * r + coefficient
    size = xp.where(tail, s + correction, math.sqrt(2.0) * xp.erfinv(1.0 - v))
    return xp.where(u < 0.5, -size, size)
