"""Pooling of windows: `MaxPooling1D/2D/3D`, `AveragePooling1D/2D/3D`."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from treadle import array as xp
from treadle.array.convert import like
from treadle.core.dims import Size
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import calls, conv_arithmetic
from treadle.nn.conv_arithmetic import ConvShape
from treadle.nn.module import Module
from treadle.nn.spatial import PaddingLike, axis_names, check_data_format, check_padding, per_axis, split_shape
from treadle.nn.widening import widened
from treadle.ops import shape as shape_ops
from treadle.ops.window import unfold


class _Pooling(Module):
    """A window that moves over the spatial axes; each channel by itself."""

    rank: ClassVar[int]

    def __init__(
        self,
        pool_size: int | tuple[int, ...] = 2,
        strides: int | tuple[int, ...] | None = None,
        padding: PaddingLike = "valid",
        data_format: str | None = None,
    ) -> None:
        self.pool_size = per_axis("pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else per_axis("strides", strides, self.rank)
        self.padding = check_padding(padding, self.rank)
        if not isinstance(self.padding, str):
            for pair, size in zip(self.padding, self.pool_size, strict=True):
                if max(pair) >= size:
                    raise ArgumentError(
                        f"padding {pair} must be below pool_size {size}: a window would see nothing of x"
                    )
        self.data_format = check_data_format(data_format)

    def __call__(self, x: Tensor) -> Tensor:
        made = self._explain(x.spec)
        return self._pool(x, made)

    @abstractmethod
    def _pool(self, x: Tensor, made: ConvShape) -> Tensor:
        """The result, given its shape and padding."""

    def _explain(self, x: Spec) -> ConvShape:
        if x.ndim != self.rank + 2:
            names = ", ".join(axis_names(self.rank, self.data_format))
            raise ShapeError(f"x {show_shape(x.shape)} has {x.ndim} axes, and {type(self).__name__} takes [{names}]")
        _, sizes, channels = split_shape(x.shape, self.data_format)
        axes = conv_arithmetic.forward_axes(sizes, self.pool_size, self.strides, (1,) * self.rank, self.padding)
        title = type(self).__name__ if self.data_format == "channels_last" else f"{type(self).__name__}, channels_first"
        return conv_arithmetic.explain(
            title, x.shape, channels, None, axes, self.data_format, history=lambda a: calls.shrinking(x, a)
        )

    @property
    def _first(self) -> int:
        """The first spatial axis."""
        return 1 if self.data_format == "channels_last" else 2

    def _windows(self, x: Tensor, made: ConvShape, filler: float) -> Tensor:
        """All windows: the result's axes, then as many of the window. The border is `filler`."""
        widths: list[tuple[Size, Size]] = [(0, 0)] * x.ndim
        window, steps = [1] * x.ndim, [1] * x.ndim
        for a in range(self.rank):
            at = self._first + a
            widths[at], window[at], steps[at] = made.padding[a], self.pool_size[a], self.strides[a]
        if any(w != (0, 0) for w in widths):
            low, high = tuple(w[0] for w in widths), tuple(w[1] for w in widths)
            x = shape_ops.pad(x, like(filler, x), low=low, high=high, interior=(0,) * x.ndim)
        out: Tensor = unfold(x, window=tuple(window), strides=tuple(steps), dilation=(1,) * x.ndim)
        return out

    def _window_axes(self, x: Tensor) -> tuple[int, ...]:
        return tuple(range(x.ndim, 2 * x.ndim))


class _MaxPooling(_Pooling):
    def _pool(self, x: Tensor, made: ConvShape) -> Tensor:
        return xp.max(self._windows(x, made, _least(x)), axis=self._window_axes(x))


class _AveragePooling(_Pooling):
    def _pool(self, x: Tensor, made: ConvShape) -> Tensor:
        if not x.dtype.is_floating:
            raise DTypeError(
                f"{type(self).__name__} averages floating point, and x is {x.spec}; write x.astype(td.float32)"
            )
        wide = widened(x)  # a window's sum would lose digits
        total = xp.sum(self._windows(wide, made, 0), axis=self._window_axes(x))
        counts = [self._count(a, made, wide) for a in range(self.rank)]
        for count in counts[1:]:
            counts[0] = counts[0] * count
        return (total / counts[0]).astype(x.dtype)

    def _count(self, a: int, made: ConvShape, x: Tensor) -> Tensor:
        """How many elements of x the windows cover along one spatial axis: a number, or one for each position."""
        axis = made.axes[a]
        low, high = axis.padding
        if (low, high) == (0, 0):
            return like(axis.kernel, x)
        start = xp.arange(axis.out) * axis.stride - low
        covered = xp.minimum(start + axis.kernel, axis.size) - xp.maximum(start, 0)
        shape: list[Size] = [1] * x.ndim
        shape[self._first + a] = axis.out
        return xp.reshape(covered, tuple(shape)).astype(x.dtype)


def _least(x: Tensor) -> float:
    """What never wins a maximum."""
    if x.dtype.is_floating:
        return -float("inf")
    if x.dtype.is_bool:
        raise DTypeError(f"max pooling needs numbers, and x is {x.spec}; write x.astype(td.int32)")
    return int(np.iinfo(x.dtype.numpy).min)


class MaxPooling1D(_MaxPooling):
    """The largest element in each window, `[batch, length, channels]`. Else as `nn.MaxPooling2D`.

    >>> td.nn.MaxPooling1D(2)(td.asarray([[[1.], [5.], [2.], [3.]]])).tolist()
    [[[5.0], [3.0]]]
    """

    rank = 1


class MaxPooling2D(_MaxPooling):
    """`[batch, height, width, channels]` → `[batch, new height, new width, channels]`: the maximum of each window.

    Args:
        pool_size: the window, an int or one for each spatial axis.
        strides: how far it moves; None is as far as it is wide.
        padding: "valid", "same", an int, or for each spatial axis an int or a pair (before, after), as for `nn.Conv2D`;
            the border never wins.
        data_format: "channels_last" (None) or "channels_first".

    Raises (at a call):
        ShapeError: another rank, or nothing left.

    >>> td.nn.MaxPooling2D()(td.zeros((1, 28, 28, 3))).shape
    (1, 14, 14, 3)
    """

    rank = 2


class MaxPooling3D(_MaxPooling):
    """The largest element in each window, `[batch, depth, height, width, channels]`. Else as `nn.MaxPooling2D`.

    >>> td.nn.MaxPooling3D((1, 2, 2))(td.zeros((1, 5, 8, 8, 3))).shape
    (1, 5, 4, 4, 3)
    """

    rank = 3


class AveragePooling1D(_AveragePooling):
    """The mean of each window, `[batch, length, channels]`. Else as `nn.AveragePooling2D`.

    >>> td.nn.AveragePooling1D(2, padding="same")(td.asarray([[[1.], [5.], [2.]]])).tolist()
    [[[3.0], [2.0]]]
    """

    rank = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window: `[batch, height, width, channels]` → `[batch, new height, new width, channels]`.

    The border does not count: a window that reaches beyond the image is averaged over what it covers of it.

    Args and errors as `nn.MaxPooling2D`; x is floating point.

    >>> td.nn.AveragePooling2D()(td.ones((1, 28, 28, 3))).shape
    (1, 14, 14, 3)
    """

    rank = 2


class AveragePooling3D(_AveragePooling):
    """The mean of each window, `[batch, depth, height, width, channels]`. Else as `nn.AveragePooling2D`.

    >>> td.nn.AveragePooling3D(2)(td.ones((1, 4, 8, 8, 3))).shape
    (1, 2, 4, 4, 3)
    """

    rank = 3
