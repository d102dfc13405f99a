"""Random numbers: pure functions of a key, and `Stream`, which hands out keys.

The same key gives the same bits run by run, compiled or not, on any number of threads (between compiled and not,
samples that go through a logarithm agree to the last places); a shorter sample is the beginning of a longer one.
"""

from __future__ import annotations

from treadle.random.continuous import exponential, gumbel, laplace, normal, truncated_normal, uniform
from treadle.random.discrete import bernoulli, categorical, choice, permutation, randint, shuffle
from treadle.random.keys import bits, fold_in, key, split
from treadle.random.rejection import gamma
from treadle.random.stream import Stream, default_stream, set_seed

__all__ = [
    "Stream",
    "bernoulli",
    "bits",
    "categorical",
    "choice",
    "default_stream",
    "exponential",
    "fold_in",
    "gamma",
    "gumbel",
    "key",
    "laplace",
    "normal",
    "permutation",
    "randint",
    "set_seed",
    "shuffle",
    "split",
    "truncated_normal",
    "uniform",
]
