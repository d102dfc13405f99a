"""Conversion between dtypes, and the identity that stops derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dtypes import ALL, NUMERIC, DType, as_dtype
from treadle.core.errors import DTypeError
from treadle.core.primitive import Zero
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.elementwise_class import Array, Sample, elementwise, no_change, stretched, unary_cases

if TYPE_CHECKING:
    from treadle.testing.samples import Samples

cast = elementwise("cast", arity=1, dtypes=ALL, additive=(0,))


@cast.shape
def _(x: Spec, *, dtype: DType) -> Spec:
    return x.with_dtype(dtype)


@cast.reference
def _(x: Array, *, dtype: DType) -> Array:
    """To bool: is it not 0. Floating to integer: toward 0, saturating, NaN to 0. Integer to integer: modulo 2**bits."""
    if dtype.is_integer and as_dtype(x.dtype).is_floating:
        return _saturating(x, dtype)
    return x.astype(dtype.numpy)


def _saturating(x: Array, dtype: DType) -> Array:
    """NumPy leaves what does not fit to the processor; these are the results of LLVM's saturating conversion."""
    bounds = np.iinfo(dtype.numpy)
    wide = x.astype(np.float64)
    too_large, too_small = wide >= float(bounds.max) + 1, wide <= bounds.min
    inside = np.where(too_large | too_small | np.isnan(wide), 0.0, wide).astype(dtype.numpy)
    return np.where(too_large, bounds.max, np.where(too_small, bounds.min, inside)).astype(dtype.numpy)


@cast.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, dtype: DType) -> Any:
    return cast(tangents[0], dtype=dtype) if dtype.is_floating else Zero(out.spec)


@cast.transpose
def _(ct: Tensor, x: Any, *, dtype: DType) -> tuple[Any, ...]:
    return (cast(ct, dtype=x.dtype),)


@cast.samples
def _(s: Samples) -> Iterator[Sample]:
    for shape in ((), (4,), (2, 1, 3), (0, 2)):
        yield s.case(s.normal(*shape), dtype=as_dtype("float64"))
    # Rounding makes a staircase of the function, which finite differences would measure.
    yield s.case(s.normal(4), dtype=as_dtype("float32"), differentiable=False)
    yield s.case(s.normal(4), dtype=as_dtype("bfloat16"), differentiable=False)
    yield s.case(s.normal(4) * 10, dtype=as_dtype("int32"), differentiable=False)
    yield s.case(s.integers(-9, 9, 4), dtype=as_dtype("float32"))
    yield s.case(s.integers(-300, 300, 4), dtype=as_dtype("uint8"))
    yield s.case(s.booleans(4), dtype=as_dtype("float32"))
    yield s.case(s.integers(-1, 2, 4), dtype=as_dtype("bool"))
    odd = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e10, -1e10, -1.5, 0.5]
    for name in ("bool", "int8", "int32", "uint8", "int64", "uint64", "float32"):
        yield s.special(odd, dtype=as_dtype(name))


bitcast = elementwise("bitcast", arity=1, dtypes=NUMERIC)


@bitcast.shape
def _(x: Spec, *, dtype: DType) -> Spec:
    stretched("bitcast", (x,), NUMERIC)
    if dtype not in NUMERIC or dtype.bits != x.dtype.bits:
        fitting = ", ".join(d.name for d in NUMERIC if d.bits == x.dtype.bits)
        raise DTypeError(
            f"`bitcast` keeps the bits: {x.dtype} has {x.dtype.bits} and may become {fitting}, not {dtype}"
        )
    return x.with_dtype(dtype)


@bitcast.reference
def _(x: Array, *, dtype: DType) -> Array:
    return np.array(x, order="C").view(dtype.numpy)


bitcast.jvp(no_change)


@bitcast.samples
def _(s: Samples) -> Iterator[Sample]:
    for shape in ((), (4,), (2, 1, 3), (0, 2)):
        yield s.case(s.integers(-99, 99, *shape), dtype=as_dtype("uint32"))
    yield s.case(s.integers(-99, 99, 4), dtype=as_dtype("float32"))
    yield s.case(s.normal(4).astype(np.float32), dtype=as_dtype("int32"))
    yield s.case(s.normal(2, 3).astype(np.float16), dtype=as_dtype("bfloat16"), differentiable=False)
    yield s.case(s.integers(0, 255, 4, dtype="uint8"), dtype=as_dtype("int8"))
    yield s.error(s.integers(0, 9, 3), DTypeError, "keeps the bits", "int64", dtype=as_dtype("int64"))
    yield s.error(s.booleans(3), DTypeError, "does not take bool", dtype=as_dtype("uint8"))
    yield s.error(s.integers(0, 2, 3, dtype="uint8"), DTypeError, "not bool", dtype=as_dtype("bool"))


# The identity; its derivative is zero.
stop_gradient = elementwise("stop_gradient", arity=1, dtypes=ALL)
stop_gradient.reference(lambda x: x)
stop_gradient.jvp(no_change)


@stop_gradient.samples
def _(s: Samples) -> Iterator[Sample]:
    for case in unary_cases(s, s.normal):
        yield s.case(*case.inputs, differentiable=False)  # its zero derivative is the point, not what differences say
    yield s.case(s.integers(0, 9, 3))
    yield s.case(s.booleans(3))
    yield s.special([np.nan, np.inf, -0.0])


__all__ = ["bitcast", "cast", "stop_gradient"]
