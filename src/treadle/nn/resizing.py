"""Images of other sizes: `resize`, and the layers `UpSampling1D`, `UpSampling2D`, `UpSampling3D`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from treadle import array as xp
from treadle.array.convert import as_tensor
from treadle.core.dims import Dim
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.module import Module
from treadle.nn.spatial import axis_names, check_data_format, named_shape, per_axis
from treadle.nn.widening import widened

_METHODS = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear"}


def resize(
    x: Any,
    size: int | Sequence[int],
    *,
    method: str = "bilinear",
    antialias: bool = False,
    data_format: str | None = None,
) -> Tensor:
    """Images (or sequences, volumes) of another size, as seen at the centres of the new pixels.

    New pixel i of m lies at `(i + 0.5) * n / m - 0.5` of n old ones (half-pixel centres), as in Keras and TensorFlow
    and in PyTorch's `align_corners=False`. "bilinear" weighs the two neighbours along each axis, and beyond the border
    lies the pixel at the border; "nearest" takes the one whose square the centre lies in (PyTorch: "nearest-exact").

    Shapes: x `[batch, *spatial, channels]` with one to three spatial axes → `[batch, *size, channels]`, the same dtype.

    Args:
        size: of the result's spatial axes; an int for all of them.
        method: "bilinear" (also "linear", "trilinear": one rule for each axis), floating point; or "nearest".
        antialias: where an axis shrinks, a new pixel is the mean of all that it covers, as in Pillow.
        data_format: "channels_last" (None) or "channels_first".

    Raises:
        ShapeError: another rank, or a size that is not known while tracing (`nn.UpSampling2D` takes those).
        DTypeError: "bilinear" of integers.
        ArgumentError: no such method.

    >>> td.nn.resize(td.asarray([[[0.], [4.]]]), 4)[0, :, 0].tolist()
    [0.0, 1.0, 3.0, 4.0]
    >>> td.nn.resize(td.zeros((1, 7, 7, 3)), (12, 5), method="nearest").shape
    (1, 12, 5, 3)
    """
    form, rule = check_data_format(data_format), check_method(method, "resize")
    t = as_tensor(x, "resize")
    if not 3 <= t.ndim <= 5:
        raise ShapeError(
            f"resize takes [batch, *spatial, channels] with one to three spatial axes, and x is {show_shape(t.shape)}"
        )
    rank = t.ndim - 2
    names = axis_names(rank, form)
    wanted = per_axis("size", size, rank)
    first = 1 if form == "channels_last" else 2
    _check_floating(t, rule, "resize")
    out = widened(t) if rule == "linear" else t
    for a, new in enumerate(wanted, first):
        old = t.shape[a]
        if isinstance(old, Dim):
            raise ShapeError(
                f"resize needs the {names[a]} of x {named_shape(t.shape, names)} while it traces; "
                "nn.UpSampling2D(factor) takes sizes that are not known"
            )
        if old < 1:
            raise ShapeError(f"resize: x {named_shape(t.shape, names)} has nothing along its {names[a]}")
        out = resized_axis(out, a, new, rule, antialias)
    return out.astype(t.dtype)


def resized_axis(x: Tensor, axis: int, new: int, method: str, antialias: bool) -> Tensor:
    """One axis, of known size, resized; "linear" or "nearest"."""
    old = x.shape[axis]
    assert isinstance(old, int)
    if old == new:
        return x
    if new % old == 0:
        return _enlarged(x, axis, new // old, method)
    if method == "nearest":
        return xp.take(x, xp.asarray(_nearest(old, new)), axis=axis)
    weights = xp.asarray(resize_weights(old, new, antialias=antialias).astype(x.dtype.numpy))
    return xp.moveaxis(xp.tensordot(x, weights, axes=((axis,), (1,))), -1, axis)


def _nearest(old: int, new: int) -> np.ndarray[Any, Any]:
    """For each new place the old one: in integers, so that a centre on an edge falls the same way everywhere."""
    return ((2 * np.arange(new, dtype=np.int64) + 1) * old // (2 * new)).astype(np.int32)


def resize_weights(old: int, new: int, *, antialias: bool) -> np.ndarray[Any, Any]:
    """The matrix `[new, old]`, float64, of linear interpolation between half-pixel centres; its rows add up to 1."""
    centre = (np.arange(new) + 0.5) * old / new
    width = max(1.0, old / new) if antialias else 1.0
    if width == 1.0:  # beyond the border lies the pixel at the border
        centre = np.clip(centre, 0.5, old - 0.5)
    weights = np.maximum(0.0, 1.0 - np.abs(centre[:, None] - (np.arange(old) + 0.5)) / width)
    return weights / weights.sum(axis=1, keepdims=True)


def _enlarged(x: Tensor, axis: int, factor: int, method: str) -> Tensor:
    """A whole number of times as large: sums of neighbours instead of a matrix, for any size.

    Within each old pixel the `factor` new ones lie at the same distances d from its centre, between -1/2 and 1/2: they
    see it and the one before (d < 0) or behind.
    """
    if factor == 1:
        return x
    if method == "nearest":
        return xp.repeat(x, factor, axis=axis)
    n = x.shape[axis]
    d = (np.arange(factor) + 0.5) / factor - 0.5
    shape = (factor, *(1,) * (x.ndim - axis - 1))
    before, behind = (xp.asarray(w.reshape(shape).astype(x.dtype.numpy)) for w in (np.maximum(-d, 0), np.maximum(d, 0)))
    here, front = xp.expand_dims(x, axis=axis + 1), (slice(None),) * axis
    left = xp.concat([here[(*front, slice(0, 1))], here[(*front, slice(0, n - 1))]], axis=axis)
    right = xp.concat([here[(*front, slice(1, n))], here[(*front, slice(n - 1, n))]], axis=axis)
    y = here + before * (left - here) + behind * (right - here)
    return xp.reshape(y, (*x.shape[:axis], n * factor, *x.shape[axis + 1 :]))


def check_method(method: Any, name: str) -> str:
    """ "linear" or "nearest".

    Raises:
        ArgumentError: neither, nor a name of "linear" for some rank.
    """
    if method not in _METHODS:
        raise ArgumentError(f'{name}: there is "nearest" and "bilinear"; got {method!r}')
    return _METHODS[method]


def _check_floating(x: Tensor, rule: str, name: str) -> None:
    if rule == "linear" and not x.dtype.is_floating:
        raise DTypeError(
            f'{name}: "bilinear" makes numbers between those of x, which is {x.spec}; write x.astype(td.float32), or '
            'take "nearest"'
        )


class _UpSampling(Module):
    """Each spatial axis a whole number of times as large."""

    rank: ClassVar[int]

    def __init__(
        self,
        size: int | tuple[int, ...] = 2,
        data_format: str | None = None,
        interpolation: str = "nearest",
    ) -> None:
        self.size = per_axis("size", size, self.rank)
        self.data_format = check_data_format(data_format)
        self.interpolation = check_method(interpolation, "interpolation")

    def __call__(self, x: Tensor) -> Tensor:
        name = type(self).__name__
        if x.ndim != self.rank + 2:
            names = ", ".join(axis_names(self.rank, self.data_format))
            raise ShapeError(f"x {show_shape(x.shape)} has {x.ndim} axes, and {name} takes [{names}]")
        _check_floating(x, self.interpolation, name)
        y = widened(x) if self.interpolation == "linear" else x
        first = 1 if self.data_format == "channels_last" else 2
        for axis, factor in enumerate(self.size, first):
            y = _enlarged(y, axis, factor, self.interpolation)
        return y.astype(x.dtype)


class UpSampling1D(_UpSampling):
    """Sequences a whole number of times as long: `[batch, length, channels]`. Else as `nn.UpSampling2D`.

    >>> td.nn.UpSampling1D(2)(td.asarray([[[1.], [5.]]]))[0, :, 0].tolist()
    [1.0, 1.0, 5.0, 5.0]
    """

    rank = 1


class UpSampling2D(_UpSampling):
    """Images a whole number of times as high and wide, without parameters; of any size, also one not known yet.

    Shapes: x `[batch, height, width, channels]` → `[batch, height * size[0], width * size[1], channels]`.

    Args:
        size: the factors, an int or one for each spatial axis.
        data_format: "channels_last" (None) or "channels_first".
        interpolation: "nearest" repeats pixels; "bilinear" is that of `nn.resize`.

    Raises (at a call):
        ShapeError: another rank.
        DTypeError: "bilinear" of integers.

    >>> td.nn.UpSampling2D((2, 3), interpolation="bilinear")(td.zeros((1, 8, 8, 4))).shape
    (1, 16, 24, 4)
    """

    rank = 2


class UpSampling3D(_UpSampling):
    """Volumes a whole number of times as large: `[batch, depth, height, width, channels]`. As `nn.UpSampling2D`.

    >>> td.nn.UpSampling3D((1, 2, 2))(td.zeros((1, 3, 4, 4, 2))).shape
    (1, 3, 8, 8, 2)
    """

    rank = 3
