"""`conv` against its definition as a loop and SciPy; its derivatives by dot products over drawn options."""

from __future__ import annotations

from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops._battery import run, tensor
from tests.ops._dims import graph_of, run_graph
from treadle.core.dims import Dim
from treadle.core.dtypes import float32
from treadle.core.errors import DimError, ShapeError
from treadle.core.primitive import Unknown
from treadle.core.spec import Spec
from treadle.ops import conv as conv_module
from treadle.ops.conv import conv, conv_output_size

EXPLORED = settings.get_profile("ci").max_examples * 3  # a wide space of options, and each example is small


def options(rank: int, **given: Any) -> dict[str, Any]:
    ones = (1,) * rank
    plain = {"strides": ones, "padding": ((0, 0),) * rank, "x_dilation": ones, "kernel_dilation": ones, "groups": 1}
    return plain | given


def by_definition(
    x: Any, kernel: Any, strides: Any, padding: Any, x_dilation: Any, kernel_dilation: Any, groups: int
) -> Any:
    """out[n, o, c] = sum over taps j and the group's channels of X[o * s + j * d - lo] * kernel[j], X dilated x."""
    k = kernel.shape[:-2]
    sizes = [
        conv_output_size(*a) for a in zip(x.shape[1:-1], k, strides, padding, x_dilation, kernel_dilation, strict=True)
    ]
    out = np.zeros((x.shape[0], *sizes, kernel.shape[-1]))
    per_in, per_out = kernel.shape[-2], kernel.shape[-1] // groups
    for o, j in product(product(*map(range, sizes)), product(*map(range, k))):
        place = [a * s + b * d - p[0] for a, b, s, d, p in zip(o, j, strides, kernel_dilation, padding, strict=True)]
        at = [p // e for p, e in zip(place, x_dilation, strict=True)]
        if any(p % e for p, e in zip(place, x_dilation, strict=True)):
            continue
        if any(not 0 <= i < n for i, n in zip(at, x.shape[1:-1], strict=True)):
            continue
        for g in range(groups):
            ins, outs = slice(g * per_in, (g + 1) * per_in), slice(g * per_out, (g + 1) * per_out)
            out[(slice(None), *o, outs)] += x[(slice(None), *at, ins)] @ kernel[(*j, slice(None), outs)]
    return out


@st.composite
def convolutions(draw: Any) -> Any:
    rank = draw(st.integers(0, 2))
    axes = []
    for _ in range(rank):
        stride, e, d, k = (
            draw(st.integers(1, 3)),
            draw(st.integers(1, 2)),
            draw(st.integers(1, 3)),
            draw(st.integers(1, 4)),
        )
        low = draw(st.integers(-2, 4))
        n = draw(st.integers(1, 6))
        least = (k - 1) * d + 1 - ((n - 1) * e + 1) - low  # so that one window fits
        high = draw(st.integers(least, least + 4))
        axes.append((n, k, stride, (low, high), e, d))
    sizes, k, strides, padding, x_dilation, kernel_dilation = zip(*axes, strict=True) if axes else ((),) * 6
    groups = draw(st.integers(1, 3))
    per_in, per_out = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.normal(size=(draw(st.integers(1, 2)), *sizes, groups * per_in))
    kernel = rng.normal(size=(*k, per_in, groups * per_out))
    given = {"strides": strides, "padding": padding, "x_dilation": x_dilation, "kernel_dilation": kernel_dilation}
    return x, kernel, given | {"groups": groups}


@settings(max_examples=EXPLORED)
@given(convolutions())
def test_conv_is_its_definition(case: Any) -> None:
    x, kernel, params = case
    np.testing.assert_allclose(run(conv, [x, kernel], params)[0], by_definition(x, kernel, **params), atol=1e-12)


@settings(max_examples=EXPLORED)
@given(convolutions())
def test_transposes_by_dot_product(case: Any) -> None:
    """⟨ct, conv(x, k)⟩ = ⟨ct_x, x⟩ = ⟨ct_k, k⟩: the derivatives of a product, for every combination of options."""
    x, kernel, params = case
    (out,) = run(conv, [x, kernel], params)
    ct = np.random.default_rng(1).normal(size=out.shape)
    rule = conv.rule("transpose")
    ct_x, nothing = rule(tensor(ct), Unknown(tensor(x).spec), tensor(kernel), **params)
    none, ct_kernel = rule(tensor(ct), tensor(x), Unknown(tensor(kernel).spec), **params)
    assert nothing is none is None
    assert (ct_x.shape, ct_kernel.shape) == (x.shape, kernel.shape)
    scale = float(np.abs(ct).sum() * np.abs(x).max() * np.abs(kernel).max())
    np.testing.assert_allclose(np.vdot(ct_x.numpy(), x), np.vdot(ct, out), atol=1e-13 * scale)
    np.testing.assert_allclose(np.vdot(ct_kernel.numpy(), kernel), np.vdot(ct, out), atol=1e-13 * scale)


@given(convolutions(), st.integers(0, 1), st.integers(0, 10**6))
def test_each_entry_of_the_gradients(case: Any, which: int, entry: int) -> None:
    """One entry of an input moved by 1 moves ⟨ct, conv⟩ by its cotangent, exactly: conv is linear in each input."""
    inputs, params = list(case[:2]), case[2]
    (out,) = run(conv, inputs, params)
    ct = np.random.default_rng(1).normal(size=out.shape)
    known: list[Any] = [tensor(a) for a in inputs]
    known[which] = Unknown(known[which].spec)
    gradient = conv.rule("transpose")(tensor(ct), *known, **params)[which].numpy()
    at = np.unravel_index(entry % gradient.size, gradient.shape)
    inputs[which] = np.zeros_like(inputs[which])
    inputs[which][at] = 1.0
    np.testing.assert_allclose(gradient[at], np.vdot(ct, run(conv, inputs, params)[0]), atol=1e-12)


@settings(max_examples=EXPLORED)
@given(convolutions(), st.sampled_from([(True, False), (False, True), (True, True)]))
def test_the_batch_rule_is_a_loop(case: Any, batched: tuple[bool, bool]) -> None:
    *arrays, params = case
    stacked = [np.stack([a, -a, 2 * a]) if b else a for a, b in zip(arrays, batched, strict=True)]
    made = conv.rule("batch")(batched, *map(tensor, stacked), size=3, **params).numpy()
    for i in range(3):
        (one,) = run(conv, [a[i] if b else a for a, b in zip(stacked, batched, strict=True)], params)
        np.testing.assert_allclose(made[i], one, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_is_scipys_correlate(rank: int) -> None:
    rng = np.random.default_rng(rank)
    x, kernel = rng.normal(size=(1, *(7, 6, 5)[:rank], 1)), rng.normal(size=(*(3, 2, 4)[:rank], 1, 1))
    (out,) = run(conv, [x, kernel], options(rank))
    expected = scipy.signal.correlate(x[0, ..., 0], kernel[..., 0, 0], mode="valid")
    np.testing.assert_allclose(out[0, ..., 0], expected, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("limit", [1, 500, 10**9])
def test_the_pieces_that_the_reference_works_in_do_not_show(limit: int, groups: int, monkeypatch: Any) -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(5, 6, 6, 3)), rng.normal(size=(3, 3, 3 // groups, 6))
    params = options(2, groups=groups, padding=((1, 1), (1, 1)))
    monkeypatch.setattr(conv_module, "COLUMNS_BYTES", limit)
    np.testing.assert_allclose(run(conv, [x, kernel], params)[0], by_definition(x, kernel, **params), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_adds_up_in_float32(dtype: Any) -> None:
    (out,) = run(conv, [np.ones((1, 5000, 1), dtype), np.ones((5000, 1, 1), dtype)], options(1))
    assert out.dtype == dtype
    assert out == np.array(5000, dtype)


def test_non_contiguous_inputs() -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(3, 8, 4)).T, rng.normal(size=(2, 5, 3)).T[:, :, :1]
    x, kernel = x[:, ::2], kernel[:3, :3]
    (out,) = run(conv, [x, kernel], options(1))
    np.testing.assert_allclose(out, by_definition(x, kernel, **options(1)), atol=1e-12)


@pytest.mark.parametrize(
    ("args", "size"),
    [
        ((6, 7, 1, (0, 0), 1, 1), 0),
        ((28, 3, 1, (1, 1), 1, 1), 28),
        ((7, 3, 2, (0, 1), 1, 1), 3),
        ((5, 3, 1, (0, 0), 1, 2), 1),
        ((4, 3, 1, (2, 2), 2, 1), 9),  # a transposed convolution: (4 - 1) * 2 + 3
        ((9, 2, 3, (-1, -2), 1, 1), 2),
    ],
)
def test_output_sizes(args: Any, size: int) -> None:
    assert conv_output_size(*args) == size


# ---------------------------------------------------------------------------------------- sizes that are not known

STRIDED = options(1, strides=(2,), padding=((1, 1),), groups=2)


@pytest.mark.parametrize("length", [1, 2, 5, 8])
@pytest.mark.parametrize("count", [1, 3])
def test_one_graph_for_all_sizes(length: int, count: int) -> None:
    """Forward and both gradients, with the batch and the length left open."""
    spec_x, spec_k = Spec((Dim("n"), Dim("l"), 4), float32), Spec((3, 2, 6), float32)
    forward = graph_of(lambda x, k: conv(x, k, **STRIDED), spec_x, spec_k)
    assert str(forward.output_specs[0]) == "f32[n,((l+1)//2),6]"
    rng = np.random.default_rng(0)
    x, k = rng.integers(-3, 4, (count, length, 4)), rng.integers(-3, 4, (3, 2, 6))  # small integers: sums are exact
    x, k = x.astype(np.float32), k.astype(np.float32)
    out = run_graph(forward, x, k)
    np.testing.assert_array_equal(out, run(conv, [x, k], STRIDED)[0])
    rule = conv.rule("transpose")
    for which in range(2):

        def pull(ct: Any, x: Any, k: Any, which: int = which) -> Any:
            inputs = [Unknown(t.spec) if i == which else t for i, t in enumerate((x, k))]
            return rule(ct, *inputs, **STRIDED)[which]

        graph = graph_of(pull, forward.output_specs[0], spec_x, spec_k)
        assert graph.output_specs[0] == (spec_x, spec_k)[which]
        np.testing.assert_array_equal(run_graph(graph, out, x, k), pull(tensor(out), tensor(x), tensor(k)).numpy())


def test_a_length_that_turns_out_too_short() -> None:
    graph = graph_of(lambda x, k: conv(x, k, **options(1)), Spec((2, Dim("l"), 1), float32), Spec((3, 1, 1), float32))
    assert run_graph(graph, np.ones((2, 3, 1), np.float32), np.ones((3, 1, 1), np.float32)).shape == (2, 1, 1)
    with pytest.raises(ShapeError, match=r"nothing is left of x \[2, 2, 1\] by kernel \[3, 1, 1\]"):
        run_graph(graph, np.ones((2, 2, 1), np.float32), np.ones((3, 1, 1), np.float32))


def test_channels_whose_number_is_not_known() -> None:
    c = Dim("c")
    x, k = Spec((2, 5, 2 * c), float32), Spec((3, c, 4 * c), float32)
    assert conv.infer(x, k, **options(1, groups=2)) == (Spec((2, 3, 4 * c), float32),)
    with pytest.raises(DimError, match="whether c out channels divide into 2 groups"):
        conv.infer(x, Spec((3, c, c), float32), **options(1, groups=2))


# -------------------------------------------------------------------------------------------------------- messages


def message(x: tuple[int, ...], kernel: tuple[int, ...], **given: Any) -> str:
    with pytest.raises(ShapeError) as caught:
        conv.infer(Spec(x, float32), Spec(kernel, float32), **options(len(x) - 2, **given))
    return caught.value.message


def test_nothing_left_shows_shapes_formula_and_remedy() -> None:
    assert message((32, 6, 9, 16), (7, 7, 16, 32)).splitlines() == [
        "conv: nothing is left of the height",
        "    x        [batch=32, height=6, width=9, channels=16]",
        "    kernel   [height=7, width=7, in=16, out=32]",
        "    height   (6 + 0 + 0 - 7) // 1 + 1 = 0    ← nothing is left: the 7-wide kernel does not fit into height 6",
        '  Use padding="same", or a kernel of at most 6.',
    ]


def test_nothing_left_names_the_axis_and_the_dilations() -> None:
    text = message((1, 9, 3, 2), (3, 3, 2, 2), kernel_dilation=(2, 3), x_dilation=(1, 2), strides=(1, 2))
    assert "width    (5 + 0 + 0 - 7) // 2 + 1 = 0" in text
    assert "x is dilated by 2 from 3 to 5, the kernel is dilated by 3 from 3 to 7" in text
    assert "a kernel of at most 2" in text


def test_nothing_left_by_cropping_offers_no_kernel() -> None:
    text = message((1, 3, 2), (1, 2, 2), padding=((-2, -1),))
    assert "length   (3 + -2 + -1 - 1) // 1 + 1 = 0" in text
    assert "at most" not in text


def test_channels_that_do_not_fit_say_what_would() -> None:
    text = message((1, 5, 6), (3, 2, 4), groups=2)
    assert "x has 6 channels, and the kernel takes 2 in each of 2 groups: 2 * 2 = 4" in text
    assert "Give the kernel 3 input channels, or x 4." in text
