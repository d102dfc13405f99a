"""`Dataset`: a chain of steps, read element by element; `IndexedDataset`, which also has a length and any element."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from treadle.core.errors import ArgumentError, DataError, OutOfRangeError, TreadleError
from treadle.data import _indexed as indexed
from treadle.data import _streams as streams
from treadle.data._buckets import Buckets, IndexedBucket, Length, StreamBucket, can_index
from treadle.data._columns import Rows, dense
from treadle.data._nodes import Indexed, Node, Reader, chain, show_call
from treadle.data._padding import Padding
from treadle.data._parallel import Parallel, ParallelMaps, Prefetch

if TYPE_CHECKING:
    from treadle.data._describing import Description
    from treadle.data._profiling import Profile

_Self = TypeVar("_Self", bound="Dataset")


class Dataset:
    """Elements, read in order: what `data.from_…` makes, and every step of it, which is lazy and changes nothing.

    Each `for` loop over it is an epoch. `state()` is the position, between any two elements; `restore` goes on there.
    An element is a tree (tuple, dict, list) of NumPy arrays, numbers and texts.

    >>> ds = td.data.from_generator(lambda: range(10)).filter(lambda x: x % 2).map(lambda x: x * 10).batch(3)
    >>> [batch.tolist() for batch in ds]
    [[10, 30, 50], [70, 90]]
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._epoch, self._start = 0, None  # type: tuple[int, Any]
        self._pass: Pass | None = None
        self._spec: Any = None
        self.classes: tuple[str, ...] = ()

    # reading

    def __iter__(self) -> Pass:
        self._pass = Pass(self, self._epoch, self._node.read(self._epoch, self._start))
        self._epoch, self._start = self._epoch + 1, None
        return self._pass

    def state(self) -> dict[str, Any]:
        """The position of the newest loop, as JSON; before the first one, or between two, the beginning of the next.

        >>> ds = td.data.from_arrays(np.arange(5)).shuffle(seed=1)
        >>> it = iter(ds)
        >>> _, _, state = next(it), next(it), ds.state()
        >>> rest = [int(x) for x in it]
        >>> ds.restore(state)
        >>> rest == [int(x) for x in ds]
        True
        """
        steps = _signature(self._node)
        if self._pass is not None and not self._pass.ended:
            return {"epoch": self._pass.epoch, "at": self._pass.reader.state(), "steps": steps}
        return {"epoch": self._epoch, "at": self._start, "steps": steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Let the next loop begin at a `state()`, of this dataset or one with the same steps in another process.

        How many workers there are, and how much is read ahead, may differ.

        Raises:
            DataError: it is the state of other steps.
        """
        then, now = list(state["steps"]), _signature(self._node)
        if then != now:
            changed = next(
                (i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), min(len(then), len(now))
            )
            a, b = ((s[changed] if changed < len(s) else "nothing") for s in (then, now))
            raise DataError(f"this is the position in other data: step {changed} was {a}, and is {b}")
        self._end_pass()
        self._epoch, self._start = int(state["epoch"]), state["at"]

    def close(self) -> None:
        """End the newest loop, and threads and processes that work for it. They start again with the next loop."""
        self._end_pass()
        self._node.close()

    def _end_pass(self) -> None:
        if self._pass is not None:
            self._pass.close()
            self._pass = None

    @property
    def skipped(self) -> int:
        """How many bad records `on_error="skip"` has left out so far."""
        return sum(n.skipped for n in chain(self._node))

    @property
    def spec(self) -> Any:
        """What an element is: a tree of `td.Spec`, with Dims where sizes vary. Maps are tried on a few elements.

        >>> td.data.from_arrays({"x": np.zeros((10, 4), np.float32), "name": ["a"] * 10}).batch(4).spec
        {'x': f32[batch,4], 'name': str[batch]}
        """
        if self._spec is None:
            self._spec = self._node.spec()
        return self._spec

    # looking

    def describe(self, limit: int | None = 10_000) -> Description:
        """Counts, ranges, missing values and class balance of the first epoch's elements, leaf by leaf.

        Args:
            limit: read no more elements than this; None: all.

        >>> print(td.data.from_arrays(x=np.array([1.0, np.nan, 4.0]), y=["a", "b", "a"]).describe())
        3 elements
           dtype    shape  least  mean  most  missing  values
        x  float64  []         1   2.5     4        1
        y  str      []         1     1     1           2 different; 'a': 2, 'b': 1
        """
        from treadle.data._describing import describe

        return describe(self._node, None if limit is None else _count("describe", limit))

    def show(self, count: int = 9) -> Any:
        """The first elements: a figure of their pictures (matplotlib), or a table where they have none.

        A picture is uint8 or floats in 0..1, `[height, width, 1, 3 or 4]`. In a notebook the figure shows itself;
        elsewhere `ds.show().savefig("data.png")`.

        Raises:
            MissingExtraError: there are pictures, and matplotlib is not installed.

        >>> td.data.from_arrays(x=np.eye(2), y=["a", "b"]).show()
           x         y
        0  [1., 0.]  'a'
        1  [0., 1.]  'b'
        """
        from treadle.data._describing import show

        return show(self._node, _count("show", count))

    def profile(self, elements: int = 100, step: Callable[[Any], Any] | None = None) -> Profile:
        """Time each step, and say which is the bottleneck.

        Args:
            elements: how many are read (of batches: batches), twice.
            step: what the loop does with each, such as a training step: then it is also said whether the model waits
                for the data.

        Returns: an object that prints as a table; `steps`, `reading`, `step` have the seconds, `bottleneck` the name.

        >>> import time
        >>> ds = td.data.from_arrays(np.arange(40)).map(lambda x: time.sleep(0.001) or x).batch(4)
        >>> ds.profile(5).bottleneck
        'map(<lambda>, <doctest treadle.data.dataset.Dataset.profile[1]>:1)'
        >>> ds.profile(5, step=lambda batch: time.sleep(0.1)).bottleneck
        'the model'
        """
        from treadle.data._profiling import profile

        return profile(self._node, _count("profile", elements), step)

    def __repr__(self) -> str:
        lines = [f"<{type(self).__name__}>", *(_line(node) for node in chain(self._node))]
        try:
            lines.append(f"  each: {self.spec}")
        except TreadleError as e:
            lines.append(f"  each: not known ({e.message})")
        return "\n".join(lines)

    @property
    def _inner(self) -> Node:
        """The last node but for workers, which then work for the next indexed step."""
        return self._node.parent if isinstance(self._node, Parallel) else self._node

    def _then(self, node: Node) -> Any:
        if not isinstance(node, Indexed):
            return Dataset(node)
        return IndexedDataset(self._node.around(node) if isinstance(self._node, Parallel) else node)

    # element by element

    def map(self: _Self, function: Callable[..., Any], *, seed: int | None = None) -> _Self:
        """`function(element)` for each element; after `batch`, for each batch.

        Args:
            seed: call `function(element, rng)` with a `numpy.random.Generator` that is a pure function of the seed, the
                epoch and the element's place: random augmentation that any number of workers repeats exactly.

        >>> ds = td.data.from_arrays(np.zeros(3)).map(lambda x, rng: x + rng.integers(1000), seed=0)
        >>> [float(x) for x in ds] == [float(ds[i]) for i in range(3)]
        True
        """
        _check_function("map", function)
        node = self._node
        made = (
            indexed.Map(node, function, seed) if isinstance(node, Indexed) else streams.StreamMap(node, function, seed)
        )
        out: _Self = self._then(made)
        return out

    def filter(self: _Self, function: Callable[[Any], Any]) -> _Self:
        """The elements for which `function(element)` is true.

        Of a dataset with a length it finds out once which these are, as far as they are asked for; its own length and
        a shuffle behind it need all. Behind a shuffle or a random map, which differ between epochs, it is a stream.

        >>> ds = td.data.from_arrays(np.arange(10)).filter(lambda x: x % 3 == 0)
        >>> len(ds), [int(x) for x in ds]
        (4, [0, 3, 6, 9])
        """
        _check_function("filter", function)
        node = self._inner
        if isinstance(node, Indexed) and node.steady:
            out: _Self = self._then(indexed.Filter(node, function))
            return out
        made: _Self = self._then(streams.StreamFilter(self._node, function))
        return made

    def flat_map(self, function: Callable[[Any], Iterable[Any]]) -> Dataset:
        """All that `function(element)` gives, element after element.

        >>> [str(x) for x in td.data.from_arrays(["a b", "c"]).flat_map(str.split)]
        ['a', 'b', 'c']
        """
        _check_function("flat_map", function)
        return Dataset(streams.FlatMap(self._node, function))

    # several at once

    def batch(self: _Self, size: int, *, drop_last: bool = False) -> _Self:
        """`size` elements as one: each leaf gets a first axis. The last batch may be smaller, unless it is dropped.

        Raises (when it is read):
            DataError: the elements differ in shape, see `padded_batch`.

        >>> x, y = td.data.from_arrays((np.zeros((10, 2)), np.arange(10))).batch(4)[2]
        >>> x.shape, y.tolist()
        ((2, 2), [8, 9])
        """
        size = _count("batch", size)
        node = self._inner
        made: Node = streams.StreamBatch(self._node, size, drop_last)
        if isinstance(node, Indexed):
            made = indexed.Batch(node, size, drop_last)
        out: _Self = self._then(made)
        return out

    def padded_batch(
        self: _Self, size: int, *, pad: Any = 0, to: int | None = None, multiple: int | None = None,
        ragged: Sequence[str | int] | None = None, drop_last: bool = False,
    ) -> _Self:  # fmt: skip
        """A batch of elements of different lengths: ragged leaves become `Padded(values, lengths, mask)`.

        Args:
            pad: what stands behind the end of a shorter one.
            to: the length of all; None: of the longest in the batch.
            multiple: round the longest up, which keeps the number of different shapes small.
            ragged: the leaves' paths ("tokens", 0); None: those whose first axis was seen to vary, or all with an axis.

        Raises (when it is read):
            DataError: longer than `to`, or another axis than the first varies.

        >>> batch = td.data.from_arrays([[1, 2, 3], [4]]).padded_batch(2)[0]
        >>> batch.values.tolist(), batch.lengths.tolist(), batch.mask.sum(axis=1).tolist()
        ([[1, 2, 3], [4, 0, 0]], [3, 1], [3, 1])
        """
        size = _count("padded_batch", size)
        padding, node = Padding(pad, to, multiple, ragged), self._inner
        made: Node = streams.StreamBatch(self._node, size, drop_last, padding)
        if isinstance(node, Indexed):
            made = indexed.Batch(node, size, drop_last, padding)
        out: _Self = self._then(made)
        return out

    def bucket_by_length(
        self, bounds: Sequence[int], size: int | Sequence[int], *,
        length: Callable[[Any], int] | str | int | None = None, pad: Any = 0,
        ragged: Sequence[str | int] | None = None, longer: str = "error", drop_last: bool = False,
    ) -> Any:  # fmt: skip
        """Batches of similar lengths, each padded to its bucket's bound: as many different lengths as there are bounds.

        Of sequences in memory, shuffled or not, the batches have a length and can be had in any order; otherwise it is
        a stream, which holds elements back until a batch is full.

        Args:
            bounds: greatest lengths, increasing: [16, 32, 64].
            size: elements a batch, or one size for each bucket.
            length: a function of the element, or the path of the leaf whose length counts; None if there is one leaf.
            longer: than the last bound: "error", "drop", or "pad" (a bucket of their own, padded to the longest).
            pad, ragged, drop_last: as for `padded_batch`.

        >>> ds = td.data.from_arrays([[1], [1, 2, 3], [2], [4, 5, 6, 7]]).bucket_by_length([2, 4], 2)
        >>> [b.values.tolist() for b in ds]
        [[[1, 0], [2, 0]], [[1, 2, 3, 0], [4, 5, 6, 7]]]
        """
        limits = [_count("bucket_by_length", b) for b in bounds]
        if not limits or sorted(set(limits)) != limits:
            raise ArgumentError(f"bucket_by_length(bounds={list(bounds)}): lengths in increasing order")
        if longer not in ("error", "drop", "pad"):
            raise ArgumentError(f'longer={longer!r}: "error", "drop" or "pad"')
        count = len(limits) + (longer == "pad")
        sizes = [_count("bucket_by_length", s) for s in ([size] * count if isinstance(size, int) else size)]
        if len(sizes) != count:
            raise ArgumentError(f"bucket_by_length: {len(sizes)} sizes for {count} buckets")
        measure = length if callable(length) else Length(length)
        shown = show_call("bucket_by_length", limits, size, longer=None if longer == "error" else longer)
        buckets = Buckets(limits, sizes, measure, Padding(pad, None, None, ragged), longer, drop_last, shown)
        inner = self._inner
        if isinstance(inner, Indexed) and can_index(inner):
            return self._then(IndexedBucket(inner, buckets))
        return Dataset(StreamBucket(self._node, buckets))

    def window(self: _Self, size: int, *, stride: int = 1) -> _Self:
        """Overlapping runs of `size` consecutive elements, one from every `stride`-th element on.

        >>> [w.tolist() for w in td.data.from_arrays(np.arange(6)).window(3, stride=2)]
        [[0, 1, 2], [2, 3, 4]]
        """
        size, stride = _count("window", size), _count("window", stride)
        node = self._inner
        made: Node = streams.StreamWindow(self._node, size, stride)
        if isinstance(node, Indexed):
            made = indexed.Window(node, size, stride)
        out: _Self = self._then(made)
        return out

    # order and number

    def shuffle(
        self: _Self, seed: int = 0, *, buffer: int = 10_000, within: int | None = None, each_epoch: bool = True
    ) -> _Self:
        """A random order, a pure function of (seed, epoch).

        With a length, the order is exact and needs no memory, whatever the length. A stream is shuffled through a
        buffer: element i is drawn from those among the first i + `buffer` that were not drawn yet.

        Args:
            buffer: for streams.
            within: with a length: shuffle runs of so many elements, and each run in itself. What lies together in a
                file is then read together: for row groups and compressed chunks that do not all fit into memory.
            each_epoch: a new order each epoch.

        >>> sorted(int(x) for x in td.data.from_arrays(np.arange(5)).shuffle())
        [0, 1, 2, 3, 4]
        """
        node = self._inner
        made: Node = streams.StreamShuffle(self._node, _count("shuffle", buffer), seed, each_epoch)
        if isinstance(node, Indexed):
            made = indexed.Shuffle(node, seed, each_epoch, None if within is None else _count("shuffle", within))
        out: _Self = self._then(made)
        return out

    def repeat(self, count: int | None = None) -> Any:
        """`count` epochs as one, each in its own order; without a count, endlessly.

        >>> [int(x) for x in td.data.from_arrays(np.arange(2)).repeat(2)]
        [0, 1, 0, 1]
        """
        if count is None:
            return Dataset(streams.StreamRepeat(self._node, None))
        count = _count("repeat", count)
        node = self._inner
        return self._then(
            indexed.Repeat(node, count) if isinstance(node, Indexed) else streams.StreamRepeat(self._node, count)
        )

    def take(self: _Self, count: int) -> _Self:
        """The first `count` elements.

        >>> [int(x) for x in td.data.from_arrays(np.arange(9)).skip(2).take(3)]
        [2, 3, 4]
        """
        return self._slice(0, _count("take", count, least=0), 1, f"take({count})")

    def skip(self: _Self, count: int) -> _Self:
        """All but the first `count` elements."""
        return self._slice(_count("skip", count, least=0), None, 1, f"skip({count})")

    def shard(self: _Self, rank: int, world: int) -> _Self:
        """Every `world`-th element from number `rank` on: the part of one of `world` processes. Together they have all.

        >>> [int(x) for x in td.data.from_arrays(np.arange(7)).shard(1, 3)]
        [1, 4]
        """
        world = _count("shard", world)
        if not 0 <= rank < world:
            raise ArgumentError(f"shard(rank={rank}, world={world}): the rank is one of 0 to {world - 1}")
        return self._slice(rank, None, world, f"shard({rank}, {world})")

    def _slice(self: _Self, start: int, stop: int | None, step: int, shown: str) -> _Self:
        node = self._inner
        made: Node = streams.StreamSlice(self._node, start, stop, step, shown)
        if isinstance(node, Indexed):
            made = indexed.Slice(node, start, stop, step, shown)
        out: _Self = self._then(made)
        return out

    # speed

    def parallel(
        self: _Self, workers: int, *, kind: str = "thread", ahead: int | None = None, restarts: int = 0
    ) -> _Self:
        """Let workers make the elements ahead of the loop. Order, elements and positions stay the same for any number.

        They work for the last step that still has any element at once, also one that comes behind `parallel`: of
        `.map(decode).parallel(4).batch(32)` they make batches. Of a stream, they run the maps directly before.

        Args:
            kind: "thread", for functions that wait for files or leave Python (NumPy, image decoding); "process" for
                Python code: processes are started once and kept; the program must be importable
                (`if __name__ == "__main__":`), functions defined by def at the top of a module.
            ahead: how many elements are made ahead; None: as many as keep the workers busy.
            restarts: how many processes that die are replaced, each with a warning; then it is an error.

        Raises:
            ArgumentError: an unknown kind; a stream without maps before; a step that cannot be sent to a process.
            DataError (when it is read): a worker died; the message says of what, and at which element.

        >>> ds = td.data.from_arrays(np.arange(6)).map(lambda x: x * x).parallel(2).batch(3)
        >>> [b.tolist() for b in ds]
        [[0, 1, 4], [9, 16, 25]]
        """
        workers = _count("parallel", workers)
        if kind not in ("thread", "process"):
            raise ArgumentError(f'parallel(kind={kind!r}): "thread" or "process"')
        ahead = None if ahead is None else _count("parallel", ahead)
        options = workers, kind, _count("parallel", restarts, least=0), ahead
        node = self._inner
        if isinstance(node, Indexed):
            out: _Self = type(self)(Parallel(node, *options))
            return out
        made: _Self = type(self)(ParallelMaps(node, *options))
        return made

    def prefetch(self: _Self, ahead: int = 2) -> _Self:
        """Make the next `ahead` elements in a thread while the loop works on this one.

        >>> [int(x) for x in td.data.from_arrays(np.arange(3)).prefetch()]
        [0, 1, 2]
        """
        ahead, node = _count("prefetch", ahead), self._node
        if isinstance(node, Parallel):
            w = node.workers
            again: _Self = type(self)(Parallel(node.parent, w.count, w.kind, w.restarts, ahead))
            return again
        if isinstance(node, Indexed):
            out: _Self = type(self)(Parallel(node, 1, "thread", 0, ahead))
            return out
        made: _Self = type(self)(Prefetch(node, ahead))
        return made

    def cache(self, folder: str | PathLike[str] | None = None) -> IndexedDataset:
        """Make each element once: the first epoch's elements are kept, and later epochs get the same.

        What comes before (parsing, decoding) is done once; random augmentation and shuffles belong behind it.

        Args:
            folder: keep them in files there, which a later program finds again; None: in memory. In memory, elements
                are kept as they are asked for; a folder is written whole at the first.

        Raises (when it is read):
            DataError: the folder holds the elements of other steps.

        >>> calls = []
        >>> ds = td.data.from_arrays(np.arange(3)).map(lambda x: calls.append(x) or x).cache()
        >>> [int(x) for x in ds], [int(x) for x in ds], len(calls)
        ([0, 1, 2], [0, 1, 2], 3)
        """
        from treadle.data._caching import DiskCache, MemoryCache

        if folder is None and isinstance(self._node, Parallel) and self._node.workers.kind == "process":
            # Each process would keep its own: they make the elements once, and the cache is here.
            return IndexedDataset(MemoryCache(self._node, whole=True))
        if folder is None:
            made: IndexedDataset = self._then(MemoryCache(self._inner))
            return made
        return IndexedDataset(DiskCache(self._node, Path(folder), _signature(self._node)))

    # with others

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
        return tuple(self._then(indexed.Select(inner, rows, f"{how}[{k}]")) for k, rows in enumerate(parts))


class Pass:
    """One loop over a dataset: an iterator."""

    def __init__(self, dataset: Dataset, epoch: int, reader: Reader) -> None:
        self.epoch, self.reader, self.ended = epoch, reader, False

    def __iter__(self) -> Pass:
        return self

    def __next__(self) -> Any:
        if self.ended:
            raise StopIteration
        try:
            return next(self.reader)
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            self.reader.close()


def zip_datasets(*datasets: Dataset) -> Any:
    """Tuples of one element of each dataset, until the shortest ends.

    >>> td.data.zip(td.data.from_arrays(np.arange(3)), td.data.from_arrays(["a", "b"]))[1]
    (np.int64(1), 'b')
    """
    return _merge("zip", datasets, indexed.Zip, streams.StreamZip)


def concatenate(*datasets: Dataset) -> Any:
    """One dataset after another.

    >>> [int(x) for x in td.data.concatenate(td.data.from_arrays([1, 2]), td.data.from_arrays([3]))]
    [1, 2, 3]
    """
    return _merge("concatenate", datasets, indexed.Concatenate, streams.StreamConcatenate)


def interleave(*datasets: Dataset) -> Any:
    """One element of each dataset in turn; those that have ended are passed over.

    >>> [int(x) for x in td.data.interleave(td.data.from_arrays([1, 2, 3]), td.data.from_arrays([10]))]
    [1, 10, 2, 3]
    """
    return _merge("interleave", datasets, indexed.Interleave, streams.StreamInterleave)


def mix(datasets: Sequence[Dataset], weights: Sequence[float] | None = None, *, seed: int = 0) -> Any:
    """Elements of several datasets in random order, by weight, until one of them has ended.

    `repeat()` those that should not end it. Of each 1024 elements, each dataset has its share exactly, up to rounding.

    Args:
        weights: positive numbers; None: equal.

    >>> ds = td.data.mix([td.data.from_arrays(np.zeros(750)), td.data.from_arrays(np.ones(900))], [3, 1])
    >>> float(np.mean([x for x in ds])) < 0.3
    True
    """
    given = np.ones(len(datasets)) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (len(datasets),) or not (given > 0).all() or not np.isfinite(given).all():
        raise ArgumentError(f"mix: {len(datasets)} datasets need as many positive weights, not {weights}")
    if len(datasets) > 32:
        raise ArgumentError(f"mix: up to 32 datasets, not {len(datasets)}; concatenate those of equal weight")
    share = given / given.sum()
    return _merge("mix", datasets, lambda n: indexed.Mix(n, share, seed), lambda n: streams.StreamMix(n, share, seed))


def _merge(what: str, datasets: Sequence[Dataset], whole: Any, stream: Any) -> Any:
    """One dataset of several; workers of any of them work for it, if all have a length."""
    if not datasets or not all(isinstance(d, Dataset) for d in datasets):
        wrong = [type(d).__name__ for d in datasets if not isinstance(d, Dataset)]
        raise ArgumentError(f"{what} takes datasets, and got {', '.join(wrong) or 'none'}")
    inner = [d._inner for d in datasets]
    if all(isinstance(n, Indexed) for n in inner):
        busy = next((d for d in datasets if isinstance(d._node, Parallel)), datasets[0])
        return busy._then(whole(inner))
    return Dataset(stream([d._node for d in datasets]))


def _count(what: str, n: Any, least: int = 1) -> int:
    try:
        value = operator.index(n)
    except TypeError:
        value = least - 1
    if value < least or isinstance(n, bool):
        raise ArgumentError(f"{what}({n!r}): an integer of at least {least}")
    return value


def _check_function(what: str, function: Any) -> None:
    if not callable(function):
        raise ArgumentError(f"{what} takes a function of an element, not {function!r}")


def _line(node: Node) -> str:
    return f"  {node.describe()}" + (f"  ({node.skipped:,} bad ones left out)" if node.skipped else "")


def _signature(node: Node) -> list[str]:
    """What decides the order of the elements: the steps, without the lines at which functions stand."""
    return [re.sub(r", [^ ,()]+:\d+", "", n.describe()) for n in chain(node) if not n.transparent]
