"""`Stream`: an object that hands out keys, one after the other."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import numpy as np

from treadle.core.owned import State
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor, concrete
from treadle.core.tracing import untraced
from treadle.random import continuous, discrete, rejection
from treadle.random.keys import as_key, bits, fold_in
from treadle.random.keys import key as key_of

P = ParamSpec("P")
Sampler = Callable[Concatenate[Tensor, P], Tensor]


def _with_next_key(sampler: Sampler[P]) -> Callable[Concatenate[Stream, P], Tensor]:
    """A sampler as a method that brings the key."""

    @functools.wraps(sampler)
    def method(self: Stream, /, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        return sampler(self.next_key(), *args, **kwargs)

    method.__doc__ = f"`td.random.{sampler.__name__}` with the next key, which is left out of the arguments."
    return method


class Stream(Stateful):
    """A source of randomness that moves on: each call uses the next key.

    It owns two tensors, `key` `u32[2]` and `counter` `u32[]`. As a part of a module it is saved and resumed with it,
    and a compiled function that gets it as an argument moves it on.

    Args:
        seed: as for `td.random.key`; or a key.

    >>> stream = td.random.Stream(0)
    >>> stream.normal((2,)).tolist() == stream.normal((2,)).tolist()
    False
    >>> td.random.Stream(7).uniform().item() == td.random.Stream(7).uniform().item()
    True
    """

    def __init__(self, seed: int | Tensor = 0) -> None:
        self.key = State(_key(seed))
        self.counter = State(concrete(np.array(0, np.uint32)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, counter={self.counter!r})"

    def next_key(self) -> Tensor:
        """A key that this stream has not given before, `u32[2]`; 2**32 of them."""
        key = fold_in(self.key, self.counter)
        self.counter = self.counter + 1
        return key

    def next_seed(self) -> int:
        """A seed for another stream, from 0 to 2**64 - 1; a number also inside of a traced function."""
        with untraced():
            low, high = self.next_key().tolist()
        return int(low) | int(high) << 32

    def reset(self, seed: int | Tensor) -> None:
        """Begin again, as a new stream of this seed."""
        self.key = State(_key(seed))
        self.counter = State(concrete(np.array(0, np.uint32)))

    bits = _with_next_key(bits)
    uniform = _with_next_key(continuous.uniform)
    normal = _with_next_key(continuous.normal)
    truncated_normal = _with_next_key(continuous.truncated_normal)
    exponential = _with_next_key(continuous.exponential)
    gumbel = _with_next_key(continuous.gumbel)
    laplace = _with_next_key(continuous.laplace)
    gamma = _with_next_key(rejection.gamma)
    bernoulli = _with_next_key(discrete.bernoulli)
    categorical = _with_next_key(discrete.categorical)
    randint = _with_next_key(discrete.randint)
    permutation = _with_next_key(discrete.permutation)
    shuffle = permutation
    choice = _with_next_key(discrete.choice)


def _key(seed: int | Tensor) -> Tensor:
    return as_key(seed, "td.random.Stream") if isinstance(seed, Tensor) and seed.ndim else key_of(seed)


_default = Stream.__new__(Stream)


def default_stream() -> Stream:
    """The stream of this process that initialisers and layers take their seeds from. It begins with seed 0.

    >>> td.random.set_seed(3)
    >>> a = td.random.default_stream().next_seed()
    >>> td.random.set_seed(3)
    >>> a == td.random.default_stream().next_seed()
    True
    """
    if not vars(_default):
        _default.reset(0)
    return _default


def set_seed(seed: int) -> None:
    """Begin the default stream again: what is made after it is the same in every run.

    >>> td.random.set_seed(0)
    """
    default_stream().reset(seed)
