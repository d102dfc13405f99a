"""Reading and writing at computed places: gather and scatter.

    x        [B..., n1..nk, rest...]      B: `batch_dims` axes that x, indices and updates share
    indices  [B..., I..., k]              k numbers say a place on the axes n1..nk
    updates  [B..., I..., rest...]        what gather gives and scatter takes

Indices are of any integer dtype and count from the front. What is out of range: with mode "error" it raises, "clip"
takes the nearest place, "fill" (gather) gives zeros, "drop" (scatter) writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dims import Shape, Size
from treadle.core.dtypes import int32
from treadle.core.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError
from treadle.core.primitive import Primitive, Unknown, Zero
from treadle.core.spec import Spec, same_shape, show_shape, size_of
from treadle.core.tensor import Tensor
from treadle.ops import elementwise
from treadle.ops import shape as shape_ops

if TYPE_CHECKING:
    from treadle.testing.samples import Case, ErrorCase, Samples

Array = np.ndarray[Any, Any]
Flags = tuple[bool, ...]

gather = Primitive("gather", additive=(0,))
# "set" and "add" are linear in (x, updates), "max" and "min" are not: a jvp rule for all, a transpose for the former.
scatter = Primitive("scatter")

_TRANSPOSED_MODE = {"error": "error", "clip": "clip", "fill": "drop", "drop": "fill"}
_ACCUMULATE = {"add": np.add, "max": np.maximum, "min": np.minimum}


# shapes


def _place(name: str, x: Spec, indices: Spec, batch_dims: int) -> tuple[int, Shape]:
    """The number of indexed axes, and the shape of what is gathered."""
    if not indices.dtype.is_integer:
        raise DTypeError(f"{name} needs integer indices, not {indices.dtype}: indices.astype(td.int32)")
    if indices.ndim <= batch_dims:
        raise ShapeError(
            f"{name} with batch_dims={batch_dims} needs indices of at least {batch_dims + 1} axes, the last one with "
            f"one number per indexed axis; indices has the shape {show_shape(indices.shape)}"
        )
    k = indices.shape[-1]
    if not isinstance(k, int) or not 1 <= k <= x.ndim - batch_dims:
        raise ShapeError(
            f"the last axis of the indices says how many axes of x {name} indexes: here {k}, but x "
            f"{show_shape(x.shape)} has {x.ndim - batch_dims} after {batch_dims} batch axes"
        )
    batch = x.shape[:batch_dims]
    if not same_shape(batch, indices.shape[:batch_dims]):
        raise ShapeError(
            f"{name} with batch_dims={batch_dims}: the batch axes of x {show_shape(batch)} and of the indices "
            f"{show_shape(indices.shape[:batch_dims])} must be equal"
        )
    return k, (*batch, *indices.shape[batch_dims:-1], *x.shape[batch_dims + k :])


def _check_choice(name: str, what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ArgumentError(f"{name}'s {what} is one of {', '.join(known)}; got {value!r}")


@gather.shape
def _(x: Spec, indices: Spec, *, batch_dims: int, mode: str) -> Spec:
    _check_choice("gather", "mode", mode, ("error", "clip", "fill"))
    return x.with_shape(_place("gather", x, indices, batch_dims)[1])


@scatter.shape
def _(x: Spec, indices: Spec, updates: Spec, *, batch_dims: int, op: str, mode: str) -> Spec:
    _check_choice("scatter", "mode", mode, ("error", "clip", "drop"))
    _check_choice("scatter", "op", op, ("set", *_ACCUMULATE))
    expected = _place("scatter", x, indices, batch_dims)[1]
    if updates.dtype is not x.dtype:
        raise DTypeError(f"scatter writes {updates.dtype} updates into {x.dtype}: updates.astype(td.{x.dtype})")
    if x.dtype.is_bool and op != "set":
        raise DTypeError(f'scatter with op="{op}" needs numbers; x is bool, for which there is op="set"')
    if not same_shape(updates.shape, expected):
        raise ShapeError(
            f"scatter into {show_shape(x.shape)} at indices {show_shape(indices.shape)} needs updates of the shape "
            f"{show_shape(expected)}; they are {show_shape(updates.shape)}"
        )
    return x


# meaning


def _rows(x: Array, indices: Array, batch_dims: int, mode: str) -> tuple[Array, Array | None, tuple[int, int]]:
    """Rows of `x.reshape(shape)` that the indices mean, which of them are in range (None: all), and that shape."""
    k = indices.shape[-1]
    sizes = x.shape[batch_dims : batch_dims + k]
    batch = int(np.prod(x.shape[:batch_dims], dtype=np.int64))
    inside = _inside(indices, sizes)
    valid: Array | None = None
    if not inside.all():
        if mode == "error" or (mode == "clip" and 0 in sizes):
            raise _out_of_range(indices, inside, sizes, batch_dims)
        if mode != "clip":
            valid = inside.all(-1).ravel()
    rows = np.zeros(indices.shape[:-1], np.int64)
    for j, n in enumerate(sizes):
        rows *= n
        rows += np.clip(_int64(indices[..., j]), 0, max(n - 1, 0))
    block = int(np.prod(sizes, dtype=np.int64))
    if batch_dims:
        each = int(np.prod(indices.shape[batch_dims:-1], dtype=np.int64))
        rows = rows.reshape(batch, each) + block * np.arange(batch)[:, None]
    rest = int(np.prod(x.shape[batch_dims + k :], dtype=np.int64))
    return rows.ravel(), valid, (batch * block, rest)


def _inside(indices: Array, sizes: tuple[int, ...]) -> Array:
    out = indices >= 0
    for j, n in enumerate(sizes):
        out[..., j] &= indices[..., j] < n
    return out


def _int64(indices: Array) -> Array:
    if indices.dtype == np.uint64:
        indices = np.minimum(indices, np.uint64(np.iinfo(np.int64).max))
    return indices.astype(np.int64)


def _out_of_range(indices: Array, inside: Array, sizes: tuple[int, ...], batch_dims: int) -> OutOfRangeError:
    *where, j = (int(i) for i in np.argwhere(~inside)[0])
    place = f" (at {show_shape(tuple(where))} of the indices)" if where else ""
    return OutOfRangeError(
        f"index {indices[(*where, j)]} is out of range for axis {batch_dims + j} with size {sizes[j]}{place}"
    )


@gather.reference
def _(x: Array, indices: Array, *, batch_dims: int, mode: str) -> Array:
    rows, valid, shape = _rows(x, indices, batch_dims, mode)
    out_shape = indices.shape[:-1] + x.shape[batch_dims + indices.shape[-1] :]
    if not shape[0]:  # nothing to take from: no index was valid, or there is none
        return np.zeros(out_shape, x.dtype)
    out = x.reshape(shape).take(rows, axis=0)
    if valid is not None:
        out[~valid] = 0
    return out.reshape(out_shape)


@scatter.reference
def _(x: Array, indices: Array, updates: Array, *, batch_dims: int, op: str, mode: str) -> Array:
    rows, valid, shape = _rows(x, indices, batch_dims, mode)
    values: Array = updates.reshape(len(rows), shape[1])
    if valid is not None:
        rows, values = rows[valid], values[valid]
    if op == "set":
        out = x.reshape(shape).copy()
        out[rows] = values  # where rows repeat, NumPy keeps the last
        return out.reshape(x.shape)
    # ufunc.at is fast for native dtypes on one axis; half precision adds up in float32.
    wide = np.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype
    total: Array = x.astype(wide).reshape(-1)
    elements = rows if shape[1] == 1 else (rows[:, None] * shape[1] + np.arange(shape[1])).ravel()
    _ACCUMULATE[op].at(total, elements, values.astype(wide, copy=False).ravel())
    return total.astype(x.dtype, copy=False).reshape(x.shape)


# derivatives


def _stretch(x: Tensor, shape: Shape) -> Tensor:
    return x if x.shape == shape else shape_ops.broadcast(x, shape=shape)


@gather.transpose
def _(ct: Tensor, x: Unknown, indices: Tensor, *, batch_dims: int, mode: str) -> tuple[Tensor, None]:
    back = _TRANSPOSED_MODE[mode]
    return scatter(shape_ops.zeros(x.spec), indices, ct, batch_dims=batch_dims, op="add", mode=back), None


@scatter.jvp
def _(primals: tuple[Tensor, Tensor, Tensor], tangents: tuple[Any, Any, Any], out: Tensor, **params: Any) -> Tensor:
    (x, indices, updates), (dx, _, du) = primals, tangents
    if params["op"] in ("set", "add"):
        return scatter(_filled(dx), indices, _filled(du), **params)  # type: ignore[no-any-return]
    # All that attain the extreme, x's own element and each update, share the tangent evenly.
    batch_dims, mode = params["batch_dims"], params["mode"]
    add = {"batch_dims": batch_dims, "op": "add", "mode": mode}
    extreme = gather(out, indices, batch_dims=batch_dims, mode=_TRANSPOSED_MODE[mode])
    x_wins = elementwise.cast(elementwise.eq(x, out), dtype=x.dtype)
    update_wins = elementwise.cast(elementwise.eq(updates, extreme), dtype=x.dtype)
    winners = scatter(x_wins, indices, update_wins, **add)
    total = dx * x_wins
    if not isinstance(du, Zero):
        total = scatter(_filled(total), indices, du * update_wins, **add)
    return total / winners  # type: ignore[no-any-return]


def _filled(t: Tensor | Zero) -> Tensor:
    return shape_ops.zeros(t.spec) if isinstance(t, Zero) else t


@scatter.transpose
def _(
    ct: Tensor,
    x: Tensor | Unknown,
    indices: Tensor,
    updates: Tensor | Unknown,
    *,
    batch_dims: int,
    op: str,
    mode: str,
) -> tuple[Tensor | None, None, Tensor | None]:
    assert op in ("set", "add")
    ct_x: Tensor | None = None
    ct_updates: Tensor | None = None
    if isinstance(x, Unknown):
        ct_x = ct
        if op == "set":  # what was overwritten has no influence
            ct_x = scatter(ct, indices, shape_ops.zeros(updates.spec), batch_dims=batch_dims, op="set", mode=mode)
    if isinstance(updates, Unknown):
        ct_updates = gather(ct, indices, batch_dims=batch_dims, mode=_TRANSPOSED_MODE[mode])
        if op == "set":
            last = _last_writers(x.spec, indices, batch_dims, mode)
            rest = updates.shape[indices.ndim - 1 :]
            last = shape_ops.reshape(last, shape=(*last.shape, *(1 for _ in rest)))
            ct_updates = elementwise.select(_stretch(last, updates.shape), ct_updates, shape_ops.zeros(updates.spec))
    return ct_x, None, ct_updates


def _last_writers(x: Spec, indices: Tensor, batch_dims: int, mode: str) -> Tensor:
    """bool[B..., I...]: which updates stay, being the last of their place: write their numbers, and read them back."""
    batch, places = indices.shape[:batch_dims], indices.shape[batch_dims:-1]
    sizes = x.shape[batch_dims : batch_dims + indices.shape[-1]]
    numbers = shape_ops.iota(shape=(size_of(places),), axis=0, dtype=int32)
    numbers = _stretch(shape_ops.reshape(numbers, shape=places), (*batch, *places))
    start = shape_ops.zeros(Spec((*batch, *sizes), int32))
    written = scatter(start, indices, numbers, batch_dims=batch_dims, op="set", mode=mode)
    kept = gather(written, indices, batch_dims=batch_dims, mode=_TRANSPOSED_MODE[mode])
    return elementwise.eq(kept, numbers)  # type: ignore[no-any-return]


# batching


def _depth(indices: Tensor) -> int:
    k = indices.shape[-1]
    assert isinstance(k, int)
    return k


def _move(x: Tensor, source: int, target: int) -> Tensor:
    if source == target:
        return x
    axes = [a for a in range(x.ndim) if a != source]
    axes.insert(target, source)
    return shape_ops.transpose(x, axes=tuple(axes))  # type: ignore[no-any-return]


def _with_batch(x: Tensor, batched: bool, size: Size) -> Tensor:
    return x if batched else shape_ops.broadcast(x, shape=(size, *x.shape))


@gather.batch
def _(batched: Flags, x: Tensor, indices: Tensor, *, size: Size, batch_dims: int, mode: str) -> Tensor:
    if all(batched):
        return gather(x, indices, batch_dims=batch_dims + 1, mode=mode)  # type: ignore[no-any-return]
    if batched[1]:  # more places in the same x
        out = gather(x, _move(indices, 0, batch_dims), batch_dims=batch_dims, mode=mode)
        return _move(out, batch_dims, 0)
    axis = batch_dims + _depth(indices)  # the same places in each: the batch is one more axis of the rest
    out = gather(_move(x, 0, axis), indices, batch_dims=batch_dims, mode=mode)
    return _move(out, indices.ndim - 1, 0)


@scatter.batch
def _(
    batched: Flags,
    x: Tensor,
    indices: Tensor,
    updates: Tensor,
    *,
    size: Size,
    batch_dims: int,
    op: str,
    mode: str,
) -> Tensor:
    x, updates = _with_batch(x, batched[0], size), _with_batch(updates, batched[2], size)
    if batched[1]:
        return scatter(x, indices, updates, batch_dims=batch_dims + 1, op=op, mode=mode)  # type: ignore[no-any-return]
    axis = batch_dims + _depth(indices)
    out = scatter(
        _move(x, 0, axis),
        indices,
        _move(updates, 0, indices.ndim - 1),
        batch_dims=batch_dims,
        op=op,
        mode=mode,
    )
    return _move(out, axis, 0)


# samples


def _ints(values: Any, dtype: str = "int32") -> Array:
    return np.array(values, dtype)


@gather.samples
def _(s: Samples) -> Iterator[Case | ErrorCase]:
    error: dict[str, Any] = {"batch_dims": 0, "mode": "error"}
    yield s.case(s.normal(5), _ints([3]), **error)
    yield s.case(s.normal(5, 3), s.integers(0, 5, 4, 1), **error)
    yield s.case(s.normal(5, 3), s.integers(0, 3, 2, 2, 2, dtype="uint8"), **error)
    yield s.case(s.normal(4, 5, 3), s.integers(0, 4, 6, 1, dtype="int64"), **error)
    yield s.case(s.normal(2, 5, 3), s.integers(0, 5, 2, 4, 1), batch_dims=1, mode="error")
    yield s.case(s.normal(2, 3, 5), s.integers(0, 5, 2, 3, 1), batch_dims=2, mode="error")
    yield s.case(s.normal(2, 4, 3, 2), s.integers(0, 3, 2, 3, 2, 2), batch_dims=1, mode="error")
    yield s.case(s.normal(5, 3), _ints([[-2], [4], [9]]), batch_dims=0, mode="clip")
    yield s.case(s.normal(5, 3), _ints([[-2, 0], [4, 2], [4, 3]]), batch_dims=0, mode="fill")
    yield s.case(s.normal(3, 3), _ints([[2**64 - 1], [1]], "uint64"), batch_dims=0, mode="clip")
    yield s.case(s.normal(0, 3), _ints([[0], [1]]), batch_dims=0, mode="fill")
    yield s.case(s.normal(0, 3), _ints(np.zeros((0, 1))), **error)
    yield s.case(s.normal(3, 0), _ints([[1]]), **error)
    yield s.case(s.integers(-9, 9, 5), _ints([[4], [4], [0]]), **error)
    yield s.case(s.booleans(5), _ints([[4], [-1]]), batch_dims=0, mode="fill")
    yield s.special([np.nan, np.inf, -0.0], _ints([[0], [1], [2], [3]]), batch_dims=0, mode="fill")
    yield s.error(s.normal(5, 2), _ints([[7]]), OutOfRangeError, "index 7", "axis 0 with size 5", "[0]", **error)
    yield s.error(s.normal(5), _ints([-1]), OutOfRangeError, "index -1", "axis 0 with size 5", **error)
    yield s.error(
        s.normal(2, 5),
        _ints([[[0]], [[5]]]),
        OutOfRangeError,
        "index 5",
        "axis 1",
        "[1, 0]",
        batch_dims=1,
        mode="error",
    )
    yield s.error(s.normal(0), _ints([[0]]), OutOfRangeError, "size 0", batch_dims=0, mode="clip")
    yield s.error(s.normal(5), s.normal(2, 1), DTypeError, "integer indices", "astype", **error)
    yield s.error(s.normal(5), _ints([[0, 1]]), ShapeError, "2", "[5]", **error)
    yield s.error(s.normal(5), _ints(3), ShapeError, "at least 1 axes", **error)
    yield s.error(s.normal(2, 5), _ints([[[0]]]), ShapeError, "[2]", "[1]", "equal", batch_dims=1, mode="error")
    yield s.error(s.normal(5), _ints([3]), ArgumentError, "error, clip, fill", "drop", batch_dims=0, mode="drop")


@scatter.samples
def _(s: Samples) -> Iterator[Case | ErrorCase]:
    error: dict[str, Any]
    twice = _ints([[1], [4], [1], [0]])
    for op in ("set", "add", "max", "min"):
        error = {"batch_dims": 0, "op": op, "mode": "error"}
        apart = s.distinct(27)  # no ties: x and the updates come from different thirds
        yield s.case(apart[:5], twice, apart[5:9], **error)
        yield s.case(apart[:15].reshape(5, 3), twice, apart[15:].reshape(4, 3), **error)
        yield s.case(apart[:5], _ints([2]), apart[5], **error)
        yield s.case(apart[:15].reshape(5, 3), _ints([[4, 2], [0, 1], [4, 2]], "int64"), apart[15:18], **error)
        batch = _ints([[[1], [1], [2]], [[0], [3], [0]]], "uint8")
        yield s.case(apart[:8].reshape(2, 4), batch, apart[8:14].reshape(2, 3), batch_dims=1, op=op, mode="error")
        outside = _ints([[7], [2], [-1], [2]])
        for mode in ("clip", "drop"):
            yield s.case(apart[:15].reshape(5, 3), outside, apart[15:].reshape(4, 3), batch_dims=0, op=op, mode=mode)
        yield s.case(s.integers(-9, 9, 5), twice, s.integers(-9, 9, 4), **error)
        yield s.case(s.normal(5), _ints(np.zeros((0, 1))), s.normal(0), **error)
        yield s.case(s.normal(0), _ints([[0]]), s.normal(1), batch_dims=0, op=op, mode="drop")
        yield s.special([0.0, np.nan, 1.0, np.inf, 5.0], twice, [np.nan, 1.0, 1.0, np.inf], **error)
        yield s.error(s.normal(5), _ints([[5]]), s.normal(1), OutOfRangeError, "index 5", "size 5", **error)
    yield s.case(s.booleans(5), twice, s.booleans(4), batch_dims=0, op="set", mode="error")
    error = {"batch_dims": 0, "op": "add", "mode": "error"}
    yield s.error(s.booleans(5), twice, s.booleans(4), DTypeError, "numbers", "bool", **error)
    yield s.error(s.normal(5), twice, s.integers(0, 3, 4), DTypeError, "updates.astype", **error)
    yield s.error(s.normal(5), s.normal(4, 1), s.normal(4), DTypeError, "integer indices", **error)
    yield s.error(s.normal(5, 3), twice, s.normal(4), ShapeError, "[5, 3]", "[4, 3]", "they are [4]", **error)
    yield s.error(s.normal(5), twice, s.normal(4), ArgumentError, "mul", batch_dims=0, op="mul", mode="error")
    yield s.error(s.normal(5), twice, s.normal(4), ArgumentError, "fill", batch_dims=0, op="add", mode="fill")
