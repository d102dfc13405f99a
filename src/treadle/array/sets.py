"""Distinct elements, and membership.

The shape of what is distinct depends on the numbers, so these functions need them: outside of `td.compile` and
`td.vmap`. `isin` keeps the shape and works everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from treadle.array.convert import ArrayLike, apply, as_tensor, cast, constant, operands
from treadle.array.logic import logical_not
from treadle.array.manipulation import ravel, reshape
from treadle.array.searching import known_numbers, take
from treadle.core import dtypes
from treadle.core.dims import Dim
from treadle.core.errors import DimError
from treadle.core.tensor import Tensor, concrete
from treadle.ops import elementwise as ew
from treadle.ops import sort as sort_ops


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Tensor
    inverse_indices: Tensor


def _unique(name: str, x: ArrayLike) -> UniqueAll:
    t = as_tensor(x, name)
    numbers: np.ndarray[Any, Any] = known_numbers(
        t, name, "Call it outside of the traced function; td.sort(x) and td.isin(x, y) keep their shapes"
    )
    if numbers.dtype == dtypes.bfloat16.numpy:
        numbers = numbers.astype(np.float32)  # NumPy does not order it
    _, first, inverse, counts = np.unique(
        numbers, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    as_index = [concrete(np.asarray(v, np.int32)) for v in (first, inverse, counts)]
    # Taken from x, and not from NumPy's result, so that derivatives pass.
    values = take(ravel(t), as_index[0], axis=0)
    return UniqueAll(values, as_index[0], reshape(as_index[1], t.shape), as_index[2])


def unique_all(x: ArrayLike, /) -> UniqueAll:
    """The distinct elements ascending, where each stands first, which of them each element is, how often each is.

    Named tuple of values `[k]`, indices int32 `[k]` (row-major), inverse_indices int32 (x's shape), counts int32 `[k]`.
    Each NaN is distinct.

    Raises:
        TraceError: x has no numbers yet.

    >>> u = td.unique_all(td.asarray([3, 1, 3]))
    >>> u.values.tolist(), u.indices.tolist(), u.inverse_indices.tolist(), u.counts.tolist()
    ([1, 3], [1, 0], [1, 0, 1], [1, 2])
    """
    return _unique("unique_all", x)


def unique_counts(x: ArrayLike, /) -> UniqueCounts:
    """The distinct elements in ascending order, and how often each is: as in `unique_all`.

    >>> td.unique_counts(td.asarray([3, 1, 3])).counts.tolist()
    [1, 2]
    """
    out = _unique("unique_counts", x)
    return UniqueCounts(out.values, out.counts)


def unique_inverse(x: ArrayLike, /) -> UniqueInverse:
    """The distinct elements in ascending order, and which of them each element is: as in `unique_all`.

    >>> td.unique_inverse(td.asarray([3, 1, 3])).inverse_indices.tolist()
    [1, 0, 1]
    """
    out = _unique("unique_inverse", x)
    return UniqueInverse(out.values, out.inverse_indices)


def unique_values(x: ArrayLike, /) -> Tensor:
    """The distinct elements in ascending order: `[k]`. Each NaN is distinct.

    Raises:
        TraceError: x has no numbers yet.

    >>> td.unique_values(td.asarray([3, 1, 3])).tolist()
    [1, 3]
    """
    return _unique("unique_values", x).values


def isin(x1: ArrayLike, x2: ArrayLike, /, *, invert: bool = False) -> Tensor:
    """Whether each element of x1 is somewhere in x2 (with `invert`: nowhere), bool, in x1's shape. NaN is in nothing.

    Raises:
        DTypeError: dtypes that do not mix.

    >>> td.isin(td.asarray([1, 2, 3]), td.asarray([3, 1])).tolist()
    [True, False, True]
    """
    x, among = operands("isin", x1, x2)
    if x.dtype.is_bool:
        x, among = cast(x, dtypes.uint8), cast(among, dtypes.uint8)
    n = among.size
    if isinstance(n, Dim):
        raise DimError(
            f"isin: the size {n} of x2 is not known while tracing; td.any(x1[..., None] == x2, axis=-1) works"
        )
    if n == 0:
        found = apply(ew.ne, x, x) if not x.dtype.is_floating else apply(ew.lt, x, x)
    else:
        ordered = apply(sort_ops.sort, ravel(among), axis=0, descending=False)
        place = apply(sort_ops.searchsorted, ordered, x, side="left")
        place = apply(ew.minimum, place, constant(n - 1, place.dtype))
        found = apply(ew.eq, take(ordered, place, axis=0), x)
    return logical_not(found) if invert else found
