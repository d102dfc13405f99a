"""Tensors as text: statistics, a histogram, a slice, a picture."""

from __future__ import annotations

import itertools

import numpy as np

from treadle.core.describing import figures, tally
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import Spec, show_shape
from treadle.debug.stepper.conditions import numbers_of
from treadle.debug.stepper.frames import Array

BARS = 40  # characters of a histogram's longest bar
GRAYS = " .:-=+*#%@"  # dark to light, on any terminal


def spec_text(array: Array) -> str:
    """`f32[4,2]`."""
    return str(Spec(array.shape, as_dtype(array.dtype)))


def numbers_text(array: Array, *, most: int = 60) -> str:
    """The numbers, without the middle of a large array."""
    x = numbers_of(array)
    with np.errstate(all="ignore"):
        return np.array2string(x, separator=", ", threshold=most, precision=6)


def brief(array: Array) -> str:
    """The first line of `statistics`."""
    return f"{spec_text(array)}  {figures(array, moments=True)}"


def statistics(array: Array) -> str:
    """Two lines: range, mean and standard deviation; then how many elements are zero, NaN, infinite.

    >>> from treadle.debug.stepper.inspecting import statistics
    >>> print(statistics(np.float32([0, 1, 5, np.nan])))
    f32[4]  0 … 5, mean 2, std 2.16
    1 zero, 1 NaN, 0 infinite of 4 elements
    """
    if not array.size or array.dtype.kind == "b":
        return brief(array)
    zero, nan, infinite = tally(array)
    return f"{brief(array)}\n{zero} zero, {nan} NaN, {infinite} infinite of {array.size} elements"


def histogram(array: Array, bins: int = 10, *, bars: int = BARS) -> str:
    """Counts of the finite elements, one line a bin; the longest bar has `bars` characters.

    Raises:
        ArgumentError: there is no finite element, or `bins` is no positive number.
    """
    if bins < 1:
        raise ArgumentError(f"a histogram of {bins} bins: at least one is needed")
    x = numbers_of(array).reshape(-1).astype(np.float64)
    finite = x[np.isfinite(x)]
    if not finite.size:
        raise ArgumentError(f"{spec_text(array)} has no finite elements to count")
    counts, edges = np.histogram(finite, bins)
    labels = [f"{low:.4g} … {high:.4g}" for low, high in itertools.pairwise(edges)]
    width, digits = max(map(len, labels)), len(str(counts.max()))
    unit = bars / counts.max()
    lines = [
        f"{label:>{width}}  {count:>{digits}}  {'█' * int(np.ceil(count * unit))}".rstrip()
        for label, count in zip(labels, counts, strict=True)
    ]
    left_out = x.size - finite.size
    return "\n".join([*lines, f"{left_out} not finite"] if left_out else lines)


def picture(array: Array, *, width: int = 64, height: int = 32) -> str:
    """A matrix as an image of characters: the smallest number dark, the largest light, `!` where it is not finite.

    Larger ones are averaged over blocks. A colour image `[height, width, 3]` is averaged over its colours.

    Raises:
        ShapeError: it is no matrix or colour image.
    """
    x = numbers_of(array).astype(np.float64)
    if x.ndim == 3 and x.shape[-1] in (1, 3, 4):
        x = x[..., :3].mean(axis=-1)
    if x.ndim == 1:
        x = x[None, :]
    if x.ndim != 2 or not x.size:
        raise ShapeError(
            f"a picture needs [height, width] or [height, width, 3], and this is {show_shape(array.shape)}: "
            "take a slice, such as image %3[0]"
        )
    rows = np.array_split(np.arange(x.shape[0]), min(height, x.shape[0]))
    columns = np.array_split(np.arange(x.shape[1]), min(width, x.shape[1]))
    blocks = np.array([[x[np.ix_(r, c)].mean() for c in columns] for r in rows])
    good = np.isfinite(blocks)
    low = blocks[good].min() if good.any() else 0.0
    span = (blocks[good].max() - low if good.any() else 0.0) or 1.0
    shades = np.zeros(blocks.shape, int)
    shades[good] = np.minimum(((blocks[good] - low) / span * len(GRAYS)).astype(int), len(GRAYS) - 1)
    characters = np.where(good, np.array(list(GRAYS))[shades], "!")
    lines = ["".join(row) for row in characters]
    return "\n".join([*lines, f"{low:.4g} … {low + span:.4g}" if good.any() else "no finite elements"])
