"""The steps that make one dataset of one: each is lazy and changes nothing before it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.core.errors import ArgumentError
from treadle.data import _indexed as indexed
from treadle.data import _streams as streams
from treadle.data._backlog import StreamShuffle, StreamWindow
from treadle.data._buckets import Buckets, IndexedBucket, Length, StreamBucket, can_index
from treadle.data._checking import check_count, check_function
from treadle.data._filters import Filter
from treadle.data._gathered import Repeat
from treadle.data._nodes import Indexed, Node, show_call
from treadle.data._padding import Padding
from treadle.data._parallel import Parallel, ParallelMaps, Prefetch
from treadle.data._reading import Reading, signature

if TYPE_CHECKING:
    from treadle.data.dataset import Dataset, IndexedDataset

_Self = TypeVar("_Self", bound="Steps")


class Steps(Reading):
    """What `Dataset` and `IndexedDataset` can do alike."""

    @abstractmethod
    def _of(self, node: Node) -> Any:
        """A dataset of a node, with a length or without one."""

    def _then(self, node: Node) -> Any:
        busy = self._node
        return self._of(busy.around(node) if isinstance(busy, Parallel) and isinstance(node, Indexed) else node)

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
        check_function("map", function)
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
        check_function("filter", function)
        node = self._inner
        if isinstance(node, Indexed) and node.steady:
            out: _Self = self._then(Filter(node, function))
            return out
        made: _Self = self._then(streams.StreamFilter(self._node, function))
        return made

    def flat_map(self, function: Callable[[Any], Iterable[Any]]) -> Dataset:
        """All that `function(element)` gives, element after element.

        >>> [str(x) for x in td.data.from_arrays(["a b", "c"]).flat_map(str.split)]
        ['a', 'b', 'c']
        """
        check_function("flat_map", function)
        return self._of(streams.FlatMap(self._node, function))

    # several at once

    def batch(self: _Self, size: int, *, drop_last: bool = False) -> _Self:
        """`size` elements as one: each leaf gets a first axis. The last batch may be smaller, unless it is dropped.

        Raises (when it is read):
            DataError: the elements differ in shape, see `padded_batch`.

        >>> x, y = td.data.from_arrays((np.zeros((10, 2)), np.arange(10))).batch(4)[2]
        >>> x.shape, y.tolist()
        ((2, 2), [8, 9])
        """
        size = check_count("batch", size)
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
        size = check_count("padded_batch", size)
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
        limits = [check_count("bucket_by_length", b) for b in bounds]
        if not limits or sorted(set(limits)) != limits:
            raise ArgumentError(f"bucket_by_length(bounds={list(bounds)}): lengths in increasing order")
        if longer not in ("error", "drop", "pad"):
            raise ArgumentError(f'longer={longer!r}: "error", "drop" or "pad"')
        count = len(limits) + (longer == "pad")
        sizes = [check_count("bucket_by_length", s) for s in ([size] * count if isinstance(size, int) else size)]
        if len(sizes) != count:
            raise ArgumentError(f"bucket_by_length: {len(sizes)} sizes for {count} buckets")
        measure = length if callable(length) else Length(length)
        shown = show_call("bucket_by_length", limits, size, longer=None if longer == "error" else longer)
        buckets = Buckets(limits, sizes, measure, Padding(pad, None, None, ragged), longer, drop_last, shown)
        inner = self._inner
        if isinstance(inner, Indexed) and can_index(inner):
            return self._then(IndexedBucket(inner, buckets))
        return self._of(StreamBucket(self._node, buckets))

    def window(self: _Self, size: int, *, stride: int = 1) -> _Self:
        """Overlapping runs of `size` consecutive elements, one from every `stride`-th element on.

        >>> [w.tolist() for w in td.data.from_arrays(np.arange(6)).window(3, stride=2)]
        [[0, 1, 2], [2, 3, 4]]
        """
        size, stride = check_count("window", size), check_count("window", stride)
        node = self._inner
        made: Node = StreamWindow(self._node, size, stride)
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
        made: Node = StreamShuffle(self._node, check_count("shuffle", buffer), seed, each_epoch)
        if isinstance(node, Indexed):
            made = indexed.Shuffle(node, seed, each_epoch, None if within is None else check_count("shuffle", within))
        out: _Self = self._then(made)
        return out

    def repeat(self, count: int | None = None) -> Any:
        """`count` epochs as one, each in its own order; without a count, endlessly.

        >>> [int(x) for x in td.data.from_arrays(np.arange(2)).repeat(2)]
        [0, 1, 0, 1]
        """
        if count is None:
            return self._of(streams.StreamRepeat(self._node, None))
        count = check_count("repeat", count)
        node = self._inner
        return self._then(Repeat(node, count) if isinstance(node, Indexed) else streams.StreamRepeat(self._node, count))

    def take(self: _Self, count: int) -> _Self:
        """The first `count` elements.

        >>> [int(x) for x in td.data.from_arrays(np.arange(9)).skip(2).take(3)]
        [2, 3, 4]
        """
        return self._slice(0, check_count("take", count, least=0), 1, f"take({count})")

    def skip(self: _Self, count: int) -> _Self:
        """All but the first `count` elements."""
        return self._slice(check_count("skip", count, least=0), None, 1, f"skip({count})")

    def shard(self: _Self, rank: int, world: int) -> _Self:
        """Every `world`-th element from number `rank` on: the part of one of `world` processes. Together they have all.

        >>> [int(x) for x in td.data.from_arrays(np.arange(7)).shard(1, 3)]
        [1, 4]
        """
        world = check_count("shard", world)
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
        workers = check_count("parallel", workers)
        if kind not in ("thread", "process"):
            raise ArgumentError(f'parallel(kind={kind!r}): "thread" or "process"')
        ahead = None if ahead is None else check_count("parallel", ahead)
        options = workers, kind, check_count("parallel", restarts, least=0), ahead
        node = self._inner
        if isinstance(node, Indexed):
            out: _Self = self._of(Parallel(node, *options))
            return out
        made: _Self = self._of(ParallelMaps(node, *options))
        return made

    def prefetch(self: _Self, ahead: int = 2) -> _Self:
        """Make the next `ahead` elements in a thread while the loop works on this one.

        >>> [int(x) for x in td.data.from_arrays(np.arange(3)).prefetch()]
        [0, 1, 2]
        """
        ahead, node = check_count("prefetch", ahead), self._node
        if isinstance(node, Parallel):
            w = node.workers
            again: _Self = self._of(Parallel(node.parent, w.count, w.kind, w.restarts, ahead))
            return again
        if isinstance(node, Indexed):
            out: _Self = self._of(Parallel(node, 1, "thread", 0, ahead))
            return out
        made: _Self = self._of(Prefetch(node, ahead))
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
            return self._of(MemoryCache(self._node, whole=True))
        if folder is None:
            made: IndexedDataset = self._then(MemoryCache(self._inner))
            return made
        return self._of(DiskCache(self._node, Path(folder), signature(self._node)))
