"""Keys, and the bits that a key stands for. Everything random is a pure function of a key."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle import array as xp
from treadle.array.convert import as_shape, as_tensor
from treadle.core.dims import Size
from treadle.core.dtypes import as_dtype, uint32, uint64
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.tensor import Tensor, concrete
from treadle.ops import random as random_ops

# What keys are made from and what samples are made from never meets: each purpose turns the key by its own constant.
_SPLIT = concrete(np.array([0x73706C69, 0x74206B65], np.uint32))
_FOLD = concrete(np.array([0x666F6C64, 0x20696E00], np.uint32))


def key(seed: int | Tensor) -> Tensor:
    """The key of a seed: `u32[2]`. Equal seeds give equal keys, different seeds unrelated ones.

    Args:
        seed: an integer of up to 64 bits, -2**63 <= seed < 2**64, or a scalar integer tensor.

    Raises:
        ArgumentError: an integer of more than 64 bits.
        DTypeError, ShapeError: not an integer, not a scalar.

    >>> td.random.key(42).tolist()
    [42, 0]
    """
    return _words(seed, "td.random.key", "the seed")


def split(key: Tensor, n: Size = 2) -> Tensor:
    """New keys `u32[n, 2]`, unrelated to each other and to what is sampled with `key` itself.

    The first of them do not depend on how many there are. Use each key once: for one sample, or to be split.

    Args:
        n: how many, 0 or more.

    >>> a, b = td.random.split(td.random.key(0))
    >>> td.random.uniform(a).item() == td.random.uniform(b).item()
    False
    """
    (count,) = as_shape("td.random.split", n)
    k = as_key(key, "td.random.split")
    out: Tensor = random_ops.random_bits(k ^ _SPLIT, shape=(count, 2), dtype=uint32)
    return out


def fold_in(key: Tensor, data: int | Tensor) -> Tensor:
    """The key `u32[2]` that belongs to a key and an integer, such as a step or the number of a layer.

    Args:
        data: as the seed of `td.random.key`; may be a tensor that is not known yet.

    >>> k = td.random.key(0)
    >>> td.random.fold_in(k, 1).tolist() == td.random.fold_in(k, 2).tolist()
    False
    """
    name = "td.random.fold_in"
    hashed = random_ops.random_bits(as_key(key, name) ^ _FOLD, shape=(2,), dtype=uint32)
    out: Tensor = random_ops.random_bits(hashed ^ _words(data, name, "data"), shape=(2,), dtype=uint32)
    return out


def bits(key: Tensor, shape: Any = (), *, dtype: Any = uint32) -> Tensor:
    """Random bits: integers of the whole range of their dtype, `[*shape]`.

    Element i of the flat result depends on the key and i alone, so a shorter draw is the beginning of a longer one.

    Args:
        dtype: uint32 or uint64.

    Raises:
        DTypeError: another dtype.

    Source: Threefry-2x32 with 20 rounds; Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).

    >>> td.random.bits(td.random.key(0), 2).tolist() == [0x6b200159, 0x99ba4efe]  # the published test vector
    True
    """
    name = "td.random.bits"
    out: Tensor = random_ops.random_bits(as_key(key, name), shape=as_shape(name, shape), dtype=as_dtype(dtype))
    return out


def as_key(key: Any, name: str) -> Tensor:
    """One key, checked."""
    if not isinstance(key, Tensor | np.ndarray) or as_tensor(key, name).dtype is not uint32:
        what = key.spec if isinstance(key, Tensor) else repr(key)
        raise DTypeError(f"{name}: a key is u32[2], not {what}. Make one: td.random.key(0)")
    out = as_tensor(key, name)
    if out.shape != (2,):
        raise ShapeError(
            f"{name}: one key is u32[2]; this is {out.spec}. For several keys, "
            "td.vmap(lambda k: td.random.normal(k, shape))(keys)"
        )
    return out


def _words(number: Any, name: str, what: str) -> Tensor:
    """A 64-bit integer as two words, the low one first; negative ones modulo 2**64."""
    if isinstance(number, int | np.integer) and not isinstance(number, bool):
        value = int(number)
        if not -(2**63) <= value < 2**64:
            raise ArgumentError(f"{name}: {what} has up to 64 bits, and {value} needs {value.bit_length()}")
        value %= 2**64
        return concrete(np.array([value & 0xFFFFFFFF, value >> 32], np.uint32))
    if isinstance(number, Tensor | np.ndarray):
        x = as_tensor(number, name)
        if x.ndim:
            raise ShapeError(f"{name}: {what} is one integer, not {x.spec}")
        if x.dtype.is_integer:
            wide = x.astype(uint64)  # keeps the sign's bits, as the integers above
            return xp.stack([(wide & 0xFFFFFFFF).astype(uint32), (wide >> 32).astype(uint32)])
        number = x.spec
    raise DTypeError(f"{name}: {what} is an integer, not {number!r}")
