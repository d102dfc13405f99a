"""Long sequences in segments: `Segment`, and `SegmentedSequences`, whose rows begin and end by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from treadle.core import trees
from treadle.core.errors import ArgumentError, DataError, ShapeError
from treadle.core.padded import Padded
from treadle.data._permute import permutation


class Segment(NamedTuple):
    """A batch of pieces of longer sequences; row k of the next one goes on where row k of this one ends.

    Attributes:
        x, y: trees of arrays `[batch, steps, …]`; a `Padded` where rows have fewer steps.
        weights: like y's first axes, or None.
        reset: bool `[batch]`: the row begins a sequence, so that a state kept from before does not belong to it.
        ids: `[batch]` which sequence it is, by its place among those given; -1 where there is none any more.
    """

    x: Any
    y: Any
    weights: Any
    reset: Any
    ids: Any


class SegmentedSequences:
    """Batches of segments of long sequences of different lengths, for truncated back-propagation.

    There are `batch_size` rows. Each takes a sequence from the queue, gives it segment by segment, and then takes the
    next one: rows begin and end at different times, and `reset` says which begin. A sequence's last segment is padded.
    An epoch ends when the queue is empty and all rows are done.

    `td.fit(model, sequences, …)` resets the state of each row of the model's stateful layers by itself.

    Args:
        sequences: `(x, y)` or `{"x": x, "y": y}` each, trees of arrays `[time, …]`; what has as many rows as the first
            array of x is cut. A sequence without steps is an error.
        batch_size: rows. segment: steps of a segment.
        shuffle: a new order of the sequences each epoch, a pure function of (seed, epoch).

    `state()` is the position, as JSON, and `restore(state)` goes on with the very next segment.

    Raises:
        ArgumentError, DataError, ShapeError: sizes below 1, a sequence that is none.

    >>> songs = [(np.arange(n), np.arange(n) + 1) for n in (5, 2, 3)]
    >>> batches = td.data.SegmentedSequences(songs, batch_size=2, segment=3, shuffle=False)
    >>> for b in batches:
    ...     print(b.x.values.tolist(), b.x.lengths.tolist(), b.reset.tolist(), b.ids.tolist())
    [[0, 1, 2], [0, 1, 0]] [3, 2] [True, True] [0, 1]
    [[3, 4, 0], [0, 1, 2]] [2, 3] [False, True] [0, 2]
    """

    def __init__(
        self, sequences: Sequence[Any], *, batch_size: int, segment: int, shuffle: bool = True, seed: int = 0
    ) -> None:
        for name, n in (("batch_size", batch_size), ("segment", segment)):
            if isinstance(n, bool) or not isinstance(n, int) or n < 1:
                raise ArgumentError(f"{name} must be an integer of at least 1; got {n!r}")
        if not len(sequences):
            raise ArgumentError("SegmentedSequences: there are no sequences")
        self.sequences = [_taken_apart(s, k) for k, s in enumerate(sequences)]
        self.lengths = [n for _, n in self.sequences]
        if len({s[1] for s, _ in self.sequences}) > 1:
            raise DataError(
                "SegmentedSequences: the sequences differ in structure; all must have the same names and parts"
            )
        self.batch_size, self.segment, self.shuffle, self.seed = batch_size, segment, shuffle, seed
        self._epoch, self._next, self._resumed = 0, 0, False
        self._rows: list[list[int]] = []  # (place in the order, steps given) of each row that is busy, [-1, 0] else

    def __iter__(self) -> Iterator[Segment]:
        if not self._resumed:
            self._next, self._rows = 0, [[-1, 0] for _ in range(self.batch_size)]
        self._resumed = False
        while True:
            begins = self._fill()
            if all(place < 0 for place, _ in self._rows):
                break
            segment = self._cut(begins)
            yield segment
        self._epoch, self._next, self._rows = self._epoch + 1, 0, []

    def _fill(self) -> list[bool]:
        """Give rows that are free the next sequences."""
        begins = []
        for row in self._rows:
            if row[0] >= 0 and row[1] >= self.lengths[self._id(row[0])]:
                row[:] = [-1, 0]
            if row[0] < 0 and self._next < len(self.sequences):
                row[:] = [self._next, 0]
                self._next += 1
            begins.append(row[0] >= 0 and row[1] == 0)
        return begins

    def _id(self, place: int) -> int:
        if not self.shuffle:
            return place
        return int(permutation(len(self.sequences), self.seed, self._epoch)(np.array([place]))[0])

    def _cut(self, begins: list[bool]) -> Segment:
        ids = [self._id(place) if place >= 0 else -1 for place, _ in self._rows]
        starts = [at for _, at in self._rows]
        counts = [min(self.segment, self.lengths[k] - at) if k >= 0 else 0 for k, at in zip(ids, starts, strict=True)]
        (example, structure), _ = self.sequences[max(ids)]
        lengths = np.array(counts, np.int32)
        mask = np.arange(self.segment) < lengths[:, None]
        out: list[Any] = []
        for j, leaf in enumerate(example):
            values = np.zeros((self.batch_size, self.segment, *leaf.shape[1:]), leaf.dtype)
            for row, (k, at, n) in enumerate(zip(ids, starts, counts, strict=True)):
                if n:
                    values[row, :n] = self.sequences[k][0][0][j][at : at + n]
            out.append(Padded(values, lengths, mask))
        for busy, n in zip(self._rows, counts, strict=True):
            busy[1] += n
        x, y = trees.unflatten(structure, out)
        return Segment(x, y, None, np.array(begins), np.array(ids))

    def state(self) -> dict[str, Any]:
        """The position: which sequences the rows hold, how far they are, and how many are still to come."""
        return {"epoch": self._epoch, "next": self._next, "rows": [list(r) for r in self._rows]}

    def restore(self, state: Any) -> None:
        """Go on from a `state()`: the next iteration begins with the very next segment.

        Raises:
            DataError: it is a state of another number of rows.
        """
        rows = [list(map(int, r)) for r in state["rows"]]
        if rows and len(rows) != self.batch_size:
            raise DataError(f"the state is one of {len(rows)} rows, and batch_size is {self.batch_size}")
        self._epoch, self._next, self._rows = int(state["epoch"]), int(state["next"]), rows
        self._resumed = bool(rows)


def _taken_apart(sequence: Any, k: int) -> Any:
    """((leaves, structure), steps) of (x, y)."""
    if isinstance(sequence, dict) and set(sequence) == {"x", "y"}:
        sequence = sequence["x"], sequence["y"]
    if not isinstance(sequence, tuple | list) or len(sequence) != 2:
        raise DataError(f'sequence {k} must be (x, y) or a dict with "x" and "y"; it is {type(sequence).__name__}')
    leaves, structure = trees.flatten((sequence[0], sequence[1]))
    arrays = [np.asarray(a) for a in leaves]
    steps = [a.shape[0] if a.ndim else -1 for a in arrays]
    if len(set(steps)) != 1 or steps[0] < 1:
        raise ShapeError(
            f"sequence {k} must have arrays with the same number of steps on axis 0, at least one; they have "
            f"{', '.join(str(list(a.shape)) for a in arrays)}"
        )
    return (arrays, structure), steps[0]


def cut(batch: tuple[Any, Any, Any], steps: int) -> Iterator[Segment]:
    """Segments of a batch (x, y, weights) of whole sequences `[batch, time, …]`.

    Raises:
        ShapeError: something in x or y has no time axis.
    """
    x, y, weights = batch
    first = trees.leaves(x)[0]
    time = first.shape[1] if first.ndim > 1 else 0
    rows = first.shape[0]
    for start in range(0, time, steps):
        piece = slice(start, min(start + steps, time))

        def taken(a: Any, what: str, piece: slice = piece) -> Any:
            if isinstance(a, Padded):
                lengths = np.clip(np.asarray(a.lengths) - piece.start, 0, piece.stop - piece.start).astype(np.int32)
                return Padded(a.values[:, piece], lengths, a.mask[:, piece])
            return trees.map(lambda leaf: _steps(leaf, piece, time, what), a)

        w = weights if weights is None or np.ndim(weights) < 2 else taken(weights, "weights")
        yield Segment(taken(x, "x"), taken(y, "y"), w, np.full(rows, start == 0), np.arange(rows))
    if time == 0:
        raise ShapeError(f"tbptt= cuts x [batch, time, …] along time, and x is {list(first.shape)}")


def _steps(leaf: Any, piece: slice, time: int, what: str) -> Any:
    if leaf.ndim < 2 or leaf.shape[1] != time:
        raise ShapeError(
            f"tbptt= cuts everything into segments along axis 1, where x has {time} steps, and {what} has an array "
            f"{list(leaf.shape)}. Give targets for each step; sequences of different lengths as td.data.Padded"
        )
    return leaf[:, piece]
