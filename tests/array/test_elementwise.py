"""Elementwise functions against NumPy, their special values, and their derivatives where the formula is ours."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

import treadle as td

FLOATS = ["float16", "float32", "float64"]
INTS = ["int8", "int32", "int64", "uint8", "uint32"]
UNARY: dict[str, Any] = {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atanh": np.arctanh, "ceil": np.ceil, "cos": np.cos, "cosh": np.cosh, "exp": np.exp, "expm1": np.expm1,
    "floor": np.floor, "isfinite": np.isfinite, "isinf": np.isinf, "isnan": np.isnan, "log": np.log, "log10": np.log10,
    "log1p": np.log1p, "log2": np.log2, "reciprocal": np.reciprocal, "round": np.round, "signbit": np.signbit,
    "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh, "trunc": np.trunc,
    "erf": special.erf, "sigmoid": special.expit, "abs": np.abs, "negative": np.negative, "positive": np.positive,
    "sign": np.sign, "square": np.square, "rsqrt": lambda x: 1 / np.sqrt(x),
}  # fmt: skip
BINARY: dict[str, Any] = {
    "add": np.add, "atan2": np.arctan2, "copysign": np.copysign, "divide": np.divide, "equal": np.equal,
    "floor_divide": np.floor_divide, "greater": np.greater, "greater_equal": np.greater_equal, "hypot": np.hypot,
    "less": np.less, "less_equal": np.less_equal, "logaddexp": np.logaddexp, "maximum": np.maximum,
    "minimum": np.minimum, "multiply": np.multiply, "nextafter": np.nextafter, "not_equal": np.not_equal,
    "pow": np.power, "remainder": np.remainder, "subtract": np.subtract,
}  # fmt: skip
INTEGER_UNARY = [
    "abs",
    "bitwise_invert",
    "ceil",
    "floor",
    "isfinite",
    "isinf",
    "isnan",
    "positive",
    "round",
    "sign",
    "square",
    "trunc",
]
INTEGER_BINARY: dict[str, Any] = {
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    **{k: BINARY[k] for k in ("add", "equal", "floor_divide", "greater", "less_equal", "maximum", "multiply")},
    **{k: BINARY[k] for k in ("remainder", "subtract")},
}  # fmt: skip


def assert_near(got: td.Tensor, expected: Any, dtype: str, ulps: int = 8) -> None:
    """Equal but for a few roundings: SciPy's, NumPy's and our own functions are each within two or three."""
    assert got.shape == np.shape(expected)
    with np.errstate(all="ignore"):
        want = np.asarray(expected, np.float64)
        np.testing.assert_allclose(
            got.numpy().astype(np.float64), want, rtol=ulps * td.finfo(dtype).eps,
            atol=float(np.finfo(dtype).tiny),
        )  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=15)  # for each of a hundred functions
@given(data=st.data())
def test_unary(name: str, dtype: str, data: st.DataObject) -> None:
    width = {"float16": 16, "float32": 32, "float64": 64}[dtype]
    special_values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, math.inf, -math.inf, math.nan])
    elements = st.floats(-10, 10, width=width) | special_values
    x = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=2, max_side=3), elements=elements))
    got = getattr(td, name)(td.asarray(x))
    with np.errstate(all="ignore"):
        expected = UNARY[name](x.astype(np.float64))
        assert got.dtype is (td.bool if np.asarray(expected).dtype == bool else td.asarray(x).dtype)
        if name in ("exp", "sinh", "cosh", "expm1", "reciprocal", "rsqrt", "tan"):  # beyond the dtype's range
            expected = expected.astype(dtype)
    assert_near(got, expected, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=15)
@given(data=st.data())
def test_binary_broadcasts(name: str, dtype: str, data: st.DataObject) -> None:
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes
    special_values = st.sampled_from([0.0, -0.0, 1.0, -2.0, math.inf, -math.inf, math.nan])
    elements = st.sampled_from([-3.5, -1.25, 0.75, 2.0, 3.0]) | special_values
    x, y = (data.draw(hnp.arrays(dtype, s, elements=elements)) for s in shapes)
    got = getattr(td, name)(td.asarray(x), td.asarray(y))
    with np.errstate(all="ignore"):
        expected = BINARY[name](x, y)
    assert got.dtype == expected.dtype
    assert_near(got, expected, dtype)


@pytest.mark.parametrize("dtype", INTS)
@given(data=st.data())
def test_integers(dtype: str, data: st.DataObject) -> None:
    x, y = (data.draw(hnp.arrays(dtype, (4,), elements=st.integers(0, 100))) for _ in range(2))
    y = np.maximum(y, 1)
    for name in INTEGER_UNARY:
        expected = getattr(np, {"bitwise_invert": "invert"}.get(name, name))(x)
        got = getattr(td, name)(td.asarray(x))
        assert got.dtype == expected.dtype, name
        np.testing.assert_array_equal(got.numpy(), expected)
    for name, function in INTEGER_BINARY.items():
        got = getattr(td, name)(td.asarray(x), td.asarray(y))
        assert got.dtype == function(x, y).dtype, name
        np.testing.assert_array_equal(got.numpy(), function(x, y))
    shifts = y % 5
    np.testing.assert_array_equal(td.bitwise_left_shift(td.asarray(x), td.asarray(shifts)).numpy(), x << shifts)
    np.testing.assert_array_equal((td.asarray(x) >> td.asarray(shifts)).numpy(), x >> shifts)


@pytest.mark.parametrize(
    "name", ["logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor"]
)
def test_logic(name: str) -> None:
    x, y = np.array([[True], [False]]), np.array([True, False])
    np.testing.assert_array_equal(getattr(td, name)(td.asarray(x), td.asarray(y)).numpy(), getattr(np, name)(x, y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "base"), [("log2", 2), ("log10", 10)])
def test_logarithms_of_powers_are_exact(name: str, base: int, dtype: str) -> None:
    exponents = np.arange(-20, 31) if base == 2 else np.arange(0, 11)
    got = getattr(td, name)(td.asarray(np.power(float(base), exponents).astype(dtype)))
    np.testing.assert_array_equal(got.numpy(), exponents)
    slope = td.grad(lambda x: getattr(td, name)(x))(td.asarray(float(base), dtype=dtype)).item()
    assert slope == pytest.approx(1 / (base * math.log(base)), rel=1e-6)


def test_hypot_at_the_ends_of_the_range() -> None:
    x = td.asarray([3e38, 1e-45, 0.0, math.inf, math.nan, math.nan])
    y = td.asarray([1e38, 0.0, 0.0, math.nan, -math.inf, 1.0])
    expected = np.hypot(x.numpy().astype(np.float64), y.numpy().astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(td.hypot(x, y).numpy(), expected, rtol=3e-7)
    at_zero = td.grad(lambda v: td.hypot(v[0], v[1]))(td.zeros(2))
    assert at_zero.tolist() == [0.0, 0.0]
    assert td.grad(lambda v: td.hypot(v[0], v[1]))(td.asarray([3.0, 4.0])).tolist() == pytest.approx([0.6, 0.8])


def test_powers_by_a_python_int_have_derivatives_at_zero_and_below() -> None:
    assert td.grad(lambda x: (x**2).sum())(td.asarray([0.0, -3.0])).tolist() == [0.0, -6.0]
    assert (td.asarray([2, 3]) ** 3).tolist() == [8, 27]
    assert (2.0 ** td.asarray([1.0, 3.0])).tolist() == [2.0, 8.0]
    assert (td.asarray([4.0, 9.0]) ** 0.5).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    "bounds", [(None, None), (-1, None), (None, 2.5), (-1.5, 2), (np.array([-1.0, 0, 1]), 3)], ids=str
)
def test_clip(bounds: tuple[Any, Any]) -> None:
    x = np.array([[-2.0, 0.5, 7.0], [math.nan, math.inf, -math.inf]])
    np.testing.assert_array_equal(td.clip(td.asarray(x), *bounds).numpy(), np.clip(x, *bounds))
    assert td.clip(td.asarray(x, dtype=td.float32), *bounds).dtype is td.float32


@pytest.mark.parametrize("name", ["digamma", "lgamma", "erfinv"])
def test_special_functions(name: str) -> None:
    x = np.array([0.1, 0.5, 0.9])
    oracle = {"digamma": special.psi, "lgamma": special.gammaln, "erfinv": special.erfinv}[name]
    np.testing.assert_allclose(getattr(td, name)(td.asarray(x)).numpy(), oracle(x), rtol=1e-13)
    np.testing.assert_allclose(td.polygamma(2, td.asarray(x)).numpy(), special.polygamma(2, x), rtol=1e-13)
    np.testing.assert_allclose(td.polygamma(0, td.asarray(x)).numpy(), special.psi(x), rtol=1e-13)


# activations


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
def test_softmax(axis: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)) * 5
    np.testing.assert_allclose(td.softmax(td.asarray(x), axis=axis).numpy(), special.softmax(x, axis=axis), rtol=1e-13)
    got = td.log_softmax(td.asarray(x), axis=axis).numpy()
    np.testing.assert_allclose(got, special.log_softmax(x, axis=axis), rtol=1e-12)


def test_softmax_at_the_ends_of_the_range() -> None:
    x = td.asarray([1e4, -1e4, -math.inf])
    assert td.softmax(x).tolist() == [1.0, 0.0, 0.0]
    assert td.log_softmax(x).tolist() == [0.0, -2e4, -math.inf]
    got = td.grad(lambda x: td.log_softmax(x)[0])(x[:2])
    assert got.tolist() == [0.0, 0.0]
    assert td.softmax(td.zeros((2, 0))).shape == (2, 0)


def test_softmax_has_the_derivative_of_its_formula() -> None:
    x = td.asarray(np.random.default_rng(1).normal(size=5))
    p = td.softmax(x)
    expected = td.eye(5, dtype=td.float64) * p - td.outer(p, p)
    np.testing.assert_allclose(td.jacobian(td.softmax)(x).numpy(), expected.numpy(), rtol=1e-12, atol=1e-15)


def test_relu_and_softplus() -> None:
    x = td.asarray([-2.0, 0.0, 3.0, math.nan])
    np.testing.assert_array_equal(td.relu(x).numpy(), np.float32([0, 0, 3, np.nan]))
    assert td.grad(lambda x: td.relu(x).sum())(x[:3]).tolist() == [0.0, 0.0, 1.0]
    assert td.relu(td.asarray([-1, 2])).tolist() == [0, 2]
    assert td.softplus(td.asarray([-1e4, 0.0, 1e4])).tolist() == pytest.approx([0.0, math.log(2), 1e4])
    assert td.grad(lambda x: td.softplus(x).sum())(td.asarray([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
