"""Questions about dtypes, and conversion (array API standard, data type functions)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.array.convert import ArrayLike, as_tensor, cast, check_device, common_dtype, constant, limits, scalar_kind
from treadle.core import dtypes
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import ArgumentError, DTypeError
from treadle.core.tensor import Tensor

_KINDS: dict[str, tuple[DType, ...]] = {
    "bool": dtypes.BOOL,
    "signed integer": dtypes.SIGNED,
    "unsigned integer": dtypes.UNSIGNED,
    "integral": dtypes.INTEGER,
    "real floating": dtypes.FLOATING,
    "complex floating": (),
    "numeric": dtypes.NUMERIC,
}


def astype(x: ArrayLike, dtype: Any, /, *, copy: bool = True, device: str | None = None) -> Tensor:
    """x with its elements converted to `dtype`.

    To bool: is it not 0. Floating to integer: toward 0, saturating at the limits, NaN to 0. `copy` has no meaning for
    immutable tensors: x itself is returned when it has the dtype.

    Raises:
        DTypeError: there is no such dtype.
        ArgumentError: there is no such device.

    >>> td.astype(td.asarray([1.7, -1.7]), td.int32).tolist()
    [1, -1]
    """
    check_device("astype", device)
    return cast(as_tensor(x, "astype"), as_dtype(dtype))


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion takes a dtype (or tensor) to `to`: no value changes, and the kind stays.

    >>> td.can_cast(td.int8, td.int32), td.can_cast(td.int32, td.float32)
    (True, False)
    """
    target = as_dtype(to)
    source = from_.dtype if isinstance(from_, Tensor) else as_dtype(from_)
    try:
        return dtypes.promote(source, target) is target
    except DTypeError:
        return False


@dataclass(frozen=True)
class FInfo:
    """What `finfo` returns: the numbers that a floating-point dtype can hold."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IInfo:
    """What `iinfo` returns: the numbers that an integer dtype can hold."""

    bits: int
    max: int
    min: int
    dtype: DType


def _dtype_of(what: Any) -> DType:
    return what.dtype if isinstance(what, Tensor) else as_dtype(what)


def finfo(type: Any, /) -> FInfo:
    """Limits of a floating-point dtype (or of a tensor's): bits, eps, max, min, smallest_normal, dtype.

    Raises:
        DTypeError: a dtype that is not floating-point.

    >>> td.finfo(td.float16).max
    65504.0
    """
    dtype = _dtype_of(type)
    if not dtype.is_floating:
        raise DTypeError(f"finfo is for floating-point dtypes, not {dtype}; td.iinfo is for integers")
    info = limits(dtype)
    return FInfo(dtype.bits, float(info.eps), float(info.max), float(info.min), float(info.smallest_normal), dtype)


def iinfo(type: Any, /) -> IInfo:
    """Limits of an integer dtype (or of a tensor's): bits, max, min, dtype.

    Raises:
        DTypeError: a dtype that is not integer.

    >>> td.iinfo(td.int8).max
    127
    """
    dtype = _dtype_of(type)
    if not dtype.is_integer:
        raise DTypeError(f"iinfo is for integer dtypes, not {dtype}; td.finfo is for floating point")
    info = np.iinfo(dtype.numpy)
    return IInfo(dtype.bits, int(info.max), int(info.min), dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: a dtype, a tuple of kinds, or one of "bool", "signed integer", "unsigned integer",
    "integral", "real floating", "complex floating" (none is), "numeric".

    Raises:
        ArgumentError: there is no such kind.

    >>> td.isdtype(td.int8, "integral"), td.isdtype(td.int8, ("bool", td.float32))
    (True, False)
    """
    have = as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(have, k) for k in kind)
    if not isinstance(kind, str):
        return have is as_dtype(kind)
    if kind not in _KINDS:
        raise ArgumentError(f"isdtype: a kind is a dtype or one of {', '.join(_KINDS)}; got {kind!r}")
    return have in _KINDS[kind]


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that tensors, dtypes and Python numbers meet in.

    Raises:
        DTypeError: two of them do not mix.
        ArgumentError: nothing but Python numbers, or nothing at all.

    >>> td.result_type(td.int8, td.uint8), td.result_type(td.float32, 1)
    (treadle.int16, treadle.float32)
    """
    given = [
        v if isinstance(v, Tensor | np.ndarray) or scalar_kind(v) else constant(0, as_dtype(v))
        for v in arrays_and_dtypes
    ]
    if all(scalar_kind(v) for v in given):
        raise ArgumentError("result_type: needs at least one tensor or dtype; a Python number takes the dtype it meets")
    return common_dtype("result_type", given)
