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


@pytest.mark.parametrize("name", ["exp", "sigmoid", "tanh"])
def test_two_units_in_the_last_place_of_float32_wherever_results_are_normal(name):
    """Densely, against float64: what few points find is not always the worst of them."""
    truth = {"exp": np.exp, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh}[name]
    first, last = (np.array(v, np.float32).view(np.int32).item() for v in (1e-3, 87))
    size = np.arange(first, last, 61, np.int32).view(np.float32)
    for x in (size, -size):
        got, true = td.compile(getattr(elementwise, name))(td.asarray(x)).numpy(), truth(x.astype(np.float64))
        assert np.max(np.abs(got - true) / np.spacing(np.abs(true).astype(np.float32))) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_of_a_vector_has_the_bits_of_exp_of_a_number(dtype):
    """Vectors may be scaled by an instruction of their own: also where results are subnormal, 0 and infinite."""
    low, high = (-104.5, 89.5) if dtype == np.float32 else (-746.5, 710.5)
    ends = [-np.inf, np.inf, np.nan, 0.0, -0.0, np.finfo(dtype).min, np.finfo(dtype).max]
    x = np.array([*np.linspace(low, high, 57), *np.linspace(low, low + 20, 64), *ends], dtype)
    f = td.compile(td.exp)
    got = f(td.asarray(x)).numpy()
    np.testing.assert_array_equal(got, [f(td.asarray(v)).numpy() for v in x])
    with np.errstate(all="ignore"):
        true = np.exp(x.astype(np.longdouble)).astype(dtype)
    np.testing.assert_allclose(got, true, rtol=2 * np.finfo(dtype).eps, atol=np.finfo(dtype).smallest_subnormal)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", [0, 1, 17, 63, 64, 100])
def test_extremes_of_rows_with_a_nan_are_nan(dtype, place):
    x = np.random.default_rng(0).normal(0, 1, (3, 101)).astype(dtype)
    x[1, place] = np.nan
    for f in (td.max, td.min):
        got = td.compile(lambda x, f=f: f(x, axis=1))(td.asarray(x)).numpy()
        np.testing.assert_array_equal(np.isnan(got), [False, True, False])


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
