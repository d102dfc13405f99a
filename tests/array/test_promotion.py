"""Which dtypes meet in which: the array API standard's tables, and Python numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import DTypeError

# The standard's tables (type promotion rules), row by row; bfloat16 and float16 are treadle's own.
SIGNED = {"i1 i1": "i1", "i1 i2": "i2", "i1 i4": "i4", "i1 i8": "i8", "i2 i2": "i2", "i2 i4": "i4", "i2 i8": "i8",
          "i4 i4": "i4", "i4 i8": "i8", "i8 i8": "i8"}  # fmt: skip
UNSIGNED = {"u1 u1": "u1", "u1 u2": "u2", "u1 u4": "u4", "u1 u8": "u8", "u2 u2": "u2", "u2 u4": "u4", "u2 u8": "u8",
            "u4 u4": "u4", "u4 u8": "u8", "u8 u8": "u8"}  # fmt: skip
BETWEEN = {"i1 u1": "i2", "i1 u2": "i4", "i1 u4": "i8", "i2 u1": "i2", "i2 u2": "i4", "i2 u4": "i8", "i4 u1": "i4",
           "i4 u2": "i4", "i4 u4": "i8", "i8 u1": "i8", "i8 u2": "i8", "i8 u4": "i8"}  # fmt: skip
FLOATING = {"f4 f4": "f4", "f4 f8": "f8", "f8 f8": "f8"}
OURS = {"f2 f2": "f2", "b2 b2": "b2", "f2 b2": "f4", "f2 f4": "f4", "b2 f4": "f4", "f2 f8": "f8", "b2 f8": "f8"}
TABLE = {
    tuple(k.split()): v for t in (SIGNED, UNSIGNED, BETWEEN, FLOATING, OURS, {"b1 b1": "b1"}) for k, v in t.items()
}
NAMES = {
    "b1": td.bool, "i1": td.int8, "i2": td.int16, "i4": td.int32, "i8": td.int64, "u1": td.uint8, "u2": td.uint16,
    "u4": td.uint32, "u8": td.uint64, "b2": td.bfloat16, "f2": td.float16, "f4": td.float32, "f8": td.float64,
}  # fmt: skip


@pytest.mark.parametrize("a", NAMES)
@pytest.mark.parametrize("b", NAMES)
def test_every_pair(a: str, b: str) -> None:
    expected = TABLE.get((a, b)) or TABLE.get((b, a))
    x, y = td.ones((2, 1), dtype=NAMES[a]), td.ones(3, dtype=NAMES[b])
    if expected is None:
        for function in (td.result_type, td.equal, lambda p, q: td.concat([p[0], q])):
            with pytest.raises(DTypeError, match=r"do not mix.*\.astype\(td\."):
                function(x, y)  # type: ignore[operator]
        return
    want = NAMES[expected]
    assert td.result_type(NAMES[a], NAMES[b]) is want
    assert td.result_type(x, y) is want
    assert td.where(td.asarray(True), x, y).dtype is want
    assert td.concat([x[0], y]).dtype is want
    assert td.equal(x, y).dtype is td.bool
    assert td.can_cast(NAMES[a], NAMES[b]) is (want is NAMES[b])
    if want is not td.bool:
        assert (x + y).dtype is want
        assert td.maximum(x, y).dtype is want


@pytest.mark.parametrize("name", NAMES)
def test_python_numbers_take_the_tensors_dtype(name: str) -> None:
    dtype = NAMES[name]
    x = td.ones(2, dtype=dtype)
    fits = {"b": (True,), "i": (1,), "u": (1,), "f": (1, 1.0)}[dtype.kind]
    for number in (True, 2, 2.5):
        if any(type(number) is type(f) for f in fits):
            assert td.equal(x, number).dtype is td.bool
            assert td.where(td.asarray(True), x, number).dtype is dtype
            assert td.where(td.asarray(True), number, x).dtype is dtype
            if dtype.kind != "b":
                assert (x + number).dtype is dtype
                assert (number * x).dtype is dtype
        else:
            with pytest.raises(DTypeError, match="does not mix with a tensor of"):
                td.equal(x, number)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: td.asarray([1]) + 0.5, r"add: the Python float 0.5 .* int32.*x\.astype\(td\.float32\).*or 0 for 0.5"),
        (lambda: td.asarray([True]) * 3, r"multiply: the Python int 3 .* bool.*x\.astype\(td\.int32\)"),
        (lambda: td.asarray([1.0]) + True, r"the Python bool True .* float32.*write 1 for True"),
        (lambda: td.asarray([1, 2], dtype=td.uint8) + 300, "300 does not fit into uint8, which holds 0 to 255"),
        (lambda: td.asarray([1]) + np.float32([0.5]), r"int32 and float32 do not mix.*\.astype\(td\.float32\)"),
        (lambda: td.asarray([1]) / 2, r"x\.astype\(td\.float32\) / y, or x // y"),
        (lambda: td.add(td.asarray([1.0]), [1, 2]), "add: a list is neither a tensor nor a number; td.asarray"),
        (lambda: td.asarray([1.0]) + "a", "add: 'a'"),
        (lambda: td.equal(td.asarray([1.0]), None), "equal: None"),
        (lambda: td.asarray([1.0]) + 1j, "1j"),
        (lambda: td.sin(td.asarray([1])), r"sin: x is i32\[1\], and sin needs floating point: x.astype\(td.float32\)"),
        (lambda: td.mean(td.asarray([1, 2])), r"mean.*x.astype\(td.float32\)"),
        (lambda: td.asarray([1.0]) & 1, "bitwise_and"),
        (lambda: td.logical_not(td.asarray([1])), r"logical_not: x is i32\[1\], and logical_not needs bool: x != 0"),
        (lambda: td.where(td.asarray([1]), 1, 2), r"where: the condition is i32\[1\] and must be bool: condition != 0"),
        (lambda: td.asarray([True]) < True, "bool has no order"),
        (lambda: -td.asarray([True]), r"negative needs numbers: x.astype\(td.int32\)"),
        (lambda: td.asarray(np.array([1j])), "complex128 has no counterpart"),
        (lambda: td.asarray(np.array(["a"])), "no counterpart.*Texts become numbers before the graph"),
    ],
)  # fmt: skip
def test_what_does_not_mix_says_how_to_convert(make: Any, words: str) -> None:
    with pytest.raises(DTypeError, match=words):
        make()


def test_numpys_scalars_and_arrays() -> None:
    x = td.ones(2)
    assert (x / np.sqrt(2.0)).dtype is td.float32  # float64 scalars are what Python's floats become in NumPy
    assert (x * np.int64(3)).dtype is td.float32
    assert (np.float64(2) * x).dtype is td.float32
    assert (x + np.ones(2)).dtype is td.float64  # an array brings its dtype
    assert (np.ones(2) + x).dtype is td.float64
    assert isinstance(np.ones(2) + x, td.Tensor)
    assert (td.ones(2, dtype=td.float16) + np.float32(1)).dtype is td.float32


def test_numbers_alone() -> None:
    assert td.add(1, 2).dtype is td.int32
    assert td.maximum(1, 2.5).item() == 2.5
    assert td.divide(1, 2).item() == 0.5
    assert td.sin(1).dtype is td.float32


def test_dims_beside_tensors_in_every_operator() -> None:
    def f(x: Any) -> Any:
        n = x.shape[0]
        return n + x, n - x, n * x, n / x, n // x, n % x, n > x, n <= x, x - n, x == n

    x = np.float32([1.0, 2.0, 7.0])
    expected = (3 + x, 3 - x, 3 * x, 3 / x, 3 // x, 3 % x, x < 3, x >= 3, x - 3, x == 3)
    for got, want in zip(td.compile(f, dynamic={"x": ("n",)})(td.asarray(x)), expected, strict=True):
        np.testing.assert_array_equal(got.numpy(), want)


def test_dims_are_python_ints() -> None:
    f = td.compile(lambda x: (x.sum() / x.shape[0], x.shape[0] * x, td.asarray([x.shape[0], 1])), dynamic={"x": ("n",)})
    for n in (2, 5):
        mean, scaled, listed = f(td.ones(n))
        assert mean.item() == 1.0
        assert scaled.tolist() == [float(n)] * n
        assert listed.tolist() == [n, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda h: h * 1e6,
        lambda h: td.where(h > 0, 1e6, h),
        lambda h: td.compile(lambda h: h + 1e6)(h),
        lambda h: td.full(2, 1e6, dtype=td.float16),
        lambda h: td.asarray([1e6, 1e6], dtype=td.float16),
        lambda h: td.asarray([1e39, 1e39]),
        lambda h: td.linspace(1e6, 1e6, 2, dtype=td.float16),
    ],
)
def test_floats_that_are_too_large_are_infinite_without_a_warning(make: Any) -> None:
    assert make(td.ones(2, dtype=td.float16)).tolist() == [np.inf, np.inf]
