"""What a dataset holds, in figures and in pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treadle.core.errors import MissingExtraError
from treadle.data._columns import flatten
from treadle.data._nodes import Node
from treadle.nn.tables import table

_DISTINCT = 1000  # of more different values, none is counted


@dataclass
class LeafSummary:
    """What was seen of one leaf.

    Attributes:
        shapes: the sizes that occur, and how often.
        missing: NaN, or empty texts.
        low, mean, high: of the numbers; of texts, their lengths'.
        counts: how often each value occurs, where they are single integers, bools or texts and not too many.
    """

    kind: str
    shapes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    values: int = 0
    missing: int = 0
    low: float = np.inf
    high: float = -np.inf
    total: float = 0.0
    counts: Counter[Any] | None = field(default_factory=Counter)

    @property
    def mean(self) -> float:
        real = self.values - self.missing
        return self.total / real if real else float("nan")

    def add(self, x: Any) -> None:
        if isinstance(x, str | bytes):
            self.shapes[()] += 1
            self._numbers(np.array([len(x) or np.nan]))
            self._count(x)
            return
        array = np.asarray(x)
        self.shapes[array.shape] += 1
        if array.dtype == object:
            self._numbers(np.array([len(v) or np.nan for v in array.ravel()]))
        elif array.dtype.kind in "fiub":
            self._numbers(array.ravel())
        self._count(array.item() if array.ndim == 0 and array.dtype.kind in "iub" else None)

    def _numbers(self, x: Any) -> None:
        x = x.astype(np.float64)
        real = x[~np.isnan(x)]
        self.values += x.size
        self.missing += x.size - real.size
        if real.size:
            self.low, self.high = min(self.low, float(real.min())), max(self.high, float(real.max()))
            self.total += float(real.sum())

    def _count(self, value: Any) -> None:
        if self.counts is not None and value is not None:
            self.counts[value] += 1
        if value is None or (self.counts is not None and len(self.counts) > _DISTINCT):
            self.counts = None

    def row(self) -> list[str]:
        shapes = sorted(self.shapes)
        shape = str(list(shapes[0])) if len(shapes) == 1 else f"{list(shapes[0])} to {list(shapes[-1])}"
        figures = [_figure(v) for v in (self.low, self.mean, self.high)] if np.isfinite(self.low) else ["", "", ""]
        balance = ""
        if self.counts:
            first = ", ".join(f"{_short(v)}: {n:,}" for v, n in self.counts.most_common(3))
            balance = f"{len(self.counts):,} different; {first}" + (", …" if len(self.counts) > 3 else "")
        return [self.kind, shape, *figures, f"{self.missing:,}" if self.missing else "", balance]


@dataclass
class Description:
    """Figures of a dataset's leaves; printed as a table."""

    elements: int
    complete: bool
    leaves: dict[str, LeafSummary]

    def __str__(self) -> str:
        head = ["", "dtype", "shape", "least", "mean", "most", "missing", "values"]
        rows = [head, *([name or "element", *leaf.row()] for name, leaf in self.leaves.items())]
        count = f"{self.elements:,} elements" if self.complete else f"the first {self.elements:,} elements"
        return "\n".join([count, *table(rows, right=[3, 4, 5, 6])])

    __repr__ = __str__


def describe(node: Node, limit: int | None) -> Description:
    """Read elements of the first epoch, and sum them up."""
    leaves: dict[str, LeafSummary] = {}
    reader = node.read(0)
    count, complete = 0, False
    try:
        while limit is None or count < limit:
            try:
                element = next(reader)
            except StopIteration:
                complete = True
                break
            values, structure = flatten(element)
            for path, x in zip(structure.paths(), values, strict=True):
                leaves.setdefault(path, LeafSummary(_kind(x))).add(x)
            count += 1
    finally:
        reader.close()
    return Description(count, complete, leaves)


def _kind(x: Any) -> str:
    array = np.asarray(x)
    text = isinstance(x, str | bytes) or (array.dtype == object and array.size)
    return type(array.flat[0] if array.dtype == object else x).__name__ if text else str(array.dtype)


def _figure(x: float) -> str:
    return f"{x:.5g}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 20 else text[:19] + "…"


def show(node: Node, count: int) -> Any:
    """A figure of the first elements' pictures, each under its other leaves; without pictures, a table."""
    reader = node.read(0)
    try:
        elements = [flatten(e) for _, e in zip(range(count), reader, strict=False)]
    finally:
        reader.close()
    pictures = [next((i for i, x in enumerate(leaves) if is_picture(x)), None) for leaves, _ in elements]
    if not elements or any(p is None for p in pictures):
        paths = elements[0][1].paths() if elements else []
        rows = [["", *(p or "element" for p in paths)]]
        rows += [[str(i), *(_cell(x) for x in leaves)] for i, (leaves, _) in enumerate(elements)]
        return Shown("\n".join(table(rows)))
    try:
        from matplotlib.figure import Figure
    except ImportError as e:
        raise MissingExtraError('pictures need matplotlib: pip install "treadle[plot]"') from e
    wide = int(np.ceil(np.sqrt(len(elements))))
    figure = Figure(figsize=(2 * wide, 2.2 * -(-len(elements) // wide)), layout="constrained")
    for k, ((leaves, structure), picture) in enumerate(zip(elements, pictures, strict=True)):
        axes = figure.add_subplot(-(-len(elements) // wide), wide, k + 1)
        x = np.asarray(leaves[picture or 0])
        axes.imshow(x[..., 0] if x.shape[-1] == 1 else x, cmap="gray")
        rest = [
            f"{p}: {_cell(v)}" for i, (p, v) in enumerate(zip(structure.paths(), leaves, strict=True)) if i != picture
        ]
        axes.set_title("\n".join(rest), fontsize=8)
        axes.axis("off")
    return figure


class Shown(str):
    """Text that prints as it is, also at the end of a notebook's cell."""

    def __repr__(self) -> str:
        return str(self)


def is_picture(x: Any) -> bool:
    """uint8, or floats in 0..1, `[height, width, 1, 3 or 4]`."""
    array = np.asarray(x)
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or min(array.shape[:2]) < 4:
        return False
    return array.dtype == np.uint8 or (array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1)


def _cell(x: Any) -> str:
    if isinstance(x, str | bytes):
        return _short(x)
    array = np.asarray(x)
    if array.ndim == 0:
        return f"{array.item():.6g}" if array.dtype.kind == "f" else str(array.item())
    return (
        f"{array.dtype}{list(array.shape)}" if array.size > 6 else np.array2string(array, precision=4, separator=", ")
    )
