"""What moves elements, against NumPy and against the definitions written as loops. The battery does the rest."""

from __future__ import annotations

from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops._battery import run, tensor
from tests.ops._dims import graph_of, run_graph
from treadle.core.dims import Dim
from treadle.core.dtypes import as_dtype, float32, float64, int32
from treadle.core.errors import DimError, ShapeError
from treadle.core.primitive import Unknown, Zero
from treadle.core.spec import Spec
from treadle.ops import reduce
from treadle.ops import shape as shape_ops

N = Dim("n")


def pad_by_definition(x: Any, value: float, low: Any, high: Any, interior: Any) -> Any:
    """x[j] lands at low + j * (interior + 1); the rest, and nothing outside, is value."""
    shape = [max(n + max(n - 1, 0) * i + a + b, 0) for n, a, b, i in zip(x.shape, low, high, interior, strict=True)]
    out = np.full(shape, value)
    for j in product(*map(range, x.shape)):
        at = tuple(a + k * (i + 1) for a, k, i in zip(low, j, interior, strict=True))
        if all(0 <= p < n for p, n in zip(at, shape, strict=True)):
            out[at] = x[j]
    return out


@st.composite
def paddings(draw: Any) -> Any:
    axes = draw(st.lists(st.tuples(*[st.integers(*b) for b in ((0, 4), (-4, 4), (-4, 4), (0, 2))]), max_size=3))
    axes = [a for a in axes if a[0] + max(a[0] - 1, 0) * a[3] + a[1] + a[2] >= 0]
    return tuple(zip(*axes, strict=True)) if axes else ((), (), (), ())


@given(paddings())
def test_pad_is_its_definition(case: Any) -> None:
    shape, low, high, interior = case
    x = np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape)
    params = {"low": low, "high": high, "interior": interior}
    (out,) = run(shape_ops.pad, [x, np.array(-7.0)], params)
    np.testing.assert_array_equal(out, pad_by_definition(x, -7.0, low, high, interior))


@given(paddings())
def test_pad_transposes_by_dot_product(case: Any) -> None:
    shape, low, high, interior = case
    rng = np.random.default_rng(0)
    x, value = rng.normal(size=shape), rng.normal()
    params = {"low": low, "high": high, "interior": interior}
    (out,) = run(shape_ops.pad, [x, np.array(value)], params)
    ct = rng.normal(size=out.shape)
    unknown = Unknown(tensor(x).spec), Unknown(Spec((), tensor(x).dtype))
    ct_x, ct_value = shape_ops.pad.rule("transpose")(tensor(ct), *unknown, **params)
    np.testing.assert_allclose(np.vdot(ct_x.numpy(), x) + ct_value.item() * value, np.vdot(ct, out), atol=1e-12)


def test_the_cotangent_of_the_padding_does_not_cancel() -> None:
    """Summed where the padding is; as a total minus the part of x it would be 0 here."""
    ct = tensor(np.array([1e20, 3.0]))
    unknown = Unknown(Spec((1,), ct.dtype)), Unknown(Spec((), ct.dtype))
    made = shape_ops.pad.rule("transpose")(ct, *unknown, low=(0,), high=(1,), interior=(0,))
    assert [m.tolist() for m in made] == [[1e20], 3.0]


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize(("start", "step"), [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)])
def test_the_transpose_of_a_slice_of_any_size(n: int, start: int, step: int) -> None:
    """One graph for all sizes, also where the slice is empty for some."""

    def pull(ct: Any, _: Any) -> Any:
        return shape_ops.slice.rule("transpose")(
            ct, Unknown(Spec((N,), float32)), start=(start,), stop=(N,), step=(step,)
        )[0]

    graph = graph_of(pull, Spec(((N - start + step - 1) // step,), float32), Spec((N,), float32))
    ct = np.arange(1, 1 + len(range(start, n, step)), dtype=np.float32)
    expected = np.zeros(n, np.float32)
    expected[start::step] = ct
    np.testing.assert_array_equal(run_graph(graph, ct, np.zeros(n, np.float32)), expected)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_starts_of_any_integer_dtype_are_clamped(dtype: Any) -> None:
    """Alike one by one and batched, where the last start does not fit into the narrow dtypes."""
    top = np.iinfo(dtype).max
    starts = np.array([0, 3, top, 100, np.iinfo(dtype).min], dtype)
    x = np.arange(300.0)
    expected = np.stack([x[i : i + 5] for i in (min(max(int(s), 0), 295) for s in starts)])
    one_by_one = [run(shape_ops.dynamic_slice, [x, s], {"sizes": (5,)})[0] for s in starts]
    np.testing.assert_array_equal(one_by_one, expected)
    rule = shape_ops.dynamic_slice.rule("batch")
    made = rule((False, True), tensor(x), tensor(starts), size=5, sizes=(5,))
    np.testing.assert_array_equal(made.numpy(), expected)


@given(st.data())
def test_dynamic_update_then_slice_gives_the_update(data: Any) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    window = [data.draw(st.integers(0, n)) for n in sizes]
    starts = [np.int32(data.draw(st.integers(-3, 6))) for _ in sizes]
    x, update = np.zeros(sizes), np.arange(1.0, 1 + np.prod(window, dtype=int)).reshape(window)
    (changed,) = run(shape_ops.dynamic_update, [x, update, *starts], {})
    assert changed.sum() == update.sum()
    (back,) = run(shape_ops.dynamic_slice, [changed, *starts], {"sizes": tuple(window)})
    np.testing.assert_array_equal(back, update)


@pytest.mark.parametrize(("batch_x", "batch_update"), list(product([False, True], repeat=2)))
def test_batched_updates_at_batched_places(batch_x: bool, batch_update: bool) -> None:
    rng = np.random.default_rng(0)
    x, update = rng.normal(size=(3, 4, 5, 2)), rng.normal(size=(3, 2, 3, 2))
    i, j = np.array([0, 2, 9], np.int32), np.array([-4, 1, 2], np.int32)
    x, update = (x if batch_x else x[0]), (update if batch_update else update[0])
    flags = (batch_x, batch_update, True, True, False)
    given = [tensor(a) for a in (x, update, i, j, np.int32(0))]
    made = shape_ops.dynamic_update.rule("batch")(flags, *given, size=3).numpy()
    for k in range(3):
        one = [x[k] if batch_x else x, update[k] if batch_update else update, i[k], j[k], np.int32(0)]
        np.testing.assert_array_equal(made[k], run(shape_ops.dynamic_update, one, {})[0])


@pytest.mark.parametrize("known", [0, 1, 2])
def test_concatenate_gives_no_cotangent_to_what_is_known(known: int) -> None:
    xs = [np.ones((2, n)) for n in (1, 0, 3)]
    ct = np.arange(8.0).reshape(2, 4)
    inputs = [tensor(x) if k == known else Unknown(tensor(x).spec) for k, x in enumerate(xs)]
    made = shape_ops.concatenate.rule("transpose")(tensor(ct), *inputs, axis=1)
    for k, (c, part) in enumerate(zip(made, np.split(ct, [1, 1], axis=1), strict=True)):
        assert (c is None) == (k == known)
        assert c is None or c.tolist() == part.tolist()


def test_concatenate_of_a_zero_tangent() -> None:
    t, zero = tensor(np.ones(2)), Zero(Spec((1,), float64))
    made = shape_ops.concatenate.rule("jvp")((t, tensor(np.ones(1))), (t, zero), t, axis=0)
    assert made.tolist() == [1.0, 1.0, 0.0]


def test_concatenate_of_many() -> None:
    xs = [tensor(np.full(1, k, np.float32)) for k in range(5000)]
    assert shape_ops.concatenate(*xs, axis=0).tolist() == list(range(5000))


def test_bfloat16_moves_without_change() -> None:
    x = np.array([[1.5, -2.0, np.inf], [np.nan, 0.25, -0.0]], ml_dtypes.bfloat16)
    (out,) = run(shape_ops.pad, [x.T, np.array(3, x.dtype)], {"low": (1, 0), "high": (-1, 0), "interior": (0, 1)})
    np.testing.assert_array_equal(out.astype(float)[1:, ::2], x.T.astype(float)[:2])
    assert out.astype(float)[0].tolist() == [3, 3, 3]


@pytest.mark.parametrize("value", [np.float32(2.5), np.int32(-3), np.bool_(True)])
def test_full_has_one_value_everywhere(value: Any) -> None:
    spec = Spec((2, 3), as_dtype(value.dtype))
    np.testing.assert_array_equal(shape_ops.full(value, spec).numpy(), np.full((2, 3), value))


@pytest.mark.parametrize("axes", [(0,), (2, 0), (1, 2), (3, 1, 2, 0), ()])
def test_axes_moved_first_and_back(axes: tuple[int, ...]) -> None:
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    first = shape_ops.move_axes_first(tensor(x), axes)
    np.testing.assert_array_equal(first.numpy(), np.moveaxis(x, axes, range(len(axes))))
    np.testing.assert_array_equal(shape_ops.move_axes_back(first, axes).numpy(), x)


# ---------------------------------------------------------------------------------------- sizes that are not known


def test_shapes_with_dims() -> None:
    x = Spec((N, 4), float32)
    assert shape_ops.reshape.infer(x, shape=(2 * N, 2)) == (Spec((2 * N, 2), float32),)
    assert shape_ops.broadcast.infer(Spec((1, 4), float32), shape=(N, 4)) == (x,)
    assert shape_ops.slice.infer(x, start=(1, 0), stop=(N, 4), step=(2, 1)) == (Spec((N // 2, 4), float32),)
    none = {"low": (-2, 0), "high": (0, 1), "interior": (0, 0)}
    assert shape_ops.pad.infer(x, Spec((), float32), **none) == (Spec((N - 2, 5), float32),)
    assert shape_ops.concatenate.infer(x, x, axis=0) == (Spec((2 * N, 4), float32),)
    assert shape_ops.iota.infer(shape=(N, 2), axis=0, dtype=int32) == (Spec((N, 2), int32),)


def test_an_undecidable_question_names_the_dim() -> None:
    x = Spec((N, 4), float32)
    with pytest.raises(DimError, match="n"):
        shape_ops.reshape.infer(x, shape=(8,))
    with pytest.raises(DimError, match="n"):
        shape_ops.broadcast.infer(x, shape=(5, 4))
    with pytest.raises(DimError, match="n"):
        shape_ops.slice.infer(x, start=(0, 0), stop=(3, 4), step=(1, 1))
    with pytest.raises(DimError, match="n"):
        shape_ops.pad.infer(Spec((N - 1,), float32), Spec((), float32), low=(0,), high=(0,), interior=(1,))


def test_what_differs_for_every_size_is_a_plain_error() -> None:
    with pytest.raises(ShapeError, match=r"it has n\*4 = 4\*n elements, and the new shape 3\*n = 3\*n"):
        shape_ops.reshape.infer(Spec((N, 4), float32), shape=(3, N))


def test_size_is_what_the_graph_runs_with() -> None:
    graph = graph_of(lambda x: shape_ops.size(size=2 * N + 1), Spec((N,), float32))
    assert run_graph(graph, np.zeros(5, np.float32)) == 11
    graph = graph_of(
        lambda x: reduce.sum(shape_ops.iota(shape=(N,), axis=0, dtype=int32), axes=(0,)), Spec((N,), int32)
    )
    assert run_graph(graph, np.zeros(5, np.int32)) == 10
