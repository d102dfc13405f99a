"""Products, norms and einsum, against NumPy."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, ShapeError


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float64)


@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=3, max_side=3, min_side=0))
def test_matmul(shapes: hnp.BroadcastableShapes) -> None:
    x, y = (drawn(*s, seed=i) for i, s in enumerate(shapes.input_shapes))
    np.testing.assert_array_equal((td.asarray(x) @ td.asarray(y)).numpy(), x @ y, strict=True)


@given(hnp.mutually_broadcastable_shapes(signature="(k),(k)->()", max_dims=3, max_side=3))
def test_vecdot(shapes: hnp.BroadcastableShapes) -> None:
    x, y = (drawn(*s, seed=i) for i, s in enumerate(shapes.input_shapes))
    np.testing.assert_array_equal(td.vecdot(td.asarray(x), td.asarray(y)).numpy(), np.vecdot(x, y), strict=True)


def test_vecdot_along_other_axes() -> None:
    x, y = drawn(2, 3, 4), drawn(2, 3, 4, seed=1)
    for axis in (0, 1, -3):
        np.testing.assert_array_equal(td.vecdot(td.asarray(x), td.asarray(y), axis=axis).numpy(), (x * y).sum(axis))


@pytest.mark.parametrize("axes", [0, 1, 2, ([0], [2]), ((1, 0), (1, 2)), ((-1,), (0,))], ids=str)
def test_tensordot(axes: Any) -> None:
    x, y = drawn(3, 4, 3), drawn(3, 4, 3, seed=1)
    if axes == 2:
        y = drawn(4, 3, 2)
    got = td.tensordot(td.asarray(x), td.asarray(y), axes=axes)
    np.testing.assert_array_equal(got.numpy(), np.tensordot(x, y, axes))


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint16", "float16", "bfloat16", "float32"])
def test_products_keep_the_dtype(dtype: str) -> None:
    x = td.ones((2, 2), dtype=dtype)
    for y in (x @ x, td.tensordot(x, x), td.vecdot(x, x), td.outer(x[0], x[0]), td.einsum("ij,jk->ik", x, x)):
        assert y.dtype is x.dtype
    assert (td.ones((2, 2)) @ td.ones((2, 2), dtype=td.float64)).dtype is td.float64


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 3])
def test_trace(offset: int) -> None:
    x = drawn(2, 3, 4)
    np.testing.assert_array_equal(td.trace(td.asarray(x), offset=offset).numpy(), np.trace(x, offset, 1, 2))
    assert td.trace(td.asarray([[1.0, np.inf], [np.nan, 2.0]])).item() == 3.0


@pytest.mark.parametrize("ord", [2, 1, 0, np.inf, -np.inf, 3, 0.5, -1])
@pytest.mark.parametrize("axis", [0, -1])
def test_norm(ord: Any, axis: int) -> None:
    x = drawn(3, 4) + 0.5
    expected = np.linalg.norm(x, ord, axis, keepdims=True)
    got = td.norm(td.asarray(x), axis=axis, ord=ord, keepdims=True)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, strict=True)


def test_norm_of_everything_and_of_nothing_else() -> None:
    x = drawn(2, 3, 4)
    assert td.norm(td.asarray(x)).item() == pytest.approx(np.sqrt((x**2).sum()))
    assert td.norm(td.asarray(x), axis=(0, 2)).shape == (3,)
    assert td.norm(td.full(4, 300.0, dtype=td.float16)).item() == 600.0  # its squares overflow float16
    assert td.grad(lambda v: td.norm(v))(td.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert td.grad(lambda v: td.norm(v))(td.asarray([3.0, 4.0])).tolist() == pytest.approx([0.6, 0.8])


EINSUMS = [
    ("i->i", [(3,)]), ("ij->ji", [(2, 3)]), ("ji", [(2, 3)]), ("ij->", [(2, 3)]), ("ij->j", [(2, 3)]), ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]), ("iji->j", [(3, 2, 3)]), ("iii->i", [(2, 2, 2)]), ("iijj->ij", [(2, 2, 3, 3)]),
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ij,kj->ik", [(2, 3), (4, 3)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]), ("ij,ij->", [(2, 3), (2, 3)]), ("ij,ij->i", [(2, 3), (2, 3)]),
    ("i,j->ij", [(2,), (3,)]), ("i,j->ji", [(2,), (3,)]), ("i,i", [(3,), (3,)]), (",i->i", [(), (3,)]), (",", [(), ()]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("bij,jk->bik", [(2, 3, 4), (4, 5)]), ("ij,k->", [(2, 3), (4,)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("ijk,ilm,njm,nlk->", [(2, 3, 4), (2, 5, 6), (3, 3, 6), (3, 5, 4)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]), ("ij,jk,kl,lm->mi", [(2, 3), (3, 4), (4, 5), (5, 2)]),
    ("i,i,i->i", [(3,), (3,), (3,)]), ("ijj,jk->ik", [(2, 3, 3), (3, 4)]), ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]),
    ("...ij,...jk", [(2, 1, 3, 4), (5, 4, 2)]), ("...->...", [(2, 3)]), ("i...->...", [(2, 3, 4)]),
    ("i...,i...->...", [(2, 3, 4), (2, 4)]), ("...i->i...", [(2, 3, 4)]), ("i...i->...", [(3, 2, 3)]),
    ("b...d,d->...b", [(2, 3, 4, 5), (5,)]), ("...,...->...", [(2, 1), (3,)]), ("ij...,jk->ik...", [(2, 3, 4), (3, 5)]),
    ("aB,Bc->ca", [(2, 3), (3, 4)]), ("Ab", [(2, 3)]), ("ij , jk -> ik", [(2, 3), (3, 4)]), ("...", [(2,)]),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS, ids=[e[0] for e in EINSUMS])
def test_einsum(subscripts: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = [drawn(*s, seed=i) for i, s in enumerate(shapes)]
    got = td.einsum(subscripts, *map(td.asarray, arrays))
    np.testing.assert_array_equal(got.numpy(), np.einsum(subscripts, *arrays), strict=True)


@st.composite
def einsums(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    """Any number of operands with any letters, repeated or not."""
    size = {c: draw(st.integers(1, 3)) for c in "abcde"}
    terms = draw(st.lists(st.text("abcde", max_size=3), min_size=1, max_size=4))
    letters = sorted(set("".join(terms)))
    out = draw(st.permutations(letters))[: draw(st.integers(0, len(letters)))]
    arrow = draw(st.sampled_from([f"->{''.join(out)}", ""]))
    return ",".join(terms) + arrow, [tuple(size[c] for c in t) for t in terms]


@given(einsums())
def test_any_einsum(case: tuple[str, list[tuple[int, ...]]]) -> None:
    subscripts, shapes = case
    arrays = [drawn(*s, seed=i) for i, s in enumerate(shapes)]
    got = td.einsum(subscripts, *map(td.asarray, arrays))
    np.testing.assert_allclose(got.numpy(), np.einsum(subscripts, *arrays), rtol=1e-12, strict=True)


def test_einsum_multiplies_the_cheapest_pair_first() -> None:
    xs = [td.zeros(s) for s in ((1000, 1000), (1000, 1000), (1000, 1))]
    graph = td.graph(lambda a, b, c: td.einsum("ij,jk,kl->il", a, b, c))(*xs)
    products = [n.outputs[0].spec.shape for n in graph.nodes if n.primitive.name == "contract"]
    assert sorted(products[0]) == [1, 1000]  # (a @ b) would be [1000, 1000]


def test_einsum_of_unknown_sizes_and_its_derivative() -> None:
    f = td.compile(lambda x, w: td.einsum("nij,jk,nk->ni", x, w, x[:, 0]), dynamic={"x": ("n", None, None)})
    for n in (1, 3):
        x, w = drawn(n, 2, 3), drawn(3, 3, seed=1)
        np.testing.assert_allclose(f(td.asarray(x), td.asarray(w)).numpy(), np.einsum("nij,jk,nk->ni", x, w, x[:, 0]))
    x = drawn(3, 3)
    assert td.grad(lambda x: td.einsum("ii", x))(td.asarray(x)).tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda x: x @ td.zeros((4, 5)),
            ShapeError,
            r"matmul: x \[2, 3\] and y \[4, 5\]: the inner sizes 3 and 4 differ",
        ),
        (lambda x: x @ x, ShapeError, r"Transposed it fits: x @ y\.mT"),
        (lambda x: x @ td.zeros((2, 5)), ShapeError, r"Transposed it fits: x\.mT @ y"),
        (lambda x: x @ 2.0, ShapeError, r"a scalar is not a matrix; x \* y scales"),
        (lambda x: td.zeros((2, 3, 3)) @ td.zeros((4, 3, 3)), ShapeError, "the leading axes: .*sizes 2 and 4"),
        (lambda x: (x > 0) @ (x > 0).mT, DTypeError, r"bool.*astype\(td.int32\)"),
        (lambda x: x @ td.zeros((3, 2), dtype=td.int32), DTypeError, r"matmul: .*do not mix"),
        (lambda x: td.tensordot(x, x, axes=3), ShapeError, "axes=3 of each cannot be paired"),
        (lambda x: td.tensordot(x, x, axes=((0, 1), (0,))), ShapeError, "pairs 2 axes of x with 1 of y"),
        (lambda x: td.tensordot(x, x, axes=1), ShapeError, "size 3 .* size 2"),
        (lambda x: td.vecdot(x, td.zeros(2)), ShapeError, "the sizes 3 and 2 along axis -1 differ"),
        (lambda x: td.vecdot(x, td.zeros(3), axis=0), ShapeError, "count axis from the end"),
        (lambda x: td.outer(x, x), ShapeError, "takes two vectors"),
        (lambda x: td.trace(x[0]), ShapeError, "at least 2 axes"),
        (lambda x: td.norm(x, ord=float("nan")), ArgumentError, "NaN"),
        (lambda x: td.einsum("ij,jk->ik", x), ArgumentError, "names 2 operands, and 1 were given"),
        (lambda x: td.einsum("ij->k", x), ArgumentError, "the result names 'k', which no operand has"),
        (lambda x: td.einsum("ij->ii", x), ArgumentError, "names an axis twice"),
        (lambda x: td.einsum("i1", x), ArgumentError, "not understood at 'i1'"),
        (lambda x: td.einsum("i.j", x), ArgumentError, "not understood"),
        (lambda x: td.einsum("i...j...", x), ArgumentError, "at most one"),
        (lambda x: td.einsum("ij->i->j", x), ArgumentError, "not understood"),
        (lambda x: td.einsum("ijk", x), ShapeError, r"operand 0 is \[2, 3\] with 2 axes, and 'ijk' names 3"),
        (lambda x: td.einsum("i", x), ShapeError, "names 1"),
        (lambda x: td.einsum("ii", x), ShapeError, "axis 'i' has size 2 in one place and 3 in another"),
        (lambda x: td.einsum("ij,jk", x, x), ShapeError, r"of \[2, 3\], \[2, 3\]: axis 'j' has size 3 .* and 2"),
        (lambda x: td.einsum("...i->i", x), ArgumentError, "the result must say where it goes"),
        (lambda x: td.einsum("i...,i...", x, td.zeros((2, 4))), ShapeError, "the axes of ...: "),
        (lambda x: td.einsum("ij->", x > 0), DTypeError, "bool"),
    ],
)
def test_errors(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(td.zeros((2, 3)))


def test_matmul_of_unknown_sizes() -> None:
    f = td.compile(lambda x, w: (x @ w, x.mT @ x, w.mT @ x[0]), dynamic={"x": ("n", None)})
    for n in (1, 4):
        x, w = drawn(n, 3), drawn(3, 2)
        for got, expected in zip(f(td.asarray(x), td.asarray(w)), (x @ w, x.T @ x, w.T @ x[0]), strict=True):
            np.testing.assert_array_equal(got.numpy(), expected)
    with pytest.raises(
        ShapeError, match=r"matmul: x \[2, 3\] and y \[n, 3\]: whether 3 equals n depends on the size of n"
    ):
        td.compile(lambda x, w: w @ x, dynamic={"x": ("n", None)})(td.zeros((4, 3)), td.zeros((2, 3)))
