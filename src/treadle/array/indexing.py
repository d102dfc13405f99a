"""`x[key]` and `x.at[key]`, with NumPy's keys and meaning.

A key is taken apart into a `Plan` of three steps, each of which can be read and written:

    box        the slices and fixed positions: one strided sub-box of x, all axes kept
    gather     the integer tensors: elements of the box, as NumPy places them (docs.numpy.org, "Combining advanced and
               basic indexing": beside each other, their axes stand where they stood; apart, in front)
    reshape    fixed positions vanish, None appears

Writing (`x.at[key].set(v)`) walks the same steps back: the change is made inside the box, and the box is put back.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treadle.array.convert import apply, as_tensor, is_zero, static_int
from treadle.array.manipulation import permute, stretch
from treadle.array.nested import from_nested
from treadle.array.positions import from_end, out_of_range, same_width
from treadle.core.dims import Dim, Shape, Size
from treadle.core.errors import DTypeError, OutOfRangeError, ShapeError, TraceError
from treadle.core.spec import broadcast_shapes, show_shape
from treadle.core.tensor import Tensor, concrete
from treadle.ops import index as index_ops
from treadle.ops import shape as shape_ops


@dataclass
class Box:
    """A strided sub-box: `low`, `high`, `step` > 0 per axis, and the axes that are then read backwards."""

    low: list[Size] = field(default_factory=list)
    high: list[Size] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    flipped: list[int] = field(default_factory=list)

    def append(self, low: Size, high: Size, step: int = 1, *, flip: bool = False) -> None:
        if flip:
            self.flipped.append(len(self.low))
        self.low.append(low)
        self.high.append(high)
        self.step.append(step)

    def covers(self, shape: Shape) -> bool:
        """Whether it is all of x, in order."""
        return not self.flipped and self.is_whole(shape)

    def is_whole(self, shape: Shape) -> bool:
        """Whether it has all elements of x, if in another order."""
        return tuple(self.high) == shape and all(map(is_zero, self.low)) and all(by == 1 for by in self.step)

    def read(self, x: Tensor) -> Tensor:
        """x's sub-box, with as many axes as x."""
        if self.covers(x.shape):
            return x
        if not self.is_whole(x.shape):
            x = apply(shape_ops.slice, x, start=tuple(self.low), stop=tuple(self.high), step=tuple(self.step))
        return apply(shape_ops.reverse, x, axes=tuple(self.flipped)) if self.flipped else x


@dataclass
class Plan:
    """What a key means for a tensor."""

    box: Box
    axes: list[int]  # of the box, that integer tensors index
    indices: list[Tensor]  # one for each of them, counted from the front, broadcast against each other
    place: int  # where their axes stand among the slices' axes
    dropped: set[int]  # axes of the box with a fixed position
    new: list[int]  # how many of the kept axes stand before each None
    new_before: int  # how many Nones stand before the integer tensors' axes

    def shape_of_indices(self) -> Shape:
        return broadcast_shapes(*(i.shape for i in self.indices)) if self.indices else ()

    def kept(self, ndim: int) -> list[int]:
        """Axes of the box that only slices index."""
        return [a for a in range(ndim) if a not in self.axes and a not in self.dropped]


def getitem(x: Any, key: Any, /, *, mode: str = "error") -> Tensor:
    """What `x[key]` is: elements by ints, slices, None, ..., masks and integer tensors, as in NumPy.

    Integer tensors may stand in any places and broadcast against each other. A mask selects by its numbers, so it needs
    them: inside `td.compile` and `td.vmap`, use `td.where`. There, positions in tensors are checked when the function
    runs.

    Raises:
        OutOfRangeError: a position outside of its axis, or more keys than axes.
        ShapeError: a mask of another shape, or integer tensors that do not broadcast.
        DTypeError: a key that is none of these.
        TraceError: a mask, or a slice's bound, that has no numbers yet.

    >>> td.arange(12).reshape(3, 4)[1:, [0, -1]].tolist()
    [[4, 7], [8, 11]]
    """
    t = as_tensor(x, "getitem")
    t, key = with_scalar_masks(t, key)
    plan = plan_of(t, key, check=mode == "error")
    return result_view(read(plan, t, mode), plan, t.ndim)


def read(plan: Plan, x: Tensor, mode: str) -> Tensor:
    """What the integer tensors choose of the box: their axes in front, the others in the box's order."""
    box = plan.box.read(x)
    if not plan.indices:
        return box
    rest = [a for a in range(box.ndim) if a not in plan.axes]
    return apply(index_ops.gather, permute(box, (*plan.axes, *rest)), places(plan), batch_dims=0, mode=mode)


def places(plan: Plan) -> Tensor:
    """The integer tensors stacked on a last axis, as gather and scatter take them."""
    shape = plan.shape_of_indices()
    columns = [stretch(i, shape) for i in same_width(plan.indices)]
    columns = [apply(shape_ops.reshape, c, shape=(*shape, 1)) for c in columns]
    return columns[0] if len(columns) == 1 else apply(shape_ops.concatenate, *columns, axis=len(shape))


def result_shapes(plan: Plan, box_shape: Shape) -> tuple[Shape, Shape, tuple[int, ...]]:
    """Of what is read: its shape without dropped axes, the result's shape, and the permutation between."""
    chosen = plan.shape_of_indices()
    kept = [box_shape[a] for a in plan.kept(len(box_shape))]
    first, k = len(chosen), plan.place
    order = (*range(first, first + k), *range(first), *range(first + k, first + len(kept)))
    final: list[Size] = []
    for i, n in enumerate(kept):
        final += [1] * sum(1 for at in plan.new if at == i)
        final.append(n)
    final += [1] * sum(1 for at in plan.new if at == len(kept))
    at = plan.place + plan.new_before
    final[at:at] = chosen
    return (*chosen, *kept), tuple(final), order


def result_view(chosen: Tensor, plan: Plan, ndim: int) -> Tensor:
    """What was read, with the axes as the caller sees them."""
    box_shape = box_shape_of(plan, chosen, ndim)
    plain, final, order = result_shapes(plan, box_shape)
    out = chosen if chosen.shape == plain else apply(shape_ops.reshape, chosen, shape=plain)
    out = permute(out, order)
    return out if out.shape == final else apply(shape_ops.reshape, out, shape=final)


def box_shape_of(plan: Plan, chosen: Tensor, ndim: int) -> Shape:
    """The box's shape, from what was read; sizes of indexed axes do not matter and are 0."""
    rest = iter(chosen.shape[len(plan.shape_of_indices()) if plan.indices else 0 :])
    return tuple(0 if a in plan.axes else next(rest) for a in range(ndim))


# from a key to a plan


def keys_of(key: Any) -> list[Any]:
    return list(key) if isinstance(key, tuple) else [key]


def with_scalar_masks(x: Tensor, key: Any) -> tuple[Tensor, Any]:
    """True and False as keys (NumPy): a new axis with 1 or 0 elements."""
    keys = keys_of(key)
    if not any(_is_scalar_mask(k) for k in keys):
        return x, key
    out: list[Any] = []
    axes: list[int] = []
    axis = 0
    consumed = sum(_consumes(k) for k in keys)
    for k in keys:
        if _is_scalar_mask(k):
            axes.append(axis)
            out.append(concrete(np.zeros(int(bool(k)), np.int32)))
        else:
            axis += x.ndim - consumed if k is Ellipsis else _consumes(k)
            out.append(k)
    shape = list(x.shape)
    for shift, a in enumerate(axes):
        shape.insert(min(a + shift, len(shape)), 1)
    return apply(shape_ops.reshape, x, shape=tuple(shape)), tuple(out)


def _is_scalar_mask(k: Any) -> bool:
    if isinstance(k, bool | np.bool_):
        return True
    return isinstance(k, Tensor | np.ndarray) and k.ndim == 0 and k.dtype == np.bool_


def _consumes(k: Any) -> int:
    """How many axes one entry of a key speaks of."""
    if k is None or k is Ellipsis or _is_scalar_mask(k):
        return 0
    if isinstance(k, list):
        k = np.asarray(k) if not _has_tensor(k) else None
    if isinstance(k, Tensor | np.ndarray) and k.dtype == np.bool_:
        return k.ndim
    return 1


def _has_tensor(k: Any) -> bool:
    return isinstance(k, Tensor) or (isinstance(k, list) and any(map(_has_tensor, k)))


def plan_of(x: Tensor, key: Any, *, check: bool) -> Plan:
    """Take a key apart. Without `check`, positions in tensors may be out of range."""
    keys = _expand(x, keys_of(key), check)
    advanced = any(isinstance(k, Tensor) for k in keys)
    plan = Plan(Box(), [], [], 0, set(), [], 0)
    kept = 0
    spots: list[int] = []  # places in the key of what NumPy counts as advanced
    first_kept = first_new = 0
    axis = 0
    for spot, k in enumerate(keys):
        if k is None:
            plan.new.append(kept)
            continue
        n = x.shape[axis]
        if isinstance(k, builtins.slice):
            _add_slice(plan.box, k, n, axis)
            kept += 1
        else:
            if not spots:
                first_kept, first_new = kept, len(plan.new)
            spots.append(spot)
            if isinstance(k, Tensor):
                plan.box.append(0, n)
                plan.axes.append(axis)
                plan.indices.append(k)
            else:
                low = _position(k, n, axis)
                plan.box.append(low, low + 1)
                plan.dropped.add(axis)
        axis += 1
    beside = not spots or spots[-1] - spots[0] + 1 == len(spots)
    if advanced and beside:
        plan.place, plan.new_before = first_kept, first_new
    _check_broadcast(plan)
    return plan


def _check_broadcast(plan: Plan) -> None:
    try:
        plan.shape_of_indices()
    except ShapeError as e:
        raise type(e)(
            f"x[key]: the integer tensors among the keys must broadcast against each other: {e.message}"
        ) from None


def _expand(x: Tensor, keys: Sequence[Any], check: bool) -> list[Any]:
    """Each entry an int, a Dim, a slice, None or a tensor of positions, one for each axis of x."""
    ellipses = sum(1 for k in keys if k is Ellipsis)
    if ellipses > 1:
        raise OutOfRangeError("x[key]: only one ... can stand in a key: where the axes that are not named go")
    consumed = sum(map(_consumes, keys))
    if consumed > x.ndim:
        raise OutOfRangeError(f"x[key]: {consumed} axes are indexed, and x is {x.spec} with {x.ndim}")
    rest = [builtins.slice(None)] * (x.ndim - consumed)
    out: list[Any] = []
    axis = 0
    for k in [*keys, *([] if ellipses else [Ellipsis])]:
        if k is Ellipsis:
            out += rest
            axis += len(rest)
        elif k is None:
            out.append(k)
        else:
            made = _normalized(x, k, axis, check)
            out += made
            axis += len(made)
    return out


def _normalized(x: Tensor, k: Any, axis: int, check: bool) -> list[Any]:
    if isinstance(k, builtins.slice | Dim):
        return [k]
    if isinstance(k, list):
        k = from_nested(k, None, "x[key]") if k else concrete(np.zeros(0, np.int32))
    if isinstance(k, np.ndarray):
        k = as_tensor(k, "x[key]")
    if not isinstance(k, Tensor):
        return [static_int("x[key]", k, "a key that is not a slice, None, ... or a tensor")]
    if k.dtype.is_bool:
        return _mask_positions(x, k, axis)
    if not k.dtype.is_integer:
        raise DTypeError(f"x[key]: {k.spec} does not say positions; integers and bool do: key.astype(td.int32)")
    if k.ndim == 0 and k.is_concrete:
        return [int(k.item())]
    return [from_end("x[key]", k, x.shape[axis], axis, check=check)]


def _mask_positions(x: Tensor, mask: Tensor, axis: int) -> list[Tensor]:
    """A mask as the positions of what it selects."""
    covered = x.shape[axis : axis + mask.ndim]
    if mask.shape != covered:
        raise ShapeError(
            f"x[mask]: the mask is {mask.spec}, and the axes of x that it stands for have the sizes "
            f"{show_shape(covered)}"
        )
    if not mask.is_concrete:
        raise TraceError(
            f"x[mask]: the result's shape depends on the numbers of the mask {mask.spec}, which has none yet while the "
            "function is traced. Keep the shape instead: td.where(mask, x, 0), then sum or divide by mask.sum()"
        )
    return [concrete(i.astype(np.int32)) for i in np.nonzero(mask.numpy())]


def _position(k: Any, n: Size, axis: int) -> Size:
    if isinstance(n, int) and isinstance(k, int):
        if not -n <= k < n:
            raise out_of_range("x[key]", k, n, axis)
        return k % n
    return n + k if isinstance(k, int) and k < 0 else k


def _add_slice(box: Box, k: builtins.slice, n: Size, axis: int) -> None:
    step = 1 if k.step is None else static_int("x[key]", k.step, "a slice's step")
    if step == 0:
        raise OutOfRangeError("x[key]: a slice's step is not 0")
    start, stop = _bound(k.start, axis), _bound(k.stop, axis)
    if isinstance(n, int) and not isinstance(start, Dim) and not isinstance(stop, Dim):
        positions = range(*builtins.slice(start, stop, step).indices(n))
        if not positions:
            box.append(0, 0)
        elif step > 0:
            box.append(positions[0], positions[-1] + 1, step)
        else:
            box.append(positions[-1], positions[0] + 1, -step, flip=True)
        return
    if step < 0:
        if start is not None or stop is not None:
            raise ShapeError(
                f"x[key]: axis {axis} has the size {n}, not known while tracing: reverse it as x[::-1] first"
            )
        last = (n - 1) % -step
        box.append(last, n, -step, flip=True)
        return
    low = 0 if start is None else _counted(start, n)
    high = n if stop is None else _counted(stop, n)
    box.append(low, high, step)


def _bound(v: Any, axis: int) -> Any:
    if v is None or isinstance(v, Dim):
        return v
    if isinstance(v, Tensor) and not v.is_concrete:
        raise TraceError(
            f"x[a:b] on axis {axis}: the bound {v.spec} has no number yet while the function is traced, and the "
            "result's size would depend on it. For a window of fixed width: x[a + td.arange(width)]"
        )
    return static_int("x[key]", v, "a slice's bound")


def _counted(v: Size, n: Size) -> Size:
    """A bound on an axis of unknown size; a negative one is taken to lie within it, which is checked at the run."""
    return n + v if isinstance(v, int) and v < 0 else v


def full_mask(x: Tensor, key: Any) -> Tensor | None:
    """The key as a mask over x's leading axes with x's rank, when it is one and nothing else."""
    keys = keys_of(key)
    if len(keys) != 1 or not isinstance(keys[0], Tensor | np.ndarray):
        return None
    mask = as_tensor(keys[0], "x.at[mask]")
    if not mask.dtype.is_bool or mask.ndim == 0 or mask.shape != x.shape[: mask.ndim]:
        return None
    return apply(shape_ops.reshape, mask, shape=(*mask.shape, *(1,) * (x.ndim - mask.ndim)))
