"""What an element is: a tree of specs, with Dims where sizes vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.dims import Dim, Shape, Size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import DataError, DTypeError
from treadle.core.spec import Spec
from treadle.data._columns import flatten, in_order, show_paths
from treadle.data._nodes import Node

_SAMPLES = 6


@dataclass(frozen=True, slots=True)
class TextSpec:
    """The shape of texts, bytes or other things that are no numbers; printed as `str[batch]`."""

    shape: Shape
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}[{','.join(map(str, self.shape))}]"

    __repr__ = __str__


def leaf_spec(x: Any) -> Spec | TextSpec:
    """The spec of one leaf."""
    if isinstance(x, str | bytes):
        return TextSpec((), type(x).__name__)
    array = np.asarray(x)
    if array.dtype.kind in "OUS":
        kind = {"U": "str", "S": "bytes"}.get(array.dtype.kind)
        first = array.flat[0] if array.size else None
        return TextSpec(array.shape, kind or type(first).__name__)
    try:
        return Spec(array.shape, as_dtype(array.dtype))
    except DTypeError:
        return TextSpec(array.shape, str(array.dtype))


def spec_of_samples(node: Node) -> Any:
    """The spec that a few elements have in common.

    Raises:
        DataError: there are no elements, or they differ in structure.
    """
    samples = node.samples(_SAMPLES)
    if not samples:
        raise DataError(f"{node.describe()} has no elements, so it is not known what they are")
    return common_spec(samples, node.describe())


def common_spec(samples: Sequence[Any], what: str) -> Any:
    """The spec of some elements; an axis whose sizes differ is a Dim named after its leaf."""
    rows, structures = zip(*(flatten(in_order(x, samples[0])) for x in samples), strict=True)
    if any(s != structures[0] for s in structures):
        other = next(s for s in structures if s != structures[0])
        raise DataError(f"the elements of {what} differ in structure: {show_paths(structures[0])}, {show_paths(other)}")
    found = []
    for path, column in zip(structures[0].paths(), zip(*rows, strict=True), strict=True):
        specs = [leaf_spec(x) for x in column]
        found.append(_merge(path, specs))
    return trees.unflatten(structures[0], found)


def _merge(path: str, specs: list[Any]) -> Any:
    first = specs[0]
    if len({len(s.shape) for s in specs}) > 1:
        return TextSpec((), "array of any rank")
    name = "".join(c if c.isalnum() else "_" for c in path) or "size"
    name = name if name.isidentifier() else f"size_{name}"
    shape: list[Size] = []
    for axis, sizes in enumerate(zip(*(s.shape for s in specs), strict=True)):
        shape.append(sizes[0] if len(set(sizes)) == 1 else Dim(name if axis == 0 else f"{name}_{axis}"))
    if isinstance(first, Spec) and all(isinstance(s, Spec) for s in specs):
        return Spec(tuple(shape), as_dtype(np.result_type(*{s.dtype.numpy for s in specs})))
    return TextSpec(tuple(shape), first.kind if isinstance(first, TextSpec) else "object")


def with_axes(spec: Any, axes: tuple[Size, ...], drop: int = 0) -> Any:
    """A leaf's spec with more axes in front, after some were taken away."""
    shape = (*axes, *spec.shape[drop:])
    return Spec(shape, spec.dtype) if isinstance(spec, Spec) else TextSpec(shape, spec.kind)


def batched(spec: Any, size: Size | str) -> Any:
    """The spec of a batch: one more axis."""
    n = Dim(size) if isinstance(size, str) else size
    return trees.map(lambda leaf: with_axes(leaf, (n,)), spec)


def column_spec(column: Any) -> Any:
    """The spec of a column's elements."""
    if column.dtype != object:
        return Spec(column.shape[1:], as_dtype(column.dtype))
    n = len(column)
    picked = [column[int(i)] for i in dict.fromkeys(np.linspace(0, n - 1, min(n, 64)).round())]
    return common_spec(picked, "the column") if n else TextSpec((), "object")
