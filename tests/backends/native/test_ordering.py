"""Sorting, choosing and searching as machine code: the reference's answers to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import treadle as td
from treadle.backends.native.expressions import Buffer
from treadle.backends.native.ordering import INSERTED, MANY, RowSort
from treadle.backends.native.prepare import left_to_reference
from treadle.core.dtypes import int32

KINDS = ["float32", "float64", "float16", "int8", "int32", "int64", "uint8", "uint32", "uint64"]


def both(function, *args):
    tensors = [td.asarray(a) for a in args]
    native, reference = td.compile(function)(*tensors), td.compile(function, backend="reference")(*tensors)
    for a, b in zip(td.tree.leaves(native), td.tree.leaves(reference), strict=True):
        assert a.dtype is b.dtype
        assert a.numpy().tobytes() == b.numpy().tobytes()


@st.composite
def arrays(draw, least=0):
    dtype = np.dtype(draw(st.sampled_from(KINDS)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=least, max_side=9))
    special = [0.0, -0.0, 1.0, np.nan, np.inf, -np.inf] if dtype.kind == "f" else [0, 1]
    elements = st.one_of(st.sampled_from(special), hnp.from_dtype(dtype))
    return draw(hnp.arrays(dtype, shape, elements=elements))


@settings(max_examples=40, deadline=None)
@given(arrays(), st.data())
def test_sort_and_argsort(x, data):
    axis, descending = data.draw(st.integers(0, x.ndim - 1)), data.draw(st.booleans())
    both(lambda t: (td.sort(t, axis=axis, descending=descending), td.argsort(t, axis=axis, descending=descending)), x)


@settings(max_examples=40, deadline=None)
@given(arrays(least=1), st.data())
def test_top_k(x, data):
    k = data.draw(st.integers(0, x.shape[-1]))
    both(lambda t: td.top_k(t, k), x)


@settings(max_examples=40, deadline=None)
@given(arrays(), st.data())
def test_searchsorted(x, data):
    values = np.concatenate([x.ravel(), data.draw(hnp.arrays(x.dtype, 5, elements=hnp.from_dtype(x.dtype)))])
    side = data.draw(st.sampled_from(["left", "right"]))
    both(lambda row, v: td.searchsorted(row, v, side=side), np.sort(x.ravel()), values)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("n", [5, 200, 2000])
def test_rows_of_every_length(dtype, n):
    rng = np.random.default_rng(n)
    x = rng.integers(-9, 9, (3, n)).astype(dtype)  # with ties: their order is kept
    both(lambda t: (td.sort(t), td.argsort(t), td.argsort(t, descending=True), td.top_k(t, n // 2), td.top_k(t, 4)), x)


def test_how_a_row_is_sorted_follows_from_its_length():
    def row_sort(n, chosen):
        keys = Buffer(0, int32, (3, n))
        return RowSort(keys, keys, keys, 3, n, chosen, 1)

    assert row_sort(4 * MANY, 4 * MANY).by_digits
    assert not row_sort(4 * MANY - 1, 4 * MANY - 1).by_digits
    assert row_sort(1000, INSERTED).inserts
    assert not row_sort(1000, INSERTED + 1).inserts
    assert not row_sort(10, 5).inserts


def test_many_rows_are_shared_between_threads():
    x = np.random.default_rng(0).standard_normal((1000, 300)).astype("float32")
    both(lambda t: (td.sort(t), td.top_k(t, 5)), x)


def test_inside_a_loop_nothing_returns_to_python():
    def f(x):
        return td.scan(lambda c, row: (c + td.top_k(row, 2)[0], td.sort(row + c[0])), td.zeros(2), x)

    x = np.random.default_rng(1).standard_normal((6, 40)).astype("float32")
    both(f, x)
    assert "Python" not in str(td.compile(f).explain(td.asarray(x)))


def test_none_of_them_is_left_to_the_reference():
    assert not {"sort", "argsort", "top_k", "searchsorted"} & set(left_to_reference())


def test_derivatives_go_through_the_chosen():
    both(
        td.grad(lambda x: td.sum(td.sort(x) * td.arange(6.0)) + td.sum(td.top_k(x, 3)[0] ** 2)),
        np.float32([3, 1, 2, 9, 7, 5]),
    )
