"""Products of random shapes against the reference: contractions in every order of axes, convolutions of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import treadle as td
from treadle.core.errors import ShapeError
from treadle.ops import contract as contract_ops
from treadle.ops import conv as conv_ops

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

# float32: sums of up to some hundred products of unit size, in another order than the reference's
TOLERANCE = {"float64": (1e-10, 1e-11), "float32": (1e-4, 1e-4)}
sizes = st.sampled_from([0, 1, 2, 3, 5, 8, 17, 33, 70])


def arrays(dtype, *shapes):
    rng = np.random.default_rng(0)
    return [td.asarray(rng.standard_normal(s).astype(dtype)) for s in shapes]


def agree(f, dtype, *args):
    rtol, atol = TOLERANCE[dtype]
    want, got = td.compile(f, backend="reference")(*args), td.compile(f)(*args)
    for g, w in zip(*(t if isinstance(t, tuple) else (t,) for t in (got, want)), strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=rtol, atol=atol)


@SETTINGS
@given(st.data())
def test_contractions(data):
    dtype = data.draw(st.sampled_from(sorted(TOLERANCE)))
    kinds = {"b": st.integers(1, 4), "k": sizes, "x": sizes, "y": sizes}
    axes = {kind + str(i): data.draw(size) for kind, size in kinds.items() for i in range(data.draw(st.integers(0, 2)))}
    x_axes = data.draw(st.permutations([a for a in axes if a[0] != "y"]))
    y_axes = data.draw(st.permutations([a for a in axes if a[0] != "x"]))
    x_shape, y_shape = ([axes[a] for a in names] for names in (x_axes, y_axes))
    assume(np.prod(list(axes.values()), dtype=float) < 1e6)

    def places(kind):
        shared = [a for a in axes if a[0] == kind]
        return tuple(map(x_axes.index, shared)), tuple(map(y_axes.index, shared))

    before = data.draw(st.sampled_from([lambda x: x, td.tanh, lambda x: x * x]))  # packed with the operand
    after = data.draw(st.sampled_from([lambda x: x, td.relu, lambda x: (x * 2.0, td.sum(x))]))  # the epilogue

    def f(x, y):
        return after(contract_ops.contract(before(x), y, batch=places("b"), axes=places("k")))

    agree(f, dtype, *arrays(dtype, x_shape, y_shape))


@SETTINGS
@given(st.data())
@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradients"])
def test_convolutions(gradient, data):
    def draw(low, high):
        return data.draw(st.integers(low, high))

    dtype = data.draw(st.sampled_from(sorted(TOLERANCE)))
    rank, groups = draw(1, 3), data.draw(st.sampled_from([1, 1, 1, 2, 3, 16]))
    inside, outside = data.draw(st.sampled_from([(1, 1), (1, 2), (2, 5), (3, 16), (8, 33), (17, 1)]))
    x_shape = [draw(1, 4), *(draw(1, 10 if rank < 3 else 5) for _ in range(rank)), inside * groups]
    k_shape = [*(draw(1, 4) for _ in range(rank)), inside, outside * groups]
    params = {
        "strides": tuple(draw(1, 3) for _ in range(rank)),
        "padding": tuple((draw(-1, 3), draw(-1, 3)) for _ in range(rank)),
        "x_dilation": tuple(draw(1, 3) for _ in range(rank)),
        "kernel_dilation": tuple(draw(1, 2) for _ in range(rank)),
        "groups": groups,
    }

    def forward(x, k):
        return conv_ops.conv(x, k, **params)

    def loss(x, k):
        return td.sum(td.tanh(forward(x, k) * 0.2))

    given_arrays = arrays(dtype, x_shape, k_shape)
    try:
        forward(*given_arrays)
    except ShapeError:
        assume(False)
    agree(td.grad(loss, argnums=(0, 1)) if gradient else forward, dtype, *given_arrays)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool", "bfloat16", "float16", "int16"])
@pytest.mark.parametrize("shape", [(17, 33), (64, 64), (100, 9), (8, 8), (3, 40, 50), (31, 16, 16), (130, 784)])
def test_transposing_copies(shape: tuple[int, ...], dtype: str) -> None:
    x = td.asarray(np.random.default_rng(0).integers(-100, 100, shape)).astype(getattr(td, dtype))
    turned = td.compile(td.matrix_transpose)
    assert "in tiles of" in turned.explain(x).kernels[0].text
    expected = np.swapaxes(np.asarray(x.astype(td.float32)), -1, -2)
    np.testing.assert_array_equal(np.asarray(turned(x).astype(td.float32)), expected)


@pytest.mark.parametrize(
    ("m", "k", "n"), [(128, 1024, 784), (100, 1000, 33), (64, 70, 90), (37, 129, 65), (300, 2048, 96)]
)
@pytest.mark.parametrize("turned", ["x", "y", "both", "neither"])
def test_products_whose_operands_are_copied(m: int, k: int, n: int, turned: str) -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((k, m) if turned in ("x", "both") else (m, k))
    b = rng.standard_normal((n, k) if turned in ("y", "both") else (k, n))

    def product(a, b):
        a = a.T if turned in ("x", "both") else a
        return a @ (b.T if turned in ("y", "both") else b)

    made = td.compile(product)(td.asarray(a), td.asarray(b))
    np.testing.assert_allclose(np.asarray(made), product(a, b), rtol=1e-10, atol=1e-11)
