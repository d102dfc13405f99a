"""Tensors made without inputs: iota, size, constant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from treadle.core.dims import Shape, Size
from treadle.core.dtypes import DType, as_dtype, float32, int32
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Opaque, Primitive
from treadle.core.spec import Spec
from treadle.ops.layout import check_axes

Array = np.ndarray[Any, Any]


iota = Primitive("iota")


@iota.shape
def _(*, shape: Shape, axis: int, dtype: DType) -> Spec:
    check_axes((axis,), len(shape), "iota")
    if dtype.is_bool:
        raise DTypeError("iota counts: it has no bool; compare its result instead, as td.arange(n) >= 1")
    return Spec(tuple(shape), dtype)


@iota.reference
def _(*, shape: tuple[int, ...], axis: int, dtype: DType) -> Array:
    counted = np.arange(shape[axis]).astype(dtype.numpy)
    return np.broadcast_to(counted.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)


@iota.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(shape=(4,), axis=0, dtype=int32)
    yield s.case(shape=(2, 3), axis=1, dtype=float32)
    yield s.case(shape=(2, 0, 3), axis=0, dtype=int32)
    yield s.error(ShapeError, "axis 1", shape=(2,), axis=1, dtype=int32)


size = Primitive("size")


@size.shape
def _(*, size: Size) -> Spec:
    return Spec((), int32)


@size.reference
def _(*, size: int) -> Array:
    return np.array(size, np.int32)


@size.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(size=7)
    yield s.case(size=0)


# Numbers that a derivative rule of the user's brings into the body of a loop or branch, where nothing can be captured.
constant = Primitive("constant")


@constant.shape
def _(*, value: Opaque) -> Spec:
    return Spec(value.value.shape, as_dtype(value.value.dtype))


@constant.reference
def _(*, value: Opaque) -> Array:
    return value.value  # type: ignore[no-any-return]


@constant.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(value=Opaque(np.arange(6, dtype=np.float32).reshape(2, 3), "table"))
    yield s.case(value=Opaque(np.zeros((0, 2), np.int32), "nothing"))
    yield s.case(value=Opaque(np.array(True), "flag"))
