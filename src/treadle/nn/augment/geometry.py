"""Images mirrored, cut out and moved: `random_flip`, `random_crop`, `affine`, `random_affine`."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle import array as xp
from treadle import random
from treadle.core.dtypes import float32, int32
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.augment.checks import images, interval, probability, uniform
from treadle.nn.spatial import per_axis
from treadle.nn.widening import widened
from treadle.ops.index import gather

_FLIPS = {"horizontal": (2,), "vertical": (1,), "both": (1, 2)}


def random_flip(key: Tensor, x: Any, direction: str = "horizontal", p: float = 0.5) -> Tensor:
    """Each image mirrored with probability p. x `[batch, height, width, channels]`, any dtype → the same.

    Args:
        direction: "horizontal" exchanges left and right, "vertical" top and bottom; "both" does each with p.

    >>> x = td.reshape(td.arange(3.0), (1, 1, 3, 1))
    >>> td.nn.augment.random_flip(td.random.key(0), x, p=1.0)[0, 0, :, 0].tolist()
    [2.0, 1.0, 0.0]
    """
    t = images(x, "random_flip")
    p = probability(p, "random_flip")
    for k, axis in zip(random.split(key), check_direction(direction), strict=False):
        turned = random.bernoulli(k, p, (t.shape[0], 1, 1, 1))
        t = xp.where(turned, xp.flip(t, axis=axis), t)
    return t


def check_direction(direction: Any) -> tuple[int, ...]:
    """The axes that are mirrored."""
    if direction not in _FLIPS:
        raise ArgumentError(f"direction is one of {', '.join(map(repr, _FLIPS))}; got {direction!r}")
    return _FLIPS[direction]


def random_crop(key: Tensor, x: Any, size: int | tuple[int, int], padding: int | tuple[int, int] = 0) -> Tensor:
    """A part of each image, from a random place: `[batch, height, width, channels]` → `[batch, *size, channels]`.

    Args:
        size: (height, width) of the part.
        padding: zeros on all sides (above and below, left and right) that a part may reach into: 4 for CIFAR.

    Raises:
        ShapeError: the part is larger than the image with its padding.

    >>> x = td.ones((8, 32, 32, 3))
    >>> td.nn.augment.random_crop(td.random.key(0), x, 32, padding=4).shape
    (8, 32, 32, 3)
    """
    t = images(x, "random_crop")
    sizes, border = crop_sizes(t, size, padding, "random_crop")
    first = []
    for k, n, m, b in zip(random.split(key), t.shape[1:3], sizes, border, strict=True):
        first.append(random.randint(k, (t.shape[0], 1), -b, n + b - m + 1, dtype=int32))
    rows, columns = (f + xp.arange(m, dtype=int32) for f, m in zip(first, sizes, strict=True))
    return _picked(t, rows[:, :, None], columns[:, None, :])


def crop_sizes(
    x: Tensor, size: int | tuple[int, int], padding: int | tuple[int, int], name: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Size and padding of a part, which must fit."""
    sizes, border = per_axis("size", size, 2), per_axis("padding", padding, 2, low=0)
    for what, n, m, b in zip(("height", "width"), x.shape[1:3], sizes, border, strict=True):
        room = n + 2 * b
        if isinstance(room, int) and m > room:
            raise ShapeError(
                f"{name}: parts of {what} {m} do not fit into x {show_shape(x.shape)}: {n} + 2 * {b} = {room}. "
                f"padding={-(-(m - n) // 2)} makes room"
            )
    return sizes, border


def _picked(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`x[n, rows[n, i, j], columns[n, i, j]]`, and zeros where there is no such place."""
    shape = xp.broadcast_arrays(rows, columns)
    out: Tensor = gather(x, xp.stack(shape, axis=-1), batch_dims=1, mode="fill")
    return out


def affine(x: Any, matrix: Any, fill: float = 0.0) -> Tensor:
    """Images seen through an affine map: the result at (row, column) is x at `matrix @ (row, column, 1)`, bilinear.

    Places are counted in pixels from the middle of the image, so that `[[1, 0, 0], [0, 1, 0]]` changes nothing and
    `[[0, 1, 0], [-1, 0, 0]]` turns by a quarter. Between four pixels it is linear; beyond the border lies `fill`.

    Args:
        x: `[batch, height, width, channels]`, floating point.
        matrix: `[2, 3]` for all, or `[batch, 2, 3]`.

    Raises:
        ShapeError: the matrix has another shape.

    >>> x = td.reshape(td.arange(4.0), (1, 2, 2, 1))
    >>> td.nn.augment.affine(x, [[1, 0, 0], [0, 1, 0.5]])[0, :, :, 0].tolist()  # half a pixel to the left
    [[0.5, 0.5], [2.5, 1.5]]

    Source: as scipy.ndimage.affine_transform with order 1 and mode "grid-constant", whose places begin at a corner.
    """
    t = images(x, "affine", floating=True)
    m = xp.asarray(matrix).astype(float32)
    if m.shape == (2, 3):
        m = m[None]
    if m.ndim != 3 or m.shape[1:] != (2, 3):
        raise ShapeError(f"affine: the matrix is [2, 3] or [batch, 2, 3], and is {show_shape(m.shape)}")
    _, height, width, _ = t.shape
    middle = [(xp.asarray(n, dtype=float32) - 1) / 2 for n in (height, width)]
    down = (xp.arange(height, dtype=float32) - middle[0])[:, None]
    right = (xp.arange(width, dtype=float32) - middle[1])[None, :]
    places = []
    for i, half in enumerate(middle):
        a, b, c = (m[:, i, j, None, None] for j in range(3))
        places.append(a * down + b * right + c + half)
    return _bilinear(t, places[0], places[1], fill)


def _bilinear(x: Tensor, row: Tensor, column: Tensor, fill: float) -> Tensor:
    """x at fractional places `[batch or 1, i, j]`."""
    wide = widened(x)
    if fill:
        wide = wide - fill
    batch = (x.shape[0], *row.shape[1:])
    row, column = xp.broadcast_to(row, batch), xp.broadcast_to(column, batch)
    top, left = xp.floor(row), xp.floor(column)
    down, right = (row - top)[..., None].astype(wide.dtype), (column - left)[..., None].astype(wide.dtype)
    # Far outside all is fill; so large numbers need not fit into an integer.
    i = xp.clip(top, -2, x.shape[1]).astype(int32)
    j = xp.clip(left, -2, x.shape[2]).astype(int32)
    above = _picked(wide, i, j) * (1 - right) + _picked(wide, i, j + 1) * right
    below = _picked(wide, i + 1, j) * (1 - right) + _picked(wide, i + 1, j + 1) * right
    y = above * (1 - down) + below * down
    return (y + fill if fill else y).astype(x.dtype)


def random_affine(
    key: Tensor,
    x: Any,
    degrees: float = 0.0,
    translate: float | tuple[float, float] = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    fill: float = 0.0,
) -> Tensor:
    """Each image turned, scaled, sheared and moved, all at random, about its middle, with bilinear interpolation.

    x `[batch, height, width, channels]`, floating point → the same.

    Args:
        degrees: turned by an angle from -degrees to degrees.
        translate: moved by up to this fraction of the height and of the width.
        scale: enlarged by a factor between these two.
        shear: rows slanted by an angle from -shear to shear, in degrees.
        fill: what lies beyond the border.

    Raises:
        ArgumentError: a range that is none.

    >>> x = td.ones((8, 16, 16, 3))
    >>> td.nn.augment.random_affine(td.random.key(0), x, degrees=15, translate=0.1, scale=(0.9, 1.1)).shape
    (8, 16, 16, 3)
    """
    t = images(x, "random_affine", floating=True)
    down, right = check_affine(degrees, translate, scale, shear)
    batch, height, width, _ = t.shape
    keys = random.split(key, 5)
    drawn = [
        uniform(k, batch, low, high)[:, 0, 0, 0]
        for k, (low, high) in zip(
            keys, ((-degrees, degrees), scale, (-shear, shear), (-down, down), (-right, right)), strict=True
        )
    ]
    angle, slant = (v * (np.pi / 180) for v in (drawn[0], drawn[2]))
    factor = drawn[1]
    moves = [v * xp.asarray(n, dtype=float32) for v, n in zip(drawn[3:], (height, width), strict=True)]
    # In (row, column): the image is sheared, turned, scaled and moved; its inverse tells where a pixel comes from.
    cos, sin, tan = xp.cos(angle) / factor, xp.sin(angle) / factor, xp.tan(slant)
    rows = [[cos, sin], [-sin - tan * cos, cos - tan * sin]]
    matrix = xp.stack(
        [xp.stack([a, b, -(a * moves[0] + b * moves[1])], axis=-1) for a, b in rows],
        axis=1,
    )
    return affine(t, matrix, fill)


def check_affine(degrees: Any, translate: Any, scale: Any, shear: Any) -> tuple[float, float]:
    """The two fractions of `translate`, once all ranges are checked."""
    for what, value in (("degrees", degrees), ("shear", shear)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ArgumentError(f"random_affine: {what} is the largest angle, at least 0; got {value!r}")
    if shear >= 90:
        raise ArgumentError(f"random_affine: shear is below 90 degrees; got {shear!r}")
    if interval(scale, "random_affine", "scale", low=0.0)[0] == 0:
        raise ArgumentError(f"random_affine: scale is above 0; got {scale!r}")
    pair = (translate, translate) if isinstance(translate, int | float) else tuple(translate)
    if len(pair) != 2 or not all(isinstance(v, int | float) and v >= 0 for v in pair):
        raise ArgumentError(
            f"random_affine: translate is a fraction of height and width, or one of each, at least 0; got {translate!r}"
        )
    return float(pair[0]), float(pair[1])
