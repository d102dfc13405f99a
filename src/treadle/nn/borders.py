"""Borders put around images and cut off: `ZeroPadding1D/2D/3D`, `Cropping1D/2D/3D`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from treadle.array.convert import like
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.module import Module
from treadle.nn.spatial import axis_names, check_data_format, check_padding, named_shape
from treadle.ops import shape as shape_ops


class _Border(Module):
    """Widths of a border, before and behind along each spatial axis."""

    rank: ClassVar[int]
    word: ClassVar[str]
    widths: tuple[tuple[int, int], ...]

    def _set(self, given: Any, data_format: str | None) -> None:
        try:
            if isinstance(given, str):
                raise ArgumentError("a name")
            widths = check_padding(given, self.rank)
        except ArgumentError:
            pair = (
                "an int or a pair (before, after)"
                if self.rank == 1
                else f"an int, or for each of the {self.rank} spatial axes an int or a pair (before, after)"
            )
            raise ArgumentError(f"{self.word} is {pair}, none negative; got {given!r}") from None
        assert not isinstance(widths, str)
        self.widths = widths
        self.data_format = check_data_format(data_format)

    def _moved(self, x: Tensor, sign: int) -> Tensor:
        """x with the border put on (1) or cut off (-1)."""
        names = axis_names(self.rank, self.data_format)
        if x.ndim != self.rank + 2:
            raise ShapeError(
                f"x {show_shape(x.shape)} has {x.ndim} axes, and {type(self).__name__} takes [{', '.join(names)}]"
            )
        before = [(0, 0)] if self.data_format == "channels_last" else [(0, 0), (0, 0)]
        pairs = [*before, *self.widths, (0, 0)][: x.ndim]
        for name, n, (low, high) in zip(names, x.shape, pairs, strict=True):
            left = n + sign * (low + high)
            if isinstance(left, int) and left < 1:
                raise ShapeError(
                    f"nothing is left of the {name} of x {named_shape(x.shape, names)}: {n} - {low} - {high} = {left}"
                )
        starts, ends = (tuple(sign * p[i] for p in pairs) for i in (0, 1))
        out: Tensor = shape_ops.pad(x, like(0, x), low=starts, high=ends, interior=(0,) * x.ndim)
        return out


class _ZeroPadding(_Border):
    word = "padding"

    def __init__(self, padding: int | Sequence[Any] = 1, data_format: str | None = None) -> None:
        self._set(padding, data_format)

    def __call__(self, x: Tensor) -> Tensor:
        return self._moved(x, 1)


class _Cropping(_Border):
    word = "cropping"

    def __init__(self, cropping: int | Sequence[Any] = 1, data_format: str | None = None) -> None:
        self._set(cropping, data_format)

    def __call__(self, x: Tensor) -> Tensor:
        return self._moved(x, -1)


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and behind sequences, `[batch, length, channels]`. Else as `nn.ZeroPadding2D`.

    >>> td.nn.ZeroPadding1D((2, 0))(td.ones((1, 2, 1)))[0, :, 0].tolist()
    [0.0, 0.0, 1.0, 1.0]
    """

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """A border of zeros around images: `[batch, height, width, channels]` → the same, higher and wider.

    Args:
        padding: an int for all sides; or for each spatial axis an int or a pair (before, after).
        data_format: "channels_last" (None) or "channels_first".

    Raises (at a call):
        ShapeError: another rank.

    >>> td.nn.ZeroPadding2D(((0, 1), 2))(td.ones((1, 4, 4, 3))).shape
    (1, 5, 8, 3)
    """

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """A border of zeros around volumes, `[batch, depth, height, width, channels]`. Else as `nn.ZeroPadding2D`.

    >>> td.nn.ZeroPadding3D((0, 1, 1))(td.ones((1, 3, 4, 4, 2))).shape
    (1, 3, 6, 6, 2)
    """

    rank = 3


class Cropping1D(_Cropping):
    """Sequences without their ends, `[batch, length, channels]`. Else as `nn.Cropping2D`.

    >>> td.nn.Cropping1D((1, 2))(td.reshape(td.arange(5.0), (1, 5, 1)))[0, :, 0].tolist()
    [1.0, 2.0]
    """

    rank = 1


class Cropping2D(_Cropping):
    """Images without their border: `[batch, height, width, channels]` → the same, less high and wide.

    Args:
        cropping: an int for all sides; or for each spatial axis an int or a pair (before, after).
        data_format: "channels_last" (None) or "channels_first".

    Raises (at a call):
        ShapeError: another rank, or nothing is left.

    >>> td.nn.Cropping2D(((0, 1), 1))(td.ones((1, 4, 4, 3))).shape
    (1, 3, 2, 3)
    """

    rank = 2


class Cropping3D(_Cropping):
    """Volumes without their border, `[batch, depth, height, width, channels]`. Else as `nn.Cropping2D`.

    >>> td.nn.Cropping3D((0, 1, 1))(td.ones((1, 3, 4, 4, 2))).shape
    (1, 3, 2, 2, 2)
    """

    rank = 3
