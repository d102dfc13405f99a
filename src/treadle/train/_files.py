"""Trees of arrays as JSON beside a file of tensors. The files themselves are core's (`core/files.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import SaveError
from treadle.core.files import FORMAT, Array, pack_tensors, read_tensors, sync_folder, write_synced, write_whole

__all__ = [
    "FORMAT",
    "dtype_of",
    "join_arrays",
    "pack_tensors",
    "read_tensors",
    "split_arrays",
    "sync_folder",
    "write_synced",
    "write_whole",
]


def dtype_of(array: Array) -> DType:
    return as_dtype(array.dtype)


def split_arrays(tree: Any, arrays: dict[str, Array], path: str = "") -> Any:
    """A JSON tree in whose place of each array or tensor stands its name; the arrays are collected in `arrays`.

    Raises:
        SaveError: something in it is neither an array nor JSON.
    """
    if isinstance(tree, dict):
        if not all(isinstance(k, str) for k in tree):
            raise SaveError(f"{path or 'state'} cannot be saved: the keys of a dict must be strings, not {list(tree)}")
        return {k: split_arrays(v, arrays, f"{path}/{k}") for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [split_arrays(v, arrays, f"{path}/{i}") for i, v in enumerate(tree)]
    if hasattr(tree, "numpy"):
        tree = tree.numpy()
    if isinstance(tree, np.ndarray):
        arrays[path] = tree
        return {"__array__": path}
    if isinstance(tree, np.generic):
        tree = tree.item()
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise SaveError(f"{path or 'state'} cannot be saved: {type(tree).__name__} is neither an array nor JSON")


def join_arrays(tree: Any, arrays: Mapping[str, Array]) -> Any:
    """The inverse of `split_arrays` (tuples come back as lists, tensors as arrays)."""
    if isinstance(tree, dict):
        if set(tree) == {"__array__"}:
            return arrays[tree["__array__"]]
        return {k: join_arrays(v, arrays) for k, v in tree.items()}
    if isinstance(tree, list):
        return [join_arrays(v, arrays) for v in tree]
    return tree
