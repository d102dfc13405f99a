"""Comparisons, tests, logic and bits, element by element; operands broadcast and meet in one dtype."""

from __future__ import annotations

import math
from typing import Any

from treadle.array.convert import ArrayLike, apply, constant, floating, like, numeric, operands
from treadle.array.creation import filled
from treadle.core.dtypes import bool_
from treadle.core.errors import DTypeError
from treadle.core.primitive import Primitive
from treadle.core.tensor import Tensor
from treadle.ops import elementwise as ew


def equal(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 == x2`, bool. NaN equals nothing.

    >>> td.equal(td.asarray([1, 2]), 2).tolist()
    [False, True]
    """
    return apply(ew.eq, *operands("equal", x1, x2))


def not_equal(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 != x2`, bool. NaN differs from all, itself included.

    >>> td.not_equal(td.asarray([1, 2]), 2).tolist()
    [True, False]
    """
    return apply(ew.ne, *operands("not_equal", x1, x2))


def _order(name: str, primitive: Primitive, x1: Any, x2: Any) -> Tensor:
    x, y = operands(name, x1, x2)
    if x.dtype.is_bool:
        raise DTypeError(f"{name}: x is {x.spec} and y is {y.spec}; bool has no order: x.astype(td.int32)")
    return apply(primitive, x, y)


def less(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 < x2`, bool.

    >>> td.less(td.asarray([1, 2]), 2).tolist()
    [True, False]
    """
    return _order("less", ew.lt, x1, x2)


def less_equal(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 <= x2`, bool.

    >>> td.less_equal(td.asarray([1, 2]), 1).tolist()
    [True, False]
    """
    return _order("less_equal", ew.le, x1, x2)


def greater(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 > x2`, bool.

    >>> td.greater(td.asarray([1, 2]), 1).tolist()
    [False, True]
    """
    return _order("greater", ew.gt, x1, x2)


def greater_equal(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 >= x2`, bool.

    >>> td.greater_equal(td.asarray([1, 2]), 2).tolist()
    [False, True]
    """
    return _order("greater_equal", ew.ge, x1, x2)


def isfinite(x: ArrayLike, /) -> Tensor:
    """Neither infinite nor NaN, bool.

    >>> td.isfinite(td.asarray([1., float("inf"), float("nan")])).tolist()
    [True, False, False]
    """
    t = numeric("isfinite", x)
    return apply(ew.is_finite, t) if t.dtype.is_floating else _everywhere(True, t)


def isinf(x: ArrayLike, /) -> Tensor:
    """Infinite, of either sign, bool.

    >>> td.isinf(td.asarray([1., -float("inf")])).tolist()
    [False, True]
    """
    t = numeric("isinf", x)
    if not t.dtype.is_floating:
        return _everywhere(False, t)
    return apply(ew.eq, apply(ew.abs, t), like(math.inf, t))


def isnan(x: ArrayLike, /) -> Tensor:
    """Not a number, bool.

    >>> td.isnan(td.asarray([1., float("nan")])).tolist()
    [False, True]
    """
    t = numeric("isnan", x)
    return apply(ew.ne, t, t) if t.dtype.is_floating else _everywhere(False, t)


def _everywhere(value: bool, x: Tensor) -> Tensor:
    return filled(x.shape, constant(value, bool_))


def signbit(x: ArrayLike, /) -> Tensor:
    """Whether the sign is minus, bool: True for -0.0 too.

    >>> td.signbit(td.asarray([0., -0., -2.])).tolist()
    [False, True, True]
    """
    t = floating("signbit", x)
    return apply(ew.lt, apply(ew.copysign, like(1, t), t), like(0, t))


def _bits(name: str, primitive: Primitive, *xs: Any, bools: bool = True) -> Tensor:
    out = operands(name, *xs)
    if out[0].dtype.is_floating or (out[0].dtype.is_bool and not bools):
        kinds = "integers or bool" if bools else "integers"
        raise DTypeError(f"{name}: x is {out[0].spec}, and {name} needs {kinds}: x.astype(td.int32)")
    return apply(primitive, *out)


def bitwise_and(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 & x2` of integers or bools.

    >>> td.bitwise_and(td.asarray([6, 5]), 3).tolist()
    [2, 1]
    """
    return _bits("bitwise_and", ew.and_, x1, x2)


def bitwise_or(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 | x2` of integers or bools.

    >>> td.bitwise_or(td.asarray([6, 5]), 1).tolist()
    [7, 5]
    """
    return _bits("bitwise_or", ew.or_, x1, x2)


def bitwise_xor(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 ^ x2` of integers or bools.

    >>> td.bitwise_xor(td.asarray([6, 5]), 1).tolist()
    [7, 4]
    """
    return _bits("bitwise_xor", ew.xor, x1, x2)


def bitwise_invert(x: ArrayLike, /) -> Tensor:
    """`~x` of integers or bools.

    >>> td.bitwise_invert(td.asarray([0, -1])).tolist()
    [-1, 0]
    """
    return _bits("bitwise_invert", ew.not_, x)


def bitwise_left_shift(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 << x2` of integers.

    >>> td.bitwise_left_shift(td.asarray([1, 3]), 2).tolist()
    [4, 12]
    """
    return _bits("bitwise_left_shift", ew.shift_left, x1, x2, bools=False)


def bitwise_right_shift(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 >> x2` of integers; keeps the sign.

    >>> td.bitwise_right_shift(td.asarray([12, -4]), 2).tolist()
    [3, -1]
    """
    return _bits("bitwise_right_shift", ew.shift_right, x1, x2, bools=False)


def _logical(name: str, primitive: Primitive, *xs: Any) -> Tensor:
    out = operands(name, *xs)
    if not out[0].dtype.is_bool:
        raise DTypeError(f"{name}: x is {out[0].spec}, and {name} needs bool: x != 0")
    return apply(primitive, *out)


def logical_and(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Both, of bools.

    >>> td.logical_and(td.asarray([True, False]), True).tolist()
    [True, False]
    """
    return _logical("logical_and", ew.and_, x1, x2)


def logical_or(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """At least one, of bools.

    >>> td.logical_or(td.asarray([True, False]), False).tolist()
    [True, False]
    """
    return _logical("logical_or", ew.or_, x1, x2)


def logical_xor(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Exactly one, of bools.

    >>> td.logical_xor(td.asarray([True, False]), True).tolist()
    [False, True]
    """
    return _logical("logical_xor", ew.xor, x1, x2)


def logical_not(x: ArrayLike, /) -> Tensor:
    """The opposite, of bools.

    >>> td.logical_not(td.asarray([True, False])).tolist()
    [False, True]
    """
    return _logical("logical_not", ew.not_, x)
