"""Searching, sorting and sets, against NumPy."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, TraceError

ELEMENTS = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.5, 7.0])


@st.composite
def array_and_axis(draw: st.DrawFn) -> tuple[Any, int]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    return draw(hnp.arrays(np.float32, shape, elements=ELEMENTS)), draw(st.integers(-len(shape), len(shape) - 1))


@given(array_and_axis(), st.booleans())
def test_argmax_and_argmin(case: tuple[Any, int], keepdims: bool) -> None:
    x, axis = case
    for name in ("argmax", "argmin"):
        for a in (axis, None):
            got = getattr(td, name)(td.asarray(x), axis=a, keepdims=keepdims)
            assert got.dtype is td.int32
            np.testing.assert_array_equal(got.numpy(), getattr(np, name)(x, axis=a, keepdims=keepdims))


@given(array_and_axis())
def test_sort_and_argsort(case: tuple[Any, int]) -> None:
    x, axis = case
    np.testing.assert_array_equal(td.sort(td.asarray(x), axis=axis).numpy(), np.sort(x, axis))
    np.testing.assert_array_equal(td.argsort(td.asarray(x), axis=axis).numpy(), np.argsort(x, axis, kind="stable"))
    down = td.argsort(td.asarray(x), axis=axis, descending=True).numpy()
    np.testing.assert_array_equal(down, np.argsort(-x, axis, kind="stable"))
    k = x.shape[axis] // 2 + 1
    values, indices = td.top_k(td.asarray(x), k, axis=axis)
    np.testing.assert_array_equal(indices.numpy(), np.take(down, range(k), axis))
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x, indices.numpy(), axis))


@given(array_and_axis(), st.data())
def test_take(case: tuple[Any, int], data: st.DataObject) -> None:
    x, axis = case
    n = x.shape[axis]
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    where = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(-n, n - 1)))
    for run in (lambda t, i: td.take(t, i, axis=axis), td.compile(lambda t, i: td.take(t, i, axis=axis))):
        np.testing.assert_array_equal(run(td.asarray(x), td.asarray(where)).numpy(), np.take(x, where, axis))


@given(array_and_axis(), st.data())
def test_take_along_axis(case: tuple[Any, int], data: st.DataObject) -> None:
    x, axis = case
    n = x.shape[axis]
    shape = tuple(data.draw(st.integers(0, 3)) if a == axis % x.ndim else data.draw(st.sampled_from([1, m]))
                  for a, m in enumerate(x.shape))  # fmt: skip
    where = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-n, n - 1)))
    got = td.take_along_axis(td.asarray(x), td.asarray(where), axis=axis)
    np.testing.assert_array_equal(got.numpy(), np.take_along_axis(x, where, axis))


def test_nonzero() -> None:
    x = np.array([[0, 3, 0], [4, 0, 5]])
    for got, expected in zip(td.nonzero(td.asarray(x)), np.nonzero(x), strict=True):
        assert got.dtype is td.int32
        np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(side: Any) -> None:
    x, v = np.array([1.0, 2.0, 2.0, 5.0]), np.array([[0.0, 2.0], [5.0, 9.0]])
    np.testing.assert_array_equal(
        td.searchsorted(td.asarray(x), td.asarray(v), side=side).numpy(), np.searchsorted(x, v, side)
    )
    order = np.array([3, 0, 2, 1])
    shuffled = np.empty_like(x)
    shuffled[order] = x
    got = td.searchsorted(td.asarray(shuffled), td.asarray(v), side=side, sorter=td.asarray(order))
    np.testing.assert_array_equal(got.numpy(), np.searchsorted(shuffled, v, side, sorter=order))


def test_where_takes_numbers_and_guards_derivatives() -> None:
    mask = td.asarray([[True], [False]])
    assert td.where(mask, td.asarray([1, 2]), 0).tolist() == [[1, 2], [0, 0]]
    assert td.where(mask, 1.5, 2).dtype is td.float32
    got = td.grad(lambda x: td.where(x > 0, td.sqrt(x), 0.0).sum())(td.asarray([0.0, 4.0]))
    assert got.tolist() == [0.0, 0.25]


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=2, max_side=5), elements=ELEMENTS))
def test_unique(x: Any) -> None:
    u = td.unique_all(td.asarray(x))
    values, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    for got, expected in zip(u, (values, first, inverse.reshape(x.shape), counts), strict=True):
        np.testing.assert_array_equal(got.numpy(), expected)
    np.testing.assert_array_equal(td.unique_values(td.asarray(x)).numpy(), values)
    np.testing.assert_array_equal(td.unique_counts(td.asarray(x)).counts.numpy(), counts)
    np.testing.assert_array_equal(td.unique_inverse(td.asarray(x)).inverse_indices.numpy(), inverse.reshape(x.shape))


def test_unique_of_nan_bfloat16_and_in_derivatives() -> None:
    assert td.unique_counts(td.asarray([np.nan, 1.0, np.nan])).counts.tolist() == [1, 1, 1]
    assert td.unique_values(td.asarray([2, 1, 2], dtype=td.bfloat16)).tolist() == [1.0, 2.0]
    got = td.grad(lambda x: (td.unique_values(x) * td.asarray([1.0, 10.0])).sum())(td.asarray([3.0, 1.0, 3.0]))
    assert got.tolist() == [10.0, 1.0, 0.0]


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("among", [[], [1.0, 7.0, 1.0], [[np.nan, 2.0]]], ids=str)
def test_isin(among: Any, invert: bool) -> None:
    x, y = np.float32([[1.0, 2.0], [np.nan, 7.0]]), np.float32(among)
    for run in (td.isin, td.compile(lambda a, b, *, invert: td.isin(a, b, invert=invert))):
        got = run(td.asarray(x), td.asarray(y), invert=invert)
        np.testing.assert_array_equal(got.numpy(), np.isin(x, y, invert=invert))
    assert td.isin(td.asarray([True, False]), td.asarray([True])).tolist() == [True, False]
    assert td.isin(td.asarray([3, 4]), 4).tolist() == [False, True]


@pytest.mark.parametrize("name", ["nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values"])
def test_shapes_that_depend_on_numbers_are_refused_in_traces(name: str) -> None:
    with pytest.raises(TraceError, match=f"{name}: the result's shape depends on the numbers of"):
        td.compile(lambda x: getattr(td, name)(x))(td.zeros(3))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda x: td.take(x, 0), ShapeError, r"take: x is f32\[2,3\] with 2 axes; say which one"),
        (lambda x: td.take(x, [0.5], axis=0), DTypeError, "a list is neither"),
        (lambda x: td.take(x, td.asarray([0.5]), axis=0), DTypeError, r"indices must hold integers.*astype"),
        (lambda x: td.take(x, td.asarray([0, 2]), axis=0), OutOfRangeError, "take: index 2 .* axis 0 with size 2"),
        (lambda x: td.take_along_axis(x, td.asarray([0])), ShapeError, "as many axes"),
        (lambda x: td.take_along_axis(x, td.asarray([[3], [0]])), OutOfRangeError, "index 3 .* axis 1 with size 3"),
        (lambda x: td.take_along_axis(x, td.zeros((3, 1), dtype=td.int32)), ShapeError, r"\[2\] and \[3\]"),
        (lambda x: td.nonzero(x[0, 0]), ShapeError, "a scalar has no positions"),
        (lambda x: td.searchsorted(x, x), ShapeError, "must be a sorted vector"),
        (lambda x: td.searchsorted(x[0], x, side="middle"), ArgumentError, "'middle'"),
        (lambda x: td.top_k(x, 4), ShapeError, "4 of 3"),
        (lambda x: td.sort(x, axis=2), ShapeError, r"sort of f32\[2,3\]: axis 2"),
        (lambda x: td.sort(x > 0), DTypeError, "sort needs numbers"),
        (lambda x: td.where(x > 0, 1, td.zeros(2)), ShapeError, r"\[2, 3\].*\[2\]"),
    ],
)
def test_errors(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(td.zeros((2, 3)))
