"""Other light and other colours: `color_jitter`."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle import array as xp
from treadle import random
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.augment.checks import images, uniform
from treadle.nn.widening import widened

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and torchvision


def color_jitter(
    key: Tensor,
    x: Any,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> Tensor:
    """Each image with other brightness, contrast, saturation and hue, in this order; then cut to 0..1.

    x `[batch, height, width, channels]`, floating point in 0..1, with 1 (grey) or 3 (red, green, blue) channels → the
    same. With b drawn from `1 - brightness` to `1 + brightness`, an image becomes `b * x`; contrast blends it with the
    mean of its grey values, saturation with its grey values, `f * x + (1 - f) * grey`; hue turns the circle of hues by
    a part of it from -hue to hue. Each result is cut to 0..1, as in torchvision.

    Args:
        brightness, contrast, saturation: >= 0; 0 leaves it alone.
        hue: 0 to 0.5, in turns.

    Raises:
        ArgumentError: out of these ranges.
        ShapeError: saturation or hue of images that have not 3 channels.

    >>> x = td.full((4, 8, 8, 3), 0.5)
    >>> y = td.nn.augment.color_jitter(td.random.key(0), x, brightness=0.2)
    >>> bool(td.all((y >= 0.4 - 1e-6) & (y <= 0.6 + 1e-6)))
    True
    """
    t = images(x, "color_jitter", floating=True)
    check_jitter(brightness, contrast, saturation, hue)
    channels = t.shape[-1]
    if (saturation or hue) and channels != 3:
        raise ShapeError(
            f"color_jitter: saturation and hue are of red, green and blue, and x {show_shape(t.shape)} has {channels} "
            "channels; leave them 0"
        )
    y, batch = widened(t), t.shape[0]
    keys = random.split(key, 4)
    factors = [
        uniform(k, batch, max(0.0, 1 - v), 1 + v).astype(y.dtype) if v else None
        for k, v in zip(keys, (brightness, contrast, saturation), strict=False)
    ]
    if factors[0] is not None:
        y = xp.clip(y * factors[0], 0, 1)
    if factors[1] is not None:
        y = _blend(y, xp.mean(_grey(y), axis=(1, 2, 3), keepdims=True), factors[1])
    if factors[2] is not None:
        y = _blend(y, _grey(y), factors[2])
    if hue:
        y = _turned_hue(y, uniform(keys[3], batch, -hue, hue).astype(y.dtype))
    return y.astype(t.dtype)


def check_jitter(brightness: Any, contrast: Any, saturation: Any, hue: Any) -> None:
    """Raise where a strength is out of its range."""
    for what, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ArgumentError(f"color_jitter: {what} is at least 0; got {value!r}")
    if not isinstance(hue, int | float) or not 0 <= hue <= 0.5:
        raise ArgumentError(f"color_jitter: hue is from 0 to 0.5 turns; got {hue!r}")


def _grey(x: Tensor) -> Tensor:
    """`[..., 1]`."""
    if x.shape[-1] != 3:
        return xp.mean(x, axis=-1, keepdims=True)
    return xp.sum(x * xp.asarray(np.array(_LUMA, x.dtype.numpy)), axis=-1, keepdims=True)


def _blend(x: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return xp.clip(factor * x + (1 - factor) * other, 0, 1)


def _turned_hue(x: Tensor, turns: Tensor) -> Tensor:
    """RGB to hue, saturation and value; the hue moved on; and back (Smith, Color gamut transform pairs, 1978)."""
    red, green, blue = (x[..., i : i + 1] for i in range(3))
    value = xp.max(x, axis=-1, keepdims=True)
    chroma = value - xp.min(x, axis=-1, keepdims=True)
    some = xp.where(chroma > 0, chroma, 1)
    sixths = xp.where(
        value == red,
        (green - blue) / some,
        xp.where(value == green, 2 + (blue - red) / some, 4 + (red - green) / some),
    )
    moved = sixths + 6 * turns
    parts = []
    for n in (5, 3, 1):
        k = xp.remainder(n + moved, 6)
        parts.append(value - chroma * xp.clip(xp.minimum(k, 4 - k), 0, 1))
    return xp.concat(parts, axis=-1)
