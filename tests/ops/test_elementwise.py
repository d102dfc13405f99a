"""Elementwise primitives where the battery cannot look: kinks, limits, saturation, and what reverse mode is made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ShapeError
from treadle.core.primitive import Unknown
from treadle.core.tensor import Tensor, concrete
from treadle.ops import elementwise as ew

inf = math.inf


def _t(value: Any, dtype: str = "float64") -> Tensor:
    return concrete(np.array(value, dtype))


def _partials(primitive: Any, *at: float) -> list[float]:
    primals = [_t(x) for x in at]
    _, pull = td.vjp(lambda *xs: primitive(*xs), *primals)
    return [g.item() for g in pull(_t(1.0))]


@pytest.mark.parametrize(
    ("primitive", "at", "expected"),
    [
        (ew.power, (0.0, 1.0), [1.0, 0.0]),
        (ew.power, (0.0, 2.0), [0.0, 0.0]),
        (ew.power, (0.0, 0.5), [inf, 0.0]),
        (ew.power, (3.0, 0.0), [0.0, math.log(3)]),
        (ew.maximum, (1.0, 1.0), [0.5, 0.5]),
        (ew.minimum, (1.0, 1.0), [0.5, 0.5]),
        (ew.maximum, (inf, 1.0), [1.0, 0.0]),
        (ew.clamp, (0.0, 0.0, 1.0), [1.0, 0.0, 0.0]),
        (ew.clamp, (1.0, 0.0, 1.0), [1.0, 0.0, 0.0]),
        (ew.clamp, (2.0, 0.0, 1.0), [0.0, 0.0, 1.0]),
        (ew.clamp, (0.5, 1.0, 0.0), [0.0, 0.0, 1.0]),
        (ew.abs, (0.0,), [0.0]),
        (ew.copysign, (2.0, -0.0), [-1.0, 0.0]),
        (ew.logaddexp, (-inf, -inf), [0.5, 0.5]),
        (ew.logaddexp, (inf, 0.0), [1.0, 0.0]),
        (ew.logaddexp, (0.0, -inf), [1.0, 0.0]),
        (ew.sigmoid, (1000.0,), [0.0]),
        (ew.sigmoid, (-1000.0,), [0.0]),
        (ew.tanh, (1000.0,), [0.0]),
        (ew.atan2, (1e-200, 1e-200), [5e199, -5e199]),
        (ew.atan2, (3e200, 4e200), [4e200 / 25 / 1e200 / 1e200, -3e200 / 25 / 1e200 / 1e200]),
        (ew.remainder, (5.25, 2.0), [1.0, -2.0]),
        (ew.masked_mul, (0.0, inf), [inf, 0.0]),
        (ew.masked_div, (0.0, 0.0), [inf, 0.0]),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_partial_derivatives_at_edges(primitive: Any, at: tuple[float, ...], expected: list[float]) -> None:
    np.testing.assert_allclose(_partials(primitive, *at), expected, rtol=1e-12)


def test_power_of_a_negative_number_by_a_constant() -> None:
    cube = td.grad(lambda x: ew.power(x, _t(3.0)))
    assert cube(_t(-2.0)).item() == pytest.approx(12.0)


def test_second_derivative_of_logaddexp_at_equal_operands() -> None:
    """The guard for equal infinities must not flatten the function at equal finite operands: p(1-p) = 1/4."""
    second = td.grad(td.grad(lambda x: ew.logaddexp(x, _t(1.0))))
    assert second(_t(1.0)).item() == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "trunc", "sign", "stop_gradient"])
def test_flat_functions_have_no_gradient(name: str) -> None:
    assert td.grad(lambda x: getattr(ew, name)(x) + x)(_t(0.3)).item() == 1.0


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_cast_to_integers_saturates(dtype: str) -> None:
    bounds = np.iinfo(dtype)
    made = ew.cast(_t([inf, -inf, math.nan, 1e30, -1e30, 2.9, -0.9]), dtype=as_dtype(dtype)).tolist()
    assert made == [bounds.max, bounds.min, 0, bounds.max, bounds.min, 2, 0]


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_integer_division_rounds_down(a: int, b: int) -> None:
    x, y = _t(a, "int32"), _t(b, "int32")
    quotient, rest = ew.floor_divide(x, y).item(), ew.remainder(x, y).item()
    if b == 0:
        assert (quotient, rest) == (0, 0)
    elif (a, b) != (-(2**31), -1):  # whose quotient does not exist in int32
        assert (quotient, rest) == divmod(a, b)


@given(st.integers(-20, 20), st.integers(0, 40))
def test_shifts(a: int, k: int) -> None:
    x, by = _t(a, "int32"), _t(k, "int32")
    wrapped = (a << k) & 0xFFFFFFFF
    assert ew.shift_left(x, by).item() == wrapped - (wrapped >> 31 << 32)
    assert ew.shift_right(x, by).item() == a >> k


@given(st.integers(-9, 9), st.integers(0, 40))
def test_integer_power_wraps(base: int, exponent: int) -> None:
    wrapped = base**exponent & 0xFFFFFFFF
    expected = wrapped - (wrapped >> 31 << 32)
    assert ew.integer_power(_t(base, "int32"), exponent=exponent).item() == expected


def test_round_takes_halves_to_even() -> None:
    assert ew.round(_t([0.5, 1.5, 2.5, -0.5, -1.5])).tolist() == [0.0, 2.0, 2.0, -0.0, -2.0]


def test_sigmoid_keeps_its_digits_in_both_tails() -> None:
    made = ew.sigmoid(_t([-700.0, -40.0, 40.0, 1000.0])).numpy()
    np.testing.assert_allclose(made, [math.exp(-700.0), math.exp(-40.0) / (1 + math.exp(-40.0)), 1.0, 1.0], rtol=1e-15)


def test_message_names_operation_shapes_and_remedy() -> None:
    with pytest.raises(ShapeError) as caught:
        ew.add(_t([1.0, 2.0]), _t(np.ones((2, 3))))
    for words in ("`add`", "[2] and [2, 3]", "axis -1 has sizes 2 and 3", "v[:, None]"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("factor", "expected"), [(2.0, "mul"), (inf, "masked_mul"), (math.nan, "masked_mul"), ([1.0, 2.0], "masked_mul")]
)
def test_masked_products_only_where_a_factor_may_be_infinite(factor: Any, expected: str) -> None:
    """A number known to be finite costs no mask."""
    ct = _t([1.0, 0.0])
    text = str(td.graph(lambda c: ew.mul.rule("transpose")(c, Unknown(ct.spec), _t(factor))[0])(ct))
    assert f"= {expected} " in text
