"""`Dataset`: a chain of steps, read element by element; `IndexedDataset`, which also has a length and any element."""

from __future__ import annotations

import operator
from typing import Any

from treadle.core.errors import ArgumentError, OutOfRangeError, TreadleError
from treadle.data._columns import Rows, dense
from treadle.data._indexed import Select
from treadle.data._nodes import Indexed, Node, show_call
from treadle.data._steps import Steps
from treadle.data.merging import concatenate, interleave, zip_datasets


class Dataset(Steps):
    """Elements, read in order: what `data.from_…` makes, and every step of it, which is lazy and changes nothing.

    Each `for` loop over it is an epoch. `state()` is the position, between any two elements; `restore` goes on there.
    An element is a tree (tuple, dict, list) of NumPy arrays, numbers and texts.

    >>> ds = td.data.from_generator(lambda: range(10)).filter(lambda x: x % 2).map(lambda x: x * 10).batch(3)
    >>> [batch.tolist() for batch in ds]
    [[10, 30, 50], [70, 90]]
    """

    def _of(self, node: Node) -> Any:
        return IndexedDataset(node) if isinstance(node, Indexed) else Dataset(node)

    def zip(self, *others: Dataset) -> Any:
        """Tuples of one element of each dataset, until the shortest ends."""
        return zip_datasets(self, *others)

    def concatenate(self, *others: Dataset) -> Any:
        """This one, then the others."""
        return concatenate(self, *others)

    def interleave(self, *others: Dataset) -> Any:
        """One element of each in turn; those that have ended are passed over."""
        return interleave(self, *others)


class IndexedDataset(Dataset):
    """A dataset with a length, whose elements can be had in any order: `len(ds)`, `ds[i]`, `ds[a:b]`.

    `ds[i]` is what the first epoch gives at place i: a pure function of the steps and i.

    >>> ds = td.data.from_arrays((np.arange(4), ["a", "b", "c", "d"]))
    >>> len(ds), ds[-1], ds[1:3][0]
    (4, (np.int64(3), 'd'), (np.int64(1), 'b'))
    """

    _node: Indexed

    def __init__(self, node: Indexed) -> None:
        super().__init__(node)

    def __len__(self) -> int:
        return self._node.length

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            start, stop, step = i.indices(len(self))
            if step < 1:
                raise ArgumentError(f"ds[{start}:{stop}:{step}]: a step of at least 1")
            shown = f"[{'' if i.start is None else i.start}:{'' if i.stop is None else i.stop}]"
            return self._slice(start, stop, step, shown)
        at = operator.index(i)
        if at >= 0 and self._node.has(at):
            return self._node.get(at, 0)
        n = len(self)
        if not -n <= at < n:
            raise OutOfRangeError(f"element {at} of a dataset that has {n}")
        return self._node.get(at % n, 0)

    def columns(self, start: int = 0, stop: int | None = None) -> Any:
        """Elements start to stop - 1 of the first epoch as arrays; all of them if they fit into memory.

        >>> td.data.from_arrays(np.arange(5)).map(lambda x: x * 2).columns()
        array([0, 2, 4, 6, 8])
        """
        rows: Rows = slice(*slice(start, stop).indices(len(self))[:2])
        columns = self._node.take(rows, 0)
        try:
            return dense(columns)
        except TreadleError:
            return columns  # ragged: arrays of objects

    def split(
        self, *fractions: float, seed: int = 0, stratify: Any = None, group: Any = None, time: Any = None
    ) -> tuple[IndexedDataset, ...]:
        """Parts of the data at random, each element in exactly one: `train, test = ds.split(0.8)`.

        Args:
            fractions: of the parts; what is missing to 1 is one more part.
            seed: of the choice.
            stratify: the path of a leaf, a function of the element, or an array: each part has the same share of each
                value.
            group: likewise: elements of equal value go to the same part (all pictures of one patient).
            time: likewise: the first part has the least values, the last one the greatest; nothing is random.

        Raises:
            ArgumentError: fractions that are no parts of a whole, or a part would be empty.

        >>> train, test = td.data.from_arrays((np.arange(10), [0, 1] * 5)).split(0.6, stratify=1)
        >>> len(train), len(test), sorted(int(y) for _, y in test)
        (6, 4, [0, 0, 1, 1])
        """
        from treadle.data._splitting import split_rows

        inner: Any = self._inner
        parts = split_rows(inner, fractions, seed, stratify, group, time)
        how = show_call("split", *fractions, seed=None if time is not None else seed)
        return tuple(self._then(Select(inner, rows, f"{how}[{k}]")) for k, rows in enumerate(parts))
