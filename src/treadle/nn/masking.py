"""Which elements of padded sequences are real: from a mask or from lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle import array as xp
from treadle.array.convert import as_tensor
from treadle.core.dims import Size, same_size
from treadle.core.dtypes import int32, int64
from treadle.core.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError
from treadle.core.padded import Padded
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor


def mask_of(lengths: Any, time: Size) -> Tensor:
    """A bool `[batch, time]`: the first `lengths[n]` elements of sequence n are real.

    Args:
        lengths: integers `[batch]`, of any dtype, from 0 (an empty sequence) to `time`.
        time: how many steps the padded sequences have.

    Raises:
        DTypeError: no integers. ShapeError: not one axis. OutOfRangeError: a length that there cannot be; inside of a
            compiled function, where numbers are not known, more than `time` counts as `time`, and less than 0 as 0.

    >>> td.nn.mask_of([2, 0, 3], 3).tolist()
    [[True, True, False], [False, False, False], [True, True, True]]
    """
    n = check_lengths(lengths, time)
    if n.ndim != 1:
        raise ShapeError(f"lengths are [batch], one for each sequence, and got {show_shape(n.shape)}")
    return xp.arange(time, dtype=n.dtype) < xp.expand_dims(n, axis=1)


def check_lengths(lengths: Any, time: Size, name: str = "lengths") -> Tensor:
    """Lengths of sequences that are padded to `time`, as int32 (int64 where they have more bits), each 0 to `time`.

    Everything that takes lengths goes through here. Where their numbers are not known, inside of a compiled function,
    what lies outside counts as the nearer end.

    Raises:
        DTypeError: no integers. OutOfRangeError: a length below 0 or above `time`.
    """
    n = xp.asarray(lengths)
    if not n.dtype.is_integer:
        raise DTypeError(f"{name} are integers, and got {n.spec}; write {name}.astype(td.int32)")
    # In a dtype that holds the number of steps, too: 200 does not fit into int8.
    wide = n.astype(int64 if n.dtype.bits > 32 or n.dtype.name == "uint32" else int32)
    if n.is_concrete:
        numbers = np.asarray(n)
        most = time if isinstance(time, int) else np.iinfo(np.int64).max
        wrong = (numbers < 0) | (numbers > most)
        if wrong.any():
            at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            place = f"[{', '.join(map(str, at))}]" if at else ""
            raise OutOfRangeError(
                f"{name}{place} is {numbers[at]}, and the sequences are padded to {time} steps: 0 to {time} are "
                "possible"
            )
        if isinstance(time, int):
            return wide
    return xp.maximum(xp.minimum(wide, xp.full((), time, dtype=wide.dtype)), 0)


def pad_sequences(sequences: Sequence[Any], *, to: int | None = None) -> Padded:
    """Sequences of different lengths as one tensor: `[length, …]` each → `Padded([batch, time, …], lengths, mask)`.

    The padding is 0 and lies behind each sequence's end. Tensors keep their derivative.

    Args:
        sequences: tensors or arrays, of one dtype, whose other axes than the first have equal sizes. A length may be 0.
        to: the number of steps; that of the longest if None.

    Raises:
        ArgumentError: no sequences. ShapeError: other axes differ, or a sequence is longer than `to`.

    >>> values, lengths, mask = td.nn.pad_sequences([td.asarray([1., 2., 3.]), td.asarray([4.])])
    >>> values.tolist(), lengths.tolist()
    ([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]], [3, 1])
    """
    rows = [as_tensor(s, "a sequence") for s in sequences]
    if not rows:
        raise ArgumentError("pad_sequences: there are no sequences to pad")
    first = rows[0]
    for k, row in enumerate(rows):
        if row.ndim == 0 or row.ndim != first.ndim or row.shape[1:] != first.shape[1:] or row.dtype is not first.dtype:
            raise ShapeError(
                f"only the lengths of sequences may differ, the size of axis 0: sequence 0 is {first.spec}, "
                f"and sequence {k} is {row.spec}"
            )
    longest = max(len(r) for r in rows)
    time = longest if to is None else to
    if longest > time:
        raise ShapeError(f"a sequence of {longest} does not fit into to={to}. Cut it, or raise to=")

    def filled(row: Tensor) -> Tensor:
        rest = xp.zeros((time - len(row), *row.shape[1:]), dtype=row.dtype)
        return xp.concat([row, rest], axis=0) if len(row) < time else row

    lengths = xp.asarray(np.array([len(r) for r in rows], np.int32))
    return Padded(xp.stack([filled(r) for r in rows]), lengths, mask_of(lengths, time))


def unpad_sequences(values: Any, lengths: Any = None) -> list[Tensor]:
    """The sequences of a padded tensor, each with its own length: `[batch, time, …]` → `[length, …]` each.

    Args:
        values: padded, the padding behind each sequence's end; or a `Padded`, which has its lengths.
        lengths: integers `[batch]`; known numbers, because they decide about shapes.

    >>> [s.tolist() for s in td.nn.unpad_sequences(td.asarray([[1, 2, 3], [4, 0, 0]]), [3, 1])]
    [[1, 2, 3], [4]]
    """
    if isinstance(values, Padded):
        values, lengths = values.values, values.lengths
    y = as_tensor(values, "values")
    return [y[k, : int(n)] for k, n in enumerate(np.asarray(check_lengths(lengths, y.shape[1])))]


def check_no_lengths(mask: Any, lengths: Any) -> None:
    """Raise where sequences that bring their lengths are given others beside.

    Raises:
        ArgumentError
    """
    if mask is not None or lengths is not None:
        raise ArgumentError("a list of sequences or a Padded has its own lengths; give no mask or lengths beside it")


def sequence_mask(x: Tensor, mask: Any, lengths: Any, *, time_axis: int) -> Tensor | None:
    """A bool `[batch, time]` of what is real in x, or None when all is.

    Args:
        mask: bool `[batch, time]`.
        lengths: integers `[batch]`, 0 allowed: the first `lengths[n]` elements of sequence n are real.

    Raises:
        ArgumentError: both are given.
        DTypeError, ShapeError: another dtype or shape. OutOfRangeError: see `check_lengths`.
    """
    if mask is not None and lengths is not None:
        raise ArgumentError("give a mask or lengths, not both")
    if mask is None and lengths is None:
        return None  # and x need not be a sequence
    wanted = (x.shape[0], x.shape[time_axis])
    if mask is not None:
        mask = xp.asarray(mask)
        if not mask.dtype.is_bool:
            raise DTypeError(
                f"the mask is bool, True for what is real, and got {mask.spec}; write mask.astype(td.bool)"
            )
        _check("the mask [batch, time]", mask, wanted, x)
        return mask
    lengths = xp.asarray(lengths)
    _check("lengths [batch]", lengths, wanted[:1], x)
    return mask_of(lengths, wanted[1])


def real_of(x: Tensor, lengths: Any, mask: Any) -> Tensor | None:
    """`sequence_mask` for models, which take both, as in `model(*padded)`: what is real by both."""
    by_lengths = sequence_mask(x, None, lengths, time_axis=1)
    by_mask = sequence_mask(x, mask, None, time_axis=1)
    if by_lengths is None or by_mask is None:
        return by_mask if by_lengths is None else by_lengths
    return xp.logical_and(by_lengths, by_mask)


def _check(what: str, given: Tensor, wanted: tuple[object, ...], x: Tensor) -> None:
    if given.ndim != len(wanted) or not all(same_size(a, b) for a, b in zip(given.shape, wanted, strict=True)):  # type: ignore[arg-type]
        raise ShapeError(
            f"{what} must be {show_shape(wanted)} for x {show_shape(x.shape)}, and is {show_shape(given.shape)}"  # type: ignore[arg-type]
        )
