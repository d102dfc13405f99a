"""x[key] against NumPy, eagerly and compiled; keys drawn by hypothesis."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.core.errors import DTypeError, OutOfRangeError, ShapeError, TraceError


def numbered(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)


def assert_same_item(array: np.ndarray[Any, Any], key: Any, ours: Any = None) -> None:
    """x[key] has NumPy's shape and elements; `ours` is the key in treadle's terms."""
    expected = array[key]
    got = td.asarray(array)[key if ours is None else ours]
    assert got.shape == expected.shape, (array.shape, key)
    np.testing.assert_array_equal(got.numpy(), expected)


SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def basic(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    shape = draw(SHAPES)
    return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=8))


@given(basic())
def test_basic_keys(case: tuple[tuple[int, ...], Any]) -> None:
    shape, key = case
    assert_same_item(numbered(shape), key)


@st.composite
def mixed(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """Slices, ints, None, ... and integer arrays, lists and masks that broadcast against each other, in any order."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    common = draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
    key: list[Any] = []
    axis = 0
    masks = 0
    while axis < len(shape):
        kind = draw(st.sampled_from(["slice", "int", "array", "list", "none", "mask", "stop"]))
        n = shape[axis]
        if kind == "none":
            key.append(None)
            if len(key) > 7:
                break
            continue
        if kind == "stop":
            if draw(st.booleans()):
                key.append(Ellipsis)
            break
        if kind == "slice":
            key.append(draw(st.slices(n)))
        elif kind == "int":
            key.append(draw(st.integers(-n, n - 1)))
        elif kind == "list":
            key.append(draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=1)))
        elif kind == "mask" and not masks:
            masks += 1  # exactly one element: it broadcasts with everything
            mask = np.zeros(n, bool)
            mask[draw(st.integers(0, n - 1))] = True
            key.append(mask)
        else:
            dtype = draw(st.sampled_from([np.int8, np.int32, np.int64]))
            sizes = draw(st.sampled_from([common, common[1:], tuple(1 for _ in common)]))
            key.append(draw(hnp.arrays(dtype, sizes, elements=st.integers(-n, n - 1))))
        axis += 1
    return shape, tuple(key)


@given(mixed())
def test_mixed_keys(case: tuple[tuple[int, ...], tuple[Any, ...]]) -> None:
    shape, key = case
    array = numbered(shape)
    assert_same_item(array, key)
    as_tensors = tuple(td.asarray(k) if isinstance(k, np.ndarray) else k for k in key)
    assert_same_item(array, key, as_tensors)


@given(mixed())
def test_mixed_keys_where_positions_have_no_numbers(case: tuple[tuple[int, ...], tuple[Any, ...]]) -> None:
    shape, key = case
    spots = [i for i, k in enumerate(key) if isinstance(k, np.ndarray) and k.dtype.kind == "i"]
    array = numbered(shape)

    def f(x: Any, *positions: Any) -> Any:
        symbolic = list(key)
        for spot, p in zip(spots, positions, strict=True):
            symbolic[spot] = p
        return x[tuple(symbolic)]

    got = td.compile(f)(td.asarray(array), *(td.asarray(key[s]) for s in spots))
    expected = array[key]
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), [0, 1], [1, 2]),  # beside each other: their axis stays
        ([0, 1], slice(None), [1, 2]),  # apart: in front
        (0, slice(None), [1, 2]),  # an int counts among them
        (slice(None), 0, [1, 2]),
        (slice(None), None, [0, 2], None, 1),
        ([0, 1], None, [0, 1]),
        (..., [[0, 1], [1, 0]]),
        ([0, 1], ..., [0, 1]),
        ([], [], []),
        (np.zeros((0, 3), np.int32),),
    ],
    ids=str,
)
def test_where_the_axes_of_positions_go(key: Any) -> None:
    assert_same_item(numbered((2, 3, 4)), key)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 2)])
def test_masks(shape: tuple[int, ...]) -> None:
    array = numbered(shape)
    for rank in range(1, len(shape) + 1):
        mask = array[(..., *(0,) * (len(shape) - rank))] % 2 == 0
        assert_same_item(array, mask)
        assert_same_item(array, mask, td.asarray(mask))
        assert_same_item(array, (None, mask))
    assert_same_item(array, (Ellipsis, array[(0,) * (len(shape) - 1)] > 1))


@pytest.mark.parametrize(
    "key", [True, False, (True, 0), (0, False), (slice(None), True), (..., np.bool_(True))], ids=str
)
def test_scalar_masks(key: Any) -> None:
    assert_same_item(numbered((2, 3)), key)


def test_numbers_that_are_scalars_of_numpy_or_tensors() -> None:
    array = numbered((3, 4))
    for index in (np.int64(-1), np.uint8(2), td.asarray(-1), td.asarray(2, dtype=td.int64)):
        assert_same_item(array, int(index), index)
    assert_same_item(array, slice(1, 3), slice(td.asarray(1), np.int32(3)))


def test_iteration_and_length() -> None:
    assert [row.tolist() for row in td.asarray([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]


# axes of unknown size


@pytest.mark.parametrize(
    "key",
    [
        slice(None), slice(None, None, -1), slice(1, None), slice(None, -1), slice(None, -2), slice(None, None, 2),
        slice(None, None, -2), slice(1, None, 3), -1, 0, (slice(None), 1), (None, -1, slice(2)), [0, -1],
        (slice(None), [2, 0]), (slice(-1, None), [1]),
    ],
    ids=str,
)  # fmt: skip
def test_unknown_sizes(key: Any) -> None:
    f = td.compile(lambda x: x[key], dynamic={"x": ("n", None)})
    for n in (3, 4, 7):
        array = numbered((n, 3))
        np.testing.assert_array_equal(f(td.asarray(array)).numpy(), array[key])


def test_unknown_sizes_refuse_what_depends_on_them() -> None:
    with pytest.raises(ShapeError, match="n"):
        td.compile(lambda x: x[5], dynamic={"x": ("n",)})(td.zeros(9))
    with pytest.raises(ShapeError, match="n-2 >= 0 depends on the size of n"):
        td.compile(lambda x: x[-2:], dynamic={"x": ("n",)})(td.zeros(9))
    with pytest.raises(ShapeError, match=r"reverse it as x\[::-1\] first"):
        td.compile(lambda x: x[3::-1], dynamic={"x": ("n",)})(td.zeros(9))


# derivatives


def test_derivative_of_a_mixed_key_is_its_scatter() -> None:
    array = numbered((3, 4, 2))
    key = (slice(None, None, -1), [1, 1, 3], slice(1, None))
    weights = np.arange(array[key].size, dtype=np.float32).reshape(array[key].shape)
    got = td.grad(lambda x: (x[key] * td.asarray(weights)).sum())(td.asarray(array))
    expected = np.zeros_like(array)
    np.add.at(expected, key, weights)
    np.testing.assert_array_equal(got.numpy(), expected)


def test_masks_inside_a_derivative_use_the_numbers() -> None:
    got = td.grad(lambda x: (x[x > 1] ** 2).sum())(td.asarray([1.0, 2.0, 3.0]))
    assert got.tolist() == [0.0, 4.0, 6.0]


# errors


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (3, OutOfRangeError, r"index 3 is out of range for axis 0 with size 2: positions are -2 to 1"),
        ((0, -4), OutOfRangeError, r"index -4 is out of range for axis 1 with size 3"),
        ([0, 2], OutOfRangeError, r"index 2 is out of range for axis 0 with size 2"),
        ((slice(None), [[-4]]), OutOfRangeError, r"index -4 is out of range for axis 1"),
        ((0, 0, 0), OutOfRangeError, r"3 axes are indexed, and x is f32\[2,3\] with 2"),
        ((..., ...), OutOfRangeError, "only one"),
        (slice(None, None, 0), OutOfRangeError, "step is not 0"),
        ([0.5], DTypeError, r"f32\[1\] does not say positions.*astype\(td.int32\)"),
        ("a", DTypeError, "got 'a'"),
        (1.0, DTypeError, "got 1.0"),
        (([0, 1], [0, 1, 2]), ShapeError, r"\[2\] and \[3\] do not broadcast"),
        (np.ones(3, bool), ShapeError, r"the mask is bool\[3\].*the sizes \[2\]"),
        (np.ones((3, 2), bool), ShapeError, r"the sizes \[2, 3\]"),
    ],
    ids=str,
)
def test_wrong_keys(key: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        td.zeros((2, 3))[key]


def test_wrong_keys_in_traces() -> None:
    x = td.zeros((2, 3))
    with pytest.raises(OutOfRangeError, match="index 5"):
        td.compile(lambda x: x[5])(x)
    with pytest.raises(TraceError, match=r"td\.where\(mask, x, 0\)"):
        td.compile(lambda x: x[x > 0])(x)
    with pytest.raises(TraceError, match=r"x\[a \+ td\.arange\(width\)\]"):
        td.compile(lambda x, i: x[i:])(x, td.asarray(1))
    with pytest.raises(OutOfRangeError, match="index 7 is out of range for axis 0 with size 2"):
        td.compile(lambda x, i: x[i])(x, td.asarray(7))
    with pytest.raises(TypeError, match=r"x\.at\[i\]\.set"):
        x[0] = 1  # type: ignore[index]
