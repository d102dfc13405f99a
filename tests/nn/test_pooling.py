"""Pooling against loops."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn


def loop_pool(x: np.ndarray, window: Any, strides: Any, low: Any, out: Any, reduce: Any) -> np.ndarray:
    """Each window's elements that lie inside of x, reduced."""
    y = np.zeros((x.shape[0], *out, x.shape[-1]))
    for place in itertools.product(*map(range, out)):
        begins = [p * s - lo for p, s, lo in zip(place, strides, low, strict=True)]
        cut = tuple(slice(max(b, 0), b + w) for b, w in zip(begins, window, strict=True))
        y[(slice(None), *place)] = reduce(x[(slice(None), *cut)], axis=tuple(range(1, x.ndim - 1)))
    return y


@pytest.mark.parametrize(("kind", "reduce"), [("Max", np.max), ("Average", np.mean)])
@pytest.mark.parametrize("padding", ["valid", "same", ((1, 0), (2, 1))])
@pytest.mark.parametrize("strides", [None, 1, (3, 2)])
def test_pooling2d_against_loops(kind: str, reduce: Any, padding: Any, strides: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 8, 3)) - 5  # below 0: a border of zeros would win a maximum
    layer = getattr(nn, f"{kind}Pooling2D")((2, 3), strides, padding)
    by = layer.strides
    if padding == "same":
        out = [-(-n // s) for n, s in zip((7, 8), by, strict=True)]
        low = [max((o - 1) * s + w - n, 0) // 2 for o, s, w, n in zip(out, by, (2, 3), (7, 8), strict=True)]
    else:
        pairs = ((0, 0), (0, 0)) if padding == "valid" else padding
        low = [p[0] for p in pairs]
        out = [(n + sum(p) - w) // s + 1 for n, p, w, s in zip((7, 8), pairs, (2, 3), by, strict=True)]
    expected = loop_pool(x, (2, 3), by, low, out, reduce)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, rtol=1e-12)


def test_max_pooling_of_integers_and_nan() -> None:
    x = td.asarray([[[-5], [-7], [-9]]])
    assert nn.MaxPooling1D(2, padding="same")(x).tolist() == [[[-5], [-9]]]
    y = nn.MaxPooling1D(2)(td.asarray([[[float("nan")], [1.0], [2.0], [3.0]]]))
    assert np.isnan(y.numpy()).tolist() == [[[True], [False]]]


def test_average_of_half_precision_keeps_its_digits() -> None:
    x = td.full((1, 64, 64, 1), 1000.0, dtype=td.float16)  # the sum is beyond float16
    assert nn.AveragePooling2D(64)(x).tolist() == [[[[1000.0]]]]
    assert nn.GlobalAveragePooling2D()(x).tolist() == [[1000.0]]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("kind", "reduce"), [("Max", np.max), ("Average", np.mean)])
def test_global_pooling(kind: str, reduce: Any, form: str, keepdims: bool) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    axes = (1, 2) if form == "channels_last" else (2, 3)
    layer = getattr(nn, f"Global{kind}Pooling2D")(form, keepdims)
    np.testing.assert_allclose(np.asarray(layer(x)), reduce(x, axis=axes, keepdims=keepdims), rtol=1e-12)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("kind", "reduce"), [("Max", np.max), ("Average", np.mean)])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64"])
def test_padded_sequences(kind: str, reduce: Any, form: str, keepdims: bool, dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 3)) - 4
    lengths = np.array([3, 0, 5, 1])
    mask = np.arange(5) < lengths[:, None]
    expected = np.stack([reduce(x[n, :k], axis=0) if k else np.zeros(3) for n, k in enumerate(lengths)])
    time = 1
    noisy = np.where(mask[..., None], x, np.nan if kind == "Average" else 1e9)
    if form == "channels_first":
        noisy, time = noisy.transpose(0, 2, 1), 2
    layer = getattr(nn, f"Global{kind}Pooling1D")(form, keepdims)
    if keepdims:
        expected = np.expand_dims(expected, time)
    np.testing.assert_allclose(
        np.asarray(layer(noisy, lengths=td.asarray(lengths.astype(dtype)))), expected, rtol=1e-12
    )
    np.testing.assert_allclose(np.asarray(layer(noisy, mask=td.asarray(mask))), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_what_is_masked_has_no_gradient(kind: str) -> None:
    layer = getattr(nn, f"Global{kind}Pooling1D")()
    x = td.asarray(np.array([[[1.0], [2.0], [np.inf]], [[np.nan], [np.nan], [np.nan]]]))
    g = td.grad(lambda x: td.sum(layer(x, lengths=td.asarray([2, 0]))))(x)
    expected = {"Max": [0.0, 1.0, 0.0], "Average": [0.5, 0.5, 0.0]}[kind]
    assert g[..., 0].tolist() == [expected, [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": td.ones((2, 3), dtype=td.bool), "lengths": td.asarray([1, 2])}, "not both"),
        ({"mask": td.ones((2, 3))}, r"mask\.astype\(td\.bool\)"),
        ({"mask": td.ones((3, 2), dtype=td.bool)}, r"\[2, 3\] for x \[2, 3, 1\], and is \[3, 2\]"),
        ({"lengths": td.asarray([1.0, 2.0])}, "lengths are integers"),
        ({"lengths": td.asarray([1, 2, 3])}, r"lengths \[batch\] must be \[2\]"),
    ],
)
def test_wrong_masks(options: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        nn.GlobalMaxPooling1D()(td.zeros((2, 3, 1)), **options)
