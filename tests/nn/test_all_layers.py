"""What holds for every layer: dtypes, compiled = eager, vmap, gradients, data formats, unknown sizes, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.nn.catalog import LAYERS, Entry
from treadle import nn

every = pytest.mark.parametrize("entry", LAYERS, ids=str)
floating = pytest.mark.parametrize("entry", [e for e in LAYERS if e.integers is None], ids=str)
in_both_formats = pytest.mark.parametrize("entry", [e for e in LAYERS if e.formats], ids=str)


def exported_layers() -> set[str]:
    exported = {getattr(nn, name) for name in nn.__all__}
    return {c.__name__ for c in exported if isinstance(c, type) and issubclass(c, nn.Module)} - {
        "Module",
        "Cell",
        "LinearCell",
    }


def test_the_list_has_every_exported_layer() -> None:
    tried = {type(m) for e in LAYERS for m in e.layer().modules().values()}
    assert exported_layers() == {c.__name__ for c in tried if c.__module__.startswith("treadle")}


def assert_close(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(a.astype("float64")), np.asarray(b.astype("float64")), rtol=rtol, atol=atol)


def weights_of(source: nn.Module, dtype: Any) -> dict[str, td.Tensor]:
    return {k: v.astype(dtype) if v.dtype.is_floating else v for k, v in source.variables().items()}


@every
def test_float64(entry: Entry) -> None:
    single, double = entry.layer(), entry.layer("float64")
    expected = single(entry.input())
    double.assign(weights_of(single, "float64"))
    y = double(entry.input("float64"))
    assert y.dtype is td.float64 or not (entry.dtype or entry.integers is None)
    assert_close(y, expected, atol=1e-5)


@every
def test_bfloat16(entry: Entry) -> None:
    single, half = entry.layer(), entry.layer("bfloat16")
    expected = single(entry.input())
    half.assign(weights_of(single, "bfloat16"))
    y = half(entry.input("bfloat16"))
    assert y.dtype is td.bfloat16
    # bfloat16 has 8 bits; inputs and weights are each rounded to it, and sums of up to 100 products follow.
    scale = float(td.max(td.abs(expected)).item())
    assert_close(y, expected, rtol=0.05, atol=0.05 * scale)


@every
@pytest.mark.parametrize("training", [False, True])
def test_compiled_equals_eager(entry: Entry, training: bool) -> None:
    x = entry.input()
    eager, compiled = entry.layer(), entry.layer()
    run = td.compile(lambda layer, x: layer(x, training=training))
    for _ in range(2):  # the second call runs what the first one traced, and moves the states on
        assert_close(run(compiled, x), eager(x, training=training))
    assert run.traces == 1
    for name, value in eager.variables().items():
        assert_close(compiled.variables()[name], value)


@every
def test_vmap_over_examples(entry: Entry) -> None:
    layer = entry.layer()
    xs = entry.input(batch=3)
    expected = td.stack([layer(x) for x in xs])
    assert_close(td.vmap(layer)(xs), expected)


def _directional(f: Any, point: list[td.Tensor], direction: list[np.ndarray]) -> float:
    """Central differences, extrapolated to step 0."""

    def at(h: float) -> float:
        return float(f(*[p + td.asarray(h * v) for p, v in zip(point, direction, strict=True)]).item())

    def central(h: float) -> float:
        return (at(h) - at(-h)) / (2 * h)

    h = 1e-4
    return (4 * central(h / 2) - central(h)) / 3


@floating
@pytest.mark.parametrize("training", [False, True])
def test_gradient_against_finite_differences(entry: Entry, training: bool) -> None:
    layer = entry.layer("float64")
    x = entry.input("float64")
    y = layer(x)
    rng = np.random.default_rng(2)
    weights = td.asarray(rng.standard_normal(y.shape))
    states = layer.states()  # put back before each call: the same elements are dropped in all of them

    def loss(model: nn.Module, x: td.Tensor) -> td.Tensor:
        return td.sum(weights * model(x, training=training))

    names = list(layer.parameters())

    def flat(x: td.Tensor, *values: td.Tensor) -> td.Tensor:
        layer.assign(states | dict(zip(names, values, strict=True)))
        return loss(layer, x)

    point = [x, *layer.parameters().values()]
    direction = [rng.standard_normal(p.shape) for p in point]
    expected = _directional(flat, point, direction)
    layer.assign(states | dict(zip(names, point[1:], strict=True)))
    by_layer, by_x = td.grad(loss, argnums=(0, 1))(layer, x)
    gradients = [by_x, *(by_layer[n] for n in names)]
    found = sum(float(td.sum(g * td.asarray(v)).item()) for g, v in zip(gradients, direction, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@in_both_formats
def test_data_formats_agree(entry: Entry) -> None:
    last, first = entry.layer(), entry.layer(data_format="channels_first")
    x = entry.input()
    y = last(x)
    assert {k: v.shape for k, v in first.variables().items()} == {k: v.shape for k, v in last.variables().items()}
    first.assign(last.variables())
    other = first(td.moveaxis(x, -1, 1))
    assert_close(td.moveaxis(other, 1, -1) if y.ndim > 2 else other, y)


@every
def test_unknown_batch_size(entry: Entry) -> None:
    layer = entry.layer()
    x = entry.input()
    expected = layer(x)
    batch = td.Dim("batch")
    out = td.eval_shape(layer)(td.Spec((batch, *x.shape[1:]), x.dtype))
    assert out == td.Spec((batch, *expected.shape[1:]), expected.dtype)
    run = td.compile(lambda layer, x: layer(x), dynamic={"x": ("batch", *[None] * (x.ndim - 1))})
    assert_close(run(layer, x), expected)
    assert_close(run(layer, x[:1]), layer(x[:1]))
    assert run.traces == 1


@every
def test_init_makes_what_a_call_makes(entry: Entry) -> None:
    td.random.set_seed(0)
    called = entry.unbuilt()
    called(entry.input())
    td.random.set_seed(0)
    initialised = entry.unbuilt().init(entry.input().spec)
    assert [(k, v.spec) for k, v in called.variables().items()] == [
        (k, v.spec) for k, v in initialised.variables().items()
    ]
    for name, value in called.variables().items():
        np.testing.assert_array_equal(np.asarray(initialised.variables()[name]), np.asarray(value))


@every
def test_built_inside_of_compile_and_of_grad(entry: Entry) -> None:
    x, layer = entry.input(), entry.unbuilt()
    y = td.compile(lambda layer, x: layer(x))(layer, x)
    assert_close(y, layer(x))
    if entry.integers is None:
        fresh = entry.unbuilt()
        gradients = td.grad(lambda layer, x: td.sum(layer(x)))(fresh, x)
        assert list(gradients) == list(fresh.parameters())


@every
def test_copies_compute_the_same(entry: Entry) -> None:
    layer = entry.layer()
    x = entry.input()
    y = layer(x)
    for other in (copy.deepcopy(layer), *_pickled(layer)):
        assert_close(other(x), y)
        assert list(other.variables()) == list(layer.variables())


def _pickled(layer: nn.Module) -> list[nn.Module]:
    return [pickle.loads(pickle.dumps(layer))]


@every
def test_repr_names_the_class_and_its_arguments(entry: Entry) -> None:
    layer = entry.layer()
    assert repr(layer).startswith(type(layer).__name__)
