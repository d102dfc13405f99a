"""Where data comes from: arrays in memory, anything with a length and `[i]`, and anything that can be iterated over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.errors import ArgumentError, DataError, ShapeError
from treadle.core.spec import show_shape
from treadle.data._columns import Array, Rows, as_column, collate, positions
from treadle.data._nodes import Indexed, Node, Reader, show_function

FEW = 4  # columns of one dtype from which on rows of them are gathered together


class Columns(Indexed):
    """Columns in memory (or memory-mapped), read-only: a map that would write into the data raises.

    Args:
        table: whether the columns may be copied next to each other, so that a row's numbers are read at one place.
    """

    columnar = rigid = True

    def __init__(
        self, columns: Any, name: str = "from_arrays", place: Callable[[int], str] | None = None, table: bool = False
    ) -> None:
        leaves, self.structure = trees.flatten(columns, lambda x: isinstance(x, list))  # a list is one column
        self.leaves = [_frozen(as_column(x)) for x in leaves]
        self.blocks = _together(self.leaves) if table else []
        self.name, self.place = name, place
        self._length = common_length(self.structure.paths(), self.leaves)
        flat = all(c.kind is None for c in self.structure.children)
        self._tuple, self._dict = (flat and self.structure.kind is k for k in (tuple, dict))

    @property
    def length(self) -> int:
        return self._length

    def describe(self) -> str:
        return f"{self.name}({self._length:,} elements)"

    def get(self, i: int, epoch: int) -> Any:
        return self._build([x[i] for x in self.leaves])

    def take(self, rows: Rows, epoch: int) -> Any:
        if not self.blocks:
            return self._build([gathered(x, rows) for x in self.leaves])
        values: list[Any] = [None] * len(self.leaves)
        for places, block in self.blocks:
            columns = np.ascontiguousarray(gathered(block, rows).T)
            for k, column in zip(places, columns, strict=True):
                values[k] = column
        return self._build([gathered(x, rows) if v is None else v for x, v in zip(self.leaves, values, strict=True)])

    def _build(self, values: list[Any]) -> Any:
        """The tree of these leaves; at once where it is but a tuple or a dict."""
        if self._tuple:
            return tuple(values)
        if self._dict:
            return dict(zip(self.structure.extra, values, strict=True))  # type: ignore[call-overload]
        return trees.unflatten(self.structure, values)

    def where(self, i: int, epoch: int) -> str:
        return f"element {i}" if self.place is None else self.place(i)

    def spec(self) -> Any:
        from treadle.data._spec import column_spec

        return trees.unflatten(self.structure, [column_spec(x) for x in self.leaves])


def gathered(column: Array, rows: Rows) -> Array:
    """Some rows of a column. `take` is quicker, but makes a copy of all that does not lie in order first."""
    in_order = column.flags.c_contiguous and column.flags.aligned
    return column.take(rows, axis=0) if in_order and isinstance(rows, np.ndarray) else column[rows]


def _together(leaves: list[Array]) -> list[tuple[list[int], Array]]:
    """Columns of numbers of one dtype as `[rows, columns]`, of which the leaves become views; and which they are."""
    alike: dict[Any, list[int]] = {}
    for k, x in enumerate(leaves):
        if x.ndim == 1 and x.dtype.kind in "biuf":
            alike.setdefault(x.dtype, []).append(k)
    blocks = []
    for places in alike.values():
        if len(places) >= FEW:
            block = _frozen(np.stack([leaves[k] for k in places], axis=1))
            blocks.append((places, block))
            for j, k in enumerate(places):
                leaves[k] = block[:, j]
    return blocks


def _frozen(column: Array) -> Array:
    view = column.view()
    view.flags.writeable = False
    return view


def common_length(names: Sequence[str], leaves: Sequence[Array]) -> int:
    """The length that all columns share.

    Raises:
        ArgumentError: there are none.
        ShapeError: they differ, or one is a scalar.
    """
    if not leaves:
        raise ArgumentError("there are no arrays in the data")
    for name, x in zip(names, leaves, strict=True):
        if x.ndim == 0:
            raise ShapeError(
                f"{name or 'the data'} is one number, and an array with elements on its first axis is needed"
            )
    if len({len(x) for x in leaves}) > 1:
        listed = ", ".join(f"{n} {show_shape(x.shape)}" for n, x in zip(names, leaves, strict=True))
        raise ShapeError(f"the arrays have different lengths: {listed}. Element i is made of the i-th of each")
    return len(leaves[0])


class Items(Indexed):
    """Anything with a length and `[i]`: a list of elements, a dataset of PyTorch, Grain or Hugging Face."""

    def __init__(self, items: Any, name: str) -> None:
        self.items, self.name = items, name
        # PyTorch's protocol for many elements at once, which Hugging Face's datasets have.
        self.columnar = callable(getattr(items, "__getitems__", None))

    @property
    def length(self) -> int:
        return len(self.items)

    def take(self, rows: Rows, epoch: int) -> Any:
        if not self.columnar:
            return super().take(rows, epoch)
        places = positions(rows).tolist()
        try:
            made = [as_element(x) for x in self.items.__getitems__(places)]
        except Exception:
            return super().take(rows, epoch)  # which says at which element
        return collate(made, ragged=True)

    def describe(self) -> str:
        return f"{self.name}({len(self.items):,} elements)"

    def get(self, i: int, epoch: int) -> Any:
        try:
            return as_element(self.items[i])
        except Exception as e:
            raise self.failed(e, f"element {i}") from e


class Iterables(Node):
    """What an iterable gives, or a function that makes one anew for each epoch.

    Resumes by the iterator's methods for its position if it has any, else by reading and leaving out.
    """

    def __init__(self, source: Any, takes_epoch: bool, name: str) -> None:
        self.source, self.takes_epoch, self.name = source, takes_epoch, name
        self.steady = not takes_epoch

    def describe(self) -> str:
        inner = self.source if callable(self.source) else type(self.source)
        return f"{self.name}({show_function(inner)})"

    def open(self, epoch: int) -> Any:
        if not callable(self.source):
            return iter(self.source)
        made = self.source(epoch) if self.takes_epoch else self.source()
        if not isinstance(made, Iterable):
            raise ArgumentError(f"{self.describe()} must give an iterable, and gave {type(made).__name__}")
        return iter(made)

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _IteratorReader(self, epoch, state)


# Pairs of methods with which iterators elsewhere tell and take up their position (treadle's own, Grain's, PyTorch's).
_STATES = (("state", "restore"), ("get_state", "set_state"), ("state_dict", "load_state_dict"))


class _IteratorReader(Reader):
    def __init__(self, node: Iterables, epoch: int, state: Any) -> None:
        self.node, self.at = node, 0
        self.iterator = node.open(epoch)
        pair = next((p for p in _STATES if all(hasattr(self.iterator, n) for n in p)), None)
        self.tell: Any = getattr(self.iterator, pair[0]) if pair else None
        self.seek: Any = getattr(self.iterator, pair[1]) if pair else None
        if state is None:
            return
        if self.seek is not None and state["of"] is not None:
            self.seek(state["of"])
            self.at = state["at"]
        else:
            try:
                self.skip(state["at"])
            except StopIteration:
                raise DataError(
                    f"{node.describe()} ended after {self.at} elements, before the position that is to be resumed"
                ) from None

    def __next__(self) -> Any:
        try:
            element = next(self.iterator)
        except StopIteration:
            raise
        except Exception as e:
            raise self.node.failed(e, f"element {self.at}") from e
        self.at += 1
        return as_element(element)

    def skip(self, n: int) -> None:
        for _ in range(n):
            next(self.iterator)
            self.at += 1

    def state(self) -> Any:
        return {"at": self.at, "of": None if self.tell is None else self.tell()}

    def close(self) -> None:
        close = getattr(self.iterator, "close", None)
        if callable(close):
            close()


def as_element(x: Any) -> Any:
    """An element from elsewhere: PyTorch's and other arrays become NumPy's, texts and numbers stay."""
    if isinstance(x, dict):
        return {k: as_element(v) for k, v in x.items()}
    if isinstance(x, tuple):
        made = [as_element(v) for v in x]
        return type(x)(*made) if hasattr(x, "_fields") else tuple(made)
    if isinstance(x, list):
        return as_column(x) if x and not isinstance(x[0], dict | tuple) else [as_element(v) for v in x]
    return as_column(x) if hasattr(x, "__array__") else x
