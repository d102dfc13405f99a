"""Layers against Keras's own outputs and gradients. Keras runs on PyTorch, so both must be installed."""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn

torch = pytest.importorskip("torch")


def _imported() -> Any:
    """Keras on PyTorch; it reads and writes its settings in a folder, here an empty one."""
    os.environ["KERAS_BACKEND"] = "torch"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        os.environ["KERAS_HOME"] = folder
        warnings.simplefilter("ignore")  # those of its import are not ours
        try:
            return importlib.import_module("keras")
        except ImportError:
            return None


keras: Any = _imported()
if keras is None:
    pytest.skip("Keras is not installed", allow_module_level=True)

# What Keras's own code says about newer versions of NumPy and PyTorch is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

Array = np.ndarray
WIDE: dict[str, Any] = {"dtype": "float64"}
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}  # Keras rounds some numbers to float32, whatever its layers' dtype
MASK = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0]], bool)


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def given_weights(layer: Any, seed: int = 1) -> None:
    """Weights of Keras's layer away from the ones and zeros that they begin with; variances stay positive."""
    layer.set_weights(
        [np.abs(w) + 0.1 for w in (numbers(*w.shape, seed=seed + k) for k, w in enumerate(layer.weights))]
    )
    for k, w in enumerate(layer.trainable_weights):
        w.assign(numbers(*w.shape, seed=seed + k) * 0.5)


def theirs_of(layer: Any, x: Array, **call: Any) -> tuple[list[Array], Array, list[Array]]:
    """(outputs, gradient of x, gradients of the weights) of the sum of the first output's squares."""
    leaf = torch.tensor(x, requires_grad=True)
    out = layer(leaf, **call)
    outs = [out] if not isinstance(out, list | tuple) else list(out)
    (outs[0] ** 2).sum().backward()
    gradients = [w.value.grad.numpy().copy() for w in layer.trainable_weights]
    assert leaf.grad is not None
    return [y.detach().numpy() for y in outs], leaf.grad.numpy(), gradients


# layers of one input


@dataclass
class Case:
    """A layer of both, and our paths of the weights in Keras's order; those that are not trained come last."""

    ours: Callable[[], nn.Module]
    theirs: Callable[[], Any]
    shape: tuple[int, ...]
    weights: tuple[str, ...] = ()
    training: bool = False
    name: str = ""

    def __str__(self) -> str:
        return self.name


def case(name: str, *args: Any, shape: tuple[int, ...], weights: tuple[str, ...] = (), **options: Any) -> Case:
    """The layer of this name in both, with the same arguments."""
    training = options.pop("training", False)
    title = ", ".join([name, *map(str, args), *(f"{k}={v}" for k, v in options.items())])
    return Case(
        lambda: getattr(nn, name)(*args, **options, **(WIDE if weights else {})),
        lambda: getattr(keras.layers, name)(*args, **options, **WIDE),
        shape,
        weights,
        training,
        title,
    )


KERNEL = ("kernel", "bias")
SIZES = {1: (9,), 2: (7, 8), 3: (4, 5, 6)}


def _cases() -> list[Case]:
    cases = [
        case("Dense", 3, activation="gelu", shape=(2, 5), weights=KERNEL),
        case("LayerNormalization", shape=(2, 3, 5), weights=("gamma", "beta")),
        case("RMSNormalization", epsilon=1e-3, shape=(2, 3, 5), weights=("gamma",)),
        case("GroupNormalization", 2, shape=(2, 4, 5, 6), weights=("gamma", "beta")),
        case("GroupNormalization", -1, shape=(2, 4, 5, 6), weights=("gamma", "beta")),
        case("PReLU", shared_axes=(1,), shape=(2, 4, 3), weights=("alpha",)),
    ]
    running = ("gamma", "beta", "moving_mean", "moving_variance")
    cases += [case("BatchNormalization", shape=(4, 5, 6, 3), weights=running, training=t) for t in (False, True)]
    for rank, sizes in SIZES.items():
        shape = (2, *sizes, 4)
        for o in ({"padding": "same", "strides": 2}, {"groups": 2}, {"dilation_rate": 2, "padding": "same"}):
            cases.append(case(f"Conv{rank}D", 6, 3, activation="tanh", **o, shape=shape, weights=KERNEL))
        for o in ({}, {"padding": "same", "strides": 2}):
            cases.append(case(f"Conv{rank}DTranspose", 6, 3, **o, shape=shape, weights=KERNEL))
        if rank < 3:
            options: dict[str, Any] = {"depth_multiplier": 2, "padding": "same", "strides": 2}
            separable = ("depthwise.kernel", "pointwise.kernel", "pointwise.bias")
            cases.append(case(f"DepthwiseConv{rank}D", 3, **options, shape=shape, weights=KERNEL))
            cases.append(case(f"SeparableConv{rank}D", 5, 3, **options, shape=shape, weights=separable))
        odd = (
            2,
            *(2 * n + 1 for n in sizes),
            4,
        )  # of even sizes Keras averages another border on PyTorch than elsewhere
        for kind in ("Max", "Average"):
            cases.append(case(f"{kind}Pooling{rank}D", 3, 2, "same", shape=odd))
            cases.append(case(f"Global{kind}Pooling{rank}D", shape=shape))
        cases.append(case(f"UpSampling{rank}D", 2, shape=shape))
        cases.append(case(f"ZeroPadding{rank}D", 2, shape=shape))
        cases.append(case(f"Cropping{rank}D", 1, shape=shape))
    cases.append(case("Conv1D", 5, 3, padding="causal", shape=(2, 9, 4), weights=KERNEL))
    cases.append(case("UpSampling2D", (2, 3), interpolation="bilinear", shape=(2, 4, 5, 3)))
    return cases


@pytest.mark.parametrize("case", _cases(), ids=str)
def test_layer_and_its_gradients(case: Case) -> None:
    x = numbers(*case.shape)
    theirs, ours = case.theirs(), case.ours()
    theirs.build(case.shape)
    given_weights(theirs)
    ours.init(td.asarray(x))
    assert set(ours.variables()) == set(case.weights)
    ours.assign(dict(zip(case.weights, theirs.get_weights(), strict=True)))
    (y,), by_x, by_weights = theirs_of(theirs, x, **({"training": True} if case.training else {}))

    def loss(layer: nn.Module, x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
        out = layer(x, training=case.training)
        return td.sum(out**2), out

    (_, out), (gradients, g) = td.value_and_grad(loss, argnums=(0, 1), has_aux=True)(ours, td.asarray(x))
    np.testing.assert_allclose(out.numpy(), y, **CLOSE)
    np.testing.assert_allclose(g.numpy(), by_x, **CLOSE)
    for path, expected in zip(case.weights, by_weights, strict=False):
        np.testing.assert_allclose(gradients[path].numpy(), expected, err_msg=path, **CLOSE)
    for path, w in zip(case.weights, theirs.get_weights(), strict=True):  # running statistics too
        np.testing.assert_allclose(ours.variables()[path].numpy(), w, err_msg=path, **CLOSE)


# recurrent layers

KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[int, ...]]] = {
    "rnn": (lambda **k: nn.SimpleRNN(4, **k), lambda **k: keras.layers.SimpleRNN(4, **k), (4, 6, 3)),
    "lstm": (lambda **k: nn.LSTM(4, **k), lambda **k: keras.layers.LSTM(4, **k), (4, 6, 3)),
    "gru": (lambda **k: nn.GRU(4, **k), lambda **k: keras.layers.GRU(4, **k), (4, 6, 3)),
    "gru, reset before": (
        lambda **k: nn.GRU(4, reset_after=False, **k),
        lambda **k: keras.layers.GRU(4, reset_after=False, **k),
        (4, 6, 3),
    ),
    "conv lstm 1": (
        lambda **k: nn.ConvLSTM1D(4, 3, padding="same", **k),
        lambda **k: keras.layers.ConvLSTM1D(4, 3, padding="same", **k),
        (4, 6, 7, 3),
    ),
    "conv lstm 2": (
        lambda **k: nn.ConvLSTM2D(4, 3, strides=2, **k),
        lambda **k: keras.layers.ConvLSTM2D(4, 3, strides=2, **k),
        (4, 6, 7, 6, 3),
    ),
}
every = pytest.mark.parametrize("kind", KINDS)


def pair(kind: str, **options: Any) -> tuple[Any, Any, Array]:
    """(ours, theirs with the same random weights, an input)"""
    make, theirs_make, shape = KINDS[kind]
    ours, theirs = make(**options, **WIDE), theirs_make(**options, **WIDE)
    theirs.build(shape)
    given_weights(theirs)
    x = numbers(*shape)
    ours.init(td.asarray(x))
    nn.recurrent.from_keras(ours, theirs.get_weights())
    return ours, theirs, x


def compare_states(state: Any, theirs: list[Array]) -> None:
    for s, expected in zip(td.tree.leaves(state), theirs, strict=True):
        np.testing.assert_allclose(s.numpy(), expected, **CLOSE)


@every
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_recurrent_outputs_states_and_gradients(kind: str, masked: bool, backwards: bool, sequences: bool) -> None:
    ours, theirs, x = pair(kind, return_sequences=sequences, return_state=True, go_backwards=backwards)
    # Keras's output where a step is not real is the one before; ours is 0. A whole sequence in the gradient therefore.
    real = MASK if masked else np.ones_like(MASK)
    call = {"mask": torch.tensor(MASK)} if masked else {}
    shown = np.flip(real, 1).copy() if backwards else real

    leaf = torch.tensor(x, requires_grad=True)
    y, *states = theirs(leaf, **call)
    wide = shown.reshape(*shown.shape, *(1,) * (y.ndim - 2)) if sequences else np.ones((1,) * y.ndim, bool)
    ((y * torch.tensor(wide)) ** 2).sum().backward()

    def loss(layer: Any, x: td.Tensor) -> Any:
        y, state = layer(x, **({"mask": td.asarray(MASK)} if masked else {}))
        return td.sum((y * td.asarray(wide.astype(float))) ** 2), (y, state)

    (_, (out, state)), (gradients, g) = td.value_and_grad(loss, argnums=(0, 1), has_aux=True)(ours, td.asarray(x))
    np.testing.assert_allclose(out.numpy() * wide, y.detach().numpy() * wide, **CLOSE)
    compare_states(state, [s.detach().numpy() for s in states])
    assert leaf.grad is not None
    np.testing.assert_allclose(g.numpy(), leaf.grad.numpy(), **CLOSE)
    ours.assign(gradients)  # ours as weights, in Keras's layout, are theirs
    for mine, w in zip(nn.recurrent.to_keras(ours), theirs.trainable_weights, strict=True):
        np.testing.assert_allclose(mine, w.value.grad.numpy(), err_msg=w.path, **CLOSE)


@every
def test_an_initial_state_and_weights_that_go_to_keras(kind: str) -> None:
    ours, theirs, x = pair(kind, return_state=True, use_bias=True)
    _, state = ours(td.asarray(x))
    theirs.set_weights(nn.recurrent.to_keras(ours))
    first = [torch.tensor(s.numpy()) for s in td.tree.leaves(state)]
    y, *states = theirs(torch.tensor(x), initial_state=first)
    out, last = ours(td.asarray(x), state)
    np.testing.assert_allclose(out.numpy(), y.detach().numpy(), **CLOSE)
    compare_states(last, [s.detach().numpy() for s in states])


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "gru, reset before"])
def test_without_a_bias_and_with_other_activations(kind: str) -> None:
    options: dict[str, Any] = {"use_bias": False, "activation": "softsign", "unroll": True}
    if kind != "rnn":
        options["recurrent_activation"] = "hard_sigmoid"
    ours, theirs, x = pair(kind, **options)
    np.testing.assert_allclose(ours(td.asarray(x)).numpy(), theirs(torch.tensor(x)).detach().numpy(), **CLOSE)


@every
def test_stateful_layers_go_on_and_begin_anew(kind: str) -> None:
    make, theirs_make, shape = KINDS[kind]
    ours, theirs = make(stateful=True, **WIDE), theirs_make(stateful=True, **WIDE)
    theirs(torch.zeros(shape, dtype=torch.float64))  # builds its states
    theirs.reset_states()
    given = theirs.trainable_weights
    for k, w in enumerate(given):
        w.assign(numbers(*w.shape, seed=k) * 0.5)
    ours.init(td.asarray(numbers(*shape)))
    nn.recurrent.from_keras(ours, [w.value.detach().numpy() for w in given])
    for seed in (0, 1, 2):
        if seed == 2:
            ours.reset_states()
            theirs.reset_states()
        x = numbers(*shape, seed=seed)
        np.testing.assert_allclose(ours(td.asarray(x)).numpy(), theirs(torch.tensor(x)).detach().numpy(), **CLOSE)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "gru, reset before"])
@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("masked", [False, True])
def test_bidirectional(kind: str, merge: str, masked: bool) -> None:
    make, theirs_make, shape = KINDS[kind]
    theirs = keras.layers.Bidirectional(theirs_make(return_sequences=True, **WIDE), merge_mode=merge, **WIDE)
    theirs.build(shape)
    given_weights(theirs)
    ours = nn.Bidirectional(make(return_sequences=True, **WIDE), merge_mode=merge)
    x = numbers(*shape)
    ours.init(td.asarray(x))
    nn.recurrent.from_keras(ours.forward_layer, theirs.forward_layer.get_weights())
    nn.recurrent.from_keras(ours.backward_layer, theirs.backward_layer.get_weights())
    real = MASK if masked else np.ones_like(MASK)
    y = theirs(torch.tensor(x), **({"mask": torch.tensor(MASK)} if masked else {})).detach().numpy()
    out = ours(td.asarray(x), **({"mask": td.asarray(MASK)} if masked else {})).numpy()
    np.testing.assert_allclose(out[real], y[real], **CLOSE)


def test_stacked_cells() -> None:
    x = numbers(4, 6, 3)
    cells = [keras.layers.LSTMCell(4, **WIDE), keras.layers.GRUCell(3, **WIDE), keras.layers.SimpleRNNCell(2, **WIDE)]
    theirs = keras.layers.RNN(cells, return_sequences=True, **WIDE)
    theirs.build(x.shape)
    given_weights(theirs)
    mine = [nn.LSTMCell(4, **WIDE), nn.GRUCell(3, **WIDE), nn.SimpleRNNCell(2, **WIDE)]
    ours = nn.Recurrent(nn.StackedCells(mine), return_sequences=True)
    ours.init(td.asarray(x))
    for cell, other in zip(mine, cells, strict=True):
        nn.recurrent.from_keras(nn.Recurrent(cell), other.get_weights())
    np.testing.assert_allclose(ours(td.asarray(x)).numpy(), theirs(torch.tensor(x)).detach().numpy(), **CLOSE)


def test_weights_of_one_layer_in_a_file_of_keras(tmp_path: Any) -> None:
    """float32, as most files have it: 1e-5."""
    model = keras.Sequential([keras.Input((6, 3)), keras.layers.LSTM(5, return_sequences=True), keras.layers.GRU(4)])
    model.save(tmp_path / "model.keras")
    theirs = keras.saving.load_model(tmp_path / "model.keras")
    ours = nn.Sequential([nn.LSTM(5, return_sequences=True, input_size=3), nn.GRU(4, input_size=5)])
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        nn.recurrent.from_keras(mine, other.get_weights())
    x = numbers(4, 6, 3).astype(np.float32)
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(td.asarray(x)).numpy(), expected, rtol=1e-5, atol=1e-5)


# attention


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_multi_head_attention(causal: bool, masked: bool) -> None:
    x, z = numbers(4, 5, 8), numbers(4, 6, 7, seed=9)
    theirs = keras.layers.MultiHeadAttention(2, 3, value_dim=5, **WIDE)
    theirs.build(x.shape, z.shape)
    given_weights(theirs)
    ours = nn.MultiHeadAttention(2, 3, 5, **WIDE)
    ours(td.asarray(x), td.asarray(z))
    names = [f"{layer}.{part}" for layer in ("query", "key", "value", "output") for part in ("kernel", "bias")]
    shapes = {n: w.shape for n, w in ours.parameters().items()}
    ours.assign({n: w.reshape(shapes[n]) for n, w in zip(names, theirs.get_weights(), strict=True)})
    real = MASK.copy()
    real[3, 0] = True  # Keras spreads the weights of a query that sees nothing over the padding; ours gives 0
    if masked and causal:
        real[2, 0] = True
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, z)]
    y, scores = theirs(
        *leaves,
        use_causal_mask=causal,
        return_attention_scores=True,
        **({"value_mask": torch.tensor(real)} if masked else {}),
    )
    (y**2).sum().backward()

    def loss(layer: Any, x: td.Tensor, z: td.Tensor) -> Any:
        out = layer(x, z, causal=causal, **({"mask": td.asarray(real)} if masked else {}))
        return td.sum(out**2), out

    (_, out), (gradients, *by_inputs) = td.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(
        ours, td.asarray(x), td.asarray(z)
    )
    np.testing.assert_allclose(out.numpy(), y.detach().numpy(), **CLOSE)
    given: dict[str, Any] = {"mask": td.asarray(real)} if masked else {}
    again, weights = ours(td.asarray(x), td.asarray(z), causal=causal, return_weights=True, **given)
    np.testing.assert_array_equal(again.numpy(), out.numpy())
    np.testing.assert_allclose(weights.numpy(), scores.detach().numpy(), **CLOSE)
    for g, leaf in zip(by_inputs, leaves, strict=True):
        assert leaf.grad is not None
        np.testing.assert_allclose(g.numpy(), leaf.grad.numpy(), **CLOSE)
    for name, w in zip(names, theirs.trainable_weights, strict=True):
        np.testing.assert_allclose(gradients[name].numpy(), w.value.grad.numpy().reshape(shapes[name]), **CLOSE)
