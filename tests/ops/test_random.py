"""Threefry against its published vectors, and how the bits are laid out."""

from __future__ import annotations

import numpy as np
import pytest

from treadle.core.dims import Dim
from treadle.core.dtypes import uint32, uint64
from treadle.core.spec import Spec
from treadle.core.tensor import concrete
from treadle.ops import random as random_ops
from treadle.ops.random import random_bits, threefry


def words(*values):
    return tuple(np.array([v], np.uint32) for v in values)


def bits(key, shape, dtype=uint32):
    return random_bits(concrete(np.array(key, np.uint32)), shape=shape, dtype=dtype).numpy()


# From the file kat_vectors of Random123, the authors' library: threefry2x32 with 20 rounds; counter, key, result.
@pytest.mark.parametrize(
    ("counter", "key", "result"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(counter, key, result):
    assert [w.item() for w in threefry(words(*key), words(*counter))] == list(result)


def test_the_first_two_places_are_counter_zero():
    assert bits([0, 0], (2,)).tolist() == [0x6B200159, 0x99BA4EFE]
    assert bits([0, 0], (1,), uint64).tolist() == [0x99BA4EFE_6B200159]


def test_place_i_is_a_function_of_key_and_i():
    key = (7, 2**32 - 3)
    got = bits(key, (5, 7))
    for i, value in enumerate(got.ravel().tolist()):
        assert value == threefry(words(*key), words(i // 2, 0))[i % 2].item()


@pytest.mark.parametrize("dtype", [uint32, uint64])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(dtype):
    # Across the borders of the blocks that the reference computes in.
    long = bits([3, 4], (2 * random_ops._CHUNK + 9,), dtype)
    for n in (1, 2, 7, random_ops._CHUNK - 1, random_ops._CHUNK + 1, 2 * random_ops._CHUNK + 8):
        np.testing.assert_array_equal(bits([3, 4], (n,), dtype), long[:n])
    np.testing.assert_array_equal(bits([3, 4], (3, 5), dtype).ravel(), long[:15])


def test_both_widths_are_the_same_bits():
    narrow = bits([8, 9], (10,)).astype(np.uint64)
    np.testing.assert_array_equal(bits([8, 9], (5,), uint64), narrow[::2] | narrow[1::2] << np.uint64(32))


def test_many_keys_at_once():
    keys = np.arange(24, dtype=np.uint32).reshape(3, 4, 2)
    got = bits(keys, (5,))
    assert got.shape == (3, 4, 5)
    for where in np.ndindex(3, 4):
        np.testing.assert_array_equal(got[where], bits(keys[where], (5,)))
    many = np.stack([np.arange(random_ops._CHUNK + 5), np.ones(random_ops._CHUNK + 5)], -1).astype(np.uint32)
    np.testing.assert_array_equal(bits(many, (3,))[-1], bits(many[-1], (3,)))


def test_one_flipped_bit_of_key_or_place_flips_half_of_the_result():
    # 64 flips of 64 bits each; the mean of a fair coin over n = 4096 has the standard deviation 0.5 / sqrt(n) = 0.0078.
    ones = 0
    for flip in range(64):
        key = [1 << flip, 0] if flip < 32 else [0, 1 << flip - 32]
        ones += np.bitwise_count(bits([0, 0], (2,)) ^ bits(key, (2,))).sum()
    assert abs(ones / 4096 - 0.5) < 4 * 0.0078


def test_sizes_that_are_not_known():
    n = Dim("n")
    assert random_bits.infer(Spec((2,), uint32), shape=(n, 3), dtype=uint64) == (Spec((n, 3), uint64),)
    assert random_bits.infer(Spec((n, 2), uint32), shape=(), dtype=uint32) == (Spec((n,), uint32),)
