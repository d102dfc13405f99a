"""Pooling of all places: `GlobalMaxPooling1D/2D/3D`, `GlobalAveragePooling1D/2D/3D`."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from treadle import array as xp
from treadle.core.errors import ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.masking import sequence_mask
from treadle.nn.module import Module
from treadle.nn.spatial import axis_names, check_data_format


class _GlobalPooling(Module):
    """One number a channel. Sequences may be padded: `mask` or `lengths` say what is real."""

    rank: ClassVar[int]

    def __init__(self, data_format: str | None = None, keepdims: bool = False) -> None:
        self.data_format = check_data_format(data_format)
        self.keepdims = keepdims

    def _axes(self, x: Tensor) -> tuple[int, ...]:
        if x.ndim != self.rank + 2:
            names = ", ".join(axis_names(self.rank, self.data_format))
            raise ShapeError(f"x {show_shape(x.shape)} has {x.ndim} axes, and {type(self).__name__} takes [{names}]")
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))


class _GlobalImages(_GlobalPooling):
    def __call__(self, x: Tensor) -> Tensor:
        return self._reduce(x, self._axes(x))

    @abstractmethod
    def _reduce(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Over these axes."""


class _GlobalSequences(_GlobalPooling):
    rank = 1

    def __call__(self, x: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        (time,) = self._axes(x)
        real = sequence_mask(x, mask, lengths, time_axis=time)
        return self._reduce(x, time, None if real is None else xp.expand_dims(real, axis=3 - time))

    @abstractmethod
    def _reduce(self, x: Tensor, time: int, real: Tensor | None) -> Tensor:
        """Over time, of what is real: a bool that stretches to x."""


class GlobalMaxPooling1D(_GlobalSequences):
    """The largest element of each channel: `[batch, time, channels]` → `[batch, channels]`.

    A call takes `mask` (bool `[batch, time]`) or `lengths` (integers `[batch]`): the rest of a sequence is ignored. A
    sequence without any real element gives 0.

    Args:
        data_format: "channels_last" (None) or "channels_first", `[batch, channels, time]`.
        keepdims: keep the axis that is reduced, with size 1.

    >>> td.nn.GlobalMaxPooling1D()(td.asarray([[[1.], [5.], [9.]]]), lengths=td.asarray([2])).tolist()
    [[5.0]]
    """

    def _reduce(self, x: Tensor, time: int, real: Tensor | None) -> Tensor:
        if real is None:
            return xp.max(x, axis=time, keepdims=self.keepdims)
        least = -float("inf") if x.dtype.is_floating else xp.iinfo(x.dtype).min
        largest = xp.max(xp.where(real, x, least), axis=time, keepdims=self.keepdims)
        return xp.where(xp.any(real, axis=time, keepdims=self.keepdims), largest, 0)


class GlobalAveragePooling1D(_GlobalSequences):
    """The mean of each channel: `[batch, time, channels]` → `[batch, channels]`. Floating point.

    A call takes `mask` or `lengths` as `nn.GlobalMaxPooling1D` does; a sequence without any real element gives 0.

    >>> td.nn.GlobalAveragePooling1D()(td.asarray([[[1.], [5.], [9.]]]), lengths=td.asarray([2])).tolist()
    [[3.0]]
    """

    def _reduce(self, x: Tensor, time: int, real: Tensor | None) -> Tensor:
        if real is None:
            return xp.mean(x, axis=time, keepdims=self.keepdims)
        total = xp.sum(xp.where(real, x, 0), axis=time, keepdims=self.keepdims)
        count = xp.count_nonzero(real, axis=time, keepdims=self.keepdims)
        return total / xp.maximum(count, 1).astype(x.dtype)


class _GlobalMax(_GlobalImages):
    def _reduce(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return xp.max(x, axis=axes, keepdims=self.keepdims)


class _GlobalAverage(_GlobalImages):
    def _reduce(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return xp.mean(x, axis=axes, keepdims=self.keepdims)


class GlobalMaxPooling2D(_GlobalMax):
    """The largest element of each channel: `[batch, height, width, channels]` → `[batch, channels]`.

    Args as `nn.GlobalMaxPooling1D`; no mask.

    >>> td.nn.GlobalMaxPooling2D(keepdims=True)(td.zeros((2, 8, 8, 3))).shape
    (2, 1, 1, 3)
    """

    rank = 2


class GlobalMaxPooling3D(_GlobalMax):
    """The largest element of each channel: `[batch, depth, height, width, channels]` → `[batch, channels]`.

    >>> td.nn.GlobalMaxPooling3D()(td.zeros((2, 4, 8, 8, 3))).shape
    (2, 3)
    """

    rank = 3


class GlobalAveragePooling2D(_GlobalAverage):
    """The mean of each channel: `[batch, height, width, channels]` → `[batch, channels]`. Floating point.

    Args as `nn.GlobalMaxPooling1D`; no mask.

    >>> td.nn.GlobalAveragePooling2D(data_format="channels_first")(td.ones((2, 3, 8, 8))).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    rank = 2


class GlobalAveragePooling3D(_GlobalAverage):
    """The mean of each channel: `[batch, depth, height, width, channels]` → `[batch, channels]`. Floating point.

    >>> td.nn.GlobalAveragePooling3D()(td.zeros((2, 4, 8, 8, 3))).shape
    (2, 3)
    """

    rank = 3
