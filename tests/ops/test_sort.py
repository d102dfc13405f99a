"""sort, argsort, top_k and searchsorted against Python's own stable sort."""

from __future__ import annotations

import bisect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.trial import cases, outputs, tensors
from treadle.core.dims import Dim
from treadle.core.dtypes import bfloat16, float16, float32, int32
from treadle.core.errors import DimError
from treadle.core.spec import Spec
from treadle.core.tensor import concrete
from treadle.ops.sort import argsort, searchsorted, sort, top_k

ROWS = st.lists(st.floats(width=16), max_size=9)  # every width here holds what float16 does, or rounds it alike


def order_of(row, descending):
    """Python's stable order of a row, NaN last."""

    def key(i):
        v = row[i]
        return (True, 0.0) if isinstance(v, float) and math.isnan(v) else (False, -v if descending else v)

    return sorted(range(len(row)), key=key)


def by_rows(x, axis, function):
    return np.apply_along_axis(lambda row: np.array(function(row.tolist()), np.int64), axis, x)


@pytest.mark.parametrize("case", [c for _, c in cases(argsort) if c.inputs[0].size], ids=str)
def test_argsort_and_sort_equal_pythons(case):
    (x,), axis = case.inputs, case.params["axis"]
    want = by_rows(x, axis, lambda row: order_of(row, case.params["descending"]))
    (got,) = outputs(argsort, argsort(*tensors([x]), **case.params))
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)
    (values,) = outputs(sort, sort(*tensors([x]), **case.params))
    assert values.dtype == x.dtype
    np.testing.assert_array_equal(values, np.take_along_axis(x, want, axis))
    if x.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(values), np.signbit(np.take_along_axis(x, want, axis)))


@pytest.mark.parametrize("dtype", [float32, float16, bfloat16])
@pytest.mark.parametrize("descending", [False, True])
@given(row=ROWS)
def test_any_floats_sort_like_pythons(dtype, descending, row):
    with np.errstate(over="ignore"):
        x = np.array(row, dtype.numpy)
    want = order_of(x.astype(np.float64).tolist(), descending)
    got = argsort(concrete(x), axis=0, descending=descending).numpy()
    np.testing.assert_array_equal(got, want)
    values = sort(concrete(x), axis=0, descending=descending)
    assert values.dtype is dtype
    np.testing.assert_array_equal(values.numpy().astype(np.float64), x[want].astype(np.float64))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9), st.booleans())
def test_any_integers_sort_like_pythons(row, descending):
    x = concrete(np.array(row, np.int64))
    np.testing.assert_array_equal(argsort(x, axis=0, descending=descending).numpy(), order_of(row, descending))
    assert sort(x, axis=0, descending=descending).tolist() == sorted(row, reverse=descending)


@pytest.mark.parametrize("case", [c for _, c in cases(top_k) if c.inputs[0].size], ids=str)
def test_top_k_is_the_beginning_of_the_descending_order(case):
    (x,), k = case.inputs, case.params["k"]
    want = by_rows(x, -1, lambda row: order_of(row, True)[:k])
    values, indices = outputs(top_k, top_k(*tensors([x]), k=k))
    assert (values.dtype, indices.dtype) == (x.dtype, np.int32)
    np.testing.assert_array_equal(indices, want)
    np.testing.assert_array_equal(values, np.take_along_axis(x, want, -1))


@pytest.mark.parametrize("side", ["left", "right"])
@given(row=st.lists(st.integers(-5, 5), max_size=9), values=st.lists(st.integers(-6, 6), max_size=5))
def test_searchsorted_equals_bisect(side, row, values):
    row = sorted(row)
    find = bisect.bisect_left if side == "left" else bisect.bisect_right
    for dtype in (np.int32, np.float64, bfloat16.numpy):
        out = searchsorted(concrete(np.array(row, dtype)), concrete(np.array(values, dtype)), side=side)
        assert out.dtype is int32
        assert out.tolist() == [find(row, v) for v in values]


def test_searchsorted_puts_nan_after_all_numbers():
    row, values = tensors([np.array([0.0, np.inf, np.nan, np.nan]), np.array([np.nan, np.inf])])
    assert searchsorted(row, values, side="left").tolist() == [2, 1]
    assert searchsorted(row, values, side="right").tolist() == [4, 2]


@pytest.mark.parametrize("side", ["left", "right"])
def test_batched_rows_of_searchsorted_with_nan(side):
    rows = [[-np.inf, 0.0, 1.0, np.nan], [0.0, 0.0, np.inf, np.inf], [np.nan] * 4]
    values = [np.nan, 0.0, np.inf, 2.0, -np.inf]
    row_tensor, value_tensor = tensors([rows, values])
    out = searchsorted.rule("batch")((True, False), row_tensor, value_tensor, size=3, side=side)
    np.testing.assert_array_equal(out.numpy(), [np.searchsorted(row, values, side=side) for row in rows])


@pytest.mark.parametrize("size", [0, 1])
def test_batched_rows_of_searchsorted_with_few_values(size):
    rows = concrete(np.array([[0.0, 1.0], [5.0, 6.0]]))
    values = concrete(np.full(size, 3.0))
    out = searchsorted.rule("batch")((True, False), rows, values, size=2, side="left")
    assert out.shape == (2, size)
    assert out.tolist() == [[2] * size, [0] * size]


def test_sizes_that_are_not_known():
    n = Dim("n")
    x = Spec((n, 4), float32)
    assert sort.infer(x, axis=0, descending=True) == (x,)
    assert argsort.infer(x, axis=1, descending=True) == (Spec((n, 4), int32),)
    assert top_k.infer(x, k=3) == (Spec((n, 3), float32), Spec((n, 3), int32))
    assert top_k.infer(Spec((n,), float32), k=1) == (Spec((1,), float32), Spec((1,), int32))
    with pytest.raises(DimError, match="depends on the size of n"):
        top_k.infer(Spec((n,), float32), k=2)
