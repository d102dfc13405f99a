"""Clipping by value and by norm, over trees, against NumPy, and where squares overflow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import treadle as td
from treadle.core.errors import ArgumentError

optim = td.optim
TREE = {"a": [td.asarray([[3.0, -4.0]]), td.asarray(0.0)], "b": (td.asarray([12.0]),)}
vectors = arrays(np.float64, st.integers(0, 5), elements=st.floats(-1e6, 1e6))


def test_global_norm_of_a_tree() -> None:
    assert optim.global_norm(TREE).item() == 13.0
    assert optim.global_norm(TREE).dtype is td.float32
    assert optim.global_norm([np.ones(4), td.ones(5)]).item() == 3.0
    assert optim.global_norm([np.ones(4), td.ones(5)]).dtype is td.float64
    assert optim.global_norm({}).item() == 0.0


def test_the_tree_keeps_its_form() -> None:
    for clip in (optim.clip_by_value(1.0), optim.clip_by_norm(1.0), optim.clip_by_global_norm(1.0)):
        out = clip(TREE)
        assert td.tree.flatten(out)[1] == td.tree.flatten(TREE)[1]
        assert [x.spec for x in td.tree.leaves(out)] == [x.spec for x in td.tree.leaves(TREE)]


@given(a=vectors, b=vectors, bound=st.floats(1e-3, 1e3))
def test_norms_against_numpy(a: np.ndarray, b: np.ndarray, bound: float) -> None:
    one = optim.clip_by_norm(bound)({"a": a, "b": b})
    for name, x in (("a", a), ("b", b)):
        norm = np.linalg.norm(x)
        expected = x * bound / norm if norm > bound else x
        np.testing.assert_allclose(one[name].numpy(), expected, rtol=1e-12)
    together = np.linalg.norm(np.concatenate([a, b]))
    both = optim.clip_by_global_norm(bound)([a, b])
    expected = [x * bound / together if together > bound else x for x in (a, b)]
    for out, x in zip(both, expected, strict=True):
        np.testing.assert_allclose(out.numpy(), x, rtol=1e-12)
    if together <= bound * (1 - 1e-12):
        assert [out.tolist() for out in both] == [a.tolist(), b.tolist()]  # to the bit


def test_values() -> None:
    x = td.asarray([-3.0, -0.5, 0.5, 3.0, np.nan])
    np.testing.assert_array_equal(optim.clip_by_value(1.0)([x])[0].numpy(), [-1, -0.5, 0.5, 1, np.nan])
    np.testing.assert_array_equal(optim.clip_by_value(-0.5, 2.0)([x])[0].numpy(), [-0.5, -0.5, 0.5, 2, np.nan])


def test_squares_that_float32_does_not_hold() -> None:
    huge, tiny = td.asarray([3e30, 4e30]), td.asarray([3e-30, 4e-30])
    np.testing.assert_allclose(optim.clip_by_global_norm(1.0)([huge])[0].numpy(), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(optim.clip_by_norm(1e-30)([tiny])[0].numpy(), [6e-31, 8e-31], rtol=1e-6)
    np.testing.assert_allclose(optim.global_norm([tiny]).item(), 5e-30, rtol=1e-6)


def test_what_is_not_a_number_stays_visible() -> None:
    for clip in (optim.clip_by_norm(1.0), optim.clip_by_global_norm(1.0)):
        assert np.isnan(clip([td.asarray([np.nan, 1.0])])[0].numpy()).all()
        assert np.isnan(clip([td.asarray([np.inf])])[0].item())


def test_compiled() -> None:
    x = {"a": td.asarray([3.0, 4.0])}
    for clip in (optim.clip_by_value(1.0), optim.clip_by_norm(1.0), optim.clip_by_global_norm(1.0)):
        np.testing.assert_allclose(td.compile(lambda t, c=clip: c(t))(x)["a"].numpy(), clip(x)["a"].numpy(), rtol=1e-7)


def test_impossible_bounds() -> None:
    with pytest.raises(ArgumentError, match=r"the interval from 2\.0 to 1\.0 is empty"):
        optim.clip_by_value(2.0, 1.0)
    with pytest.raises(ArgumentError, match=r"the interval from 1\.0 to -1\.0 is empty"):
        optim.clip_by_value(-1.0)
    for make in (optim.clip_by_norm, optim.clip_by_global_norm):
        with pytest.raises(ArgumentError, match="max_norm is a finite number > 0; got 0"):
            make(0)
