"""A masked branch has no gradient: guarded expressions where they are guarded, in every mode.

Elsewhere `where(x > 0, sqrt(x), 0)` has a NaN gradient at 0: the branch that was not taken sends a zero cotangent
through an infinite factor. Expected values are derived by hand from the branch that was taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import treadle as td

inf, nan = math.inf, math.nan


@dataclass(frozen=True)
class Guarded:
    """A guarded expression, where it is guarded, and its first and second derivative there.

    Of a vector, `second` is the derivative of the gradient along ones: the row sums of the Hessian.
    """

    name: str
    function: Callable[[Any], Any]
    at: Any
    first: Any
    second: Any

    def __str__(self) -> str:
        return self.name


def _norm(x: Any) -> Any:
    return td.sqrt(td.sum(x * x))


def _nested(x: Any) -> Any:
    inner = td.where(x > 0, td.log(x), 0.0)
    return td.where(x > -1, td.where(x > 0, td.sqrt(x) * inner, 2 * x), 1 / x)


TABLE = [
    # a guard at a pole or at the end of the domain
    Guarded("sqrt at 0", lambda x: td.where(x > 0, td.sqrt(x), 0.0), 0.0, 0.0, 0.0),
    Guarded("sqrt of a negative", lambda x: td.where(x > 0, td.sqrt(x), x), -1.0, 1.0, 0.0),
    Guarded("log at 0", lambda x: td.where(x > 0, td.log(x), 0.0), 0.0, 0.0, 0.0),
    Guarded("log of a negative", lambda x: td.where(x > 0, td.log(x), x * x), -3.0, -6.0, 2.0),
    Guarded("log1p at -1", lambda x: td.where(x > -1, td.log1p(x), 3 * x), -1.0, 3.0, 0.0),
    Guarded("reciprocal at 0", lambda x: td.where(x != 0, 1 / x, 0.0), 0.0, 0.0, 0.0),
    Guarded("rsqrt at 0", lambda x: td.where(x > 0, x**-0.5, x), 0.0, 1.0, 0.0),
    Guarded("asin at 1", lambda x: td.where(td.abs(x) < 1, td.asin(x), math.pi / 2 * x), 1.0, math.pi / 2, 0.0),
    Guarded("acos at 1", lambda x: td.where(x < 1, td.acos(x), 0.0), 1.0, 0.0, 0.0),
    Guarded("acos at -1", lambda x: td.where(x > -1, td.acos(x), math.pi), -1.0, 0.0, 0.0),
    Guarded("acosh at 1", lambda x: td.where(x > 1, td.acosh(x), x * x), 1.0, 2.0, 2.0),
    Guarded("atanh at 1", lambda x: td.where(x < 1, td.atanh(x), 2 * x), 1.0, 2.0, 0.0),
    Guarded("power at 0", lambda x: td.where(x > 0, x**0.3, x), 0.0, 1.0, 0.0),
    Guarded("negative power at 0", lambda x: td.where(x != 0, x**-3, x * x), 0.0, 0.0, 2.0),
    # quotients with a removable singularity
    Guarded("sinc at 0", lambda x: td.where(x != 0, td.sin(x) / x, 1.0), 0.0, 0.0, 0.0),
    Guarded("(1-cos)/x at 0", lambda x: td.where(x != 0, (1 - td.cos(x)) / x, x / 2), 0.0, 0.5, 0.0),
    Guarded("expm1(x)/x at 0", lambda x: td.where(x != 0, td.expm1(x) / x, 1 + x / 2), 0.0, 0.5, 0.0),
    Guarded("x log x at 0", lambda x: td.where(x > 0, x * td.log(x), 0.0), 0.0, 0.0, 0.0),
    Guarded("log(x)/x at 0", lambda x: td.where(x > 0, td.log(x) / x, 5 * x), 0.0, 5.0, 0.0),
    # overflow in the branch that is not taken
    Guarded("exp at 1000", lambda x: td.where(x < 50, td.exp(x), 0.0), 1000.0, 0.0, 0.0),
    Guarded("softplus at 1000", lambda x: td.where(x < 30, td.log(1 + td.exp(x)), x), 1000.0, 1.0, 0.0),
    Guarded("exp of a reciprocal", lambda x: td.where(x > 0, td.exp(-1 / x), 0.0), 0.0, 0.0, 0.0),
    Guarded("exp(exp) at 100", lambda x: td.where(x < 1, td.exp(td.exp(x)), x * x), 100.0, 200.0, 2.0),
    # constants that are not finite
    Guarded("times infinity", lambda x: td.where(x > 0, x * inf, 3 * x), -1.0, 3.0, 0.0),
    Guarded("times NaN", lambda x: td.where(x > 0, td.asarray(nan) * x, x * x), -1.0, -2.0, 2.0),
    Guarded("divided by 0", lambda x: td.where(x > 0, x / 0.0, x), -1.0, 1.0, 0.0),
    # several guards, and guards of several operands
    Guarded("nested", _nested, 0.0, 2.0, 0.0),
    Guarded("product of guarded", lambda x: td.where(x > 0, td.sqrt(x), 1.0) * (x + 2), 0.0, 1.0, 0.0),
    Guarded("sqrt of a square, twice", lambda x: td.where(x != 0, td.sqrt(td.sqrt(x * x)), x), 0.0, 1.0, 0.0),
    Guarded("atan2 at the origin", lambda x: td.where(x != 0, td.atan2(x, 2 * x), x), 0.0, 1.0, 0.0),
    Guarded("maximum with a root", lambda x: td.maximum(td.where(x > 0, td.sqrt(x), 0.0), x + 1), 0.0, 1.0, 0.0),
    # vectors
    Guarded("norm at 0", lambda x: td.where(td.sum(x * x) > 0, _norm(x), 0.0), [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    Guarded(
        "one element guarded",
        lambda x: td.sum(td.where(x > 0, td.sqrt(x), 0.0)),
        [4.0, 0.0, 1.0],
        [0.25, 0.0, 0.5],
        [-1 / 32, 0.0, -0.25],
    ),
    Guarded(
        "entropy with a zero",
        lambda p: -td.sum(td.where(p > 0, p * td.log(p), 0.0)),
        [0.5, 0.0, 1.0],
        [math.log(2) - 1, 0.0, -1.0],
        [-2.0, 0.0, -1.0],
    ),
    Guarded(
        "log of zeros",
        lambda x: td.sum(td.where(x < 0, td.log(x - x), x * x)),
        [1.0, 3.0],
        [2.0, 6.0],
        [2.0, 2.0],
    ),
]


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return getattr(td, request.param)


def _close(made: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(made), np.asarray(expected), rtol=1e-6, atol=1e-7)


def test_the_table_is_large_enough() -> None:
    assert len(TABLE) >= 30
    assert len({g.name for g in TABLE}) == len(TABLE)


@pytest.mark.parametrize("guarded", TABLE, ids=str)
def test_reverse_mode(guarded: Guarded, dtype: Any) -> None:
    _close(td.grad(guarded.function)(td.asarray(guarded.at, dtype=dtype)), guarded.first)


@pytest.mark.parametrize("guarded", TABLE, ids=str)
def test_forward_mode(guarded: Guarded, dtype: Any) -> None:
    x = td.asarray(guarded.at, dtype=dtype)
    _, slope = td.jvp(guarded.function, [x], [td.ones_like(x)])
    _close(slope, np.sum(guarded.first))


@pytest.mark.parametrize("guarded", TABLE, ids=str)
def test_forward_over_reverse(guarded: Guarded, dtype: Any) -> None:
    x = td.asarray(guarded.at, dtype=dtype)
    first, second = td.jvp(td.grad(guarded.function), [x], [td.ones_like(x)])
    _close(first, guarded.first)
    _close(second, guarded.second)


@pytest.mark.parametrize("guarded", TABLE, ids=str)
def test_reverse_over_reverse(guarded: Guarded, dtype: Any) -> None:
    x = td.asarray(guarded.at, dtype=dtype)
    _close(td.grad(lambda v: td.sum(td.grad(guarded.function)(v)))(x), guarded.second)


@pytest.mark.parametrize("guarded", TABLE, ids=str)
def test_in_a_compiled_function(guarded: Guarded, dtype: Any) -> None:
    """Without numbers at trace time no factor is known to be finite."""
    _close(td.compile(td.grad(guarded.function))(td.asarray(guarded.at, dtype=dtype)), guarded.first)


def test_what_is_not_masked_stays_infinite_or_nan() -> None:
    """The rule hides no true infinity: where the cotangent is not zero, factors act as IEEE 754 says."""
    assert td.grad(td.sqrt)(td.asarray(0.0)).item() == inf
    assert td.grad(td.log)(td.asarray(0.0)).item() == inf
    assert math.isnan(td.grad(lambda x: x * nan)(td.asarray(1.0)).item())
