"""Layers that change shapes alone: `Flatten`, `Reshape`."""

from __future__ import annotations

import math

from treadle import array as xp
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape, size_of
from treadle.core.tensor import Tensor
from treadle.nn.module import Module
from treadle.nn.spatial import check_data_format


class Flatten(Module):
    """Each example in one axis: `[batch, ...]` → `[batch, product of the others]`.

    Args:
        data_format: with "channels_first", channels are moved last before, so that a `Dense` behind has the same
            weights in both formats (as in Keras).

    Raises (at a call):
        ShapeError: x is a scalar.

    >>> td.nn.Flatten()(td.zeros((2, 4, 4, 3))).shape
    (2, 48)
    """

    def __init__(self, data_format: str | None = None) -> None:
        self.data_format = check_data_format(data_format)

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 0:
            raise ShapeError("Flatten keeps the batch axis, and x is a scalar. Write x[None] for a batch of one")
        if self.data_format == "channels_first" and x.ndim > 2:
            x = xp.moveaxis(x, 1, -1)
        return xp.reshape(x, (x.shape[0], size_of(x.shape[1:])))


class Reshape(Module):
    """Each example in another shape: `[batch, ...]` → `[batch, *target_shape]`.

    Args:
        target_shape: without the batch axis; one size may be -1, which is what is left.
        data_format: with "channels_first", the first axis of the target is channels, and is filled as if it were the
            last: what `Flatten(data_format="channels_first")` makes becomes the image that it was.

    Raises (at a call):
        ShapeError: another number of elements.

    >>> td.nn.Reshape((7, -1))(td.zeros((2, 49))).shape
    (2, 7, 7)
    """

    def __init__(self, target_shape: tuple[int, ...], data_format: str | None = None) -> None:
        given = tuple(target_shape)
        if any(not isinstance(n, int) or n < -1 for n in given) or given.count(-1) > 1:
            raise ArgumentError(
                f"target_shape is sizes without the batch, at most one of them -1; got {target_shape!r}"
            )
        self.target_shape = given
        self.data_format = check_data_format(data_format)

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 0:
            raise ShapeError("Reshape keeps the batch axis, and x is a scalar. Write x[None] for a batch of one")
        have = size_of(x.shape[1:])
        known = math.prod(n for n in self.target_shape if n != -1)
        target = self.target_shape
        if -1 in target and known and have % known == 0:
            target = tuple(have // known if n == -1 else n for n in target)
        if size_of(target) != have:
            product = " * ".join(str(n) for n in self.target_shape if n != -1) or "1"
            rest = f", and {have} % {known} = {have % known}" if -1 in target and known else ""
            raise ShapeError(
                f"each example of x {show_shape(x.shape)} has {have} elements, which do not go into "
                f"{show_shape(self.target_shape)}: {product} = {known}{rest}"
            )
        if self.data_format == "channels_first" and len(target) > 1:
            return xp.moveaxis(xp.reshape(x, (x.shape[0], *target[1:], target[0])), -1, 1)
        return xp.reshape(x, (x.shape[0], *target))
