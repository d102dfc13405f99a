"""New tensors: filled, and counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.array.convert import (
    ArrayLike,
    apply,
    as_shape,
    as_size,
    as_tensor,
    cast,
    check_device,
    constant,
    from_scalar,
    like,
    static_int,
)
from treadle.array.interchange import asarray
from treadle.core import dtypes
from treadle.core.dims import Dim, Shape, Size
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.tensor import Tensor, concrete
from treadle.ops import elementwise as ew
from treadle.ops import shape as shape_ops


def filled(shape: Shape, value: Tensor) -> Tensor:
    """A scalar tensor stretched to a shape. Its numbers lie side by side, so that no later use has to copy them."""
    if not shape:
        return value
    out = apply(shape_ops.broadcast, value, shape=shape)
    if out.is_concrete and not out.is_symbolic:
        numbers = np.ascontiguousarray(out.numpy())
        numbers.flags.writeable = False
        return Tensor(out.spec, numbers)
    return out


def full(shape: Any, fill_value: ArrayLike, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """`fill_value` everywhere. `shape` is a size or a tuple of sizes, which may be Dims; the dtype that of the value.

    Raises:
        ShapeError: a negative size, or a `fill_value` that is not a scalar.

    >>> td.full((2, 2), 7).tolist()
    [[7, 7], [7, 7]]
    """
    check_device("full", device)
    value = asarray(fill_value, dtype=dtype)
    if value.ndim:
        raise ShapeError(f"full: fill_value is {value.spec} and must be a scalar; td.broadcast_to stretches a tensor")
    return filled(as_shape("full", shape), value)


def _filled_like(name: str, value: int, shape: Any, dtype: Any, device: str | None, default: DType) -> Tensor:
    check_device(name, device)
    return filled(as_shape(name, shape), constant(value, default if dtype is None else as_dtype(dtype)))


def zeros(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Zeros, float32 unless `dtype` says otherwise. `shape` is a size or a tuple of sizes, which may be Dims.

    Raises:
        ShapeError: a negative size.

    >>> td.zeros(3).tolist()
    [0.0, 0.0, 0.0]
    """
    return _filled_like("zeros", 0, shape, dtype, device, dtypes.default_float)


def ones(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Ones, float32 unless `dtype` says otherwise. `shape` is a size or a tuple of sizes, which may be Dims.

    Raises:
        ShapeError: a negative size.

    >>> td.ones((1, 2), dtype=td.int32).tolist()
    [[1, 1]]
    """
    return _filled_like("ones", 1, shape, dtype, device, dtypes.default_float)


def empty(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """The same as `zeros`: an immutable tensor has no use for memory that is not set.

    >>> td.empty((2, 0)).shape
    (2, 0)
    """
    return _filled_like("empty", 0, shape, dtype, device, dtypes.default_float)


def zeros_like(x: ArrayLike, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Zeros of x's shape, and of its dtype unless `dtype` says otherwise.

    >>> td.zeros_like(td.asarray([1, 2])).tolist()
    [0, 0]
    """
    t = as_tensor(x, "zeros_like")
    return _filled_like("zeros_like", 0, t.shape, dtype, device, t.dtype)


def ones_like(x: ArrayLike, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Ones of x's shape, and of its dtype unless `dtype` says otherwise.

    >>> td.ones_like(td.asarray([1.5, 2.5])).tolist()
    [1.0, 1.0]
    """
    t = as_tensor(x, "ones_like")
    return _filled_like("ones_like", 1, t.shape, dtype, device, t.dtype)


def empty_like(x: ArrayLike, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """The same as `zeros_like`.

    >>> td.empty_like(td.asarray([1.5, 2.5])).shape
    (2,)
    """
    t = as_tensor(x, "empty_like")
    return _filled_like("empty_like", 0, t.shape, dtype, device, t.dtype)


def full_like(x: ArrayLike, /, fill_value: ArrayLike, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """`fill_value` in x's shape, and in its dtype unless `dtype` says otherwise.

    Raises:
        ShapeError: a `fill_value` that is not a scalar.

    >>> td.full_like(td.asarray([1., 2.]), 5).tolist()
    [5.0, 5.0]
    """
    t = as_tensor(x, "full_like")
    return full(t.shape, fill_value, dtype=dtype or t.dtype, device=device)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """`start`, `start + step`, … below `stop` (above it for a negative step): `[ceil((stop - start) / step)]`.

    One argument is `stop`, from 0. int32 when all three are integers, float32 otherwise. Integers may be Dims.

    Raises:
        ArgumentError: a step of 0.
        DTypeError: something that is not a number.

    >>> td.arange(5).tolist(), td.arange(3, 0, -1).tolist()
    ([0, 1, 2, 3, 4], [3, 2, 1])
    """
    check_device("arange", device)
    if stop is None:
        start, stop = 0, start
    bounds = [_bound("arange", v) for v in (start, stop, step)]
    first, last, by = bounds
    if not isinstance(by, Dim) and by == 0:
        raise ArgumentError("arange: a step of 0 never arrives; give a positive or negative one")
    whole = not any(isinstance(v, float) for v in bounds)
    out = as_dtype(dtype) if dtype is not None else dtypes.default_int if whole else dtypes.default_float
    if any(isinstance(v, Dim) for v in bounds):
        return _arange_of_dims(first, last, by, out)
    if whole and out.is_integer:
        return _counted(max(0, -(-(last - first) // by)), first, by, out)
    # In float64 and then rounded once: start + step * i in float32 would be off by i roundings of the step.
    with np.errstate(all="ignore"):
        return concrete(np.arange(first, last, by, dtype=np.float64).astype(out.numpy))


def _bound(name: str, v: Any) -> Any:
    if isinstance(v, Dim):
        return v
    if isinstance(v, Tensor | np.generic | np.ndarray):
        v = v.item()
    if isinstance(v, bool) or not isinstance(v, int | float):
        raise DTypeError(f"{name}: start, stop and step are numbers; got {v!r}")
    return v


def _arange_of_dims(first: Any, last: Any, by: Any, dtype: DType) -> Tensor:
    if any(isinstance(v, float) for v in (first, last, by)):
        raise DTypeError("arange: with a Dim, start, stop and step must be integers; scale the result instead")
    if isinstance(by, Dim) or by != 1:
        raise ArgumentError(f"arange: with a Dim the step must be 1, got {by}; write td.arange(n) * {by} + start")
    return _counted(last - first, first, by, dtype)


def _counted(n: Size, first: Size, by: Size, dtype: DType) -> Tensor:
    counter = dtype if dtype.is_integer else dtypes.default_int
    out = apply(shape_ops.iota, shape=(n,), axis=0, dtype=counter)
    if not (isinstance(by, int) and by == 1):
        out = apply(ew.mul, out, from_scalar(by, counter, "arange"))
    if not (isinstance(first, int) and first == 0):
        out = apply(ew.add, out, from_scalar(first, counter, "arange"))
    return cast(out, dtype)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: str | None = None, endpoint: bool = True
) -> Tensor:
    """`num` numbers evenly spaced from `start` to `stop`, which is left out with `endpoint=False`. float32.

    Raises:
        ShapeError: a negative `num`.

    >>> td.linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    check_device("linspace", device)
    count = as_size("linspace", static_int("linspace", num, "num"))
    out = dtypes.default_float if dtype is None else as_dtype(dtype)
    values = np.linspace(_bound("linspace", start), _bound("linspace", stop), count, endpoint=endpoint)
    with np.errstate(all="ignore"):
        return concrete(values.astype(out.numpy))


def eye(n_rows: Any, n_cols: Any = None, /, *, k: int = 0, dtype: Any = None, device: str | None = None) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere: `[n_rows, n_cols]`, square unless `n_cols` is given.

    >>> td.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    check_device("eye", device)
    shape = as_shape("eye", (n_rows, n_rows if n_cols is None else n_cols))
    mask = apply(ew.eq, *_rows_and_columns(shape, k))
    return cast(mask, dtypes.default_float if dtype is None else as_dtype(dtype))


def _rows_and_columns(shape: Shape, k: int) -> tuple[Tensor, Tensor]:
    """Row number plus k, and column number, of each place of a matrix."""
    rows, columns = (apply(shape_ops.iota, shape=shape, axis=axis, dtype=dtypes.int32) for axis in (0, 1))
    return (apply(ew.add, rows, constant(k, dtypes.int32)) if k else rows), columns


def _triangle(name: str, x: ArrayLike, k: int, lower: bool) -> Tensor:
    t = as_tensor(x, name)
    if t.ndim < 2:
        raise ShapeError(f"{name}: x is {t.spec}, and {name} needs matrices: at least 2 axes")
    rows, columns = _rows_and_columns(t.shape[-2:], k)
    kept = apply(ew.ge if lower else ew.le, rows, columns)
    return apply(ew.select, kept, t, like(0, t))


def tril(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """The lower triangles of matrices `[..., n, m]`: zeros above the k-th diagonal.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> td.tril(td.ones((2, 2))).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return _triangle("tril", x, k, lower=True)


def triu(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """The upper triangles of matrices `[..., n, m]`: zeros below the k-th diagonal.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> td.triu(td.ones((2, 2)), k=1).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    return _triangle("triu", x, k, lower=False)


def meshgrid(*arrays: ArrayLike, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinates of a grid: each `[n_i]` stretched to `[n_1, …, n_k]`; with "xy" the first two axes are swapped.

    Raises:
        ArgumentError: `indexing` is neither "xy" nor "ij".
        ShapeError: an argument with more than one axis.

    >>> [g.tolist() for g in td.meshgrid(td.arange(2), td.arange(2), indexing="ij")]
    [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f'meshgrid: indexing is "xy" or "ij"; got {indexing!r}')
    lines = [as_tensor(a, "meshgrid") for a in arrays]
    for line in lines:
        if line.ndim > 1:
            raise ShapeError(f"meshgrid: takes vectors, and got {line.spec}; td.reshape(x, (-1,)) makes one")
    order = list(range(len(lines)))
    if indexing == "xy" and len(lines) > 1:
        order[:2] = [1, 0]
    sizes = [line.shape[0] if line.ndim else 1 for line in lines]
    grid = tuple(sizes[i] for i in order)
    out = []
    for i, line in enumerate(lines):
        aligned = apply(shape_ops.reshape, line, shape=tuple(sizes[i] if j == i else 1 for j in order))
        out.append(apply(shape_ops.broadcast, aligned, shape=grid))
    return tuple(out)
