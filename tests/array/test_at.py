"""x.at[key] against NumPy's assignment and ufunc.at."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from tests.array.test_indexing import mixed, numbered
from treadle.core.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError

UFUNCS = {"add": np.add, "multiply": np.multiply, "max": np.maximum, "min": np.minimum}


def expected_update(array: Any, key: Any, op: str, values: Any) -> Any:
    out = array.copy()
    if op == "set":
        out[key] = values
    else:
        UFUNCS[op].at(out, key, values)
    return out


def check(array: Any, key: Any, op: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 4, array[key].shape).astype(array.dtype)
    got = getattr(td.asarray(array).at[key], op)(td.asarray(values))
    np.testing.assert_array_equal(got.numpy(), expected_update(array, key, op, values), err_msg=f"{op} {key}")


@given(st.data(), st.sampled_from(["set", *UFUNCS]))
def test_basic_keys(data: st.DataObject, op: str) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    check(numbered(shape), data.draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=8)), op)


@given(mixed(), st.sampled_from(["set", *UFUNCS]))
def test_mixed_keys(case: tuple[tuple[int, ...], tuple[Any, ...]], op: str) -> None:
    shape, key = case
    check(numbered(shape), key, op)


@pytest.mark.parametrize("op", ["set", *UFUNCS])
@pytest.mark.parametrize(
    "key", [([0, 2, 0, 0, 2],), (slice(None), [1, 1, 3, 1]), ([0, 1, 0], slice(1, 3)), ([[1], [1]], [[0, 0]])], ids=str
)
def test_positions_that_repeat(op: str, key: Any) -> None:
    check(numbered((3, 4)), key, op)


@pytest.mark.parametrize("op", ["set", *UFUNCS])
def test_in_traces_positions_and_masks_need_no_numbers(op: str) -> None:
    array = numbered((3, 4))
    where, values = np.array([2, 0, 2], np.int32), np.array([[5.0], [7.0], [2.0]], np.float32)
    got = td.compile(lambda x, i, v: getattr(x.at[i - 3, 1:], op)(v))(
        td.asarray(array), td.asarray(where), td.asarray(values)
    )
    np.testing.assert_array_equal(got.numpy(), expected_update(array, (where, slice(1, None)), op, values))
    masked = td.compile(lambda x: getattr(x.at[x > 5], op)(3))(td.asarray(array))
    np.testing.assert_array_equal(masked.numpy(), expected_update(array, array > 5, op, np.float32(3)))


@pytest.mark.parametrize("op", ["set", "add", "multiply"])
@pytest.mark.parametrize("key", [0, slice(1, None), slice(None, None, 2), slice(None, -1), [0, -1]], ids=str)
def test_unknown_sizes(op: str, key: Any) -> None:
    f = td.compile(lambda x: getattr(x.at[key], op)(3), dynamic={"x": ("n", None)})
    for n in (2, 5):
        array = numbered((n, 3))
        np.testing.assert_array_equal(f(td.asarray(array)).numpy(), expected_update(array, key, op, np.float32(3)))


@pytest.mark.parametrize(
    ("mode", "expected"), [("clip", [10.0, 1.0, 30.0]), ("drop", [0.0, 1.0, 2.0])], ids=["clip", "drop"]
)
def test_modes(mode: str, expected: list[float]) -> None:
    x = td.arange(3).astype(td.float32)
    assert x.at[[-9, 7]].set([10.0, 30.0], mode=mode).tolist() == expected
    with pytest.raises(OutOfRangeError, match="index -9"):
        x.at[[-9, 7]].set(0.0)


@pytest.mark.parametrize(("mode", "expected"), [("clip", [0.0, 1.0, 12.0]), ("drop", [0.0, 1.0, 4.0])])
def test_products_under_modes(mode: str, expected: list[float]) -> None:
    x = td.arange(3).astype(td.float32)
    assert x.at[[5, 2, -8]].multiply([3.0, 2.0, 7.0], mode=mode).tolist() == expected
    grid = td.ones((2, 3)).at[[0, 1], [4, 1]].multiply([5.0, 3.0], mode=mode)
    assert grid.tolist() == [[1.0, 1.0, 5.0 if mode == "clip" else 1.0], [1.0, 3.0, 1.0]]


def test_get() -> None:
    x = td.arange(3)
    assert x.at[[1, 9, -7]].get(mode="clip").tolist() == [1, 2, 0]
    assert (x + 5).at[[1, 9]].get(mode="fill").tolist() == [6, 0]
    assert x.at[1:].get().tolist() == [1, 2]


def test_derivatives() -> None:
    def f(x: Any, v: Any) -> Any:
        y = x.at[[0, 2, 0]].multiply(v).at[1].set(v[0]).at[::2].add(v[1])
        return (y * td.asarray([1.0, 10.0, 100.0])).sum()

    x, v = td.asarray([1.0, 2.0, 3.0]), td.asarray([4.0, 5.0, 6.0])
    dx, dv = td.grad(f, argnums=(0, 1))(x, v)
    assert dx.tolist() == [24.0, 0.0, 500.0]  # 4·6, overwritten, 100·5
    assert dv.tolist() == [6.0 + 10.0, 300.0 + 101.0, 4.0]


def test_values_take_the_tensors_dtype() -> None:
    assert td.zeros(2, dtype=td.float64).at[0].set(1).dtype is td.float64
    assert td.zeros(2).at[0].set(td.asarray(1.0, dtype=td.float64)).dtype is td.float32
    assert td.zeros(2).at[:].set([1, 2]).tolist() == [1.0, 2.0]
    assert td.asarray([True, False]).at[1].set(True).tolist() == [True, True]


def test_errors() -> None:
    x = td.zeros((2, 3))
    with pytest.raises(ShapeError, match=r"x\.at\[key\]\.set: the values \[2\] do not broadcast to \[3\]"):
        x.at[0].set([1.0, 2.0])
    with pytest.raises(DTypeError, match="astype"):
        x.astype(td.int32).at[0].add(0.5)
    with pytest.raises(ArgumentError, match='"error", "clip" or "drop"; got \'fill\''):
        x.at[0].add(1.0, mode="fill")
    with pytest.raises(ArgumentError, match='"error", "clip" or "fill"; got \'drop\''):
        x.at[0].get(mode="drop")
    with pytest.raises(DTypeError, match="needs numbers"):
        td.asarray([True]).at[0].add(True)
