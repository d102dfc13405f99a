"""Elements and columns: an element is a tree of arrays, numbers and texts; columns are such a tree for many elements.

A column is an array whose first axis counts the elements; of dtype object where they are texts or differ in shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.errors import ArgumentError, DataError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor

Array = np.ndarray[Any, Any]
Rows = slice | Array  # which elements: start:stop, or positions


def is_leaf(x: Any) -> bool:
    """Lists of numbers or texts are arrays, not trees."""
    return isinstance(x, list) and not any(hasattr(v, "shape") or isinstance(v, dict | tuple) for v in x)


def flatten(tree: Any) -> tuple[list[Any], trees.Structure]:
    return trees.flatten(tree, is_leaf)


def as_column(x: Any) -> Array:
    """An array of what a user gave for a column: array, tensor or list; texts and ragged lists become objects."""
    if isinstance(x, list | tuple):
        if x and isinstance(x[0], str | bytes):  # NumPy's own array of texts gives each the longest one's size
            return objects(x)
        try:
            array = np.asarray(x)
        except ValueError:  # ragged
            array = np.empty(0, object)
        if array.dtype.kind in "fiub":
            return array
        return stack([as_column(v) if isinstance(v, list) else v for v in x], "the list", ragged=True)
    if isinstance(x, Tensor):
        return x.numpy()
    array = np.asarray(x)
    return array.astype(object) if array.dtype.kind in "US" else array


def stack(values: Sequence[Any] | Array, name: str, ragged: bool = False) -> Array:
    """One column of the values of a leaf.

    Raises:
        ShapeError: the shapes differ, unless `ragged`.
    """
    first = values[0] if len(values) else 0.0
    if isinstance(first, str | bytes):
        return objects(values)
    arrays = [np.asarray(v) for v in values]
    if any(a.dtype.kind in "OUS" for a in arrays):
        return objects(values)
    shapes = {a.shape for a in arrays}
    if len(shapes) <= 1:
        return np.stack(arrays) if arrays else np.empty(0)
    if ragged:
        return objects(arrays)
    other = next(i for i, a in enumerate(arrays) if a.shape != arrays[0].shape)
    raise ShapeError(
        f"{name or 'the values'}: elements 0 and {other} of the batch have shapes {show_shape(arrays[0].shape)} and "
        f"{show_shape(arrays[other].shape)}. Use padded_batch(…), which pads to the longest, or bucket_by_length(…), "
        "or bring them to one shape with map(…)"
    )


def objects(values: Sequence[Any] | Array) -> Array:
    out = np.empty(len(values), object)
    for i, v in enumerate(values):
        out[i] = v
    return out


def collate(elements: Sequence[Any], ragged: bool = False) -> Any:
    """Columns of elements of one structure.

    Raises:
        DataError: they differ in structure.
        ShapeError: a leaf's shapes differ, unless `ragged`.
    """
    if all(type(e) is np.ndarray for e in elements):
        return stack(elements, "", ragged)
    first, structure = flatten(elements[0])
    rows = [first]
    for i, element in enumerate(elements[1:], 1):
        leaves, other = flatten(element)
        if other != structure:
            leaves, other = flatten(in_order(element, elements[0]))
        if other != structure:
            raise DataError(f"elements 0 and {i} differ in structure: {show_paths(structure)} and {show_paths(other)}")
        rows.append(leaves)
    columns = [
        stack(column, path, ragged) for path, column in zip(structure.paths(), zip(*rows, strict=True), strict=True)
    ]
    return trees.unflatten(structure, columns)


def in_order(element: Any, first: Any) -> Any:
    """An element whose dicts have their keys in another element's order: it is not part of the structure."""
    if isinstance(element, dict) and isinstance(first, dict) and element.keys() == first.keys():
        return {k: in_order(element[k], v) for k, v in first.items()}
    if type(element) in (tuple, list) and type(element) is type(first) and len(element) == len(first):
        return type(element)(in_order(e, f) for e, f in zip(element, first, strict=True))
    return element


def show_paths(structure: trees.Structure) -> str:
    return "one value" if structure.kind is None else f"[{', '.join(structure.paths())}]"


def map_columns(function: Callable[[Array], Any], columns: Any) -> Any:
    leaves, structure = flatten(columns)
    return trees.unflatten(structure, [function(x) for x in leaves])


def pick(columns: Any, row: int) -> Any:
    """One element of columns; the same as the element that was put in, as NumPy values."""
    return map_columns(lambda column: column[row], columns)


def count_rows(columns: Any) -> int:
    return len(flatten(columns)[0][0])


def positions(rows: Rows) -> Array:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def leaf_at(tree: Any, path: str | int, what: str) -> Any:
    """The leaf of a tree that a path names ("label", 1, "meta.age").

    Raises:
        ArgumentError: there is none.
    """
    leaves, structure = flatten(tree)
    paths = structure.paths()
    if str(path) not in paths:
        raise ArgumentError(f"{what}={path!r}: an element has {', '.join(map(repr, paths))}")
    return leaves[paths.index(str(path))]


def dense(columns: Any) -> Any:
    """Columns of which none is ragged.

    Raises:
        ShapeError: the elements of one differ in shape.
    """
    leaves, structure = flatten(columns)
    if not any(x.dtype == object for x in leaves):
        return columns
    return trees.unflatten(
        structure,
        [
            stack(x, path) if x.dtype == object and len(x) and not isinstance(x[0], str | bytes) else x
            for path, x in zip(structure.paths(), leaves, strict=True)
        ],
    )


def join(parts: Sequence[Any], places: Sequence[Array] | None = None) -> Any:
    """Columns of all the parts' elements, one part after another, or each part's elements at its `places`."""
    if len(parts) == 1 and places is None:
        return parts[0]
    taken = [flatten(p) for p in parts]
    structure = taken[0][1]
    for _, other in taken[1:]:
        if other != structure:
            raise DataError(f"the parts differ in structure: {show_paths(structure)} and {show_paths(other)}")
    order = None if places is None else np.argsort(np.concatenate(places), kind="stable")
    out = []
    for columns in zip(*(leaves for leaves, _ in taken), strict=True):
        if any(c.dtype == object for c in columns) or len({c.shape[1:] for c in columns}) > 1:
            whole = objects([v for c in columns for v in c])
        else:
            whole = np.concatenate(columns)
        out.append(whole if order is None else whole[order])
    return trees.unflatten(structure, out)
