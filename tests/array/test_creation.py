"""New tensors, against NumPy where it has the function."""

from __future__ import annotations

import array as python_array
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, ShapeError


def test_defaults_of_python_numbers() -> None:
    assert (td.asarray(1.5).dtype, td.asarray(2).dtype, td.asarray(True).dtype) == (td.float32, td.int32, td.bool)
    assert td.asarray([1, 2.5]).dtype is td.float32
    assert td.asarray([[True], [False]]).dtype is td.bool
    assert td.asarray([]).dtype is td.float32
    assert td.asarray([[], []]).shape == (2, 0)
    assert td.asarray(((1, 2), [3, 4])).tolist() == [[1, 2], [3, 4]]


def test_arrays_keep_their_dtype() -> None:
    for dtype in ("float64", "float16", "int8", "uint64", "bool"):
        assert td.asarray(np.zeros(2, dtype)).dtype == np.dtype(dtype)
    assert td.asarray(np.arange(3, dtype=">i4")).tolist() == [0, 1, 2]
    assert td.asarray([np.zeros(2), np.ones(2)]).dtype is td.float64
    assert td.asarray(python_array.array("d", [1.0, 2.0])).dtype is td.float64
    assert td.asarray(b"ab").tolist() == [97, 98]


def test_memory_is_copied_unless_told_otherwise() -> None:
    source = np.zeros(3)
    copied, shared = td.asarray(source), td.asarray(source, copy=False)
    view = source[:2]
    view.flags.writeable = False
    of_view = td.asarray(view)
    source[0] = 5
    assert (copied.tolist()[0], shared.tolist()[0], of_view.tolist()[0]) == (0.0, 5.0, 0.0)
    assert source.flags.writeable
    source[1] = 1  # taking a view did not freeze the caller's array
    frozen = np.ones(2)
    frozen.flags.writeable = False
    assert np.shares_memory(td.asarray(frozen).numpy(), frozen)
    assert not np.shares_memory(td.asarray(frozen, copy=True).numpy(), frozen)
    with pytest.raises(ValueError, match="read-only"):
        copied.numpy()[0] = 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: td.asarray([1.0], copy=False),
        lambda: td.asarray(1.0, copy=False),
        lambda: td.asarray(np.zeros(2), dtype=td.float32, copy=False),
        lambda: td.asarray(td.zeros(2), dtype=td.int32, copy=False),
    ],
)
def test_a_copy_that_must_not_be(make: Any) -> None:
    with pytest.raises(ArgumentError, match="copy=False is not possible"):
        make()


def test_explicit_dtypes_convert() -> None:
    assert td.asarray([1.7, -1.7], dtype=td.int32).tolist() == [1, -1]
    assert td.asarray(2.9, dtype="int64").item() == 2
    assert td.asarray([0, 3], dtype=bool).tolist() == [False, True]
    assert td.asarray([1, 2], dtype=td.bfloat16).dtype is td.bfloat16
    assert td.asarray(2**40, dtype=td.int64).item() == 2**40
    assert td.asarray([2**63], dtype=td.uint64).tolist() == [2**63]
    assert td.asarray(np.array([300]), dtype=td.uint8).tolist() == [44]


def test_tensors_in_lists_are_stacked_and_differentiable() -> None:
    x = td.asarray([1.0, 2.0])
    assert td.asarray([x, x * 2]).tolist() == [[1.0, 2.0], [2.0, 4.0]]
    assert td.asarray([[x[0], 5], [7.0, x[1]]]).tolist() == [[1.0, 5.0], [7.0, 2.0]]
    assert td.asarray([td.asarray(1, dtype=td.int64), 2]).dtype is td.int64
    got = td.grad(lambda x: (td.asarray([x[1], 2.0, x[0]]) * td.asarray([1.0, 10.0, 100.0])).sum())(x)
    assert got.tolist() == [100.0, 1.0]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: td.asarray([[1, 2], [3]]), ShapeError, "not a box"),
        (lambda: td.asarray([td.zeros(2), td.zeros(3)]), ShapeError, r"\[2\] and \[3\]"),
        (lambda: td.asarray([2**40]), DTypeError, "does not fit into int32, the default; give dtype=td.int64"),
        (lambda: td.asarray(2**40), DTypeError, r"1099511627776 does not fit into int32.*td.int64"),
        (lambda: td.asarray([300], dtype=td.int8), DTypeError, "does not fit into int8"),
        (lambda: td.asarray([td.zeros(()), True]), DTypeError, "the Python bool True"),
        (lambda: td.asarray("abc"), DTypeError, "a str is not numbers"),
        (lambda: td.asarray(object()), DTypeError, "a object is not numbers"),
        (lambda: td.asarray([1.0], device="cuda:0"), ArgumentError, "no device 'cuda:0'"),
        (lambda: td.zeros(-1), ShapeError, "not negative"),
        (lambda: td.zeros((2, 1.5)), DTypeError, "a size is an int; got 1.5"),
        (lambda: td.full(2, td.zeros(2)), ShapeError, "must be a scalar"),
        (lambda: td.zeros(2, dtype="complex64"), DTypeError, "complex64"),
        (lambda: td.arange(0, 5, 0), ArgumentError, "step of 0"),
        (lambda: td.arange("a"), DTypeError, "numbers; got 'a'"),
        (lambda: td.tril(td.zeros(3)), ShapeError, "at least 2 axes"),
        (lambda: td.meshgrid(td.zeros((2, 2))), ShapeError, "takes vectors"),
        (lambda: td.meshgrid(td.zeros(2), indexing="ab"), ArgumentError, "'ab'"),
        (lambda: td.from_dlpack([1]), DTypeError, "no __dlpack__"),
        (lambda: td.linspace(0, 1, -1), ShapeError, "not negative"),
    ],
)
def test_errors(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int8", "uint16", "bool"])
def test_filled(dtype: str) -> None:
    for name, value in (("zeros", 0), ("ones", 1), ("empty", 0)):
        x = getattr(td, name)((2, 3), dtype=dtype)
        assert x.dtype == td.asarray(0, dtype=dtype).dtype
        assert x.shape == (2, 3)
        assert (x == td.asarray(value, dtype=dtype)).all()
        like = getattr(td, f"{name}_like")(td.zeros((2, 1), dtype=dtype))
        assert (like.shape, like.dtype) == ((2, 1), x.dtype)
    assert td.full(3, 7).dtype is td.int32
    assert td.full((), 7.0, dtype=dtype).shape == ()
    assert td.full_like(td.zeros(2, dtype=dtype), 1).tolist() == [1, 1]
    assert td.zeros(3).dtype is td.float32


@pytest.mark.parametrize(
    "args",
    [(5,), (2, 7), (0, 10, 3), (10, 0, -3), (5, 5), (3, 0), (0.0, 1.0, 0.1), (1, 2, 0.25), (0, -1, -0.3), (2.5,)],
    ids=str,
)
def test_arange(args: Any) -> None:
    got, expected = td.arange(*args), np.arange(*args)
    assert got.dtype is (td.int32 if expected.dtype.kind == "i" else td.float32)
    np.testing.assert_array_equal(got.numpy(), expected.astype(got.dtype.numpy))
    np.testing.assert_array_equal(td.compile(lambda: td.arange(*args))().numpy(), got.numpy())
    np.testing.assert_array_equal(td.arange(*args, dtype="float64").numpy(), expected.astype(np.float64))


@pytest.mark.parametrize("args", [(0, 1, 5), (2, -3, 4), (0, 1, 1), (0, 1, 0), (0.1, 0.7, 7)], ids=str)
@pytest.mark.parametrize("endpoint", [True, False])
def test_linspace(args: Any, endpoint: bool) -> None:
    got = td.linspace(*args, endpoint=endpoint, dtype=td.float64)
    np.testing.assert_array_equal(got.numpy(), np.linspace(*args, endpoint=endpoint))


@pytest.mark.parametrize("k", [-4, -1, 0, 2, 5])
def test_triangles_and_eye(k: int) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(td.tril(td.asarray(x), k=k).numpy(), np.tril(x, k))
    np.testing.assert_array_equal(td.triu(td.asarray(x), k=k).numpy(), np.triu(x, k))
    np.testing.assert_array_equal(td.eye(3, 4, k=k).numpy(), np.eye(3, 4, k))
    assert td.tril(td.ones((2, 2), dtype=td.bool), k=k).dtype is td.bool


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("sizes", [(), (3,), (2, 3), (2, 3, 4)], ids=str)
def test_meshgrid(sizes: tuple[int, ...], indexing: Any) -> None:
    lines = [np.arange(n, dtype=np.float32) for n in sizes]
    for got, expected in zip(
        td.meshgrid(*map(td.asarray, lines), indexing=indexing), np.meshgrid(*lines, indexing=indexing), strict=True
    ):
        np.testing.assert_array_equal(got.numpy(), expected)


def test_dlpack_both_ways() -> None:
    x = td.asarray([1.0, 2.0])
    assert np.from_dlpack(x).tolist() == [1.0, 2.0]
    source = np.arange(3)
    taken, shared = td.from_dlpack(source), td.from_dlpack(source, copy=False)
    source[0] = 9
    assert (taken.tolist(), shared.tolist()) == ([0, 1, 2], [9, 1, 2])


def test_dims_as_sizes() -> None:
    def f(x: Any) -> Any:
        n = x.shape[0]
        return td.zeros((n, 2)), td.arange(n), td.arange(1, n + 1), td.eye(n), td.full(n, n), td.tril(td.ones((n, n)))

    compiled = td.compile(f, dynamic={"x": ("n",)})
    for n in (2, 4):
        zeros, up, shifted, eye, full, low = compiled(td.zeros(n))
        assert zeros.shape == (n, 2)
        assert (up.tolist(), shifted.tolist()) == (list(range(n)), list(range(1, n + 1)))
        np.testing.assert_array_equal(eye.numpy(), np.eye(n))
        assert full.tolist() == [n] * n
        np.testing.assert_array_equal(low.numpy(), np.tri(n))


def test_dtype_questions() -> None:
    assert td.finfo(td.float64).eps == np.finfo(np.float64).eps
    assert td.finfo(td.zeros(1)).max == np.finfo(np.float32).max
    assert td.finfo(td.bfloat16).smallest_normal == 2.0**-126
    assert (td.iinfo(td.uint8).min, td.iinfo(td.uint8).max, td.iinfo(td.int64).bits) == (0, 255, 64)
    with pytest.raises(DTypeError, match=r"td\.iinfo is for integers"):
        td.finfo(td.int32)
    with pytest.raises(DTypeError, match=r"td\.finfo is for floating"):
        td.iinfo(td.float32)
    assert td.isdtype(td.uint8, ("signed integer", "unsigned integer"))
    assert not td.isdtype(td.float32, "complex floating")
    with pytest.raises(ArgumentError, match="'float'"):
        td.isdtype(td.float32, "float")
    with pytest.raises(ArgumentError, match="at least one tensor or dtype"):
        td.result_type(1, 2.0)
    assert td.can_cast(td.zeros(1), td.float64)
    assert td.astype(td.asarray([2.5]), td.int8).tolist() == [2]
    x = td.zeros(2)
    assert td.astype(x, td.float32) is x
    with pytest.raises(ArgumentError, match="device"):
        td.astype(x, td.float32, device="gpu")


def test_the_namespace_answers_numpys_first_call() -> None:
    x = td.array([1.0, 2.0])
    assert x.dtype == td.float32
    assert td.array(np.ones(2), dtype=td.float32).dtype == td.float32
    assert td.array.zeros is td.zeros
