"""Reductions against exact sums, SciPy, and derivatives known in closed form. The battery does the rest."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from tests.ops._battery import run, tensor
from tests.ops._dims import graph_of, run_graph
from treadle.core.dims import Dim
from treadle.core.dtypes import float32
from treadle.core.errors import ShapeError
from treadle.core.spec import Spec
from treadle.ops import reduce

inf, nan = np.inf, np.nan
ALL = {"axes": (0,)}


def gradient(primitive: Any, row: Any) -> list[float]:
    """Of a reduction of a vector to a scalar."""
    made: list[float] = td.grad(lambda x: primitive(x, **ALL))(tensor(np.array(row, float))).tolist()
    return made


def forward(primitive: Any, row: Any) -> list[float]:
    """The same by forward mode."""
    x = tensor(np.array(row, float))
    return [td.jvp(lambda t: primitive(t, **ALL), [x], [tensor(e)])[1].item() for e in np.eye(len(row))]


# ------------------------------------------------------------------------------------------------------------ sums


def test_float32_sums_are_rounded_once() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (100_000, 2)).astype(np.float32)
    (out,) = run(reduce.sum, [x], ALL)
    np.testing.assert_array_equal(out, [np.float32(math.fsum(x[:, k].tolist())) for k in range(2)])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_sums_do_not_stall(dtype: Any) -> None:
    """Added up in their own precision, ones stop counting at 2048 (float16) or 256 (bfloat16)."""
    (out,) = run(reduce.sum, [np.ones(5000, dtype)], ALL)
    assert out == np.array(5000, dtype)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint64])
def test_integers_keep_their_dtype_and_wrap(dtype: Any) -> None:
    x = np.array([np.iinfo(dtype).max, 2], dtype)
    for primitive, exact in ((reduce.sum, int(x[0]) + 2), (reduce.prod, int(x[0]) * 2)):
        (out,) = run(primitive, [x], ALL)
        assert out.dtype == dtype
        assert (int(out) - exact) % 2 ** (8 * x.itemsize) == 0


# -------------------------------------------------------------------------------------------------------- products


def leave_one_out(row: Any) -> list[float]:
    return [math.prod(v for j, v in enumerate(row) if j != i) for i in range(len(row))]


@given(st.lists(st.sampled_from([0.0, 1.0, -2.0, 3.0, 0.5]), min_size=1, max_size=6))
def test_the_gradient_of_a_product_holds_at_zeros(row: list[float]) -> None:
    assert gradient(reduce.prod, row) == leave_one_out(row)
    assert forward(reduce.prod, row) == leave_one_out(row)


@pytest.mark.parametrize("row", [(2.0, 3.0, 5.0), (0.0, 3.0, 5.0), (0.0, 0.0, 5.0), (0.0, 0.0, 0.0)])
def test_higher_derivatives_of_a_product_hold_at_zeros(row: Any) -> None:
    """d²/dx_i dx_j is the product of the rest for i != j, else 0; the third derivative of three factors is 1."""
    x = tensor(np.array(row))

    def slope(along: Any) -> Any:
        return lambda f: lambda t: td.jvp(f, [t], [tensor(np.eye(3)[along])])[1]

    def product(t: Any) -> Any:
        return reduce.prod(t, **ALL)

    for i in range(3):
        for j in range(3):
            rest = math.prod(v for k, v in enumerate(row) if k not in (i, j)) if i != j else 0.0
            assert slope(i)(slope(j)(product))(x).item() == rest
            assert td.grad(slope(i)(product))(x).tolist()[j] == rest
    for i, j, k in permutations(range(3)):
        assert slope(i)(slope(j)(slope(k)(product)))(x).item() == 1.0


def test_the_gradient_of_a_product_over_several_axes() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    x[0, 1, 2] = 0.0
    made = td.grad(lambda t: reduce.sum(reduce.prod(t, axes=(0, 2)), **ALL))(tensor(x)).numpy()
    for at in np.ndindex(x.shape):
        others = [x[i, at[1], k] for i in range(2) for k in range(4) if (i, k) != (at[0], at[2])]
        np.testing.assert_allclose(made[at], math.prod(others), rtol=1e-13, atol=1e-300)


# ----------------------------------------------------------------------------------------------------- max and min


@pytest.mark.parametrize(
    ("row", "shares"),
    [
        ([1, 3, 2], [0, 1, 0]),
        ([3, 1, 3], [0.5, 0, 0.5]),
        ([2, 2, 2, 2], [0.25] * 4),
        ([0.0, -0.0], [0.5, 0.5]),
        ([-inf, -inf], [0.5, 0.5]),
        ([inf, 1, inf], [0.5, 0, 0.5]),
    ],
)
def test_ties_share_the_derivative_evenly(row: Any, shares: Any) -> None:
    for made in (gradient, forward):
        assert made(reduce.max, row) == shares
        assert made(reduce.min, [-v for v in row]) == shares


@pytest.mark.parametrize("primitive", [reduce.max, reduce.min])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_nan_is_contagious(primitive: Any, dtype: Any) -> None:
    (out,) = run(primitive, [np.array([[1, nan], [nan, 1], [1, 2]], dtype)], {"axes": (1,)})
    assert np.isnan(out.astype(float)).tolist() == [True, True, False]
    assert all(math.isfinite(g) for g in gradient(primitive, [1, nan, 2]))


@pytest.mark.parametrize("primitive", [reduce.max, reduce.min, reduce.argmax, reduce.argmin])
def test_nothing_has_no_extremum_also_when_the_size_comes_late(primitive: Any) -> None:
    n = Dim("n")
    params = {"axis": 0} if primitive.name.startswith("arg") else ALL
    graph = graph_of(lambda x: primitive(x, **params), Spec((n,), float32))
    assert run_graph(graph, np.ones(2, np.float32)).shape == ()
    with pytest.raises(ShapeError, match=rf"{primitive.name} of \[0\] over axis 0: its size is 0"):
        run_graph(graph, np.ones(0, np.float32))


# ------------------------------------------------------------------------------------------------------- logsumexp

ROWS = [
    [0.0, 1.0, -1.0],
    [1000.0, 999.0, -1000.0],
    [-1000.0, -1001.0, -999.5],
    [-inf, 0.0, 2.0],
    [5.0],
    [-inf, -inf],
    [inf, 0.0],
    [nan, 0.0],
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_logsumexp_is_scipys(row: Any) -> None:
    with np.errstate(all="ignore"):
        expected = scipy.special.logsumexp(row)
    np.testing.assert_allclose(run(reduce.logsumexp, [np.array(row)], ALL)[0], expected, rtol=1e-15)


@pytest.mark.parametrize("row", ROWS[:5], ids=str)
def test_the_gradient_of_logsumexp_is_softmax(row: Any) -> None:
    for made in (gradient, forward):
        np.testing.assert_allclose(made(reduce.logsumexp, row), scipy.special.softmax(row), rtol=1e-12)


def test_an_empty_set_of_finite_logits_has_no_gradient() -> None:
    for made in (gradient, forward):
        assert made(reduce.logsumexp, [-inf, -inf]) == [0.0, 0.0]
    hessian = td.grad(lambda x: reduce.sum(td.grad(lambda t: reduce.logsumexp(t, **ALL))(x), **ALL))
    assert hessian(tensor(np.array([-inf, -inf]))).tolist() == [0.0, 0.0]


def test_logsumexp_of_nothing_is_the_log_of_zero() -> None:
    (out,) = run(reduce.logsumexp, [np.zeros((0, 2))], ALL)
    assert out.tolist() == [-inf, -inf]


# ----------------------------------------------------------------------------------------------- argmax and argmin


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, inf, -inf, nan]), min_size=1, max_size=6))
def test_argmax_is_the_first_of_what_max_gives(row: list[float]) -> None:
    for dtype in (np.float64, np.float16, ml_dtypes.bfloat16):
        x = np.array(row, dtype)
        for place, extremum in ((reduce.argmax, reduce.max), (reduce.argmin, reduce.min)):
            (k,), (value,) = run(place, [x], {"axis": 0}), run(extremum, [x], ALL)
            same = [v == value or (v != v and value != value) for v in x]
            assert same.index(True) == k
