"""The peers' workloads in treadle. `make(name, inputs, parameters, wrap)` gives a function that runs one step.

The mathematics is that of the peers' `workloads.md`: same inputs, same first weights, so the same first losses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import treadle as td
from treadle import nn

Tensors = dict[str, td.Tensor]
Loss = Callable[..., td.Tensor]
Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
Step = Callable[[], Any]

RESNET_STRIDES = [1, 1, 1, 2, 1, 1, 2, 1, 1]
HEADS, LAYERS = 6, 4


def cross_entropy(logits: td.Tensor, labels: td.Tensor) -> td.Tensor:
    return td.losses.sparse_categorical_crossentropy(logits, labels)


def layer_norm(x: td.Tensor, gain: td.Tensor, bias: td.Tensor) -> td.Tensor:
    centred = x - td.mean(x, axis=-1, keepdims=True)
    return centred * td.rsqrt(td.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * gain + bias


# ---------------------------------------------------------------------------------------------------------- the losses


def mlp_tiny(p: Tensors, x: td.Tensor, y: td.Tensor) -> td.Tensor:
    return cross_entropy(td.relu(x @ p["w0"] + p["b0"]) @ p["w1"] + p["b1"], y)


def mlp_logits(p: Tensors, x: td.Tensor) -> td.Tensor:
    h = td.relu(x @ p["w0"] + p["b0"])
    return td.relu(h @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]


def mlp(p: Tensors, x: td.Tensor, y: td.Tensor) -> td.Tensor:
    return cross_entropy(mlp_logits(p, x), y)


def gru_var(p: Tensors, x: td.Tensor, lengths: td.Tensor, y: td.Tensor) -> td.Tensor:
    def step(h: td.Tensor, a_and_t: tuple[td.Tensor, td.Tensor]) -> tuple[td.Tensor, None]:
        a, t = a_and_t
        q = h @ p["wh"] + p["bh"]
        r = td.sigmoid(a[:, :128] + q[:, :128])
        z = td.sigmoid(a[:, 128:256] + q[:, 128:256])
        n = td.tanh(a[:, 256:] + r * q[:, 256:])
        return td.where((t < lengths)[:, None], (1 - z) * n + z * h, h), None

    projected = td.moveaxis(x @ p["wx"] + p["bx"], 1, 0)
    h, _ = td.scan(step, td.zeros((x.shape[0], 128)), (projected, td.arange(x.shape[1])))
    return cross_entropy(h @ p["w"] + p["b"], y)


def lstm_lm(
    p: Tensors, x: td.Tensor, y: td.Tensor, h: td.Tensor, c: td.Tensor
) -> tuple[td.Tensor, tuple[td.Tensor, td.Tensor]]:
    def step(state: tuple[td.Tensor, td.Tensor], z: td.Tensor) -> tuple[tuple[td.Tensor, td.Tensor], td.Tensor]:
        h, c = state
        i, f, g, o = td.split(z + h @ p["wh"], 4, axis=-1)
        c = td.sigmoid(f) * c + td.sigmoid(i) * td.tanh(g)
        h = td.sigmoid(o) * td.tanh(c)
        return (h, c), h

    projected = td.moveaxis(p["emb"][x] @ p["wx"] + p["b"], 1, 0)
    state, hs = td.scan(step, (h, c), projected)
    logits = td.moveaxis(hs, 0, 1) @ p["wo"] + p["bo"]
    return cross_entropy(logits, y), td.stop_gradient(state)


def gpt_mini(p: Tensors, tokens: td.Tensor, y: td.Tensor) -> td.Tensor:
    batch, time = tokens.shape
    x = p["tok"][tokens] + p["pos"]
    for i in range(LAYERS):
        n = layer_norm(x, p[f"{i}g1"], p[f"{i}h1"]) @ p[f"{i}wqkv"] + p[f"{i}bqkv"]
        q, k, v = (a.reshape(batch, time, HEADS, -1) for a in td.split(n, 3, axis=-1))
        heads = nn.scaled_dot_product_attention(q, k, v, causal=True)
        x = x + heads.reshape(batch, time, -1) @ p[f"{i}wo"] + p[f"{i}bo"]
        n = layer_norm(x, p[f"{i}g2"], p[f"{i}h2"])
        x = x + nn.activations.gelu(n @ p[f"{i}w1"] + p[f"{i}b1"], approximate=True) @ p[f"{i}w2"] + p[f"{i}b2"]
    return cross_entropy(layer_norm(x, p["g"], p["h"]) @ p["head"], y)


def textcnn(layers: list[nn.Conv1D], p: Tensors, tokens: td.Tensor, y: td.Tensor) -> td.Tensor:
    e = p["emb"][tokens]
    pooled = [td.max(td.relu(layer(e)), axis=1) for layer in layers]
    return cross_entropy(td.concat(pooled, axis=-1) @ p["w"] + p["b"], y)


# ---------------------------------------------------------------------------------------------------------- the models


def conv(kernel: td.Tensor, bias: td.Tensor | None = None, **options: Any) -> Any:
    """A convolution with these weights; 1-D or 2-D by the kernel's rank."""
    cls = nn.Conv1D if kernel.ndim == 3 else nn.Conv2D
    *size, channels, filters = kernel.shape
    layer = cls(filters, tuple(size), use_bias=bias is not None, input_size=channels, **options)
    layer.kernel = kernel
    if bias is not None:
        layer.bias = bias
    return layer


def dense(kernel: td.Tensor, bias: td.Tensor, **options: Any) -> nn.Dense:
    layer = nn.Dense(kernel.shape[1], input_size=kernel.shape[0], **options)
    layer.kernel, layer.bias = kernel, bias
    return layer


def convnet(p: Tensors) -> nn.Module:
    return nn.Sequential(
        [
            conv(p["k0"], p["c0"], padding="same", activation="relu"),
            nn.MaxPooling2D(2),
            conv(p["k1"], p["c1"], padding="same", activation="relu"),
            nn.MaxPooling2D(2),
            nn.Flatten(),
            dense(p["w0"], p["b0"], activation="relu"),
            dense(p["w1"], p["b1"]),
        ]
    )


class ConvBN(nn.Module):
    """A convolution without bias, then batch normalisation."""

    def __init__(self, p: Tensors, kernel: str, name: str, stride: int) -> None:
        k = p[kernel]
        padding = 1 if k.shape[0] == 3 else 0
        self.conv = conv(k, strides=stride, padding=padding)
        self.norm = nn.BatchNormalization(momentum=0.9, epsilon=1e-5, input_size=k.shape[-1])
        self.norm.gamma, self.norm.beta = p[name + "g"], p[name + "h"]
        self.norm.moving_mean, self.norm.moving_variance = p[name + "m"], p[name + "v"]

    def __call__(self, x: td.Tensor) -> td.Tensor:
        return self.norm(self.conv(x))


class Block(nn.Module):
    def __init__(self, p: Tensors, i: int, stride: int) -> None:
        self.first = ConvBN(p, f"{i}k0", f"{i}a", stride)
        self.second = ConvBN(p, f"{i}k1", f"{i}b", 1)
        self.shortcut = ConvBN(p, f"{i}ks", f"{i}s", 2) if stride == 2 else None

    def __call__(self, x: td.Tensor) -> td.Tensor:
        y = self.second(td.relu(self.first(x)))
        return td.relu(y + (x if self.shortcut is None else self.shortcut(x)))


def resnet20(p: Tensors) -> nn.Module:
    blocks = [Block(p, i, stride) for i, stride in enumerate(RESNET_STRIDES)]
    stem = [ConvBN(p, "k", "", 1), nn.ReLU()]
    return nn.Sequential([*stem, *blocks, nn.GlobalAveragePooling2D(), dense(p["w"], p["b"])])


class TextCNN(nn.Module):
    def __init__(self, p: Tensors) -> None:
        self.layers = [conv(p[f"k{w}"], p[f"c{w}"]) for w in (3, 4, 5)]
        self.rest = {k: nn.Parameter(p[k]) for k in ("emb", "w", "b")}

    def __call__(self, tokens: td.Tensor, y: td.Tensor) -> td.Tensor:
        return textcnn(self.layers, self.rest, tokens, y)


# ----------------------------------------------------------------------------------------------------------- the steps


def train_tensors(loss: Loss, parameters: Tensors, optimizer: td.optim.Optimizer, inputs: Tensors, wrap: Wrap) -> Step:
    """Steps of a loss of plain tensors."""
    optimizer.init(parameters)

    @wrap
    def step(parameters: Tensors, optimizer: Any, inputs: Tensors) -> tuple[td.Tensor, Tensors]:
        value, gradients = td.value_and_grad(loss)(parameters, *inputs.values())
        return value, optimizer.update(parameters, gradients)

    held = [parameters]

    def run() -> td.Tensor:
        value, held[0] = step(held[0], optimizer, inputs)
        return value

    return run


def train_module(loss: Loss, model: nn.Module, optimizer: td.optim.Optimizer, inputs: Tensors, wrap: Wrap) -> Step:
    """Steps of a loss of a module."""

    @wrap
    def step(model: Any, optimizer: Any, inputs: Tensors) -> td.Tensor:
        value, gradients = td.value_and_grad(loss)(model, *inputs.values())
        optimizer.update(model, gradients)
        return value

    return lambda: step(model, optimizer, inputs)


def train_lstm(parameters: Tensors, inputs: Tensors, wrap: Wrap) -> Step:
    optimizer = adam(clip=td.optim.clip_by_global_norm(1.0))
    optimizer.init(parameters)

    @wrap
    def step(p: Tensors, optimizer: Any, x: td.Tensor, y: td.Tensor, state: Any) -> Any:
        (value, state), gradients = td.value_and_grad(lstm_lm, has_aux=True)(p, x, y, *state)
        return value, optimizer.update(p, gradients), state

    held = [parameters, (inputs["h"], inputs["c"])]

    def run() -> td.Tensor:
        value, held[0], held[1] = step(held[0], optimizer, inputs["x"], inputs["y"], held[1])
        return value

    return run


def adam(**options: Any) -> td.optim.Optimizer:
    return td.optim.Adam(1e-3, epsilon=1e-8, **options)


def classify(model: nn.Module, x: td.Tensor, y: td.Tensor) -> td.Tensor:
    return cross_entropy(model(x, training=True), y)


def make(name: str, inputs: Tensors, p: Tensors, wrap: Wrap) -> Step:
    """One step of a workload: a function that returns the loss, or the outputs.

    Raises:
        KeyError: there is no such workload.
    """
    if name.startswith("matmul_"):
        product = wrap(lambda a, b: a @ b)
        return lambda: [product(inputs["a"], inputs["b"])]
    decay_all = {"decay_mask": lambda path, x: True}
    steps: dict[str, Callable[[], Step]] = {
        "mlp_tiny": lambda: train_tensors(mlp_tiny, p, td.optim.SGD(0.1), inputs, wrap),
        "mlp": lambda: train_tensors(mlp, p, adam(), inputs, wrap),
        "gru_var": lambda: train_tensors(gru_var, p, adam(), inputs, wrap),
        "gpt_mini": lambda: train_tensors(
            gpt_mini, p, td.optim.AdamW(1e-3, weight_decay=0.01, epsilon=1e-8, **decay_all), inputs, wrap
        ),
        "lstm_lm": lambda: train_lstm(p, inputs, wrap),
        "convnet": lambda: train_module(classify, convnet(p), adam(), inputs, wrap),
        "resnet20": lambda: train_module(
            classify, resnet20(p), td.optim.SGD(0.01, 0.9, weight_decay=1e-4, **decay_all), inputs, wrap
        ),
        "textcnn": lambda: train_module(lambda m, x, y: m(x, y), TextCNN(p), adam(), inputs, wrap),
        "glm_hessian": lambda: glm_hessian(inputs, wrap),
        "jacobian_batch": lambda: jacobian_batch(inputs, p, wrap),
        "elementwise_chain": lambda: elementwise_chain(inputs, wrap),
        "infer_mlp_b1": lambda: infer(wrap(mlp_logits), p, inputs),
        "infer_resnet20_b1": lambda: infer(wrap(lambda m, x: m(x)), resnet20(p), inputs),
    }
    return steps[name]()


def infer(f: Callable[..., td.Tensor], model: Any, inputs: Tensors) -> Step:
    return lambda: [f(model, inputs["x"])]


def glm_hessian(inputs: Tensors, wrap: Wrap) -> Step:
    def nll(beta: td.Tensor, x: td.Tensor, y: td.Tensor) -> td.Tensor:
        eta = x @ beta
        return td.mean(td.exp(eta) - y * eta)

    both = wrap(lambda b, x, y: (td.hessian(nll)(b, x, y), td.grad(nll)(b, x, y)))
    return lambda: list(both(inputs["beta"], inputs["X"], inputs["y"]))


def jacobian_batch(inputs: Tensors, p: Tensors, wrap: Wrap) -> Step:
    def net(x: td.Tensor, p: Tensors) -> td.Tensor:
        h = td.tanh(x @ p["w0"] + p["b0"])
        return td.tanh(h @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]

    f = wrap(td.vmap(td.jacobian(net), (0, None)))
    return lambda: [f(inputs["x"], p)]


def elementwise_chain(inputs: Tensors, wrap: Wrap) -> Step:
    def chain(x: td.Tensor, a: td.Tensor, b: td.Tensor) -> td.Tensor:
        s = td.softmax(td.tanh(x * a + b) * td.sigmoid(x) - td.log1p(td.exp(x)), axis=-1)
        return td.sum(s, axis=0)

    def both(x: td.Tensor, a: td.Tensor, b: td.Tensor, w: td.Tensor) -> list[td.Tensor]:
        y, pull = td.vjp(lambda x: chain(x, a, b), x)
        return [y, pull(w)[0]]

    f = wrap(both)
    return lambda: list(f(inputs["x"], inputs["a"], inputs["b"], inputs["w"]))
