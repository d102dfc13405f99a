"""What `fit` reads: arrays cut into batches, or anything that gives batches.

Order is a pure function of (seed, epoch, index): no buffer, and a position is two integers, epoch and batch.
"""

from __future__ import annotations

import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from treadle import random
from treadle.core import trees
from treadle.core.dtypes import DType, default_float, float64
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.registry import array_namespace
from treadle.core.spec import show_shape
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.core.texts import is_texts
from treadle.data.segments import Segment
from treadle.train._words import count

Array = np.ndarray[Any, Any]
_VALIDATION = -1  # the "epoch" whose order says which rows validate


class Source(ABC):
    """Batches, epoch by epoch."""

    rows: int | None = None
    in_memory = False  # whether its batches can be had again at no cost

    @abstractmethod
    def batches(self, epoch: int, skip: int) -> Iterator[Any]:
        """The batches of an epoch, without the first `skip`."""

    @abstractmethod
    def count(self) -> int | None:
        """How many batches an epoch has, when that is known."""

    def peek(self) -> tuple[Any, Callable[[int, int], Iterator[Any]]]:
        """The first batch (None if there is none), and `batches` that still gives it."""
        return next(self.batches(0, 0), None), self.batches

    def state(self) -> Any:
        """What the position needs besides epoch and batch, or None."""
        return None

    def restore(self, state: Any) -> None:  # noqa: B027, arrays have nothing to restore
        """Go on from a `state()`: the next `batches` begins there and ignores `skip`."""


class Arrays(Source):
    """Rows of arrays of equal length, in a new order each epoch."""

    in_memory = True

    def __init__(self, data: Any, batch_size: int, shuffle: bool, seed: int, rows: Array | None = None) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"batch_size={batch_size!r}: an integer of at least 1")
        found, self.structure = trees.flatten(data, _is_leaf)
        self.names = [_name(p, isinstance(data, dict)) for p in self.structure.paths()]
        self.exact = [isinstance(x, Tensor) for x in found]  # tensors keep their dtype
        self.leaves = [np.asarray(x) for x in found]
        self.length = _common_length(self.names, self.leaves)
        self.subset = rows
        self.rows = self.length if rows is None else len(rows)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        if not self.rows:
            raise ArgumentError("the data has no rows")

    def batches(self, epoch: int, skip: int) -> Iterator[Any]:
        order = _order(self.seed, epoch, self.rows) if self.shuffle else None
        for start in range(skip * self.batch_size, self.rows or 0, self.batch_size):
            yield self.take(start, order)

    def take(self, start: int, order: Array | None) -> Any:
        rows: Any = slice(start, start + self.batch_size) if order is None else order[start : start + self.batch_size]
        if self.subset is not None:
            rows = self.subset[rows]
        parts = [leaf[rows] for leaf in self.leaves]
        tensors = [array_namespace().asarray(p) if keep else p for p, keep in zip(parts, self.exact, strict=True)]
        return trees.unflatten(self.structure, tensors)

    def count(self) -> int:
        return -(-(self.rows or 0) // self.batch_size)

    def split(self, fraction: float) -> tuple[Arrays, Arrays]:
        """Rows to train on, and rows chosen at random (by the seed alone) to validate on.

        Raises:
            ArgumentError: not between 0 and 1, or one of the two would be empty.
        """
        n = round(self.length * fraction)
        if not 0 < fraction < 1 or not 0 < n < self.length:
            raise ArgumentError(
                f"validation_split={fraction} of {count(self.length, 'row')} is {n}; give a fraction that leaves rows "
                "both to train and to validate on"
            )
        order = _order(self.seed, _VALIDATION, self.length)
        data = trees.unflatten(
            self.structure,
            [array_namespace().asarray(x) if keep else x for x, keep in zip(self.leaves, self.exact, strict=True)],
        )
        make = functools.partial(Arrays, data, self.batch_size, seed=self.seed)
        return make(shuffle=self.shuffle, rows=np.sort(order[n:])), make(shuffle=False, rows=np.sort(order[:n]))


class Batches(Source):
    """An iterable of batches, read anew each epoch; or a function epoch → iterable."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.once = not callable(data) and iter(data) is data
        self.resumed = False
        self.has_state = hasattr(data, "state") and hasattr(data, "restore")

    def batches(self, epoch: int, skip: int) -> Iterator[Any]:
        iterable = self.data(epoch) if callable(self.data) else self.data
        if not isinstance(iterable, Iterable):
            raise ArgumentError(f"data({epoch}) must give batches that can be iterated over, not {iterable!r}")
        resumed, self.resumed = self.resumed, False
        return itertools.islice(iter(iterable), 0 if resumed else skip, None)

    def peek(self) -> tuple[Any, Callable[[int, int], Iterator[Any]]]:
        """What has been read of an iterable is not read again."""
        if self.has_state:
            state = self.state()
            first = next(self.batches(0, 0), None)
            self.data.restore(state)
            return first, self.batches
        begun = self.batches(0, 0)
        first = next(begun, None)
        unread = [begun]

        def batches(epoch: int, skip: int) -> Iterator[Any]:
            if epoch == 0 and unread:
                return itertools.islice(itertools.chain([first], unread.pop()), skip, None)
            unread.clear()
            return self.batches(epoch, skip)

        return first, batches

    def count(self) -> int | None:
        return len(self.data) if not callable(self.data) and hasattr(self.data, "__len__") else None

    def state(self) -> Any:
        return self.data.state() if self.has_state else None

    def restore(self, state: Any) -> None:
        if self.has_state and state is not None:
            self.data.restore(state)
            self.resumed = True


def as_source(data: Any, *, batch_size: int, shuffle: bool, seed: int, what: str = "data") -> Source:
    """A source of batches. A tuple, dict, array or list of texts holds arrays; all else that iterates gives batches.

    Raises:
        ArgumentError: it is none of these.
        ShapeError: arrays of different lengths.
    """
    if isinstance(data, Source):
        return data
    is_array = isinstance(data, Tensor | np.ndarray | tuple | dict) or hasattr(data, "__array__")
    if is_array or (isinstance(data, list) and data and isinstance(data[0], str)):
        return Arrays(data, batch_size, shuffle, seed)
    if isinstance(data, Stateful) or not (callable(data) or isinstance(data, Iterable)) or isinstance(data, str):
        raise ArgumentError(
            f"{what} is a tuple (x, y) of arrays, an iterable of batches, or a function epoch → iterable; "
            f"not {type(data).__name__}"
        )
    return Batches(data)


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, n: int) -> Array:
    """The order of n rows in an epoch: a pure function of its arguments."""
    return random.permutation(random.fold_in(random.key(seed), epoch), n).numpy()


def unpack(batch: Any) -> tuple[Any, Any, Any]:
    """(x, y, weights) of a batch: from (x, y), (x, y, weights), or a dict with these keys.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(batch, Segment):
        return batch.x, batch.y, batch.weights
    if isinstance(batch, dict) and {"x", "y"} <= set(batch) <= {"x", "y", "weights"}:
        return batch["x"], batch["y"], batch.get("weights")
    if isinstance(batch, tuple | list) and len(batch) in (2, 3):
        return (*batch, None)[:3] if len(batch) == 2 else tuple(batch)
    got = f"a dict with {', '.join(map(repr, batch))}" if isinstance(batch, dict) else type(batch).__name__
    if isinstance(batch, tuple | list):
        got = f"a {type(batch).__name__} of {len(batch)}"
    raise ArgumentError(
        'a batch is (x, y), (x, y, weights) or a dict with the keys "x", "y" and perhaps "weights"; '
        f"this one is {got}. "
        "For other batches, write the step yourself: step=function(model, optimizer, batch)"
    )


def as_tensors(tree: Any, floating: DType = default_float) -> Any:
    """The same tree with tensors. NumPy's float64, its default, becomes `floating`; tensors stay as they are."""

    def convert(x: Any) -> Any:
        if isinstance(x, Tensor) or not (isinstance(x, list | int | float) or hasattr(x, "__array__")):
            return x
        array = np.asarray(x)
        if array.dtype == np.float64:
            array = array.astype(floating.numpy)
        return array_namespace().asarray(array)

    leaves, structure = trees.flatten(tree, _is_leaf)
    return trees.unflatten(structure, [convert(x) for x in leaves])


def float_of(model: Stateful) -> DType:
    """The dtype that float64 data becomes: float64 if that is what the model's parameters are, else the default."""
    kinds = {x.dtype for x in model.parameters().values() if x.dtype.is_floating}
    return float64 if kinds == {float64} else default_float


def batch_rows(batch: Any) -> int:
    """How many examples a batch has: the first axis of its first array; 1 when there is none."""
    for leaf in trees.leaves(batch):
        shape = getattr(leaf, "shape", ())
        if shape:
            return int(shape[0])
    return 1


def _is_leaf(x: Any) -> bool:
    """Lists of numbers are arrays."""
    return isinstance(x, list) and bool(x) and not any(hasattr(v, "shape") or isinstance(v, dict | tuple) for v in x)


def _name(path: str, is_dict: bool) -> str:
    head, dot, rest = path.partition(".")
    names = {"": "x", "0": "x", "1": "y", "2": "weights"}
    return path if is_dict else names.get(head, head) + dot + rest


def _common_length(names: list[str], leaves: list[Array]) -> int:
    """The length of the first axis that all arrays share.

    Raises:
        ShapeError: they differ, or a scalar has none.
    """
    if not leaves:
        raise ArgumentError("the data holds no arrays")
    for name, leaf in zip(names, leaves, strict=True):
        if leaf.ndim == 0 or (leaf.dtype == object and not is_texts(leaf)):
            raise ShapeError(f"{name} has no rows: an array with examples on its first axis is needed, not {leaf!r}")
    if len({len(leaf) for leaf in leaves}) > 1:
        listed = ", ".join(f"{n} {show_shape(x.shape)}" for n, x in zip(names, leaves, strict=True))
        raise ShapeError(
            f"the arrays have different numbers of rows: {listed}. Data is (x, y) or (x, y, weights), examples on axis "
            "0; a list of batches is a list, not a tuple"
        )
    return len(leaves[0])
