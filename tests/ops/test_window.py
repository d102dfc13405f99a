"""`unfold` against NumPy's sliding windows, `fold` against scattering one element at a time."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops._battery import run, tensor
from tests.ops._dims import graph_of, run_graph
from treadle.core.dims import Dim
from treadle.core.dtypes import float32
from treadle.core.errors import ShapeError
from treadle.core.primitive import Unknown
from treadle.core.spec import Spec
from treadle.ops.window import fold, unfold


@st.composite
def windows(draw: Any) -> Any:
    """A shape and windows that fit into it."""
    rank = draw(st.integers(0, 3))
    window, strides, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(rank)) for _ in range(3))
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    shape = tuple(draw(st.integers(n, n + 4)) for n in spans)
    return shape, {"window": window, "strides": strides, "dilation": dilation}


def sliding(x: Any, window: Any, strides: Any, dilation: Any) -> Any:
    spans = tuple((w - 1) * d + 1 for w, d in zip(window, dilation, strict=True))
    every = np.lib.stride_tricks.sliding_window_view(x, spans) if x.ndim else x
    return every[(*(slice(None, None, s) for s in strides), *(slice(None, None, d) for d in dilation))]


@given(windows())
def test_unfold_is_numpys_sliding_windows(case: Any) -> None:
    shape, options = case
    x = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)
    np.testing.assert_array_equal(run(unfold, [x], options)[0], sliding(x, **options))


@given(windows())
def test_fold_adds_each_element_where_it_came_from(case: Any) -> None:
    shape, options = case
    places = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    origin = sliding(places, **options)
    x = np.random.default_rng(0).normal(size=origin.shape)
    expected = np.zeros(shape)
    np.add.at(expected.reshape(-1), origin.reshape(-1), x.reshape(-1))
    np.testing.assert_allclose(run(fold, [x], {"shape": shape, **options})[0], expected, atol=1e-13)


@given(windows())
def test_each_is_the_others_transpose(case: Any) -> None:
    shape, options = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    y = run(unfold, [x], options)[0]
    ct = rng.normal(size=y.shape)
    (back,) = unfold.rule("transpose")(tensor(ct), Unknown(tensor(x).spec), **options)
    np.testing.assert_allclose(np.vdot(back.numpy(), x), np.vdot(ct, y), atol=1e-12)
    (there,) = fold.rule("transpose")(tensor(x), Unknown(tensor(ct).spec), shape=shape, **options)
    np.testing.assert_array_equal(there.numpy(), y)


def test_unfold_copies_nothing_and_cannot_be_written_to() -> None:
    x = np.arange(6.0)
    out = unfold.rule("reference")(x, window=(3,), strides=(1,), dilation=(1,))
    assert np.shares_memory(out, x)
    assert not out.flags.writeable


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_adds_up_in_float32(dtype: Any) -> None:
    x = np.ones((5000, 1), dtype)
    options = {"window": (1,), "strides": (1,), "dilation": (1,), "shape": (5000,)}
    np.testing.assert_array_equal(run(fold, [x], options)[0], np.ones(5000, dtype))
    tall = np.ones((2, 4096), dtype)  # 1 + 1 at each of the 4095 places that two windows share
    options = {"window": (4096,), "strides": (1,), "dilation": (1,), "shape": (4097,)}
    assert run(fold, [tall], options)[0].astype(float).sum() == 2 * 4096


@pytest.mark.parametrize("n", [3, 4, 9])
def test_one_graph_for_all_sizes(n: int) -> None:
    size = Dim("n")
    options = {"window": (3,), "strides": (2,), "dilation": (1,)}

    def there_and_back(x: Any) -> Any:
        return fold(unfold(x, **options), shape=(size,), **options)

    x = np.arange(n, dtype=np.float32)
    counts = [sum(k in range(p, p + 3) for p in range(0, n - 2, 2)) for k in range(n)]
    np.testing.assert_array_equal(run_graph(graph_of(there_and_back, Spec((size,), float32)), x), x * counts)


def test_a_size_that_turns_out_too_small() -> None:
    graph = graph_of(lambda x: unfold(x, window=(3,), strides=(1,), dilation=(1,)), Spec((Dim("n"),), float32))
    with pytest.raises(ShapeError, match=r"a window of 3 does not fit into axis 0 of \[2\]: \(2 - 3\) // 1 \+ 1 = 0"):
        run_graph(graph, np.ones(2, np.float32))
