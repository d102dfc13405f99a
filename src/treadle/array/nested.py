"""Nested lists as tensors, with tensors, arrays and Dims among the leaves."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.array.convert import as_tensor, cast, common_dtype, scalar_kind
from treadle.core import dtypes
from treadle.core.dims import Dim
from treadle.core.dtypes import DType
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor, concrete

_PLAIN = (bool, int, float)  # leaves that NumPy can take in one call


def from_nested(obj: list[Any] | tuple[Any, ...], dtype: DType | None, name: str) -> Tensor:
    """A nested list as one tensor; tensors among its leaves are stacked, so that derivatives pass.

    Raises:
        ShapeError: rows of different lengths.
        DTypeError: leaves that do not mix, or an integer that the dtype does not hold.
    """
    if _is_plain(obj):
        return _plain(obj, dtype, name)
    leaves: list[Any] = []
    _collect(obj, leaves)
    for x in leaves:
        if scalar_kind(x) is None and not isinstance(x, Tensor | np.ndarray | np.generic):
            raise DTypeError(f"{name}: the list holds {x!r}; it takes bools, integers, floats, tensors and arrays")
    return _build(obj, dtype or common_dtype(name, leaves), dtype is not None, name)


def _is_plain(obj: Any) -> bool:
    kinds = set(map(type, obj))
    if kinds <= {list, tuple}:
        return all(map(_is_plain, obj))
    return kinds.issubset(_PLAIN) or bool(kinds & {list, tuple} and all(k in (*_PLAIN, list, tuple) for k in kinds))


def _plain(obj: Any, dtype: DType | None, name: str) -> Tensor:
    try:
        with np.errstate(over="ignore"):  # a float that is too large is infinite, as IEEE 754 rounds it
            array = np.array(obj, dtype=None if dtype is None else dtype.numpy)
            if dtype is None and array.dtype == np.float64:
                array = array.astype(np.float32)
    except OverflowError:
        raise DTypeError(f"{name}: a number does not fit into {dtype}; give a wider dtype=") from None
    except (ValueError, TypeError) as e:
        if "NaN" in str(e):
            raise DTypeError(f"{name}: the list holds NaN, which {dtype} has not; give a floating dtype=") from None
        raise ShapeError(f"{name}: the nested lists are not a box: their lengths differ at one level") from e
    if dtype is None and array.dtype.kind in "iuO":
        return concrete(_default_integers(array, name))
    return concrete(array)


def _default_integers(array: Any, name: str) -> Any:
    limits = np.iinfo(dtypes.default_int.numpy)
    if array.dtype == object or (array.size and (array.max() > limits.max or array.min() < limits.min)):
        raise DTypeError(
            f"{name}: an integer does not fit into {dtypes.default_int}, the default; give dtype=td.int64 or td.float64"
        )
    return array.astype(dtypes.default_int.numpy)


def _collect(obj: Any, leaves: list[Any]) -> None:
    for item in obj:
        if isinstance(item, list | tuple):
            _collect(item, leaves)
        else:
            leaves.append(item)


def _build(obj: Any, dtype: DType, explicit: bool, name: str) -> Tensor:
    from treadle.array.joining import stack

    if isinstance(obj, list | tuple):
        if obj and not any(isinstance(v, list | tuple | Tensor | np.ndarray | Dim) for v in obj):
            with np.errstate(over="ignore"):
                return concrete(np.array(obj, dtype=dtype.numpy))
        parts = [_build(v, dtype, explicit, name) for v in obj]
        shapes = {p.shape for p in parts}
        if len(shapes) > 1:
            listed = " and ".join(sorted(show_shape(s) for s in shapes))
            raise ShapeError(f"{name}: the parts of one list have different shapes: {listed}")
        return stack(parts) if parts else concrete(np.zeros(0, dtype.numpy))
    kind = scalar_kind(obj)
    out = as_tensor(obj, name, dtype if kind and (kind == dtype.kind or not explicit) else None)
    return cast(out, dtype)
