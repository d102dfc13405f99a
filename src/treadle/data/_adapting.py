"""How layers see the data that they learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, BuildError
from treadle.core.tensor import Tensor
from treadle.data._columns import Array, as_column, flatten, leaf_at
from treadle.data._nodes import Indexed
from treadle.data.dataset import Dataset

_CHUNK = 4096


def chunks_of(data: Any, path: str | int | None, what: str) -> Iterator[Array]:
    """The values of one leaf of a dataset's first epoch, many elements at a time; or an array in one piece."""
    if not isinstance(data, Dataset):
        yield as_column(data)
        return
    node = data._inner
    if isinstance(node, Indexed) and node is data._node:
        n = node.length
        for start in range(0, n, _CHUNK):
            yield _leaf(node.take(slice(start, min(start + _CHUNK, n)), 0), path, what)
        return
    reader = data._node.read(0)
    try:
        for element in reader:
            yield as_column([_leaf(element, path, what)])
    finally:
        reader.close()


def _leaf(tree: Any, path: str | int | None, what: str) -> Any:
    if path is not None:
        return leaf_at(tree, path, f"{what}.adapt(path")
    leaves, structure = flatten(tree)
    if len(leaves) != 1:
        paths = ", ".join(map(repr, structure.paths()))
        raise ArgumentError(f"{what}.adapt: an element has {paths}. Say which: adapt(ds, path=…)")
    return leaves[0]


def rows_of(data: Any, path: str | int | None, what: str) -> Iterator[Array]:
    """The same as rows of float64, `[many, features]`, whatever the axes before the last; a number has one feature.

    Raises:
        ArgumentError: what is no number.
    """
    for chunk in chunks_of(data, path, what):
        parts = [np.asarray(v) for v in chunk] if chunk.dtype == object else [chunk]
        for part in parts:
            if part.dtype.kind not in "fiub":
                raise ArgumentError(f"{what}.adapt takes numbers, and there is {part.dtype}")
            values = part.astype(np.float64)
            yield values.reshape(-1, 1) if values.ndim < 2 else values.reshape(-1, values.shape[-1])


def require_adapted(seen: Any, what: str) -> None:
    """Raise where it is known that a layer has not seen data. (In a graph it is not; there its NaN show.)

    Raises:
        BuildError
    """
    if not isinstance(seen, Tensor) or (seen.is_concrete and int(seen) == 0):
        raise BuildError(f"{what} has not seen data yet: call adapt(ds) before, or load its weights")
