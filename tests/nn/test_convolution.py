"""Convolutions against loops in NumPy and SciPy, and their shapes against what Keras documents."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle import nn
from treadle.nn.conv_arithmetic import forward_axis, transposed_axis


def loop_conv(x: np.ndarray, kernel: np.ndarray, strides: Any, low: Any, out: Any, dilation: Any, groups: int) -> Any:
    """The definition, output element by output element. Zeros lie around x."""
    *window, per_group, filters = kernel.shape
    rank = len(window)
    y = np.zeros((x.shape[0], *out, filters))
    each = filters // groups
    for place in itertools.product(*map(range, out)):
        for tap in itertools.product(*map(range, window)):
            at = [p * s + t * d - lo for p, s, t, d, lo in zip(place, strides, tap, dilation, low, strict=True)]
            if any(not 0 <= a < n for a, n in zip(at, x.shape[1 : 1 + rank], strict=True)):
                continue
            pixel = x[(slice(None), *at)]
            for f in range(filters):
                g = f // each
                y[(slice(None), *place, f)] += (
                    pixel[:, g * per_group : (g + 1) * per_group] @ kernel[(*tap, slice(None), f)]
                )
    return y


def keras_same(n: int, k: int, s: int, d: int) -> tuple[int, int]:
    """(size, zeros before): the documented rule of padding="same"."""
    out = math.ceil(n / s)
    return out, max((out - 1) * s + (k - 1) * d + 1 - n, 0) // 2


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("padding", ["valid", "same", ((1, 2), (0, 3))])
def test_conv2d_against_loops(padding: Any, stride: int, dilation: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 8, 7, 4))
    layer = nn.Conv2D(6, (3, 2), stride, padding, dilation_rate=dilation, groups=groups, dtype="float64")
    y = layer(x)
    kernel, sizes = np.asarray(layer.kernel), (8, 7)
    if padding == "same":
        rules = [keras_same(n, k, stride, dilation) for n, k in zip(sizes, (3, 2), strict=True)]
    else:
        pairs = ((0, 0), (0, 0)) if padding == "valid" else padding
        rules = [
            ((n + lo + hi - ((k - 1) * dilation + 1)) // stride + 1, lo)
            for n, k, (lo, hi) in zip(sizes, (3, 2), pairs, strict=True)
        ]
    out, low = zip(*rules, strict=True)
    expected = loop_conv(x, kernel, (stride,) * 2, low, out, (dilation,) * 2, groups)
    np.testing.assert_allclose(np.asarray(y), expected, rtol=1e-12, atol=1e-12)


def test_conv1d_causal_sees_nothing_that_comes_later() -> None:
    layer = nn.Conv1D(2, 3, padding="causal", dilation_rate=2, dtype="float64")
    x = np.random.default_rng(0).standard_normal((1, 9, 3))
    y = np.asarray(layer(x))
    changed = x.copy()
    changed[:, 5:] += 1
    z = np.asarray(layer(changed))
    assert y.shape == (1, 9, 2)
    np.testing.assert_array_equal(z[:, :5], y[:, :5])
    assert (z[:, 5:] != y[:, 5:]).all()


def test_conv3d_against_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 5, 6, 1))
    layer = nn.Conv3D(1, (2, 3, 3), dtype="float64")
    y = np.asarray(layer(x))
    expected = scipy.signal.correlate(x[0, ..., 0], np.asarray(layer.kernel)[..., 0, 0], mode="valid")
    np.testing.assert_allclose(y[0, ..., 0], expected, rtol=1e-12, atol=1e-12)


def test_depthwise_is_one_convolution_a_channel() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 6, 5, 3))
    layer = nn.DepthwiseConv2D(3, depth_multiplier=2, dtype="float64")
    y = np.asarray(layer(x))
    kernel = np.asarray(layer.kernel)
    assert kernel.shape == (3, 3, 3, 2)
    for n, c, m in itertools.product(range(2), range(3), range(2)):
        expected = scipy.signal.correlate(x[n, ..., c], kernel[..., c, m], mode="valid")
        np.testing.assert_allclose(y[n, ..., 2 * c + m], expected, rtol=1e-12, atol=1e-12)


# transposed


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same", 1, ((0, 2), (1, 0))])
def test_transposed_is_the_adjoint(padding: Any, stride: int, dilation: int, groups: int) -> None:
    """⟨Conv2D x, y⟩ = ⟨x, Conv2DTranspose y⟩ with one kernel, for x of the size that the transposed one makes."""
    rng = np.random.default_rng(1)
    options: dict[str, Any] = {"groups": groups, "dilation_rate": dilation, "use_bias": False, "dtype": "float64"}
    back = nn.Conv2DTranspose(4, 3, stride, padding, **options)
    y = rng.standard_normal((2, 4, 5, 6))
    made = back(y)
    forward = nn.Conv2D(6, 3, stride, padding, input_size=4, **options)
    forward.assign({"kernel": back.kernel})
    x = rng.standard_normal(made.shape)
    assert forward(x).shape == y.shape
    np.testing.assert_allclose(np.vdot(np.asarray(forward(x)), y), np.vdot(x, np.asarray(made)), rtol=1e-12)


@given(
    n=st.integers(1, 9),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
)
def test_same_and_valid_sizes_are_keras_ones(n: int, kernel: int, stride: int, dilation: int) -> None:
    span = (kernel - 1) * dilation + 1
    axis = forward_axis("width", n, kernel, stride, dilation, "same")
    assert (axis.out, axis.padding[0]) == keras_same(n, kernel, stride, dilation)
    assert sum(axis.padding) == max((axis.out - 1) * stride + span - n, 0)
    assert transposed_axis("width", n, kernel, stride, dilation, "same", None).out == n * stride
    assert transposed_axis("width", n, kernel, stride, dilation, "valid", None).out == n * stride + max(
        span - stride, 0
    )
    for more in range(stride):
        # keras.layers.Conv2DTranspose: ((n - 1) * s + k - 2 * padding + output_padding), padding k // 2 or 0
        half = span // 2
        base = (n - 1) * stride + span + more
        assert transposed_axis("width", n, kernel, stride, dilation, "same", more).out == base - 2 * half
        assert transposed_axis("width", n, kernel, stride, dilation, "valid", more).out == base


@given(kernel=st.integers(1, 7), stride=st.integers(1, 4), dilation=st.integers(1, 2), n=st.integers(1, 30))
def test_unknown_sizes_give_the_same_formula(kernel: int, stride: int, dilation: int, n: int) -> None:
    size = td.Dim("n")
    span = (kernel - 1) * dilation + 1
    if not 1 < span < stride:
        unknown = forward_axis("width", size, kernel, stride, dilation, "same")
        known = forward_axis("width", n, kernel, stride, dilation, "same")
        values = [v.substitute({"n": n}) if isinstance(v, td.Dim) else v for v in (unknown.out, *unknown.padding)]
        assert values == [known.out, *known.padding]
    back = transposed_axis("width", size, kernel, stride, dilation, "same", None)
    assert back.out == size * stride
    assert back.padding == transposed_axis("width", n, kernel, stride, dilation, "same", None).padding


def test_unknown_size_with_a_kernel_below_the_stride_says_what_it_depends_on() -> None:
    with pytest.raises(td.errors.DimError, match=r"depends on the remainder n % 4"):
        forward_axis("width", td.Dim("n"), 2, 4, 1, "same")


def test_compiled_with_unknown_height_and_width() -> None:
    model = nn.Sequential(
        [nn.Conv2D(3, 3, 2, "same"), nn.Conv2DTranspose(2, 3, 2, "same"), nn.AveragePooling2D(3, 2, "same")]
    )
    model.init((1, 8, 8, 1))
    run = td.compile(lambda m, x: m(x), dynamic={"x": ("batch", "height", "width", None)})
    for shape in ((1, 8, 8, 1), (2, 5, 7, 1)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(np.asarray(run(model, x)), np.asarray(model(x)), rtol=1e-5, atol=1e-6)
    assert run.traces == 1


# explanations


def test_conv_shape_prints_the_formulas_with_the_numbers() -> None:
    text = str(nn.conv_shape((8, 3, 30, 20), 16, (5, 3), (2, 1), "valid", "channels_first", dilation_rate=(2, 1)))
    assert text.splitlines() == [
        "convolution",
        "    x        [batch=8, channels=3, height=30, width=20]",
        "    kernel   [5, 3, 3, 16]",
        "    height   valid: (30 - 9) // 2 + 1 = 11; the kernel of 5 spans (5 - 1) * 2 + 1 = 9",
        "    width    valid: (20 - 3) // 1 + 1 = 18",
        "    result   [batch=8, channels=16, height=11, width=18]",
    ]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"padding": "same", "strides": 2}, "same: 7 * 2 = 14"),
        ({"padding": "valid", "strides": 2}, "valid: (7 - 1) * 2 + max(3, 2) = 15"),
        ({"padding": "same", "strides": 2, "output_padding": 1}, "same: (7 - 1) * 2 + 3 - 2 * (3 // 2) + 1 = 14"),
        ({"padding": 1, "strides": 2}, "(7 - 1) * 2 + 3 - 1 - 1 + 0 = 13"),
    ],
)
def test_conv_shape_of_transposed(options: dict[str, Any], line: str) -> None:
    made = nn.conv_shape((1, 7, 4), 5, 3, transposed=True, **options)
    assert line in str(made)
    layer = nn.Conv1DTranspose(5, 3, **options)
    assert layer(td.zeros((1, 7, 4))).shape == made.shape == layer.conv_shape((1, 7, 4)).shape


def test_conv_shape_of_names() -> None:
    made = nn.conv_shape(("batch", "height", 28, 1), 8, 3, 2, "same")
    assert str(made.shape) == "(batch, ((height+1)//2), 14, 8)"
    assert "same: ceil(height / 2) = ((height+1)//2)" in str(made)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.conv_shape((8, 3), 1, 3), "[batch, *spatial, channels]"),
        (lambda: nn.conv_shape((1, 8, 3), 4, 3, groups=2), "3 = 1 * 2 + 1"),
        (lambda: nn.conv_shape((1, 8, 4), 3, 3, groups=2), "the 3 filters do not divide into 2 groups"),
        (lambda: nn.conv_shape((1, 8, 4), 3, 3, output_padding=1), "output_padding is for transposed=True"),
        (lambda: nn.Conv2DTranspose(3, 3, 2, output_padding=2), "must be below strides"),
        (lambda: nn.Conv2D(3, 3, padding="causal"), "padding is"),
        (lambda: nn.Conv2D(3, 3, padding=((1, 2, 3), 0)), "a pair (before, after)"),
        (lambda: nn.Conv2D(3, 3, padding=-1), "none negative"),
        (lambda: nn.Conv2D(3, (3, 3, 3)), "kernel_size is an int or 2 of them"),
        (lambda: nn.Conv2D(0, 3), "filters must be at least 1"),
        (lambda: nn.Conv2D(3, 3, data_format="NHWC"), 'data_format is "channels_last" or "channels_first"'),
        (lambda: nn.Conv2D(3, 3, groups=0), "groups must be at least 1"),
    ],
)
def test_wrong_arguments(call: Any, words: str) -> None:
    with pytest.raises(ValueError) as e:
        call()
    assert words in str(e.value)


# weights that move


def test_kernel_to_and_back() -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 5, 2, 4))
    there = nn.kernel_to("OIHW", kernel, source="HWIO")
    np.testing.assert_array_equal(np.asarray(there), kernel.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(np.asarray(nn.kernel_to("HWIO", there, source="OIHW")), kernel)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.kernel_to("OIHW", np.zeros((1, 2, 3)), source="HWIO"), "HWIO has 4 axes"),
        (lambda: nn.kernel_to("NCHW", np.zeros((1, 2, 3, 4)), source="HWIO"), "'NCHW' is no layout"),
        (lambda: nn.kernel_to("OIW", np.zeros((1, 2, 3, 4)), source="HWIO"), "do not name the same axes"),
        (lambda: nn.flat_kernel_to("channels_last", np.zeros((5, 1)), (2, 3), source="channels_first"), "flatten to 6"),
    ],
)
def test_wrong_layouts(call: Any, words: str) -> None:
    with pytest.raises(ValueError) as e:
        call()
    assert words in str(e.value)


@pytest.mark.parametrize("source", ["channels_last", "channels_first"])
def test_flat_kernel_to_keeps_what_the_model_computes(source: str) -> None:
    rng = np.random.default_rng(0)
    image, weights = rng.standard_normal((4, 5, 3)), rng.standard_normal((60, 2))
    flat = {"channels_last": image.ravel(), "channels_first": image.transpose(2, 0, 1).ravel()}
    target = "channels_first" if source == "channels_last" else "channels_last"
    moved = np.asarray(nn.flat_kernel_to(target, weights, (4, 5, 3), source=source))
    np.testing.assert_allclose(flat[target] @ moved, flat[source] @ weights, rtol=1e-12)


def test_reshape_undoes_flatten_in_both_formats():
    for form in ("channels_last", "channels_first"):
        x = td.reshape(td.arange(2 * 3 * 4 * 5), (2, 3, 4, 5))
        flat = nn.Flatten(form)(x)
        for target in ((3, 4, 5), (-1, 4, 5), (3, -1, 5), (3, 4, -1)):
            np.testing.assert_array_equal(nn.Reshape(target, data_format=form)(flat).numpy(), x.numpy())


def test_a_model_in_the_other_format_takes_the_same_weights() -> None:
    """Flatten(data_format="channels_first") puts channels last, so that even the Dense behind it has the same rows."""

    def model(form: str) -> nn.Sequential:
        with nn.defaults(
            Conv2D={"data_format": form}, MaxPooling2D={"data_format": form}, Flatten={"data_format": form}
        ):
            return nn.Sequential([nn.Conv2D(4, 3), nn.MaxPooling2D(), nn.Flatten(), nn.Dense(3)])

    x = np.random.default_rng(0).standard_normal((2, 8, 6, 3)).astype(np.float32)
    last, first = model("channels_last"), model("channels_first")
    y = last(x)
    first(x.transpose(0, 3, 1, 2))
    first.assign(last.variables())
    np.testing.assert_allclose(np.asarray(first(x.transpose(0, 3, 1, 2))), np.asarray(y), rtol=1e-5, atol=1e-6)
