"""Layers that bring pictures to one size and range: part of the model, so that training and deployment do the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle import array as xp
from treadle.core.dims import Dim
from treadle.core.dtypes import float32
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.module import Module
from treadle.nn.resizing import resized_axis


class Rescale(Module):
    """`x * scale + offset` in float32: uint8 pictures to 0..1 by default.

    Shapes: x, any numbers → float32, the same. `scale` and `offset` are numbers, or one for each channel.

    >>> td.data.Rescale()(td.asarray([0, 255], dtype=td.uint8)).tolist()
    [0.0, 1.0]
    >>> td.data.Rescale(1 / 127.5, offset=-1)(td.asarray([0, 255], dtype=td.uint8)).tolist()
    [-1.0, 1.0]
    """

    def __init__(self, scale: Any = 1 / 255, offset: Any = 0.0) -> None:
        self.scale = np.asarray(scale, np.float32).tolist()
        self.offset = np.asarray(offset, np.float32).tolist()

    def __call__(self, x: Tensor) -> Tensor:
        x = xp.asarray(x).astype(float32)
        scale, offset = (xp.asarray(v, dtype=float32) for v in (self.scale, self.offset))
        return x * scale + offset


class Resize(Module):
    """Pictures of another size.

    Shapes: x `[..., height, width, channels]`, any numbers → float32 `[..., new height, new width, channels]`.

    Args:
        height, width: the new size.
        method: "linear": between the centres of points (half-pixel, as Keras and PyTorch without corners), the mean of
            all points that a new one covers when it shrinks (antialiasing, as Pillow); "nearest": the point below the
            new one's centre.

    Raises (at a call):
        ShapeError: fewer than three axes, or a size that is not known yet.

    >>> x = td.reshape(td.asarray([0., 1., 2., 3.]), (1, 4, 1))
    >>> td.data.Resize(1, 2)(x)[0, :, 0].tolist(), td.data.Resize(1, 2, "nearest")(x)[0, :, 0].tolist()
    ([0.7142857313156128, 2.2857141494750977], [1.0, 3.0])
    """

    def __init__(self, height: int, width: int, method: str = "linear") -> None:
        if height < 1 or width < 1:
            raise ArgumentError(f"Resize({height}, {width}): a size of at least 1")
        if method not in ("linear", "nearest"):
            raise ArgumentError(f'Resize(method={method!r}): "linear" or "nearest"')
        self.height, self.width, self.method = height, width, method

    def __call__(self, x: Tensor) -> Tensor:
        x = xp.asarray(x)
        if x.ndim < 3 or any(isinstance(n, Dim) for n in x.shape[-3:-1]):
            raise ShapeError(
                f"Resize takes [..., height, width, channels] of known height and width, not {show_shape(x.shape)}"
            )
        x = x.astype(float32)
        x = resized_axis(x, x.ndim - 3, self.height, self.method, antialias=True)
        return resized_axis(x, x.ndim - 2, self.width, self.method, antialias=True)
