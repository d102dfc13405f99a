"""Running reductions against loops, and their derivatives at zeros and ties. The battery does the rest."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from tests.ops._battery import run, tensor
from tests.ops._dims import graph_of, run_graph
from treadle.core.dims import Dim
from treadle.core.dtypes import float32
from treadle.core.spec import Spec
from treadle.ops import cumulative

inf, nan = np.inf, np.nan
BOTH = pytest.mark.parametrize("reverse", [False, True])


def jacobian(primitive: Any, row: Any, reverse: bool) -> Any:
    """[output, input] of a vector to a vector, by forward and by reverse mode, which must agree."""
    x = tensor(np.array(row, float))

    def function(t: Any) -> Any:
        return primitive(t, axis=0, reverse=reverse)

    unit = [tensor(e) for e in np.eye(len(row))]
    pushed = np.stack([td.jvp(function, [x], [e])[1].numpy() for e in unit], axis=1)
    _, pull = td.vjp(function, x)
    pulled = np.stack([np.asarray(pull(e)[0]) for e in unit])
    np.testing.assert_array_equal(pushed, pulled)
    return pushed


def turned(matrix: Any, reverse: bool) -> Any:
    return np.asarray(matrix)[::-1, ::-1] if reverse else np.asarray(matrix)


@BOTH
@given(st.lists(st.sampled_from([0.0, 1.0, -2.0, 3.0, 0.5]), min_size=1, max_size=7))
def test_the_derivative_of_cumprod_holds_at_zeros(reverse: bool, row: list[float]) -> None:
    """d out[k] / d x[i] is the product of the others among the first k + 1."""
    n = len(row)
    expected = [[math.prod(row[j] for j in range(k + 1) if j != i) * (i <= k) for i in range(n)] for k in range(n)]
    made = jacobian(cumulative.cumprod, row[::-1] if reverse else row, reverse)
    np.testing.assert_array_equal(made, turned(expected, reverse))


@BOTH
@pytest.mark.parametrize("row", [[0.0, 2.0, 3.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
def test_the_second_derivative_of_cumprod_holds_at_zeros(reverse: bool, row: list[float]) -> None:
    x = tensor(np.array(row[::-1] if reverse else row))

    def out_of(u: Any) -> Any:
        return cumulative.cumprod(u, axis=0, reverse=reverse)

    for i in range(3):
        for j in range(3):
            e_i, e_j = tensor(np.eye(3)[i]), tensor(np.eye(3)[j])
            second = td.jvp(lambda t, e=e_i: td.jvp(out_of, [t], [e])[1], [x], [e_j])[1].numpy()
            whole = second[0 if reverse else -1]
            rest = math.prod(v for k, v in enumerate(x.tolist()) if k not in (i, j))
            assert whole == (rest if i != j else 0.0)


@BOTH
@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_the_derivative_of_cumprod_over_an_unknown_size(n: int, reverse: bool) -> None:
    spec = Spec((Dim("n"), 2), float32)
    rule = cumulative.cumprod.rule("jvp")
    options = {"axis": 0, "reverse": reverse}
    graph = graph_of(lambda x, dx: rule((x,), (dx,), x, **options), spec, spec)
    rng = np.random.default_rng(n)
    x, dx = (rng.uniform(-2, 2, (n, 2)).astype(np.float32) for _ in range(2))
    expected = rule((tensor(x),), (tensor(dx),), None, **options).numpy()
    np.testing.assert_array_equal(run_graph(graph, x, dx), expected)


@BOTH
@pytest.mark.parametrize(
    ("row", "places"),
    [
        ([1.0, 3.0, 2.0, 4.0], [0, 1, 1, 3]),
        ([3.0, 3.0, 1.0, 3.0], [0, 1, 1, 3]),  # of equals, the one reached last
        ([-inf, -inf, 0.0], [0, 1, 2]),
        ([1.0, inf, inf, 2.0], [0, 1, 2, 2]),
    ],
)
def test_cummax_passes_the_tangent_of_its_maximum(row: Any, places: list[int], reverse: bool) -> None:
    made = jacobian(cumulative.cummax, row[::-1] if reverse else row, reverse)
    np.testing.assert_array_equal(made, turned(np.eye(len(row))[places], reverse))


@BOTH
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int8])
@pytest.mark.parametrize(("name", "step"), [("cumsum", np.add), ("cumprod", np.multiply), ("cummax", np.maximum)])
def test_values_are_those_of_a_loop(name: str, step: Any, dtype: Any, reverse: bool) -> None:
    rows = np.random.default_rng(0).integers(-3, 4, (4, 5)).astype(dtype)
    (out,) = run(getattr(cumulative, name), [rows], {"axis": 1, "reverse": reverse})
    assert out.dtype == rows.dtype
    for row, got in zip(rows[:, ::-1] if reverse else rows, out[:, ::-1] if reverse else out, strict=True):
        total = row[0]
        for value, have in zip([None, *row[1:]], got, strict=True):
            total = total if value is None else step(total, value)
            assert have == total


def test_float32_running_sums_do_not_drift() -> None:
    x = np.full(100_000, 0.1, np.float32)
    (out,) = run(cumulative.cumsum, [x], {"axis": 0, "reverse": False})
    np.testing.assert_allclose(out, np.arange(1, 100_001) * np.float64(x[0]), rtol=1e-7)


def test_nan_is_contagious_from_where_it_stands() -> None:
    (out,) = run(cumulative.cummax, [np.array([1.0, nan, 2.0])], {"axis": 0, "reverse": False})
    np.testing.assert_array_equal(out, [1.0, nan, nan])
