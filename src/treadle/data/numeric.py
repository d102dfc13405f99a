"""Layers that learn from the data what to do with numbers: part of the model, saved and exported with it.

`adapt(ds)` reads the data once. What it finds are `State`s: training does not change them. In a model that was made
anew `td.load` fills them; before either, they are NaN, and so are results.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from treadle import array as xp
from treadle.core.dtypes import as_dtype, float32, int32
from treadle.core.errors import ArgumentError, DTypeError
from treadle.core.owned import State
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.data._adapting import require_adapted, rows_of
from treadle.data._columns import Array
from treadle.nn.module import Module

_Self = TypeVar("_Self", bound="Standardize")
_LEAST = 1e-12  # below this share of the largest value, a deviation is rounding


def _floating(x: Tensor) -> Tensor:
    """float64 as it is, anything else as float32."""
    return x if x.dtype.is_floating and x.dtype.bits > 32 else x.astype(float32)


def _nan(*shape: Any) -> State:
    return State(xp.full(shape, np.nan, dtype=float32))


class Standardize(Module):
    """Each feature with mean 0 and standard deviation 1 over the data: `(x - mean) / deviation`.

    Shapes: x `[..., features]`, any numbers → the same, float32 (float64 stays); `mean`, `deviation` float32
    `[features]`. Numbers without an axis are one feature. A feature that never varies becomes 0. NaN in the data do not
    count, and stay NaN.

    Raises (at a call):
        BuildError: it has seen no data.

    Source of the one-pass sums: Chan, Golub, LeVeque, Algorithms for computing the sample variance (1983).

    >>> layer = td.data.Standardize().adapt(td.data.from_arrays(np.array([[1.0, 5.0], [3.0, 5.0]])))
    >>> layer(td.asarray([[1.0, 5.0], [4.0, 5.0]])).tolist()
    [[-1.0, 0.0], [2.0, 0.0]]
    """

    mean: State
    deviation: State
    seen: State

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        size = x.shape[-1] if x.shape else 1
        self.mean, self.deviation = _nan(size), _nan(size)
        self.seen = State(xp.zeros((), dtype=int32))

    def adapt(self: _Self, data: Any, path: str | int | None = None) -> _Self:
        """Learn from a dataset, of elements or batches, or from an array.

        Args:
            path: the leaf of the elements ("x", 0), where they have several.

        Returns: the layer itself.
        """
        count: Any = 0.0
        mean: Any = 0.0
        squares: Any = 0.0
        rows = 0
        for chunk in rows_of(data, path, "Standardize"):
            real = ~np.isnan(chunk)
            n = real.sum(axis=0)
            filled = np.where(real, chunk, 0.0)
            own = filled.sum(axis=0) / np.maximum(n, 1)
            moved = own - mean
            total = np.maximum(count + n, 1)
            squares = squares + (np.where(real, chunk - own, 0.0) ** 2).sum(axis=0) + moved**2 * count * n / total
            mean = mean + moved * n / total
            count, rows = count + n, rows + len(chunk)
        _require_rows(rows, "Standardize")
        deviation = np.sqrt(squares / np.maximum(count, 1))
        constant = deviation <= _LEAST * np.maximum(np.abs(mean), 1)
        self.mean = State(xp.asarray(np.asarray(mean, np.float32)))
        self.deviation = State(xp.asarray(np.where(constant, 1.0, deviation).astype(np.float32)))
        _adapted(self, rows)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        require_adapted(self.seen, "Standardize")
        x = _floating(xp.asarray(x))
        mean, deviation = (v.astype(x.dtype) for v in (self.mean, self.deviation))
        if x.ndim == 0:
            mean, deviation = mean[0], deviation[0]
        return (x - mean) / deviation


class Quantiles(Module):
    """Each feature spread evenly over 0 to 1: the share of the data below it, linear between quantiles.

    Shapes: x `[..., features]`, any numbers → the same, float32; `knots` float32 `[count, features]`.

    Args:
        count: how many quantiles are kept, 2 or more.
        limit: values of each feature that are kept while it learns; of more, evenly spread ones.

    Raises (at a call):
        BuildError: it has seen no data.

    >>> layer = td.data.Quantiles(5).adapt(np.array([[0.0], [1.0], [10.0], [100.0], [1000.0]]))
    >>> layer(td.asarray([[-5.0], [5.5], [1000.0]])).tolist()
    [[0.0], [0.375], [1.0]]
    """

    knots: State
    seen: State

    def __init__(self, count: int = 100, limit: int = 1_000_000) -> None:
        if count < 2 or limit < count:
            raise ArgumentError(f"Quantiles({count}, limit={limit}): 2 <= count <= limit")
        self.count, self.limit = count, limit

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        self.knots = _nan(self.count, x.shape[-1] if x.shape else 1)
        self.seen = State(xp.zeros((), dtype=int32))

    def adapt(self, data: Any, path: str | int | None = None) -> Quantiles:
        """Learn from a dataset or an array; see `Standardize.adapt`."""
        values, rows = _thinned(data, path, "Quantiles", self.limit)
        knots = np.nanquantile(values, np.linspace(0, 1, self.count), axis=0)
        self.knots = State(xp.asarray(knots.astype(np.float32)))
        _adapted(self, rows)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        require_adapted(self.seen, "Quantiles")
        x = xp.asarray(x).astype(float32)
        knots = self.knots[:, 0] if x.ndim == 0 else self.knots
        low, high = knots[:-1], knots[1:]
        # Of each interval between knots the share that lies below x; an interval without width is below or not.
        x = x[..., None] if x.ndim == 0 else xp.expand_dims(x, axis=-2)
        wide = high > low
        share = xp.where(wide, (x - low) / xp.where(wide, high - low, 1.0), (x >= high).astype(float32))
        return xp.mean(xp.clip(share, 0.0, 1.0), axis=-1 if knots.ndim == 1 else -2)


class Discretize(Module):
    """The number of the bin in which each value lies, bins of equal counts: 0 to bins - 1.

    Shapes: x `[..., features]`, any numbers → int32, the same; `bounds` float32 `[bins - 1, features]`, and a value
    equal to a bound lies above it.

    Args:
        bins: how many, 2 or more.
        limit: as for `Quantiles`.

    Raises (at a call):
        BuildError: it has seen no data.

    >>> layer = td.data.Discretize(2).adapt(np.array([[1.0], [2.0], [3.0], [9.0]]))
    >>> layer.bounds.tolist(), layer(td.asarray([[0.0], [2.5], [100.0]])).tolist()
    ([[2.5]], [[0], [1], [1]])
    """

    bounds: State
    seen: State

    def __init__(self, bins: int = 10, limit: int = 1_000_000) -> None:
        if bins < 2 or limit < bins:
            raise ArgumentError(f"Discretize({bins}, limit={limit}): 2 <= bins <= limit")
        self.bins, self.limit = bins, limit

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        self.bounds = _nan(self.bins - 1, x.shape[-1] if x.shape else 1)
        self.seen = State(xp.zeros((), dtype=int32))

    def adapt(self, data: Any, path: str | int | None = None) -> Discretize:
        """Learn from a dataset or an array; see `Standardize.adapt`."""
        values, rows = _thinned(data, path, "Discretize", self.limit)
        bounds = np.nanquantile(values, np.arange(1, self.bins) / self.bins, axis=0)
        self.bounds = State(xp.asarray(bounds.astype(np.float32)))
        _adapted(self, rows)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        require_adapted(self.seen, "Discretize")
        x = xp.asarray(x).astype(float32)
        if x.ndim == 0:
            return xp.sum((x >= self.bounds[:, 0]).astype(int32), dtype=int32)
        return xp.sum((xp.expand_dims(x, axis=-2) >= self.bounds).astype(int32), axis=-2, dtype=int32)


class OneHot(Module):
    """1 at the place of each class and 0 elsewhere; all 0 for a number that is no class.

    Shapes: x integers `[...]` → dtype `[..., classes]`.

    Args:
        classes: how many, or None: `adapt` finds the greatest one in the data.
        dtype: of the result.

    Raises (at a call):
        ArgumentError: the number of classes is not known.
        DTypeError: x is not of integers.

    >>> td.data.OneHot(3)(td.asarray([2, 0, 7])).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    >>> td.data.OneHot().adapt(np.array([1, 4, 1])).classes
    5
    """

    def __init__(self, classes: int | None = None, dtype: Any = "float32") -> None:
        if classes is not None and classes < 1:
            raise ArgumentError(f"OneHot({classes}): at least one class")
        self.classes, self.dtype = classes, as_dtype(dtype)

    def adapt(self, data: Any, path: str | int | None = None) -> OneHot:
        """Find the number of classes; see `Standardize.adapt`."""
        greatest = max((int(c.max()) for c in rows_of(data, path, "OneHot") if c.size), default=-1)
        _require_rows(greatest + 1, "OneHot")
        self.classes = greatest + 1
        return self

    def __call__(self, x: Tensor) -> Tensor:
        if self.classes is None:
            raise ArgumentError("OneHot does not know how many classes there are: OneHot(10), or adapt(ds) before")
        x = xp.asarray(x)
        if not x.dtype.is_integer:
            raise DTypeError(f"OneHot takes integers, and got {x.spec}; write x.astype(td.int32)")
        return (x.astype(int32)[..., None] == xp.arange(self.classes, dtype=int32)).astype(self.dtype)


def _thinned(data: Any, path: str | int | None, what: str, limit: int) -> tuple[Array, int]:
    """All rows, or when there are more than `limit`, every second, fourth, … of them; and how many there were."""
    kept: list[Array] = []
    rows, stride = 0, 1
    for chunk in rows_of(data, path, what):
        kept.append(chunk[-rows % stride :: stride])
        rows += len(chunk)
        if sum(map(len, kept)) > limit:
            kept, stride = [np.concatenate(kept)[::2]], 2 * stride
    _require_rows(rows, what)
    return np.concatenate(kept), rows


def _require_rows(rows: int, what: str) -> None:
    if rows < 1:
        raise ArgumentError(f"{what}.adapt: there is no data to learn from")


def _adapted(layer: Any, rows: int) -> None:
    layer.seen = State(xp.asarray(np.int32(min(rows, 2**31 - 1))))
    layer.__dict__["_built"] = True
