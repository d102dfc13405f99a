"""Shapes changed and put together, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, ShapeError, TraceError

X = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)

SAME_AS_NUMPY: list[tuple[str, Any, Any]] = [
    ("reshape", lambda m, x: m.reshape(x, (4, -1)), X),
    ("reshape to a vector", lambda m, x: m.reshape(x, -1), X),
    ("reshape a scalar", lambda m, x: m.reshape(x, (1, 1)), np.float32(3)),
    ("expand", lambda m, x: m.expand_dims(x, axis=(0, -1)), X),
    ("expand in the middle", lambda m, x: m.expand_dims(x, axis=2), X),
    ("squeeze", lambda m, x: m.squeeze(x, axis=(0, 2)), X[:1, :, :1]),
    ("squeeze all", lambda m, x: m.squeeze(x), X[:1, :, :1]),
    ("permute", lambda m, x: m.permute_dims(x, (2, 0, -2)), X),
    ("moveaxis", lambda m, x: m.moveaxis(x, 0, -1), X),
    ("moveaxis of several", lambda m, x: m.moveaxis(x, (0, 2), (1, 0)), X),
    ("swapaxes", lambda m, x: m.swapaxes(x, 0, -1), X),
    ("matrix_transpose", lambda m, x: m.matrix_transpose(x), X),
    ("flip", lambda m, x: m.flip(x), X),
    ("flip some", lambda m, x: m.flip(x, axis=(0, -1)), X),
    ("roll", lambda m, x: m.roll(x, 5), X),
    ("roll back", lambda m, x: m.roll(x, -1, axis=1), X),
    ("roll several", lambda m, x: m.roll(x, (1, -6), axis=(0, 2)), X),
    ("roll nothing", lambda m, x: m.roll(x, 3, axis=0), X[:0]),
    ("concat", lambda m, x: m.concat([x, x[:1]], axis=0), X),
    ("concat elements", lambda m, x: m.concat([x, x[0]], axis=None), X),
    ("stack", lambda m, x: m.stack([x, x + 1], axis=-1), X),
    ("unstack", lambda m, x: m.unstack(x, axis=1), X),
    ("repeat", lambda m, x: m.repeat(x, 3, axis=1), X),
    ("repeat elements", lambda m, x: m.repeat(x, 2), X),
    ("repeat each", lambda m, x: m.repeat(x, np.array([2, 0, 1]), axis=1), X),
    ("tile", lambda m, x: m.tile(x, (2, 1, 3)), X),
    ("tile longer", lambda m, x: m.tile(x, (2, 1, 1, 2)), X),
    ("tile shorter", lambda m, x: m.tile(x, (2,)), X),
    ("broadcast_to", lambda m, x: m.broadcast_to(x, (5, 2, 3, 4)), X),
    ("split", lambda m, x: tuple(m.split(x, 2, axis=2)), X),
    ("split at", lambda m, x: tuple(m.split(x, [1, 3, -1], axis=2)), X),
    ("ravel", lambda m, x: m.ravel(x), X),
    ("squeeze nothing", lambda m, x: m.squeeze(x, axis=()), X),
]


@pytest.mark.parametrize(("function", "x"), [c[1:] for c in SAME_AS_NUMPY], ids=[c[0] for c in SAME_AS_NUMPY])
def test_same_as_numpy(function: Any, x: Any) -> None:
    expected = function(np, x)
    for run in (lambda t: function(td, t), td.compile(lambda t: function(td, t))):
        got = run(td.asarray(x))
        if not isinstance(expected, tuple):
            got, wanted = (got,), (expected,)
        else:
            wanted = expected
        assert len(got) == len(wanted)
        for g, e in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(g.numpy(), e, strict=True)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
@pytest.mark.parametrize("widths", [1, (1, 0), ((0, 1), (2, 0), (1, 3)), ((0, 0), (0, 0), (0, 0))], ids=str)
def test_pad(mode: Any, widths: Any) -> None:
    np.testing.assert_array_equal(td.pad(td.asarray(X), widths, mode).numpy(), np.pad(X, widths, mode))
    assert td.pad(td.asarray([1, 2]), (0, 1), value=9).tolist() == [1, 2, 9]
    assert td.pad(td.asarray([True]), 1).tolist() == [False, True, False]


def test_broadcast_arrays() -> None:
    x, y = td.broadcast_arrays(td.asarray([[1], [2]]), td.asarray([0.5, 1.5, 2.5]))
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((2, 3), td.int32, (2, 3), td.float32)
    assert td.broadcast_arrays() == ()


def test_names_of_numpy() -> None:
    x = td.asarray(X)
    assert td.flatten(x).shape == (24,)
    assert td.concatenate([x, x], axis=1).shape == (2, 6, 4)
    assert x[0].T.shape == (4, 3)
    assert x.mT.shape == (2, 4, 3)


def test_unknown_sizes() -> None:
    def f(x: Any) -> Any:
        n = x.shape[0]
        return (
            td.reshape(x, (-1, 2)), td.reshape(x, (n * 4,)), td.roll(x, 5, axis=0), td.repeat(x, 2, axis=0),
            td.tile(x, (2, 1)), td.pad(x, ((1, 2), (0, 0)), "edge"), td.pad(x, 1), td.concat([x, x[1:]]),
            td.repeat(x[:, 0], n), td.split(x, 2, axis=1)[1],
        )  # fmt: skip

    compiled = td.compile(f, dynamic={"x": ("n", None)})
    for n in (1, 3):
        x = np.arange(4.0 * n, dtype=np.float32).reshape(n, 4)
        expected = (
            x.reshape(-1, 2), x.reshape(-1), np.roll(x, 5, 0), np.repeat(x, 2, 0), np.tile(x, (2, 1)),
            np.pad(x, ((1, 2), (0, 0)), "edge"), np.pad(x, 1), np.concatenate([x, x[1:]]), np.repeat(x[:, 0], n),
            x[:, 2:],
        )  # fmt: skip
        for got, want in zip(compiled(td.asarray(x)), expected, strict=True):
            np.testing.assert_array_equal(got.numpy(), want)


def test_derivative_of_repeats() -> None:
    weights = td.asarray([1.0, 10.0, 100.0])
    assert td.grad(lambda x: (td.repeat(x, [2, 1]) * weights).sum())(td.zeros(2)).tolist() == [11.0, 100.0]
    assert td.grad(lambda x: (td.pad(x, (0, 1), "reflect") * weights).sum())(td.zeros(2)).tolist() == [101.0, 10.0]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda x: td.reshape(x, (5, -1)), ShapeError, r"\[2, 3, 4\] to \[5, -1\]: 24 elements do not divide by 5"),
        (lambda x: td.reshape(x, (-1, -1)), ShapeError, "only one size can be -1"),
        (lambda x: td.reshape(x, (-2, 3)), ShapeError, "not negative"),
        (lambda x: td.reshape(x[:0], (0, -1)), ShapeError, "-1 could be anything"),
        (lambda x: td.reshape(x, (5, 5)), ShapeError, r"2\*3\*4 = 24.*5\*5 = 25"),
        (lambda x: td.reshape(x, (2.0, -1)), DTypeError, "a size is an int; got 2.0"),
        (lambda x: td.squeeze(x, axis=1), ShapeError, "axis 1 has size 3, and only an axis of size 1 can go"),
        (lambda x: td.permute_dims(x, (0, 1)), ShapeError, "name each of its 3 axes once"),
        (lambda x: td.moveaxis(x, (0, 1), 0), ShapeError, "as many axes"),
        (lambda x: td.swapaxes(x, 0, 3), ShapeError, r"swapaxes of f32\[2,3,4\]: axis 3 does not exist"),
        (lambda x: x.T, ShapeError, r"\.T is for matrices, and x is f32\[2,3,4\] with 3 axes; x\.mT"),
        (lambda x: x[0, 0].T, ShapeError, r"x\[:, None\] makes a column"),
        (lambda x: x[0, 0].mT, ShapeError, "at least 2 axes"),
        (lambda x: td.concat([]), ShapeError, "at least one tensor"),
        (lambda x: td.concat([x[0, 0, 0]]), ShapeError, r"td\.stack"),
        (lambda x: td.concat([x, x[0]]), ShapeError, r"\[2, 3, 4\].*\[3, 4\]"),
        (lambda x: td.concat([x, x[:, :2]], axis=0), ShapeError, r"\[2, 3, 4\].*\[2, 2, 4\]"),
        (lambda x: td.stack([x, x[0]]), ShapeError, r"arrays 0 and 1 have \[2, 3, 4\] and \[3, 4\].*td\.concat"),
        (lambda x: td.split(x, 2, axis=1), ShapeError, "axis 1 with size 3 does not divide into 2"),
        (lambda x: td.repeat(x, [1, 2], axis=1), ShapeError, r"axis 1 needs 3 repeats, integers >= 0; got \[1, 2\]"),
        (lambda x: td.repeat(x, -1), ShapeError, "not negative"),
        (lambda x: td.compile(lambda y: td.repeat(x[0, 0], y))(td.ones(4, dtype=td.int32)), TraceError, "needed"),
        (lambda x: td.pad(x, 1, "wrap"), ArgumentError, "\"constant\", \"edge\" or \"reflect\"; got 'wrap'"),
        (lambda x: td.pad(x, ((1, 1),)), ShapeError, "a pair for each of the 3 axes"),
        (lambda x: td.pad(x, (-1, 0)), ShapeError, "not negative"),
        (lambda x: td.pad(x, 2, "reflect"), ShapeError, "axis 0 of size 2 reflects at most 1 elements, not 2"),
        (lambda x: td.pad(x[:0], 1, "edge"), ShapeError, "axis 0 has no edge"),
        (lambda x: td.broadcast_to(x, (3, 4)), ShapeError, "fewer axes"),
        (lambda x: td.broadcast_arrays(x, x[:, :2]), ShapeError, "broadcast_arrays: .*axis -2 has sizes 3 and 2"),
        (lambda x: td.roll(x, (1, 2), axis=0), ShapeError, "2 shifts for 1 axes"),
        (lambda x: td.flip(x, axis=5), ShapeError, r"flip of f32\[2,3,4\]: axis 5"),
        (lambda x: x + td.zeros((4, 3)), ShapeError, r"\[2, 3, 4\] and \[4, 3\]"),
    ],
)  # fmt: skip
def test_errors(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(td.asarray(X))


def test_a_tensor_is_no_axis() -> None:
    with pytest.raises(td.errors.DTypeError, match=r"concat: axis is an int; got a tensor f32\[2\]"):
        td.concatenate(td.ones((2, 2)), td.ones(2))  # they belong into a list
