"""Steps that make one dataset of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError
from treadle.data import _gathered as gathered
from treadle.data import _merged as merged
from treadle.data._nodes import Indexed
from treadle.data._parallel import Parallel
from treadle.data._reading import Reading


def zip_datasets(*datasets: Reading) -> Any:
    """Tuples of one element of each dataset, until the shortest ends.

    >>> td.data.zip(td.data.from_arrays(np.arange(3)), td.data.from_arrays(["a", "b"]))[1]
    (np.int64(1), 'b')
    """
    return _merge("zip", datasets, gathered.Zip, merged.StreamZip)


def concatenate(*datasets: Reading) -> Any:
    """One dataset after another.

    >>> [int(x) for x in td.data.concatenate(td.data.from_arrays([1, 2]), td.data.from_arrays([3]))]
    [1, 2, 3]
    """
    return _merge("concatenate", datasets, gathered.Concatenate, merged.StreamConcatenate)


def interleave(*datasets: Reading) -> Any:
    """One element of each dataset in turn; those that have ended are passed over.

    >>> [int(x) for x in td.data.interleave(td.data.from_arrays([1, 2, 3]), td.data.from_arrays([10]))]
    [1, 10, 2, 3]
    """
    return _merge("interleave", datasets, gathered.Interleave, merged.StreamInterleave)


def mix(datasets: Sequence[Reading], weights: Sequence[float] | None = None, *, seed: int = 0) -> Any:
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
    return _merge("mix", datasets, lambda n: gathered.Mix(n, share, seed), lambda n: merged.StreamMix(n, share, seed))


def _merge(what: str, datasets: Sequence[Reading], whole: Any, stream: Any) -> Any:
    """One dataset of several; workers of any of them work for it, if all have a length."""
    if not datasets or not all(isinstance(d, Reading) for d in datasets):
        wrong = [type(d).__name__ for d in datasets if not isinstance(d, Reading)]
        raise ArgumentError(f"{what} takes datasets, and got {', '.join(wrong) or 'none'}")
    inner = [d._inner for d in datasets]
    if all(isinstance(n, Indexed) for n in inner):
        busy = next((d for d in datasets if isinstance(d._node, Parallel)), datasets[0])
        return busy._then(whole(inner))
    return datasets[0]._then(stream([d._node for d in datasets]))
