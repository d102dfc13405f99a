"""Reductions and functions along an axis, against NumPy."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, ShapeError

ORACLES: dict[str, Any] = {
    "sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min, "mean": np.mean, "std": np.std, "var": np.var,
    "all": np.all, "any": np.any, "count_nonzero": np.count_nonzero, "logsumexp": special.logsumexp,
    "median": np.median,
}  # fmt: skip


@pytest.mark.parametrize("name", ORACLES)
@given(data=st.data(), keepdims=st.booleans())
def test_against_numpy(name: str, data: st.DataObject, keepdims: bool) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    axis = data.draw(
        st.none() | hnp.valid_tuple_axes(len(shape), min_size=1) | st.integers(-len(shape), len(shape) - 1)
    )
    x = data.draw(hnp.arrays(np.float64, shape, elements=st.sampled_from([-2.5, -1.0, 0.0, 0.5, 1.0, 3.0])))
    got = getattr(td, name)(td.asarray(x), axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(got.numpy(), ORACLES[name](x, axis=axis, keepdims=keepdims), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("bool", "int32"), ("int8", "int32"), ("int16", "int32"), ("int32", "int32"), ("int64", "int64"),
        ("uint8", "uint32"), ("uint16", "uint32"), ("uint32", "uint32"), ("uint64", "uint64"),
        ("float16", "float16"), ("bfloat16", "bfloat16"), ("float32", "float32"), ("float64", "float64"),
    ],
)  # fmt: skip
def test_dtypes_of_sums(given: str, expected: str) -> None:
    x = td.ones((2, 3), dtype=given)
    for name in ("sum", "prod", "cumulative_sum", "cumulative_prod"):
        assert getattr(td, name)(x, axis=0).dtype is td.asarray(0, dtype=expected).dtype, name
        assert getattr(td, name)(x, axis=0, dtype=td.float64).dtype is td.float64
    assert td.trace(x).dtype is td.asarray(0, dtype=expected).dtype


def test_sums_that_would_wrap_in_their_own_dtype() -> None:
    assert td.sum(td.full(3, 100, dtype=td.int8)).item() == 300
    assert td.sum(td.asarray([True, True, False])).item() == 2
    with pytest.raises(DTypeError, match=r"td\.any"):
        td.sum(td.ones(2), dtype=td.bool)


def test_sixteen_bit_means_do_not_overflow() -> None:
    x = td.full(4, 60000.0, dtype=td.float16)
    assert (td.mean(x).item(), td.mean(x).dtype) == (60000.0, td.float16)
    assert td.std(td.asarray([-6e4, 6e4], dtype=td.float16)).item() == 60000.0


def test_a_large_mean_does_not_cancel_in_the_variance() -> None:
    x = np.float32(10000) + np.float32([0, 1, 2, 3])
    assert td.var(td.asarray(x)).item() == 1.25
    assert td.var(td.asarray(x), correction=1).item() == pytest.approx(5 / 3)
    assert td.std(td.asarray(x), correction=1, axis=0, keepdims=True).shape == (1,)


def test_nothing_to_reduce() -> None:
    x = td.zeros((0, 2))
    assert td.sum(x, axis=0).tolist() == [0.0, 0.0]
    assert td.prod(x, axis=0).tolist() == [1.0, 1.0]
    assert td.all(x, axis=0).tolist() == [True, True]
    assert np.isnan(td.mean(x).item())
    assert td.sum(td.asarray(3.0), axis=()).item() == 3.0
    for name in ("max", "median", "argmin"):
        with pytest.raises(ShapeError, match=name):
            getattr(td, name)(x, axis=0)


def test_truth_of_numbers() -> None:
    assert td.all(td.asarray([1.0, 2.0])).item() is True
    assert td.any(td.asarray([0, 0])).item() is False
    assert td.any(td.asarray([0.0, float("nan")])).item() is True


@given(st.data())
def test_running(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = data.draw(hnp.arrays(np.float64, shape, elements=st.sampled_from([-2.0, 0.5, 1.0, 3.0])))
    t = td.asarray(x)
    np.testing.assert_allclose(td.cumulative_sum(t, axis=axis).numpy(), np.cumsum(x, axis))
    np.testing.assert_allclose(td.cumulative_prod(t, axis=axis).numpy(), np.cumprod(x, axis))
    np.testing.assert_allclose(td.cumulative_max(t, axis=axis).numpy(), np.maximum.accumulate(x, axis))
    initial = td.cumulative_sum(t, axis=axis, include_initial=True)
    np.testing.assert_allclose(initial.numpy(), np.cumulative_sum(x, axis=axis, include_initial=True))
    n = data.draw(st.integers(0, 3))
    if n <= shape[axis]:
        np.testing.assert_allclose(td.diff(t, axis=axis, n=n).numpy(), np.diff(x, n, axis))


def test_diff_with_ends() -> None:
    x = np.array([[1, 4, 9], [2, 3, 5]], np.int32)
    got = td.diff(td.asarray(x), prepend=0, append=td.asarray([[7], [8]]))
    np.testing.assert_array_equal(got.numpy(), np.diff(x, prepend=0, append=[[7], [8]]))
    with pytest.raises(ArgumentError, match="not negative"):
        td.diff(td.asarray(x), n=-1)


@given(st.data())
def test_quantile(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
    axis = data.draw(st.none() | hnp.valid_tuple_axes(len(shape), min_size=1))
    x = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-9, 9, width=16)))
    q = data.draw(st.floats(0, 1) | hnp.arrays(np.float64, (3,), elements=st.floats(0, 1)))
    keepdims = data.draw(st.booleans())
    got = td.quantile(td.asarray(x), q, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(got.numpy(), np.quantile(x, q, axis=axis, keepdims=keepdims), rtol=1e-12, atol=1e-12)


def test_quantile_of_special_values() -> None:
    x = td.asarray([-np.inf, 1.0, np.inf])
    assert td.quantile(x, td.asarray([0.0, 0.5, 1.0])).tolist() == [-np.inf, 1.0, np.inf]
    assert np.isnan(td.median(td.asarray([1.0, np.nan, 2.0])).item())
    assert td.median(td.asarray([7.0])).item() == 7.0
    with pytest.raises(ArgumentError, match=r"from 0 to 1; got 1\.5"):
        td.quantile(x, 1.5)
    got = td.grad(lambda x: td.quantile(x, 0.75))(td.asarray([5.0, 1.0, 3.0]))
    assert got.tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize("name", ["sum", "mean", "softmax", "logsumexp", "norm", "median", "any"])
def test_errors_name_the_function_and_the_shape(name: str) -> None:
    with pytest.raises(ShapeError, match="axis 2 does not exist: there are 2 axes"):
        getattr(td, name)(td.zeros((2, 3)), axis=2)
    with pytest.raises(ShapeError, match="twice"):
        getattr(td, name)(td.zeros((2, 3)), axis=(0, -2))


def test_errors() -> None:
    assert td.sum(td.zeros((2, 3)), axis=np.int64(1)).shape == (2,)
    with pytest.raises(DTypeError, match=r"axis is an int; got 0\.5"):
        td.sum(td.zeros(2), axis=0.5)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"sum of f32\[2,3\]: axis 5"):
        td.sum(td.zeros((2, 3)), axis=5)
    with pytest.raises(ShapeError, match="say along which, axis=0"):
        td.cumulative_sum(td.zeros((2, 2)))
    with pytest.raises(DTypeError, match=r"max needs numbers"):
        td.max(td.asarray([True]))


def test_unknown_sizes() -> None:
    f = td.compile(
        lambda x: (
            x.mean(axis=0),
            td.var(x, axis=0, correction=1),
            td.softmax(x, axis=0),
            td.cumulative_sum(x, axis=0),
        ),
        dynamic={"x": ("n", None)},
    )
    for n in (2, 5):
        x = np.random.default_rng(n).normal(size=(n, 3))
        mean, var, soft, running = f(td.asarray(x))
        np.testing.assert_allclose(mean.numpy(), x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(var.numpy(), x.var(0, ddof=1), rtol=1e-12)
        np.testing.assert_allclose(soft.numpy(), special.softmax(x, axis=0), rtol=1e-12)
        np.testing.assert_allclose(running.numpy(), x.cumsum(0), rtol=1e-12)
