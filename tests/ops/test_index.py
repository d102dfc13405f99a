"""gather and scatter against loops over single places; what their derivatives do with duplicates and ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.trial import cases, tensors
from treadle.core.dims import Dim
from treadle.core.dtypes import bfloat16, float16, float32, int32
from treadle.core.errors import OutOfRangeError, ShapeError
from treadle.core.primitive import Unknown, Zero
from treadle.core.spec import Spec
from treadle.core.tensor import concrete
from treadle.ops.index import gather, scatter

GATHERS = [c for _, c in cases(gather)]
SCATTERS = [c for _, c in cases(scatter)]


def each_place(x, indices, batch_dims, mode):
    """(position of the index, place in x or None when dropped), in order."""
    sizes = x.shape[batch_dims : batch_dims + indices.shape[-1]]
    for where in np.ndindex(indices.shape[:-1]):
        place = [int(i) for i in indices[where]]
        if mode == "clip":
            place = [min(max(i, 0), n - 1) for i, n in zip(place, sizes, strict=True)]
        inside = all(0 <= i < n for i, n in zip(place, sizes, strict=True))
        yield where, (*where[:batch_dims], *place) if inside else None


def gather_by_loop(x, indices, *, batch_dims, mode):
    out = np.zeros(indices.shape[:-1] + x.shape[batch_dims + indices.shape[-1] :], x.dtype)
    for where, place in each_place(x, indices, batch_dims, mode):
        if place is not None:
            out[where] = x[place]
    return out


def scatter_by_loop(x, indices, updates, *, batch_dims, op, mode):
    out = x.copy()
    combine = {"set": lambda a, b: b, "add": np.add, "max": np.maximum, "min": np.minimum}[op]
    for where, place in each_place(x, indices, batch_dims, mode):
        if place is not None:
            out[place] = combine(out[place], updates[where])
    return out


@pytest.mark.parametrize("case", GATHERS, ids=str)
def test_gather_equals_a_loop(case):
    got = gather(*tensors(case.inputs), **case.params).numpy()
    want = gather_by_loop(*case.inputs, **case.params)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("case", SCATTERS, ids=str)
def test_scatter_equals_a_loop(case):
    got = scatter(*tensors(case.inputs), **case.params).numpy()
    want = scatter_by_loop(*case.inputs, **case.params)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)  # the same additions in the same order


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(-2, 6), st.integers(-2, 6)), max_size=8),
    st.sampled_from(["set", "add", "max", "min"]),
    st.sampled_from(["clip", "drop"]),
)
def test_scatter_equals_a_loop_on_any_places(n, places, op, mode):
    rng = np.random.default_rng(len(places))
    x, updates = rng.integers(-9, 9, (n, 3, 2)), rng.integers(-9, 9, (len(places), 2))
    indices = np.array(places, np.int16).reshape(-1, 2)
    got = scatter(*tensors([x, indices, updates]), batch_dims=0, op=op, mode=mode).numpy()
    np.testing.assert_array_equal(got, scatter_by_loop(x, indices, updates, batch_dims=0, op=op, mode=mode))


@pytest.mark.parametrize("dtype", [bfloat16, float16, float32])
def test_scatter_add_of_many_small_numbers(dtype):
    # 1000 times 1/1024: adding them up one by one in bfloat16 would stop at 1/4.
    x, updates = np.zeros(2, dtype.numpy), np.full(1000, 2.0**-10, dtype.numpy)
    out = scatter(*tensors([x, np.zeros((1000, 1), np.int32), updates]), batch_dims=0, op="add", mode="error")
    assert out.dtype is dtype
    np.testing.assert_array_equal(out.numpy(), np.array([1000 / 1024, 0]).astype(dtype.numpy))


@pytest.mark.parametrize("op", ["max", "min"])
def test_scatter_extremes_keep_nan_in_bfloat16(op):
    x = np.array([1, np.nan, 3], bfloat16.numpy)
    updates = np.array([np.nan, 1, 3], bfloat16.numpy)
    out = scatter(*tensors([x, np.int32([[0], [1], [2]]), updates]), batch_dims=0, op=op, mode="error")
    np.testing.assert_array_equal(out.numpy().astype(np.float32), [np.nan, np.nan, 3])


def test_the_message_says_which_index_of_which_batch():
    indices = np.zeros((2, 3, 2), np.int64)
    indices[1, 2, 1] = 9
    with pytest.raises(OutOfRangeError, match=r"index 9 is out of range for axis 2 with size 4 \(at \[1, 2\]"):
        gather(*tensors([np.zeros((2, 5, 4)), indices]), batch_dims=1, mode="error")


def test_sizes_that_are_not_known():
    n, m = Dim("n"), Dim("m")
    x, i, u = Spec((n, 5, 3), float32), Spec((n, m, 1), int32), Spec((n, m, 3), float32)
    assert gather.infer(x, i, batch_dims=1, mode="error") == (u,)
    assert scatter.infer(x, i, u, batch_dims=1, op="add", mode="drop") == (x,)
    with pytest.raises(ShapeError, match="depends on the size of m, n"):
        gather.infer(x, Spec((m, 2, 1), int32), batch_dims=1, mode="error")


# derivatives

LINEAR_SCATTER = [
    c for c in SCATTERS if c.differentiable and c.inputs[0].dtype == np.float64 and c.params["op"] in ("set", "add")
]


@pytest.mark.parametrize("case", LINEAR_SCATTER, ids=str)
@pytest.mark.parametrize("unknown", [(True, True), (True, False), (False, True)])
def test_scatter_transpose_by_dot_product(case, unknown):
    x, indices, updates = tensors(case.inputs)
    parts = [v if u else concrete(np.zeros(v.shape)) for v, u in zip((x, updates), unknown, strict=True)]
    y = scatter(parts[0], indices, parts[1], **case.params)
    ct = concrete(np.random.default_rng(1).standard_normal(y.shape))
    asked = [Unknown(v.spec) if u else v for v, u in zip(parts, unknown, strict=True)]
    back_x, none, back_u = scatter.rule("transpose")(ct, asked[0], indices, asked[1], **case.params)
    assert none is None
    total = 0.0
    for back, v, u in zip((back_x, back_u), parts, unknown, strict=True):
        assert (back is not None) == u
        if u:
            assert back.spec == v.spec
            total += np.vdot(back.numpy(), v.numpy())
    np.testing.assert_allclose(np.vdot(ct.numpy(), y.numpy()), total, rtol=1e-12, atol=1e-13)


def test_only_the_last_writer_gets_the_cotangent():
    x, ct = concrete(np.zeros((3, 2))), concrete(np.arange(6.0).reshape(3, 2) + 1)
    indices, updates = concrete(np.int32([[1], [0], [1], [9]])), concrete(np.zeros((4, 2)))
    back_x, _, back_u = scatter.rule("transpose")(
        ct, Unknown(x.spec), indices, Unknown(updates.spec), batch_dims=0, op="set", mode="drop"
    )
    np.testing.assert_array_equal(back_x.numpy(), [[0, 0], [0, 0], [5, 6]])
    np.testing.assert_array_equal(back_u.numpy(), [[0, 0], [1, 2], [3, 4], [0, 0]])


@pytest.mark.parametrize("op", ["max", "min"])
def test_ties_share_the_tangent(op):
    x = concrete(np.array([2.0, 2.0, 2.0]))
    indices, updates = concrete(np.int32([[0], [0], [1]])), concrete(np.array([2.0, 2.0, 2.0]))
    out = scatter(x, indices, updates, batch_dims=0, op=op, mode="error")
    dx, du = concrete(np.array([1.0, 10.0, 100.0])), concrete(np.array([4.0, 7.0, 30.0]))
    got = scatter.rule("jvp")(
        (x, indices, updates), (dx, Zero(indices.spec), du), out, batch_dims=0, op=op, mode="error"
    )
    np.testing.assert_allclose(got.numpy(), [(1 + 4 + 7) / 3, (10 + 30) / 2, 100], rtol=1e-15)
