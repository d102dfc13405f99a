"""`conv`: cross-correlation over any number of spatial axes, channels last, with strides, dilations and groups.

Its derivatives are convolutions again. In one spatial dimension, with s the stride, d the kernel's and e the input's
dilation, `out[o] = sum_j X[o*s + j*d - lo] * kernel[j]`, where `X[i*e] = x[i]` and X is 0 elsewhere; the two transposes
solve `o*s + j*d - lo = i*e` for the index that is not summed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from treadle.core.dims import Size
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.ops import shape as shape_ops
from treadle.ops.conv_shape import check_operands, conv_output_size, nothing_left, spread
from treadle.ops.reduce import widened

Array = np.ndarray[Any, Any]
Ints: TypeAlias = tuple[int, ...]
Padding: TypeAlias = tuple[tuple[Size, Size], ...]

__all__ = ["conv", "conv_output_size"]

COLUMNS_BYTES = 1 << 26  # the reference gathers windows in pieces of about this size

# x [N, *spatial, Cin], kernel [*k, Cin/groups, Cout] -> [N, *out, Cout]; negative padding crops
conv = Primitive("conv", multilinear=(0, 1))


@conv.shape
def _(
    x: Spec,
    kernel: Spec,
    *,
    strides: Ints,
    padding: Padding,
    x_dilation: Ints,
    kernel_dilation: Ints,
    groups: Size,
) -> Spec:
    check_operands(x, kernel, groups)
    rank = x.ndim - 2
    for what, given in (
        ("strides", strides),
        ("padding", padding),
        ("x_dilation", x_dilation),
        ("kernel_dilation", kernel_dilation),
    ):
        if len(given) != rank:
            raise ShapeError(f"conv: {what}={given} has {len(given)} entries for {rank} spatial axes of x {x}")
        if what != "padding" and any(n < 1 for n in given):  # type: ignore[operator]  # those are ints
            raise ShapeError(f"conv: {what}={given} must be at least 1 on every axis")
    out: list[Size] = []
    for axis in range(rank):
        n, k = x.shape[axis + 1], kernel.shape[axis]
        size = conv_output_size(n, k, strides[axis], padding[axis], x_dilation[axis], kernel_dilation[axis])
        if n == 0 or k == 0 or shape_ops.surely_negative(size - 1):
            raise ShapeError(
                nothing_left(x, kernel, axis, strides[axis], padding[axis], x_dilation[axis], kernel_dilation[axis])
            )
        out.append(size)
    return x.with_shape([x.shape[0], *out, kernel.shape[-1]])


@conv.reference
def _(
    x: Array,
    kernel: Array,
    *,
    strides: Ints,
    padding: tuple[tuple[int, int], ...],
    x_dilation: Ints,
    kernel_dilation: Ints,
    groups: int,
) -> Array:
    k, out_channels = kernel.shape[:-2], kernel.shape[-1]
    padded = _padded(widened(x), padding, x_dilation)
    out = tuple(
        (n - int(spread(m, d))) // s + 1
        for n, m, s, d in zip(padded.shape[1:-1], k, strides, kernel_dilation, strict=True)
    )
    if any(n < 1 for n in out):  # sizes that were unknown when the shape rule looked
        raise ShapeError(f"conv: nothing is left of x {show_shape(x.shape)} by kernel {show_shape(kernel.shape)}")
    windows = _windows(padded, out, k, strides, kernel_dilation, groups)
    taps = math.prod(k) * kernel.shape[-2]
    matrix = widened(kernel).reshape(taps, groups, out_channels // groups).transpose(1, 0, 2)
    made = np.empty((x.shape[0], *out, out_channels), padded.dtype)
    bytes_each = math.prod(out) * groups * taps * padded.itemsize
    step = max(1, COLUMNS_BYTES // max(1, bytes_each))
    for begin in range(0, x.shape[0], step):
        part = slice(begin, begin + step)
        made[part] = _multiply_windows(windows[:, part], matrix, made[part].shape)
    return made.astype(x.dtype, copy=False)


def _multiply_windows(windows: Array, matrix: Array, shape: tuple[int, ...]) -> Array:
    """[G, n, *out, *k, Cin/G] times [G, taps, Cout/G], the groups side by side in the last axis."""
    columns = windows.reshape(len(matrix), math.prod(shape[:-1]), matrix.shape[1])
    if len(matrix) == 1:
        return np.asarray(np.matmul(columns[0], matrix[0]).reshape(shape))
    return np.asarray(np.matmul(columns, matrix).transpose(1, 0, 2).reshape(shape))


def _padded(x: Array, padding: Sequence[tuple[int, int]], dilation: Ints) -> Array:
    """x with its spatial axes dilated, then padded or cropped."""
    if all(p == (0, 0) for p in padding) and all(d == 1 for d in dilation):
        return np.ascontiguousarray(x)
    out: Array = shape_ops.pad.rule("reference")(
        x,
        np.zeros((), x.dtype),
        low=(0, *(low for low, _ in padding), 0),
        high=(0, *(high for _, high in padding), 0),
        interior=(0, *(d - 1 for d in dilation), 0),
    )
    return out


def _windows(x: Array, out: Ints, k: Ints, strides: Ints, dilation: Ints, groups: int) -> Array:
    """A view [G, N, *out, *k, Cin/G] of the windows of x."""
    lead, *spatial, last = x.strides
    per_group = x.shape[-1] // groups
    return np.lib.stride_tricks.as_strided(
        x,
        (groups, x.shape[0], *out, *k, per_group),
        (
            per_group * last,
            lead,
            *(b * s for b, s in zip(spatial, strides, strict=True)),
            *(b * d for b, d in zip(spatial, dilation, strict=True)),
            last,
        ),
        writeable=False,
    )


@conv.transpose
def _(ct: Tensor, x: Any, kernel: Any, **params: Any) -> tuple[Any, Any]:
    if isinstance(x, Unknown):
        return _x_cotangent(ct, x, kernel, **params), None
    return None, _kernel_cotangent(ct, x, kernel, **params)


def _reach(n: Size, dilation: int) -> Size:
    """From the first to the last of n elements."""
    return (n - 1) * dilation


def _x_cotangent(
    ct: Tensor,
    x: Unknown,
    kernel: Tensor,
    *,
    strides: Ints,
    padding: Padding,
    x_dilation: Ints,
    kernel_dilation: Ints,
    groups: Size,
) -> Any:
    """ct, dilated by the strides, with the kernel reversed and its channels exchanged, in strides of x's dilation."""
    rank = x.ndim - 2
    spatial = tuple(range(rank))
    *k, per_group, outputs = kernel.shape
    flipped = shape_ops.reverse(kernel, axes=spatial) if rank else kernel
    if groups == 1:
        exchanged = shape_ops.transpose(flipped, axes=(*spatial, rank + 1, rank))
    else:
        split = shape_ops.reshape(flipped, shape=(*k, per_group, groups, outputs // groups))
        swapped = shape_ops.transpose(split, axes=(*spatial, rank + 2, rank + 1, rank))
        exchanged = shape_ops.reshape(swapped, shape=(*k, outputs // groups, groups * per_group))
    own = []
    for a in spatial:
        taps = _reach(k[a], kernel_dilation[a])
        low = taps - padding[a][0]
        own.append((low, _reach(x.shape[a + 1], x_dilation[a]) + taps - _reach(ct.shape[a + 1], strides[a]) - low))
    return conv(
        ct,
        exchanged,
        strides=x_dilation,
        padding=tuple(own),
        x_dilation=strides,
        kernel_dilation=kernel_dilation,
        groups=groups,
    )


def _kernel_cotangent(
    ct: Tensor,
    x: Tensor,
    kernel: Unknown,
    *,
    strides: Ints,
    padding: Padding,
    x_dilation: Ints,
    kernel_dilation: Ints,
    groups: Size,
) -> Any:
    """x with ct as the kernel: batch and channels exchange roles, strides and the kernel's dilation too."""
    rank = x.ndim - 2
    spatial = tuple(range(1, rank + 1))
    n, *sizes, _ = x.shape
    per_group = kernel.shape[-2]
    if groups == 1:
        images = shape_ops.transpose(x, axes=(rank + 1, *spatial, 0))
    else:
        split = shape_ops.reshape(x, shape=(n, *sizes, groups, per_group))
        turned = shape_ops.transpose(split, axes=(rank + 2, *spatial, rank + 1, 0))
        images = shape_ops.reshape(turned, shape=(per_group, *sizes, groups * n))
    filters = shape_ops.move_axes_first(ct, spatial)
    own = []
    for a in range(rank):
        low = padding[a][0]
        needed = _reach(kernel.shape[a], kernel_dilation[a]) + _reach(ct.shape[a + 1], strides[a])
        own.append((low, needed - _reach(sizes[a], x_dilation[a]) - low))
    made = conv(
        images,
        filters,
        strides=kernel_dilation,
        padding=tuple(own),
        x_dilation=x_dilation,
        kernel_dilation=strides,
        groups=groups,
    )
    return shape_ops.move_axes_first(made, spatial)


@conv.batch
def _(batched: tuple[bool, ...], x: Tensor, kernel: Tensor, *, size: Size, groups: Size, **params: Any) -> Any:
    if all(batched):
        return _batch_both(x, kernel, size, groups, params)
    if batched[0]:
        n = x.shape[1]
        merged = shape_ops.reshape(x, shape=(size * n, *x.shape[2:]))
        out = conv(merged, kernel, groups=groups, **params)
        return shape_ops.reshape(out, shape=(size, n, *out.shape[1:]))
    return _batch_kernel(x, kernel, size, groups, params)


def _batch_both(x: Tensor, kernel: Tensor, size: Size, groups: Size, params: dict[str, Any]) -> Any:
    """Each example's channels become groups of their own."""
    _, n, *sizes, channels = x.shape
    _, *k, per_group, outputs = kernel.shape
    rank = len(sizes)
    moved = shape_ops.transpose(x, axes=(*range(1, rank + 2), 0, rank + 2))
    side = shape_ops.transpose(kernel, axes=(*range(1, rank + 2), 0, rank + 2))
    out = conv(
        shape_ops.reshape(moved, shape=(n, *sizes, size * channels)),
        shape_ops.reshape(side, shape=(*k, per_group, size * outputs)),
        groups=groups * size,
        **params,
    )
    split = shape_ops.reshape(out, shape=(*out.shape[:-1], size, outputs))
    return shape_ops.move_axes_first(split, (rank + 1,))


def _batch_kernel(x: Tensor, kernel: Tensor, size: Size, groups: Size, params: dict[str, Any]) -> Any:
    """The kernels' out channels stand side by side within each group."""
    _, *k, per_group, outputs = kernel.shape
    rank = len(k)
    each = outputs // groups
    split = shape_ops.reshape(kernel, shape=(size, *k, per_group, groups, each))
    side = shape_ops.transpose(split, axes=(*range(1, rank + 3), 0, rank + 3))
    out = conv(x, shape_ops.reshape(side, shape=(*k, per_group, groups * size * each)), groups=groups, **params)
    parted = shape_ops.reshape(out, shape=(*out.shape[:-1], groups, size, each))
    first = shape_ops.move_axes_first(parted, (rank + 2,))
    return shape_ops.reshape(first, shape=(*first.shape[:-2], outputs))


def _options(rank: int, **given: Any) -> dict[str, Any]:
    ones = (1,) * rank
    plain = {
        "strides": ones,
        "padding": ((0, 0),) * rank,
        "x_dilation": ones,
        "kernel_dilation": ones,
        "groups": 1,
    }
    return plain | given


@conv.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(2, 5, 3), s.normal(3, 3, 4), **_options(1))
    yield s.case(s.normal(2, 5, 6, 2), s.normal(3, 2, 2, 3), **_options(2, padding=((1, 1), (0, 1))))
    yield s.case(s.normal(1, 6, 7, 2), s.normal(2, 3, 2, 2), **_options(2, strides=(2, 3)))
    yield s.case(s.normal(2, 7, 1), s.normal(3, 1, 2), **_options(1, kernel_dilation=(2,), padding=((2, 1),)))
    yield s.case(s.normal(1, 3, 2), s.normal(4, 2, 2), **_options(1, x_dilation=(3,), padding=((1, 2),)))
    yield s.case(
        s.normal(2, 8, 4),
        s.normal(3, 2, 6),
        **_options(1, groups=2, strides=(2,), x_dilation=(2,), kernel_dilation=(3,), padding=((3, -2),)),
    )
    yield s.case(s.normal(2, 6, 3), s.normal(2, 1, 6), **_options(1, groups=3))  # depthwise
    yield s.case(s.normal(2, 8, 2), s.normal(3, 2, 2), **_options(1, padding=((-1, -2),)))
    yield s.case(s.normal(1, 4, 3, 5, 2), s.normal(2, 1, 3, 2, 2), **_options(3, padding=((0, 0), (1, 0), (0, 2))))
    yield s.case(s.normal(3, 4), s.normal(2, 6), **_options(0, groups=2))
    yield s.case(s.normal(0, 4, 2), s.normal(2, 2, 3), **_options(1))
    yield s.case(s.normal(2, 1, 1), s.normal(1, 1, 1), **_options(1))
    yield s.case(s.integers(-3, 4, 1, 5, 2), s.integers(-3, 4, 2, 2, 2), **_options(1))
    yield s.special([[[np.inf], [1.0], [np.nan], [2.0]]], s.positive(2, 1, 1), **_options(1))
    deep = s.normal(32, 6, 6, 16), s.normal(7, 7, 16, 32)
    yield s.error(*deep, ShapeError, "height=6", "height   (6 + 0 + 0 - 7) // 1 + 1 = 0", "at most 6", **_options(2))
    wide = s.normal(1, 5, 2), s.normal(3, 2, 2)
    spread = _options(1, kernel_dilation=(3,))
    yield s.error(*wide, ShapeError, "length", "(5 + 0 + 0 - 7) // 1 + 1 = -1", "from 3 to 7", "at most 2", **spread)
    yield s.error(
        s.normal(1, 5, 3), s.normal(3, 2, 2), ShapeError, "3 channels", "2 * 1 = 2", "channels=3", **_options(1)
    )
    yield s.error(s.normal(1, 5, 4), s.normal(3, 2, 3), ShapeError, "do not divide", **_options(1, groups=2))
    yield s.error(s.normal(1, 5, 4), s.normal(3, 4), ShapeError, "as many spatial axes", **_options(1))
    yield s.error(*wide, ShapeError, "strides", "at least 1", **_options(1, strides=(0,)))
    yield s.error(*wide, ShapeError, "padding", "entries", **_options(1, padding=()))
    yield s.error(s.normal(1, 0, 2), s.normal(3, 2, 2), ShapeError, "x is empty", **_options(1, padding=((3, 3),)))
    yield s.error(s.normal(1, 5, 2), s.integers(0, 2, 3, 2, 2), DTypeError, "int32", "astype", **_options(1))
    yield s.error(s.booleans(1, 5, 2), s.booleans(3, 2, 2), DTypeError, "bool", **_options(1))
