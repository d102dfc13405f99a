"""`x.at[key].set(v)` and its like: a changed copy of a tensor, also inside graphs."""

from __future__ import annotations

from typing import Any

from treadle.array.convert import apply, as_tensor, cast, constant, from_scalar, into, is_zero, numeric
from treadle.array.indexing import Box, Plan, full_mask, getitem, places, plan_of, result_shapes, with_scalar_masks
from treadle.array.joining import cut_out, join
from treadle.array.manipulation import permute, stretch
from treadle.core.dims import Dim, Shape, Size
from treadle.core.dtypes import bool_, int32, int64
from treadle.core.errors import ArgumentError, DimError, ShapeError
from treadle.core.primitive import Primitive
from treadle.core.spec import show_shape, size_of
from treadle.core.tensor import Tensor
from treadle.ops import elementwise as ew
from treadle.ops import index as index_ops
from treadle.ops import reduce as reduce_ops
from treadle.ops import shape as shape_ops
from treadle.ops import sort as sort_ops

_ELEMENTWISE: dict[str, Primitive] = {"add": ew.add, "multiply": ew.mul, "max": ew.maximum, "min": ew.minimum}
_MODES = ("error", "clip", "drop")


class At:
    """What `x.at` is: `x.at[key]` names a part of x, with the keys of `x[key]`, and its methods give changed copies.

    >>> x = td.zeros(4)
    >>> x.at[1].set(5).tolist(), x.at[[0, 0, 3]].add(1).tolist()
    ([0.0, 5.0, 0.0, 0.0], [2.0, 0.0, 0.0, 1.0])
    """

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = as_tensor(x, "at")

    def __getitem__(self, key: Any) -> AtKey:
        return AtKey(self._x, key)


class AtKey:
    """A part of a tensor, `x.at[key]`.

    The values broadcast to the shape of `x[key]` and become x's dtype, whose kind they must have. `mode` says what a
    position in a tensor that is out of range does: "error" (raises), "clip" (counts as the nearest), "drop" (nothing).
    Positions may repeat: sums and products take all of their values, `set` the last one.
    """

    __slots__ = ("_key", "_x")

    def __init__(self, x: Tensor, key: Any) -> None:
        self._x = x
        self._key = key

    def get(self, *, mode: str = "error") -> Tensor:
        """`x[key]`; `mode` "clip" takes the nearest instead of a position out of range, "fill" gives 0 for it.

        Raises:
            ArgumentError: another mode.

        >>> td.arange(3).at[[1, 7]].get(mode="clip").tolist()
        [1, 2]
        """
        if mode not in ("error", "clip", "fill"):
            raise ArgumentError(f'x.at[key].get: mode is "error", "clip" or "fill"; got {mode!r}')
        return getitem(self._x, self._key, mode=mode)

    def set(self, values: Any, *, mode: str = "error") -> Tensor:
        """x with `values` at the key.

        Raises:
            ShapeError: values that do not broadcast to the shape of `x[key]`.
            DTypeError: values of another kind than x's.
            OutOfRangeError: a position out of range, with mode "error".

        >>> td.zeros((2, 2)).at[:, 0].set([1., 2.]).tolist()
        [[1.0, 0.0], [2.0, 0.0]]
        """
        return self._update("set", values, mode)

    def add(self, values: Any, *, mode: str = "error") -> Tensor:
        """x with `values` added at the key; errors as for `set`.

        >>> td.ones(3).at[-1].add(2).tolist()
        [1.0, 1.0, 3.0]
        """
        return self._update("add", values, mode)

    def multiply(self, values: Any, *, mode: str = "error") -> Tensor:
        """x multiplied by `values` at the key; errors as for `set`.

        >>> td.ones(3).at[[1, 1]].multiply([2., 5.]).tolist()
        [1.0, 10.0, 1.0]
        """
        return self._update("multiply", values, mode)

    def max(self, values: Any, *, mode: str = "error") -> Tensor:
        """x with the larger of it and `values` at the key; errors as for `set`.

        >>> td.asarray([1, 5]).at[:].max(3).tolist()
        [3, 5]
        """
        return self._update("max", values, mode)

    def min(self, values: Any, *, mode: str = "error") -> Tensor:
        """x with the smaller of it and `values` at the key; errors as for `set`.

        >>> td.asarray([1, 5]).at[:].min(3).tolist()
        [1, 3]
        """
        return self._update("min", values, mode)

    def _update(self, op: str, values: Any, mode: str) -> Tensor:
        name = f"x.at[key].{op}"
        if mode not in _MODES:
            raise ArgumentError(f'{name}: mode is "error", "clip" or "drop"; got {mode!r}')
        x = self._x if op == "set" else numeric(name, self._x)
        values = _as_values(x, values, name)
        mask = full_mask(x, self._key)
        if mask is not None and values.ndim == 0:  # also for a mask that has no numbers yet
            changed = values if op == "set" else apply(_ELEMENTWISE[op], x, values)
            return apply(ew.select, mask, changed, x)
        viewed, key = with_scalar_masks(x, self._key)
        plan = plan_of(viewed, key, check=mode == "error")
        box = plan.box.read(viewed)
        changed = _change(op, mode, name, plan, box, values)
        out = put_back(plan.box, viewed, changed)
        return out if out.shape == x.shape else apply(shape_ops.reshape, out, shape=x.shape)


def _as_values(x: Tensor, values: Any, name: str) -> Tensor:
    from treadle.array.nested import from_nested

    if isinstance(values, list | tuple):
        values = from_nested(values, None, name)
        if values.dtype.is_integer and x.dtype.is_floating:
            values = cast(values, x.dtype)  # [1, 2] are Python numbers
    return into(x, values, name)


def _change(op: str, mode: str, name: str, plan: Plan, box: Tensor, values: Tensor) -> Tensor:
    """The box with the change made."""
    order = (*plan.axes, *(a for a in range(box.ndim) if a not in plan.axes))
    rows = permute(box, order)
    chosen: Shape = plan.shape_of_indices()
    target = (*chosen, *rows.shape[len(plan.axes) :])
    values = _aligned(name, plan, values, target, box.ndim)
    if not plan.indices:
        return values if op == "set" else apply(_ELEMENTWISE[op], rows, values)
    where = places(plan)
    if op == "multiply":
        out = _multiply(rows, where, values, mode)
    else:
        out = apply(index_ops.scatter, rows, where, values, batch_dims=0, op=op, mode=mode)
    return permute(out, tuple(order.index(a) for a in range(box.ndim)))


def _aligned(name: str, plan: Plan, values: Tensor, target: Shape, ndim: int) -> Tensor:
    """Values in the shape of x[key], brought into the order that the box's elements are written in."""
    rest = iter(target[len(plan.shape_of_indices()) :])
    box_shape = tuple(0 if a in plan.axes else next(rest) for a in range(ndim))
    plain, final, order = result_shapes(plan, box_shape)
    try:
        values = stretch(values, final)
    except ShapeError as e:
        raise type(e)(
            f"{name}: the values {show_shape(values.shape)} do not broadcast to {show_shape(final)}, "
            "the shape of x[key]"
        ) from None
    permuted = tuple(plain[a] for a in order)
    values = values if values.shape == permuted else apply(shape_ops.reshape, values, shape=permuted)
    values = permute(values, tuple(order.index(a) for a in range(len(order))))
    return values if values.shape == target else apply(shape_ops.reshape, values, shape=target)


def put_back(box: Box, x: Tensor, inside: Tensor) -> Tensor:
    """x with the sub-box replaced."""
    if box.flipped:
        inside = apply(shape_ops.reverse, inside, axes=tuple(box.flipped))
    if box.is_whole(x.shape):
        return inside
    if any(map(is_zero, inside.shape)):
        return x
    if all(by == 1 for by in box.step):
        starts = [from_scalar(low, int32, "x.at") for low in box.low]
        return apply(shape_ops.dynamic_update, x, inside, *starts)
    mask = stretch(constant(True, bool_), inside.shape)
    nothing = constant(0, x.dtype)
    return apply(ew.select, _spread(box, x, mask, constant(False, bool_)), _spread(box, x, inside, nothing), x)


def _spread(box: Box, x: Tensor, inside: Tensor, between: Tensor) -> Tensor:
    """The box's elements at their places in x's shape, `between` elsewhere."""
    gaps = tuple(by - 1 for by in box.step)
    covered = [shape_ops.dilated(n, gap) for n, gap in zip(inside.shape, gaps, strict=True)]
    high = tuple(n - low - c for n, low, c in zip(x.shape, box.low, covered, strict=True))
    return apply(shape_ops.pad, inside, between, low=tuple(box.low), high=high, interior=gaps)


# products


def _multiply(x: Tensor, where: Tensor, values: Tensor, mode: str) -> Tensor:
    """x `[n1..nk, rest...]` times values `[I..., rest...]` at `[I..., k]`.

    scatter has no product. So the values are sorted by place; a running product within each run of equal places (a
    segmented scan in log2 steps: Hillis and Steele, Data parallel algorithms, CACM 29 (1986)) leaves the whole product
    at each run's end; and of the results that are then written, the last of each place stays.
    """
    k = where.shape[-1]
    assert isinstance(k, int)
    count = size_of(where.shape[:-1])
    if isinstance(count, Dim):
        raise DimError(f"x.at[i].multiply: the number {count} of positions must be known while tracing")
    rest = x.shape[k:]
    where = apply(shape_ops.reshape, where, shape=(count, k))
    values = apply(shape_ops.reshape, values, shape=(count, *rest))
    if mode == "clip":
        where = _clipped(where, x.shape[:k])
    if count > 1:
        numbers = _numbers(where, x.shape[:k])
        order = apply(sort_ops.argsort, numbers, axis=0, descending=False)
        numbers, where, values = (_rows(t, order) for t in (numbers, where, values))
        values = _products_of_runs(values, numbers)
    reading = {"error": "error", "clip": "clip", "drop": "fill"}[mode]
    old = apply(index_ops.gather, x, where, batch_dims=0, mode=reading)
    return apply(index_ops.scatter, x, where, apply(ew.mul, old, values), batch_dims=0, op="set", mode=mode)


def _rows(x: Tensor, order: Tensor) -> Tensor:
    at = apply(shape_ops.reshape, order, shape=(*order.shape, 1))
    return apply(index_ops.gather, x, at, batch_dims=0, mode="clip")  # a permutation: never out of range


def _sizes(where: Tensor, sizes: Shape) -> Tensor:
    columns = [apply(shape_ops.reshape, from_scalar(n, where.dtype, "x.at"), shape=(1,)) for n in sizes]
    return join(columns, 0)


def _clipped(where: Tensor, sizes: Shape) -> Tensor:
    one = constant(1, where.dtype)
    return apply(ew.clamp, where, constant(0, where.dtype), apply(ew.sub, _sizes(where, sizes), one))


def _numbers(where: Tensor, sizes: Shape) -> Tensor:
    """Row-major numbers of places, -1 for those outside."""
    total = size_of(sizes)
    wide = cast(where, int32 if isinstance(total, int) and total < 2**31 and where.dtype.bits <= 32 else int64)
    zero = constant(0, wide.dtype)
    inside = apply(ew.and_, apply(ew.ge, wide, zero), apply(ew.lt, wide, _sizes(wide, sizes)))
    strides: list[Size] = [size_of(sizes[a + 1 :]) for a in range(len(sizes))]
    number = apply(reduce_ops.sum, apply(ew.mul, wide, _sizes(wide, tuple(strides))), axes=(1,))
    return apply(ew.select, apply(reduce_ops.all, inside, axes=(1,)), number, constant(-1, wide.dtype))


def _products_of_runs(values: Tensor, numbers: Tensor) -> Tensor:
    """Running products, started anew where the number changes."""
    count = numbers.shape[0]
    assert isinstance(count, int)
    ones = (1,) * (values.ndim - 1)
    step = 1
    while step < count:
        same = apply(ew.eq, cut_out(numbers, 0, step, count), cut_out(numbers, 0, 0, count - step))
        same = apply(shape_ops.reshape, same, shape=(count - step, *ones))
        own, earlier = cut_out(values, 0, step, count), cut_out(values, 0, 0, count - step)
        longer = apply(ew.select, same, apply(ew.mul, own, earlier), own)
        values = join([cut_out(values, 0, 0, step), longer], 0)
        step *= 2
    return values
