"""Compiled functions are within 2 units in the last place of the truth (mpmath), and right at the ends."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from tools import make_math_table as table
from treadle.ops import elementwise

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", table.TRUTH)
def test_two_units_in_the_last_place(name, dtype):
    found, where = table.worst(name, dtype, 60)
    assert found <= 2.0, f"{name}({where!r})"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", table.TRUTH)
def test_two_units_in_the_last_place_at_many_points(name, dtype):
    found, where = table.worst(name, dtype, 3000)
    assert found <= 2.0, f"{name}({where!r})"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", table.TRUTH)
def test_special_values_are_those_of_the_reference(name, dtype):
    info = np.finfo(dtype)
    tiny = info.smallest_subnormal
    x = np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, tiny, -tiny, info.tiny / 4, info.max, -info.max], dtype)
    f = lambda t: getattr(elementwise, name)(t)  # noqa: E731
    got = td.compile(f)(td.asarray(x)).numpy()
    want = td.compile(f, backend="reference")(td.asarray(x)).numpy()
    np.testing.assert_allclose(got, want, rtol=4 * info.eps, atol=0)
    finite = want == 0
    np.testing.assert_array_equal(np.signbit(got[finite]), np.signbit(want[finite]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.lognormal(0, 2, 500).astype(dtype), rng.normal(0, 3, 500).astype(dtype)
    got = td.compile(lambda x, y: x**y)(td.asarray(x), td.asarray(y)).numpy()
    with np.errstate(all="ignore"):
        want = (x.astype(np.longdouble) ** y.astype(np.longdouble)).astype(dtype)
    np.testing.assert_allclose(got, want, rtol=2 * np.finfo(dtype).eps)


def test_lanes_and_scalars_are_one_function():
    """The tail of a row, masked, and single numbers give the bits that full vectors give."""
    x = np.random.default_rng(1).normal(0, 3, 67).astype(np.float32)
    for name in ("exp", "tanh", "erf", "sin", "log1p", "sigmoid"):
        f = td.compile(lambda t, name=name: getattr(elementwise, name)(t))
        whole = f(td.asarray(np.abs(x))).numpy()
        for n in (1, 3, 16, 33):
            np.testing.assert_array_equal(f(td.asarray(np.abs(x[:n]))).numpy(), whole[:n])
        np.testing.assert_array_equal(f(td.asarray(np.abs(x[5]))).numpy(), whole[5])
