"""From what Python, NumPy and other libraries have to tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.array.convert import (
    Scalar,
    as_tensor,
    cast,
    check_device,
    from_numpy,
    scalar_kind,
)
from treadle.array.nested import from_nested
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import ArgumentError, DTypeError
from treadle.core.tensor import Tensor


def asarray(obj: Any, /, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A tensor of numbers, nested lists, NumPy arrays, anything with DLPack or the buffer protocol, or a tensor.

    Python floats become float32, ints int32; arrays keep their dtype. Tensors are immutable, so memory that somebody
    could write to is copied; `copy=False` takes a read-only view, and then the caller must not write to it any more.
    Nested lists may contain tensors, which are stacked.

    Args:
        dtype: converts, as `astype` does.
        copy: None copies where needed, True always, False never.

    Raises:
        ShapeError: nested lists of different lengths.
        DTypeError: no such element type, or an integer that does not fit.
        ArgumentError: `copy=False` where a copy is needed; an unknown device.

    >>> td.asarray([[1., 2.], [3., 4.]]).shape
    (2, 2)
    >>> td.asarray([td.asarray(1.), 2.]).tolist()
    [1.0, 2.0]
    """
    check_device("asarray", device)
    want = None if dtype is None else as_dtype(dtype)
    if isinstance(obj, Tensor):
        _refuse_copy(copy is False and want not in (None, obj.dtype), f"{obj.dtype} becomes {want}")
        return obj if want is None else cast(obj, want)
    if isinstance(obj, list | tuple):
        _refuse_copy(copy is False, "lists do not hold an array's memory")
        return from_nested(obj, want, "asarray")
    if scalar_kind(obj) is not None and not isinstance(obj, np.generic):
        _refuse_copy(copy is False, "a Python number does not hold an array's memory")
        return _number(obj, want)
    array = _to_numpy(obj)
    if copy is False and want is not None:  # a dtype's text takes longer than all the rest
        _refuse_copy(array.dtype != want.numpy, f"{array.dtype} becomes {want}")
    out = from_numpy(array.copy() if copy else array, "asarray", copy=copy is None)
    return out if want is None else cast(out, want)


def _refuse_copy(refuse: bool, why: str) -> None:
    if refuse:
        raise ArgumentError(f"asarray: copy=False is not possible here ({why}); leave copy= out")


def _number(obj: Scalar, dtype: DType | None) -> Tensor:
    kind = scalar_kind(obj)
    if dtype is None or dtype.kind == kind or (dtype.is_integer and kind == "i") or not dtype.is_integer:
        return as_tensor(obj, "asarray", dtype)
    return cast(as_tensor(obj, "asarray"), dtype)


def _to_numpy(obj: Any) -> np.ndarray[Any, Any]:
    if isinstance(obj, np.ndarray | np.generic) or hasattr(obj, "__array__"):
        return np.asarray(obj)
    if hasattr(obj, "__dlpack__"):
        return np.from_dlpack(obj)
    try:
        return np.asarray(memoryview(obj))
    except TypeError:
        raise DTypeError(
            f"asarray: a {type(obj).__name__} is not numbers; it takes numbers, nested lists, arrays, and what has "
            "__array__, __dlpack__ or the buffer protocol"
        ) from None


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A tensor of another library's array, through DLPack. Copied unless `copy=False`: the producer may write to it.

    Raises:
        ArgumentError: an unknown device.
        DTypeError: it has no `__dlpack__`, or an element type that treadle has not.

    >>> td.from_dlpack(np.asarray([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    check_device("from_dlpack", device)
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(
            f"from_dlpack: a {type(x).__name__} has no __dlpack__; td.asarray(x) takes more kinds of objects"
        )
    if isinstance(x, Tensor):
        return x
    array = np.from_dlpack(x)
    return from_numpy(array if copy is False else array.copy(), "from_dlpack", copy=False)
