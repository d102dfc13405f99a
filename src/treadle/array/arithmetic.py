"""Arithmetic, signs, rounding and extremes, element by element.

Two operands broadcast like NumPy's and meet in one dtype (array API standard, type promotion); a Python number takes
the tensor's. What does not mix raises `DTypeError`, shapes that do not stretch `ShapeError`.
"""

from __future__ import annotations

from typing import Any

from treadle.array.convert import (
    ArrayLike,
    apply,
    check_floating,
    floating,
    into,
    like,
    numeric,
    operands,
    scalar_kind,
)
from treadle.core.dims import Dim
from treadle.core.errors import DTypeError
from treadle.core.primitive import Primitive
from treadle.core.tensor import Tensor
from treadle.ops import elementwise as ew


def _binary(name: str, primitive: Primitive, x1: Any, x2: Any) -> Tensor:
    x, y = operands(name, x1, x2)
    if x.dtype.is_bool:
        raise DTypeError(f"{name}: x is {x.spec} and y is {y.spec}, and {name} needs numbers: x.astype(td.int32)")
    return apply(primitive, x, y)


def _rounded(name: str, primitive: Primitive, x: ArrayLike) -> Tensor:
    """Integers are round already."""
    t = numeric(name, x)
    return apply(primitive, t) if t.dtype.is_floating else t


def abs(x: ArrayLike, /) -> Tensor:
    """Magnitude. `[...]` of numbers → same.

    >>> td.abs(td.asarray([-1., 2.])).tolist()
    [1.0, 2.0]
    """
    t = numeric("abs", x)
    return t if t.dtype.kind == "u" else apply(ew.abs, t)


def add(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 + x2`.

    >>> td.add(td.asarray([1, 2]), 10).tolist()
    [11, 12]
    """
    return _binary("add", ew.add, x1, x2)


def ceil(x: ArrayLike, /) -> Tensor:
    """The smallest integer that is not below x, in x's dtype.

    >>> td.ceil(td.asarray([1.2, -1.2])).tolist()
    [2.0, -1.0]
    """
    return _rounded("ceil", ew.ceil, x)


def clip(x: ArrayLike, /, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Tensor:
    """`minimum(maximum(x, min), max)`, in x's dtype; None is no bound. They broadcast.

    >>> td.clip(td.asarray([-5, 0, 5]), -1, 2).tolist()
    [-1, 0, 2]
    """
    t = numeric("clip", x)
    low, high = (None if v is None else into(t, v, "clip") for v in (min, max))
    if low is not None and high is not None:
        return apply(ew.clamp, t, low, high)
    if low is not None:
        return apply(ew.maximum, t, low)
    return t if high is None else apply(ew.minimum, t, high)


def copysign(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The magnitude of x1 with the sign of x2, floating point. -0.0 has a sign.

    >>> td.copysign(3.0, td.asarray([1., -0.])).tolist()
    [3.0, -3.0]
    """
    x, y = operands("copysign", x1, x2)
    check_floating("copysign", x)
    return apply(ew.copysign, x, y)


def divide(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 / x2` of floating-point numbers; 1/0 is inf and 0/0 NaN.

    Raises:
        DTypeError: integers, whose quotient is seldom one: `x.astype(td.float32) / y`, or `x // y`.

    >>> td.divide(td.asarray([1., 3.]), 2).tolist()
    [0.5, 1.5]
    """
    if scalar_kind(x1) == "i" and scalar_kind(x2) == "i" and not isinstance(x1, Dim) and not isinstance(x2, Dim):
        x1, x2 = float(x1), float(x2)
    x, y = operands("divide", x1, x2)
    if not x.dtype.is_floating:
        raise DTypeError(
            f"divide: {x.spec} / {y.spec} has no floating-point operand: write x.astype(td.float32) / y, "
            "or x // y for the quotient rounded down"
        )
    return apply(ew.div, x, y)


def floor(x: ArrayLike, /) -> Tensor:
    """The largest integer that is not above x, in x's dtype.

    >>> td.floor(td.asarray([1.8, -1.2])).tolist()
    [1.0, -2.0]
    """
    return _rounded("floor", ew.floor, x)


def floor_divide(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 // x2`: the quotient rounded down. An integer over 0 gives 0.

    >>> td.floor_divide(td.asarray([7, -7]), 2).tolist()
    [3, -4]
    """
    return _binary("floor_divide", ew.floor_divide, x1, x2)


def maximum(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The larger of each pair; NaN where one is. Equal ones share the derivative.

    >>> td.maximum(td.asarray([1, 5]), 3).tolist()
    [3, 5]
    """
    return _binary("maximum", ew.maximum, x1, x2)


def minimum(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The smaller of each pair; NaN where one is. Equal ones share the derivative.

    >>> td.minimum(td.asarray([1, 5]), 3).tolist()
    [1, 3]
    """
    return _binary("minimum", ew.minimum, x1, x2)


def multiply(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 * x2`.

    >>> td.multiply(td.asarray([1., 2.]), 3).tolist()
    [3.0, 6.0]
    """
    return _binary("multiply", ew.mul, x1, x2)


def negative(x: ArrayLike, /) -> Tensor:
    """`-x`; unsigned integers modulo 2**bits.

    >>> td.negative(td.asarray([1, -2])).tolist()
    [-1, 2]
    """
    return apply(ew.neg, numeric("negative", x))


def nextafter(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The next number of the dtype after x1 in the direction of x2, floating point.

    >>> td.nextafter(1.0, 2.0).item() - 1 == 2**-23
    True
    """
    x, y = operands("nextafter", x1, x2)
    check_floating("nextafter", x)
    return apply(ew.nextafter, x, y)


def positive(x: ArrayLike, /) -> Tensor:
    """`+x`: x itself.

    >>> td.positive(td.asarray([1, -2])).tolist()
    [1, -2]
    """
    return numeric("positive", x)


def pow(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 ** x2`. A Python int as exponent multiplies out, with the exact derivative also at x1 <= 0.

    Raises:
        ArgumentError: an integer to a negative Python int: convert first, `x.astype(td.float32) ** -2`.

    >>> td.pow(td.asarray([2., 3.]), 2).tolist()
    [4.0, 9.0]
    """
    if isinstance(x2, int) and not isinstance(x2, bool) and scalar_kind(x1) is None:
        return apply(ew.integer_power, numeric("pow", x1), exponent=x2)
    return _binary("pow", ew.power, x1, x2)


def reciprocal(x: ArrayLike, /) -> Tensor:
    """`1 / x`, floating point.

    >>> td.reciprocal(td.asarray([2., 4.])).tolist()
    [0.5, 0.25]
    """
    t = floating("reciprocal", x)
    return apply(ew.div, like(1, t), t)


def remainder(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 % x2`, with the sign of x2, as in Python. An integer modulo 0 gives 0.

    >>> td.remainder(td.asarray([7, -7]), 3).tolist()
    [1, 2]
    """
    return _binary("remainder", ew.remainder, x1, x2)


def round(x: ArrayLike, /) -> Tensor:
    """The nearest integer in x's dtype, halves to the even one.

    >>> td.round(td.asarray([0.5, 1.5, -2.6])).tolist()
    [0.0, 2.0, -3.0]
    """
    return _rounded("round", ew.round, x)


def sign(x: ArrayLike, /) -> Tensor:
    """-1, 0 or 1 in x's dtype; NaN for NaN.

    >>> td.sign(td.asarray([-3., 0., 7.])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return apply(ew.sign, numeric("sign", x))


def square(x: ArrayLike, /) -> Tensor:
    """`x * x`.

    >>> td.square(td.asarray([-3, 2])).tolist()
    [9, 4]
    """
    t = numeric("square", x)
    return apply(ew.mul, t, t)


def subtract(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 - x2`.

    >>> td.subtract(10, td.asarray([1, 2])).tolist()
    [9, 8]
    """
    return _binary("subtract", ew.sub, x1, x2)


def trunc(x: ArrayLike, /) -> Tensor:
    """x without its fraction, in x's dtype.

    >>> td.trunc(td.asarray([1.8, -1.8])).tolist()
    [1.0, -1.0]
    """
    return _rounded("trunc", ew.trunc, x)
