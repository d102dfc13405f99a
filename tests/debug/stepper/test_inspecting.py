"""Tensors as text."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from treadle.core.errors import ArgumentError, ShapeError
from treadle.debug.stepper.inspecting import histogram, numbers_text, picture, statistics
from treadle.debug.stepper.memory import Ledger


def test_statistics() -> None:
    x = np.array([[0.0, 1.0], [5.0, np.nan]], np.float32)
    assert statistics(x) == "f32[2,2]  0 … 5, mean 2, std 2.16\n1 zero, 1 NaN, 0 infinite of 4 elements"
    assert statistics(np.float32([2, 2])).startswith("f32[2]  all 2\n")
    assert statistics(np.int32(7)).startswith("i32[]  7\n")
    assert statistics(np.array([True, False])) == "bool[2]  1 of 2 are true"
    assert statistics(np.zeros((0, 3), np.float32)) == "f32[0,3]  no elements"
    assert statistics(np.float32([np.inf, np.nan])).splitlines()[0] == "f32[2]  no finite elements"
    assert statistics(np.array([1, 3], ml_dtypes.bfloat16)).startswith("bf16[2]  1 … 3, mean 2")


def test_histogram_counts_what_numpy_counts() -> None:
    x = np.random.default_rng(0).normal(size=200).astype(np.float32)
    x[3] = np.nan
    lines = histogram(x, 5).splitlines()
    counts = [int(line.split("…")[1].split()[1]) for line in lines[:5]]
    assert counts == np.histogram(x[np.isfinite(x)].astype(np.float64), 5)[0].tolist()
    assert lines[5] == "1 not finite"
    assert max(line.count("█") for line in lines) == 40
    with pytest.raises(ArgumentError, match="has no finite elements to count"):
        histogram(np.float32([np.nan]))
    with pytest.raises(ArgumentError, match="at least one is needed"):
        histogram(x, 0)


def test_picture() -> None:
    assert picture(np.eye(3, dtype=np.float32)) == "@  \n @ \n  @\n0 … 1"
    assert picture(np.float32([[0, np.nan, 1]])) == " !@\n0 … 1"
    assert picture(np.zeros((2, 2, 3), np.float32)).splitlines()[:2] == ["  ", "  "]
    large = picture(np.arange(10_000, dtype=np.float32).reshape(100, 100), width=20, height=10).splitlines()
    assert [len(line) for line in large[:-1]] == [20] * 10
    assert large[0][0] == " "
    assert large[-2][-1] == "@"
    with pytest.raises(ShapeError, match=r"this is \[2, 2, 2, 2\]: take a slice, such as image %3\[0\]"):
        picture(np.zeros((2, 2, 2, 2)))


def test_numbers_of_a_large_array_lack_the_middle() -> None:
    assert numbers_text(np.float32([1.5, 2])) == "[1.5, 2. ]"
    assert "..." in numbers_text(np.zeros(1000))


def test_arrays_that_share_memory_count_once() -> None:
    ledger = Ledger()
    base = np.zeros(100)
    ledger.add([base, base[:50], base.reshape(10, 10)])
    assert ledger.bytes == 800
    ledger.remove([base])
    assert ledger.bytes == 800
    ledger.remove([base[:50], base.reshape(10, 10)])
    assert ledger.bytes == 0
