"""Batches of elements of different lengths: padded values, lengths, and a mask of what is real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.dims import Dim
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.padded import Padded
from treadle.core.spec import show_shape
from treadle.data._columns import Array, flatten, leaf_at, stack
from treadle.data._nodes import Node


def pad_column(column: Array, pad: Any, to: int | None, multiple: int | None, name: str) -> Padded:
    """Pad sequences to the longest, to a multiple above it, or to a fixed length.

    Raises:
        ShapeError: one is longer than `to`, or they differ in another axis than the first.
    """
    rows = [v if type(v) is np.ndarray else np.asarray(v) for v in column]
    shapes = [r.shape for r in rows]
    if () in shapes:
        raise ShapeError(f"{name}: a number has no length to pad. Name the leaves that do: ragged=(…)")
    rest = {s[1:] for s in shapes}
    if len(rest) > 1:
        a, b = [s for s in shapes if s[1:] in list(rest)[:2]][:2]
        raise ShapeError(
            f"{name}: only the first axis may differ, and there are {show_shape(a)} and {show_shape(b)}. Bring the "
            "other axes to one size with map(…)"
        )
    lengths = np.array([s[0] for s in shapes], np.int32)
    time = int(lengths.max(initial=0))
    if to is not None:
        if time > to:
            raise ShapeError(
                f"{name}: a sequence of {time} does not fit into to={to}. Cut it with map(…), or raise to="
            )
        time = to
    if multiple:
        time = -(-time // multiple) * multiple
    mask = np.arange(time) < lengths[:, None]
    dtype = np.result_type(*{r.dtype for r in rows})
    values = np.full((len(rows), time, *rest.pop()), pad, dtype)
    values[mask] = np.concatenate(rows)
    return Padded(values, lengths, mask)


FEWEST_STEPS = 8


def in_steps(column: Array, pad: Any, most: int | None, name: str) -> Padded:
    """Pad sequences to 8, 16, 32, … steps, or to `most`, so that what is compiled meets few different shapes."""
    longest = max(map(len, column), default=0)
    to = max(FEWEST_STEPS, 1 << max(longest - 1, 0).bit_length())
    return pad_column(column, pad, to if most is None else min(to, most), None, name)


class Padding:
    """How to pad a batch: which leaves, with what, how far."""

    def __init__(self, pad: Any, to: int | None, multiple: int | None, ragged: Sequence[str | int] | None) -> None:
        if to is not None and multiple is not None:
            raise ArgumentError("give to= or multiple=, not both")
        self.pad, self.to, self.multiple = pad, to, multiple
        self.ragged = None if ragged is None else tuple(str(r) for r in ragged)
        self._settled: Padding | None = None

    def settled(self, parent: Node) -> Padding:
        """With the leaves decided that are padded, once for all batches: those that vary, or all that have an axis."""
        if self._settled is None:
            spec = parent.spec()
            paths = dict(zip(flatten(spec)[1].paths(), flatten(spec)[0], strict=True))
            varying = [p for p, s in paths.items() if s.shape and isinstance(s.shape[0], Dim)]
            ragged = self.ragged or varying or [p for p, s in paths.items() if s.shape]
            for path in ragged:
                leaf_at(spec, path, "ragged")
            self._settled = Padding(self.pad, self.to, self.multiple, ragged)
        return self._settled

    def __call__(self, columns: Any, to: int | None = None) -> Any:
        leaves, structure = flatten(columns)
        out: list[Any] = []
        for path, column in zip(structure.paths(), leaves, strict=True):
            if self.ragged is not None and path in self.ragged:
                out.append(pad_column(column, self.pad, to or self.to, self.multiple, path or "the element"))
            elif column.dtype == object and len(column) and not isinstance(column[0], str | bytes):
                try:
                    out.append(stack(column, path))
                except ShapeError as e:
                    known = tuple(self.ragged or ())
                    raise ShapeError(f"{e.message}. To pad {path}, too, write ragged={(*known, path)}") from e
            else:
                out.append(column)
        return trees.unflatten(structure, out)

    def spec(self, spec: Any, size: Any, to: int | None = None) -> Any:
        """What a batch is, from what an element is."""
        from treadle.core.dtypes import bool_, int32
        from treadle.core.spec import Spec
        from treadle.data._spec import with_axes

        leaves, structure = flatten(spec)
        n = Dim(size) if isinstance(size, str) else size
        out: list[Any] = []
        for path, leaf in zip(structure.paths(), leaves, strict=True):
            time = to or self.to or Dim("time")
            if self.ragged is not None and path in self.ragged:
                values = with_axes(leaf, (n, time), drop=1)
                out.append(Padded(values, Spec((n,), int32), Spec((n, time), bool_)))
            else:
                out.append(with_axes(leaf, (n,)))
        return trees.unflatten(structure, out)

    def shown(self) -> dict[str, Any]:
        return {"pad": self.pad or None, "to": self.to, "multiple": self.multiple}
