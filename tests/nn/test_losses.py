"""Losses against SciPy, scikit-learn and formulas in float64; gradients against finite differences; weights, masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError

losses = td.losses
Array = np.ndarray[Any, Any]
BATCH, CLASSES = 6, 5


@dataclass(frozen=True)
class Loss:
    """A loss with a formula for each element in float64, and trial inputs."""

    function: Callable[..., td.Tensor]
    formula: Callable[[Array, Array], Array]
    prediction: Callable[[np.random.Generator], Array]
    target: Callable[[np.random.Generator], Array]
    sizes: tuple[float, ...] = (1e-3, 1.0, 30.0, 1e4)  # of predictions; the formula holds at all of them


def normal(rng: np.random.Generator) -> Array:
    return rng.normal(size=(BATCH, CLASSES))


def probabilities(rng: np.random.Generator) -> Array:
    return rng.dirichlet(np.ones(CLASSES), size=BATCH)


def classes(rng: np.random.Generator) -> Array:
    return rng.integers(CLASSES, size=BATCH)


def bits(rng: np.random.Generator) -> Array:
    return rng.integers(2, size=(BATCH, CLASSES))


def counts(rng: np.random.Generator) -> Array:
    return rng.poisson(2.0, size=(BATCH, CLASSES))


def signs(rng: np.random.Generator) -> Array:
    return 2 * bits(rng) - 1


def soft(t: Array, smoothing: float) -> Array:
    return (1 - smoothing) * t + smoothing / t.shape[-1]


def one_hot(t: Array) -> Array:
    return np.eye(CLASSES)[t]


def crossentropy(log_p: Array, t: Array) -> Array:
    return -np.sum(scipy.special.xlogy(t, 1) + np.where(t == 0, 0, t * log_p), axis=-1)


def log_softmax(z: Array) -> Array:
    return scipy.special.log_softmax(z, axis=-1)


def binary(z: Array, t: Array) -> Array:
    return t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z)


def log_cosh(p: Array, t: Array) -> Array:
    r = np.abs(p - t)
    return np.where(r < 1e-2, r**2 / 2 - r**4 / 12 + r**6 / 45, np.logaddexp(r, -r) - np.log(2))


def cosine(p: Array, t: Array) -> Array:
    return 1 - np.sum(p * t, -1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(t, axis=-1)


def huber(delta: float, p: Array, t: Array) -> Array:
    return scipy.special.huber(delta, p - t)


UNIT = (1.0,)  # the prediction's scale is part of its meaning: probabilities
LOSSES = {
    "sparse_categorical_crossentropy": Loss(
        losses.sparse_categorical_crossentropy, lambda z, t: crossentropy(log_softmax(z), one_hot(t)), normal, classes
    ),
    "sparse, smoothed": Loss(
        partial(losses.sparse_categorical_crossentropy, label_smoothing=0.2),
        lambda z, t: crossentropy(log_softmax(z), soft(one_hot(t), 0.2)),
        normal,
        classes,
    ),
    "sparse, of probabilities": Loss(
        partial(losses.sparse_categorical_crossentropy, from_logits=False),
        lambda p, t: crossentropy(np.log(p), one_hot(t)),
        probabilities,
        classes,
        UNIT,
    ),
    "sparse, of smoothed probabilities": Loss(
        partial(losses.sparse_categorical_crossentropy, from_logits=False, label_smoothing=0.2),
        lambda p, t: crossentropy(np.log(p), soft(one_hot(t), 0.2)),
        probabilities,
        classes,
        UNIT,
    ),
    "categorical_crossentropy": Loss(
        losses.categorical_crossentropy, lambda z, t: crossentropy(log_softmax(z), t), normal, probabilities
    ),
    "categorical, smoothed": Loss(
        partial(losses.categorical_crossentropy, label_smoothing=0.2),
        lambda z, t: crossentropy(log_softmax(z), soft(t, 0.2)),
        normal,
        probabilities,
    ),
    "categorical, of probabilities": Loss(
        partial(losses.categorical_crossentropy, from_logits=False),
        lambda p, t: crossentropy(np.log(p), t),
        probabilities,
        probabilities,
        UNIT,
    ),
    "binary_crossentropy": Loss(losses.binary_crossentropy, binary, normal, bits),
    "binary, smoothed": Loss(
        partial(losses.binary_crossentropy, label_smoothing=0.2), lambda z, t: binary(z, 0.8 * t + 0.1), normal, bits
    ),
    "binary, of probabilities": Loss(
        partial(losses.binary_crossentropy, from_logits=False),
        lambda p, t: -t * np.log(p) - (1 - t) * np.log1p(-p),
        probabilities,
        probabilities,
        UNIT,
    ),
    "kl_divergence": Loss(
        losses.kl_divergence,
        lambda z, t: np.sum(scipy.special.xlogy(t, t) - t * log_softmax(z), -1),
        normal,
        probabilities,
    ),
    "kl, of probabilities": Loss(
        partial(losses.kl_divergence, from_logits=False),
        lambda p, t: scipy.special.rel_entr(t, p).sum(-1),
        probabilities,
        probabilities,
        UNIT,
    ),
    "hinge": Loss(losses.hinge, lambda p, t: np.maximum(0, 1 - t * p), normal, signs),
    "mse": Loss(losses.mse, lambda p, t: (p - t) ** 2, normal, normal),
    "mae": Loss(losses.mae, lambda p, t: np.abs(p - t), normal, normal),
    "huber": Loss(losses.huber, partial(huber, 1.0), normal, normal),
    "huber, wide": Loss(partial(losses.huber, delta=2.5), partial(huber, 2.5), normal, normal),
    "log_cosh": Loss(losses.log_cosh, log_cosh, normal, normal),
    "poisson": Loss(losses.poisson, lambda p, t: np.exp(p) - t * p, normal, counts, (1e-3, 1.0, 30.0)),
    "poisson, full": Loss(
        partial(losses.poisson, full=True),
        lambda p, t: -scipy.stats.poisson.logpmf(t, np.exp(p)),
        normal,
        counts,
        (1e-3, 1.0),
    ),
    "poisson, of rates": Loss(
        partial(losses.poisson, log_input=False), lambda p, t: p - t * np.log(p), probabilities, counts, UNIT
    ),
    "cosine_similarity": Loss(losses.cosine_similarity, cosine, normal, normal),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def inputs(loss: Loss, size: float, dtype: str = "float64") -> tuple[Array, Array]:
    rng = np.random.default_rng(7)
    p, t = loss.prediction(rng) * size, loss.target(rng)
    return p.astype(dtype), t.astype(dtype) if t.dtype.kind == "f" else t


def test_every_loss_is_in_the_list() -> None:
    listed = {loss.function.__name__ for loss in LOSSES.values() if not isinstance(loss.function, partial)}
    assert listed | {"ctc"} == set(losses.__all__)  # ctc, whose target has a length of its own: test_decoding.py


# values


@each_loss
def test_float64_agrees_with_the_formula_at_every_size(loss: Loss) -> None:
    for size in loss.sizes:
        p, t = inputs(loss, size)
        expected = loss.formula(p, t)
        each = loss.function(td.asarray(p), td.asarray(t), reduction="none")
        np.testing.assert_allclose(each.numpy(), expected, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(loss.function(p, t).item(), expected.mean(), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(loss.function(p, t, reduction="sum").item(), expected.sum(), rtol=1e-12, atol=1e-14)


@each_loss
def test_float32_agrees_with_the_formula_at_every_size(loss: Loss) -> None:
    for size in loss.sizes:
        p, t = inputs(loss, size, "float32")
        expected = loss.formula(*(x.astype(np.float64) if x.dtype.kind == "f" else x for x in (p, t)))
        out = loss.function(p, t, reduction="none")
        assert out.dtype is td.float32
        # Where terms of size |p| cancel, their rounding remains.
        np.testing.assert_allclose(out.numpy(), expected, rtol=2e-6, atol=5e-7 * max(1.0, np.abs(p).max()))


@each_loss
def test_sixteen_bits_are_computed_in_float32(loss: Loss) -> None:
    p, t = inputs(loss, 1.0, "float32")
    short = td.asarray(p).astype(td.bfloat16)
    out = loss.function(short, t)
    assert out.dtype is td.float32
    assert out.item() == loss.function(short.astype(td.float32), t).item()


def test_sparse_crossentropy_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    z, t, w = normal(rng), np.array([0, 1, 2, 3, 4, 0]), rng.uniform(size=BATCH)
    expected = sklearn.metrics.log_loss(t, scipy.special.softmax(z, -1), sample_weight=w)
    np.testing.assert_allclose(losses.sparse_categorical_crossentropy(z, t, weights=w).item(), expected, rtol=1e-12)


def test_regression_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    p, t, w = rng.normal(size=9), rng.normal(size=9), rng.uniform(size=9)
    mse = sklearn.metrics.mean_squared_error(t, p, sample_weight=w)
    mae = sklearn.metrics.mean_absolute_error(t, p, sample_weight=w)
    np.testing.assert_allclose(losses.mse(p, t, weights=w).item(), mse, rtol=1e-12)
    np.testing.assert_allclose(losses.mae(p, t, weights=w).item(), mae, rtol=1e-12)


def test_sparse_is_categorical_of_one_hot(rng: np.random.Generator) -> None:
    z, t = normal(rng), classes(rng)
    for smoothing in (0.0, 0.1):
        sparse = losses.sparse_categorical_crossentropy(z, t, label_smoothing=smoothing)
        dense = losses.categorical_crossentropy(z, one_hot(t), label_smoothing=smoothing)
        np.testing.assert_allclose(sparse.item(), dense.item(), rtol=1e-13)


def test_small_losses_keep_their_digits_in_float32() -> None:
    assert losses.binary_crossentropy(td.asarray([30.0]), td.asarray([1])).item() == pytest.approx(
        np.exp(-30), rel=1e-6
    )
    assert losses.log_cosh(td.asarray([1e-4]), td.asarray([0.0])).item() == pytest.approx(5e-9, rel=1e-6)
    shifted = losses.sparse_categorical_crossentropy(td.asarray([[1e4, 1e4 - 4]]), td.asarray([0])).item()
    assert shifted == pytest.approx(np.log1p(np.exp(-4.0)), rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_classes_on_another_axis(axis: int, rng: np.random.Generator) -> None:
    z, t = rng.normal(size=(2, 3, 4, CLASSES)), rng.integers(CLASSES, size=(2, 3, 4))
    dense = rng.dirichlet(np.ones(CLASSES), size=(2, 3, 4))
    moved, target = np.moveaxis(z, -1, axis), np.moveaxis(dense, -1, axis)
    for function, a, b, c in (
        (losses.sparse_categorical_crossentropy, moved, t, t),
        (losses.categorical_crossentropy, moved, target, dense),
        (losses.kl_divergence, moved, target, dense),
        (losses.cosine_similarity, moved, target, dense),
    ):
        there = function(a, b, axis=axis, reduction="none")
        np.testing.assert_allclose(there.numpy(), function(z, c, reduction="none").numpy(), rtol=1e-12)


# gradients


def slope(f: Callable[[Array], float], x: Array, v: Array) -> float:
    """Derivative in a direction, by central differences at two distances, extrapolated (Richardson)."""
    h = 1e-3

    def central(h: float) -> float:
        return (f(x + h * v) - f(x - h * v)) / (2 * h)

    return (4 * central(h / 2) - central(h)) / 3


@each_loss
def test_gradient_agrees_with_finite_differences(loss: Loss, rng: np.random.Generator) -> None:
    p, t = inputs(loss, 1.0)
    v = rng.normal(size=p.shape) * (1e-2 if loss.sizes == UNIT else 1.0) * np.abs(p).min()
    if loss.sizes == UNIT:
        p = p + 0.05  # away from the edge of the domain
    w = rng.uniform(0.5, 2.0, size=BATCH)
    expected = slope(lambda x: loss.function(x, t, weights=w).item(), p, v)
    gradient = td.grad(lambda x: loss.function(x, t, weights=w))(td.asarray(p)).numpy()
    np.testing.assert_allclose(np.sum(gradient * v), expected, rtol=1e-7, atol=1e-10)


@each_loss
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_is_finite_at_extremes(loss: Loss, dtype: str) -> None:
    for size in loss.sizes:
        p, t = inputs(loss, size, dtype)
        value, gradient = td.value_and_grad(lambda x, t=t: loss.function(x, t))(td.asarray(p))
        assert np.isfinite(value.item())
        assert np.isfinite(gradient.numpy()).all()


@pytest.mark.parametrize("z", [-1e4, 1e4])
def test_gradients_at_extreme_logits(z: float) -> None:
    # softmax - target, and sigmoid - target
    logits = td.asarray([[z, -z]])
    gradient = td.grad(lambda x: losses.sparse_categorical_crossentropy(x, td.asarray([0])))(logits)
    assert gradient.tolist() == ([[0.0, 0.0]] if z > 0 else [[-1.0, 1.0]])
    gradient = td.grad(lambda x: losses.binary_crossentropy(x, td.asarray([1]), reduction="sum"))(td.asarray([z]))
    assert gradient.tolist() == ([0.0] if z > 0 else [-1.0])


def test_excluded_classes_have_no_part() -> None:
    logits, target = td.asarray([[0.0, 0.0, -np.inf]]), td.asarray([[1.0, 0.0, 0.0]])
    for function, t in ((losses.categorical_crossentropy, target), (losses.sparse_categorical_crossentropy, [0])):
        value, gradient = td.value_and_grad(function)(logits, np.asarray(t) if isinstance(t, list) else t)
        assert value.item() == pytest.approx(np.log(2))
        np.testing.assert_allclose(gradient.numpy(), [[-0.5, 0.5, 0.0]], rtol=1e-6)
    assert losses.categorical_crossentropy(logits, td.asarray([[0.0, 0.0, 1.0]])).item() == np.inf


def test_probabilities_of_zero_and_one_are_clipped() -> None:
    p = td.asarray([[1.0, 0.0]])
    limit = -np.log(np.finfo(np.float32).eps)
    for loss in (
        lambda x: losses.sparse_categorical_crossentropy(x, td.asarray([1]), from_logits=False),
        lambda x: losses.categorical_crossentropy(x, td.asarray([[0.0, 1.0]]), from_logits=False),
        lambda x: losses.binary_crossentropy(x, td.asarray([[0, 1]]), from_logits=False),
        lambda x: losses.kl_divergence(x, td.asarray([[0.0, 1.0]]), from_logits=False),
    ):
        value, gradient = td.value_and_grad(loss)(p)
        assert value.item() == pytest.approx(limit, rel=1e-6)
        assert np.isfinite(gradient.numpy()).all()


def test_gradient_to_the_targets_of_a_distillation() -> None:
    z, t = td.asarray([[2.0, 0.0]]), td.asarray([[1.0, 0.0]])
    gradient = td.grad(lambda t: losses.categorical_crossentropy(z, t))(t)
    np.testing.assert_allclose(gradient.numpy(), -scipy.special.log_softmax([[2.0, 0.0]], -1), rtol=1e-6)


def test_kinks_have_the_derivative_that_is_documented() -> None:
    zero, one = td.asarray([0.0]), td.asarray([1.0])
    assert td.grad(lambda x: losses.mae(x, zero))(zero).tolist() == [0.0]
    assert td.grad(lambda x: losses.huber(x, zero))(one).tolist() == [1.0]
    assert td.grad(lambda x: losses.hinge(x, one))(one).tolist() == [0.0]
    assert td.grad(lambda x: losses.log_cosh(x, zero))(zero).tolist() == [0.0]


def test_cosine_of_nothing_and_of_extremes() -> None:
    x, y = td.asarray([[0.0, 0.0], [3e30, 4e30], [3e-30, 4e-30]]), td.asarray([[1.0, 2.0], [3.0, 4.0], [3.0, 4.0]])
    value = losses.cosine_similarity(x, y, reduction="none")
    np.testing.assert_allclose(value.numpy(), [1.0, 0.0, 0.0], atol=1e-6)
    assert np.isfinite(td.grad(lambda x: losses.cosine_similarity(x, y))(x).numpy()).all()


# weights, masks, reductions


@each_loss
@given(seed=st.integers(0, 1000), copies=st.lists(st.integers(0, 3), min_size=BATCH, max_size=BATCH))
def test_weights_are_copies_of_samples(loss: Loss, seed: int, copies: list[int]) -> None:
    rng = np.random.default_rng(seed)
    p, t = loss.prediction(rng), loss.target(rng)
    rows = np.repeat(np.arange(BATCH), copies)
    for reduction in ("mean", "sum"):
        weighted = loss.function(p, t, weights=np.asarray(copies), reduction=reduction).item()
        copied = loss.function(p[rows], t[rows], reduction=reduction).item() if len(rows) else 0.0
        np.testing.assert_allclose(weighted, copied, rtol=1e-11, atol=1e-13)


@each_loss
def test_masked_samples_are_as_if_absent(loss: Loss) -> None:
    p, t = inputs(loss, 1.0)
    mask = np.array([True, False, True, True, False, False])
    np.testing.assert_allclose(
        loss.function(p, t, mask=mask).item(), loss.function(p[mask], t[mask]).item(), rtol=1e-13
    )
    w = np.arange(1.0, BATCH + 1)
    both = loss.function(p, t, mask=mask, weights=w).item()
    np.testing.assert_allclose(both, loss.function(p[mask], t[mask], weights=w[mask]).item(), rtol=1e-13)


@each_loss
def test_what_is_masked_does_no_harm(loss: Loss) -> None:
    p, t = inputs(loss, 1.0)
    mask = np.arange(BATCH) < 4
    expected, slopes = td.value_and_grad(lambda x: loss.function(x, t, mask=mask))(td.asarray(p))
    p[4], p[5] = np.nan, np.inf
    if t.dtype.kind == "f":
        t[4:] = np.nan
    elif t.ndim == 1:
        t[4:] = -1, 99
    value, gradient = td.value_and_grad(lambda x: loss.function(x, t, mask=mask))(td.asarray(p))
    assert value.item() == expected.item()
    assert (gradient.numpy()[:4] == slopes.numpy()[:4]).all()
    assert (gradient.numpy()[4:] == 0).all()


@each_loss
def test_nothing_left_is_zero(loss: Loss) -> None:
    p, t = inputs(loss, 1.0)
    for nothing in ({"mask": np.zeros(BATCH, bool)}, {"weights": np.zeros(BATCH)}):
        value, gradient = td.value_and_grad(lambda x, n=nothing: loss.function(x, t, **n))(td.asarray(p))
        assert value.item() == 0
        assert (gradient.numpy() == 0).all()
    assert loss.function(p[:0], t[:0]).item() == 0


def test_weights_may_be_learnt_from_zero() -> None:
    each = losses.mse(td.asarray([1.0, 2.0]), td.asarray([0.0, 0.0]), reduction="none")
    gradient = td.grad(lambda w: losses.mse(td.asarray([1.0, 2.0]), td.zeros(2), weights=w, reduction="sum"))(
        td.zeros(2)
    )
    assert gradient.tolist() == each.tolist()


def test_an_infinite_loss_of_weight_zero_counts_nothing() -> None:
    z = td.asarray([[0.0, -np.inf], [0.0, 0.0]])
    value = losses.sparse_categorical_crossentropy(z, td.asarray([1, 1]), weights=td.asarray([0.0, 1.0]))
    assert value.item() == pytest.approx(np.log(2))


def test_weights_align_at_the_first_axis(rng: np.random.Generator) -> None:
    p, t = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2))
    each = (p - t) ** 2
    for shape in ((), (4,), (4, 3), (4, 3, 2), (1, 3), (1, 1, 2), (4, 1, 2)):
        w = rng.uniform(size=shape)
        full = np.broadcast_to(w.reshape(shape + (1,) * (3 - len(shape))), p.shape)
        np.testing.assert_allclose(losses.mse(p, t, weights=w).item(), np.average(each, weights=full), rtol=1e-12)
        none = losses.mse(p, t, weights=w, reduction="none")
        np.testing.assert_allclose(none.numpy(), each * full, rtol=1e-12)
        m = rng.uniform(size=shape) < 0.7
        kept = np.broadcast_to(m.reshape(shape + (1,) * (3 - len(shape))), p.shape)
        np.testing.assert_allclose(losses.mse(p, t, mask=m, reduction="sum").item(), each[kept].sum(), rtol=1e-12)


@pytest.mark.parametrize("index", [-1, 2, 255])
def test_ignore_index(index: int, rng: np.random.Generator) -> None:
    z, t = normal(rng), np.array([0, index, 3, index, 1, 4])
    kept = t != index
    for dtype in ("int16", "int64"):
        value = losses.sparse_categorical_crossentropy(z, t.astype(dtype), ignore_index=index)
        expected = losses.sparse_categorical_crossentropy(z[kept], t[kept])
        np.testing.assert_allclose(value.item(), expected.item(), rtol=1e-13)
    none = losses.sparse_categorical_crossentropy(z, t, ignore_index=index, reduction="none").numpy()
    assert (none[~kept] == 0).all()


def test_sequences_of_several_lengths(rng: np.random.Generator) -> None:
    z, t, lengths = rng.normal(size=(3, 4, CLASSES)), rng.integers(CLASSES, size=(3, 4)), np.array([4, 0, 2])
    mask = np.arange(4) < lengths[:, None]
    value = losses.sparse_categorical_crossentropy(z, t, mask=mask)
    np.testing.assert_allclose(
        value.item(), losses.sparse_categorical_crossentropy(z[mask], t[mask]).item(), rtol=1e-13
    )


# compiled, batched, dynamic


@each_loss
def test_compiled_and_batched_give_the_same(loss: Loss) -> None:
    p, t = (td.asarray(x) for x in inputs(loss, 1.0))
    w, m = td.arange(1.0, BATCH + 1, dtype=td.float64), td.arange(BATCH) < 5
    expected = loss.function(p, t, weights=w, mask=m)
    compiled = td.compile(
        lambda p, t, w, m: loss.function(p, t, weights=w, mask=m),
        dynamic=dict.fromkeys("wm", ("n",)) | {"p": ("n", None), "t": ("n", None)[: t.ndim]},
    )
    np.testing.assert_allclose(compiled(p, t, w, m).item(), expected.item(), rtol=1e-12)
    np.testing.assert_allclose(
        compiled(p[:3], t[:3], w[:3], m[:3]).item(), loss.function(p[:3], t[:3], weights=w[:3]).item(), rtol=1e-12
    )
    assert compiled.traces == 1
    each = td.vmap(lambda p, t: loss.function(p, t))(p, t)
    by_hand = [loss.function(p[i], t[i]).item() for i in range(BATCH)]
    np.testing.assert_allclose(each.numpy(), by_hand, rtol=1e-12)


def test_nodes_carry_the_name_of_the_loss() -> None:
    graph = td.graph(losses.mse)(td.ones(3), td.zeros(3))
    assert {node.scope for node in graph.nodes} == {"mse"}


# messages


def says(error: Exception, *words: str) -> bool:
    text = str(error)
    assert all(word in text for word in words), text
    return True


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "log_cosh", "poisson", "hinge", "binary_crossentropy"])
@pytest.mark.parametrize(
    ("prediction", "target", "words"),
    [
        (
            (32, 1),
            (32,),
            [
                "prediction [32, 1] and target [32] would broadcast to [32, 32], 1024 pairs instead of 32. ",
                "Write target[:, None], or let the model return prediction[:, 0].",
            ],
        ),
        (
            (32,),
            (32, 1),
            ["to [32, 32], 1024 pairs", "Write target[:, 0], or let the model return prediction[:, None]."],
        ),
        ((8, 4, 1), (8, 4), ["Write target[..., None], or let the model return prediction[..., 0]."]),
        ((32, 10), (10,), ["to [32, 10], each target used 32 times", "Each prediction needs one target"]),
        ((10,), (32, 10), ["each prediction used 32 times"]),
        ((4, 6), (6, 4), ["[4, 6]", "[6, 4]", "do not fit together", "target.reshape(prediction.shape)"]),
        ((3,), (5,), ["[3]", "[5]", "do not fit together"]),
    ],
)
def test_nothing_is_broadcast(
    name: str, prediction: tuple[int, ...], target: tuple[int, ...], words: list[str]
) -> None:
    with pytest.raises(ShapeError) as e:
        getattr(losses, name)(td.zeros(prediction), td.zeros(target))
    assert says(e.value, f"in {name}, test_losses.py:", *words)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "kl_divergence", "cosine_similarity"])
def test_rows_are_not_broadcast_either(name: str) -> None:
    with pytest.raises(ShapeError) as e:
        getattr(losses, name)(td.zeros((32, 10)), td.zeros((1, 10)))
    assert says(e.value, f"in {name}, test_losses.py:", "[32, 10]", "[1, 10]", "each target used 32 times")


def test_nothing_is_broadcast_with_dims_either() -> None:
    f = td.compile(losses.mse, dynamic={"prediction": ("n", None), "target": ("n",)})
    with pytest.raises(ShapeError) as e:
        f(td.zeros((4, 1)), td.zeros(4))
    assert says(e.value, "prediction [n, 1] and target [n] would broadcast to [n, n]", "Write target[:, None]")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((32, 1), ["needs targets [32], one class number each; they are [32, 1]. Write target[:, 0]."]),
        ((32, 10), ["have the prediction's shape", "categorical_crossentropy"]),
        ((31,), ["needs targets [32]", "they are [31]"]),
        ((), ["needs targets [32]"]),
    ],
)
def test_shapes_of_class_numbers(shape: tuple[int, ...], words: list[str]) -> None:
    with pytest.raises(ShapeError) as e:
        losses.sparse_categorical_crossentropy(td.zeros((32, 10)), td.zeros(shape, dtype=td.int32))
    assert says(e.value, *words)


def test_dtypes_of_targets_and_predictions() -> None:
    z = td.zeros((2, 3))
    with pytest.raises(DTypeError) as e:
        losses.sparse_categorical_crossentropy(z, td.zeros(2))
    assert says(e.value, "targets are float32; use categorical_crossentropy for probabilities, or .astype(td.int32)")
    with pytest.raises(DTypeError) as e:
        losses.sparse_categorical_crossentropy(z, td.zeros(2, dtype=td.bool))
    assert says(e.value, "targets are bool; use binary_crossentropy")
    for function in (losses.categorical_crossentropy, losses.kl_divergence):
        with pytest.raises(DTypeError) as e:
            function(z, td.zeros((2, 3), dtype=td.int32))
        assert says(e.value, "targets are int32; use sparse_categorical_crossentropy", ".astype(td.float32)")
    with pytest.raises(DTypeError) as e:
        losses.hinge(z, td.zeros((2, 3), dtype=td.bool))
    assert says(e.value, "hinge needs -1 and 1: td.where(target, 1.0, -1.0)")
    with pytest.raises(DTypeError) as e:
        losses.mse(td.zeros(2, dtype=td.int32), td.zeros(2))
    assert says(e.value, "the prediction is i32[2]", "prediction.astype(td.float32)")


@pytest.mark.parametrize("target", [3, -1, 2**20])
def test_a_target_that_is_no_class(target: int) -> None:
    with pytest.raises(OutOfRangeError) as e:
        losses.sparse_categorical_crossentropy(td.zeros((2, 3)), td.asarray([0, target]))
    assert says(e.value, "3 classes, 0 to 2", f"index {target}", "ignore_index=", "test_losses.py:")
    compiled = td.compile(losses.sparse_categorical_crossentropy)
    with pytest.raises(OutOfRangeError) as e:
        compiled(td.zeros((2, 3)), td.asarray([0, target]))
    assert says(e.value, f"index {target} is out of range", "sparse_categorical_crossentropy")


def test_weights_and_masks_that_do_not_fit() -> None:
    p = td.zeros((32, 10))
    with pytest.raises(ShapeError) as e:
        losses.mse(p, p, weights=td.ones(10))
    assert says(e.value, "weights [10] and losses [32, 10] differ on axis 0: 10 and 32", "shape [32]", "in mse")
    with pytest.raises(ShapeError) as e:
        losses.mse(p[:, 0], p[:, 0], mask=td.ones((32, 1), dtype=td.bool))
    assert says(e.value, "mask [32, 1] and losses [32]", "Write mask[..., 0]")
    with pytest.raises(DTypeError) as e:
        losses.mse(p, p, mask=td.ones(32))
    assert says(e.value, "mask is float32", "mask.astype(td.bool)", "weights=")
    with pytest.raises(DTypeError) as e:
        losses.mse(p, p, weights=td.ones(32, dtype=td.bool))
    assert says(e.value, "weights are bool", "mask=")


def test_arguments_out_of_range() -> None:
    p = td.zeros(3)
    with pytest.raises(ArgumentError) as e:
        losses.mse(p, p, reduction="average")
    assert says(e.value, "mean, sum, none", "'average'")
    with pytest.raises(ArgumentError) as e:
        losses.huber(p, p, delta=0)
    assert says(e.value, "delta must be > 0; got 0")
    with pytest.raises(ArgumentError) as e:
        losses.binary_crossentropy(p, p, label_smoothing=1.0)
    assert says(e.value, "label_smoothing lies in [0, 1); got 1.0")
    with pytest.raises(ShapeError) as e:
        losses.sparse_categorical_crossentropy(td.asarray(1.0), td.asarray(0))
    assert says(e.value, "needs an axis of classes")
    with pytest.raises(ShapeError) as e:
        losses.categorical_crossentropy(td.zeros((2, 3)), td.zeros((2, 3)), axis=2)
    assert says(e.value, "axis 2 does not exist")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)
