"""Datasets of what is in memory, or comes from other programs' iterators."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.data._sources import Columns, Items, Iterables
from treadle.data.dataset import Dataset, IndexedDataset


def from_arrays(*arrays: Any, **named: Any) -> IndexedDataset:
    """Arrays, examples on axis 0, as a dataset: element i has the i-th of each. Nothing is copied.

    Args:
        arrays: one array; several, whose elements are tuples; or one tree of arrays (a tuple, a dict). Tensors and
            lists are arrays, too; a list of lists of different lengths is a ragged one.
        named: arrays whose elements are dicts.

    Raises:
        ShapeError: different lengths.
        ArgumentError: arrays with and without names, or none.

    >>> td.data.from_arrays(x=np.zeros((3, 2)), y=["a", "b", "c"])[1]
    {'x': array([0., 0.]), 'y': 'b'}
    """
    if bool(arrays) == bool(named):
        raise ArgumentError("from_arrays takes arrays, from_arrays(x, y), or named arrays, from_arrays(x=…, y=…)")
    tree: Any = named or (arrays[0] if len(arrays) == 1 else arrays)
    return IndexedDataset(Columns(tree))


def from_items(items: Any) -> IndexedDataset:
    """Anything with a length and `[i]`: a list of elements; a dataset of PyTorch, Grain or Hugging Face.

    Raises:
        ArgumentError: it has no length or cannot be indexed.

    >>> td.data.from_items([{"a": 1}, {"a": 2}])[1]
    {'a': 2}
    """
    if not hasattr(items, "__len__") or not hasattr(items, "__getitem__") or isinstance(items, dict | str):
        raise ArgumentError(f"from_items takes something with a length and [i], not {type(items).__name__}")
    return IndexedDataset(Items(items, "from_items"))


def from_generator(source: Callable[..., Iterable[Any]] | Iterable[Any]) -> Dataset:
    """A stream of what an iterable gives: elements of one structure.

    Args:
        source: a function that makes a new iterable for each epoch, called without arguments, or with the epoch if it
            has a parameter of that name; or an iterable that can be read again (PyTorch's DataLoader, Grain's and
            Hugging Face's datasets, `tf.data.Dataset.as_numpy_iterator`). If its iterators can tell their position
            (`state`/`restore`, `get_state`/`set_state`, `state_dict`/`load_state_dict`), that is used to resume.

    Raises:
        ArgumentError: an iterator, which can be read only once.

    >>> [int(x) for x in td.data.from_generator(lambda epoch: range(epoch, epoch + 3))]
    [0, 1, 2]
    """
    if isinstance(source, Iterator):
        raise ArgumentError(
            f"from_generator: a {type(source).__name__} can be read only once, and each epoch reads anew. Pass the "
            "function that makes it, without calling it: from_generator(lambda: …)"
        )
    if callable(source):
        try:
            takes_epoch = "epoch" in inspect.signature(source).parameters
        except (TypeError, ValueError):  # builtins have no signature
            takes_epoch = False
        return Dataset(Iterables(source, takes_epoch, "from_generator"))
    if isinstance(source, Iterable):
        return Dataset(Iterables(source, False, "from_generator"))
    raise ArgumentError(f"from_generator takes a function or an iterable, not {type(source).__name__}")
