"""Random bits: a function of a key and of the place in the result, and of nothing else.

Threefry-2x32 with 20 rounds: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
It turns a 64-bit counter into 64 random bits, keyed by 64 bits. Place i of the flat result is word i % 2 of counter
i // 2 for uint32, and both words of counter i for uint64 (word 0 holds the low bits). So a shorter draw is the
beginning of a longer one, and any part can be computed by any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dims import Shape, Size, same_size
from treadle.core.dtypes import DType, float32, uint32, uint64
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Primitive
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor

if TYPE_CHECKING:
    from treadle.testing.samples import Case, ErrorCase, Samples

Array = np.ndarray[Any, Any]

random_bits = Primitive("random_bits")

_ROTATIONS = tuple(
    tuple((np.uint32(r), np.uint32(32 - r)) for r in group) for group in ((13, 15, 26, 6), (17, 29, 16, 24))
)
_PARITY = np.uint32(0x1BD11BDA)
_CHUNK = 1 << 15  # counters at a time: what the rounds touch stays in the cache


def threefry(key: tuple[Array, Array], counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """The block function on words of uint32; keys and counters broadcast."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = counter[0] + schedule[0], counter[1] + schedule[1]
    for group in range(5):
        for left, right in _ROTATIONS[group % 2]:
            x += y
            wrapped = y >> right
            y <<= left
            y |= wrapped
            y ^= x
        x += schedule[(group + 1) % 3]
        y += schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


@random_bits.shape
def _(key: Spec, *, shape: Shape, dtype: DType) -> Spec:
    if key.dtype is not uint32 or not key.ndim or not same_size(key.shape[-1], 2):
        wrong = ShapeError if key.dtype is uint32 else DTypeError
        raise wrong(
            f"a random key is two words, u32[2] (or several: u32[..., 2]); this one is {key}. "
            "td.random.key(0) makes one"
        )
    if dtype not in (uint32, uint64):
        raise DTypeError(f"random bits come as uint32 or uint64, not {dtype}")
    if any(n < 0 for n in shape):
        raise ShapeError(f"the shape {show_shape(shape)} has a negative size")
    return Spec((*key.shape[:-1], *shape), dtype)


@random_bits.reference
def _(key: Array, *, shape: tuple[int, ...], dtype: DType) -> Array:
    count = int(np.prod(shape, dtype=np.int64))
    counters = count if dtype is uint64 else -(-count // 2)
    keys = key.reshape(-1, 2)
    words = np.empty((len(keys), counters, 2), np.uint32)
    first, second = keys[:, :1], keys[:, 1:]
    step = max(1, _CHUNK // max(1, len(keys)))
    for start in range(0, counters, step):
        n = np.arange(start, min(start + step, counters), dtype=np.uint64)
        counter = (n & np.uint64(0xFFFFFFFF)).astype(np.uint32), (n >> np.uint64(32)).astype(np.uint32)
        part = words[:, start : start + len(n)]
        part[..., 0], part[..., 1] = threefry((first, second), counter)
    if dtype is uint64:
        out = words[..., 0] | (words[..., 1].astype(np.uint64) << np.uint64(32))
    else:
        out = words.reshape(len(keys), -1)[:, :count]
    return out.reshape((*key.shape[:-1], *shape))


@random_bits.batch
def _(batched: tuple[bool], key: Tensor, *, size: Size, shape: Shape, dtype: DType) -> Any:
    return random_bits(key, shape=shape, dtype=dtype)


@random_bits.samples
def _(s: Samples) -> Iterator[Case | ErrorCase]:
    key = np.array([1, 2**32 - 1], np.uint32)
    for dtype in (uint32, uint64):
        for shape in ((), (1,), (5,), (2, 3), (2, 0), (4, 1, 2)):
            yield s.case(key, shape=shape, dtype=dtype)
        yield s.case(s.integers(0, 2**32, 3, 2, dtype="uint32"), shape=(3,), dtype=dtype)
        yield s.case(s.integers(0, 2**32, 2, 2, 2, dtype="uint32"), shape=(), dtype=dtype)
    yield s.error(s.normal(2), DTypeError, "u32[2]", "td.random.key(0)", shape=(3,), dtype=uint32)
    yield s.error(np.zeros(3, np.uint32), ShapeError, "u32[3]", "td.random.key(0)", shape=(3,), dtype=uint32)
    yield s.error(np.uint32(0), ShapeError, "two words", shape=(3,), dtype=uint32)
    yield s.error(key, DTypeError, "uint32 or uint64", "float32", shape=(3,), dtype=float32)
    yield s.error(key, ShapeError, "negative", shape=(-1,), dtype=uint32)
