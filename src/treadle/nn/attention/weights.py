"""Weights of attention and transformer layers to and from the layouts of PyTorch and Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError
from treadle.nn.attention.multi_head import MultiHeadAttention
from treadle.nn.attention.transformer import TransformerDecoderLayer, TransformerEncoderLayer
from treadle.nn.dense import Dense
from treadle.nn.module import Module

Array = np.ndarray[Any, Any]
# (PyTorch's name, ours) of what lies beside the attention.
_DENSE = (("linear1", "feed_forward.up"), ("linear2", "feed_forward.down"))


def from_torch(layer: Module, weights: Mapping[str, Any]) -> None:
    """Take over the weights of `torch.nn.MultiheadAttention`, `TransformerEncoderLayer` or `TransformerDecoderLayer`.

    Args:
        layer: the layer of the same kind, with parameters (give it `input_size=`, or call it once).
        weights: the state dict, its values as arrays.

    Raises:
        ArgumentError: a name is missing, or is not known; a layer of another kind, gated or with RMS norms.
        ShapeError: sizes differ.

    >>> layer = td.nn.TransformerEncoderLayer(2, 16, input_size=8)
    >>> td.nn.attention.from_torch(layer, td.nn.attention.to_torch(layer))
    """
    wanted = to_torch(layer)
    given = {name: np.asarray(w) for name, w in weights.items()}
    given = _joined(given) if "in_proj_weight" not in given else given
    missing, more = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if missing or more:
        what = [f"{', '.join(missing)} are missing"] if missing else []
        what += [f"{', '.join(more)} have no place"] if more else []
        raise ArgumentError(f"from_torch: {' and '.join(what)} in a {type(layer).__name__} with these arguments")
    layer.assign(_ours(layer, given))


def to_torch(layer: Module) -> dict[str, Array]:
    """The weights in PyTorch's names and layout.

    >>> sorted(td.nn.attention.to_torch(td.nn.MultiHeadAttention(2, input_size=8)))
    ['in_proj_bias', 'in_proj_weight', 'out_proj.bias', 'out_proj.weight']
    """
    if isinstance(layer, MultiHeadAttention):
        return _attention_to_torch(layer)
    if not isinstance(layer, TransformerEncoderLayer | TransformerDecoderLayer):
        raise ArgumentError(f"an attention or transformer layer is meant, not {type(layer).__name__}")
    if layer.feed_forward.gate is not None or any(not hasattr(n, "beta") for n in layer.norms):
        raise ArgumentError("PyTorch's transformer layers are not gated and have layer normalisation with beta")
    found: dict[str, Array] = {}
    for theirs, attention in _attentions(layer):
        found |= {f"{theirs}.{name}": w for name, w in _attention_to_torch(attention).items()}
    variables = layer.parameters()
    for theirs, ours in _DENSE:
        found[f"{theirs}.weight"] = np.ascontiguousarray(np.asarray(variables[f"{ours}.kernel"]).T)
        if f"{ours}.bias" in variables:
            found[f"{theirs}.bias"] = np.asarray(variables[f"{ours}.bias"])
    for k in range(len(layer.norms)):
        found[f"norm{k + 1}.weight"] = np.asarray(variables[f"norms.{k}.gamma"])
        found[f"norm{k + 1}.bias"] = np.asarray(variables[f"norms.{k}.beta"])
    return found


def from_keras(layer: MultiHeadAttention, weights: Sequence[Any]) -> None:
    """Take over `keras_layer.get_weights()` of `MultiHeadAttention` or `GroupedQueryAttention`.

    They are kernel (and bias) of query, key, value and output, with an axis of heads.

    Raises:
        ArgumentError: another number of arrays. ShapeError: sizes differ.

    >>> layer = td.nn.MultiHeadAttention(2, input_size=8)
    >>> td.nn.attention.from_keras(layer, td.nn.attention.to_keras(layer))
    """
    wanted = to_keras(layer)
    if len(weights) != len(wanted):
        raise ArgumentError(f"from_keras: {len(wanted)} arrays are needed, and {len(weights)} were given")
    values, places = {}, iter(layer.parameters())
    for given, like in zip(weights, wanted, strict=True):
        array = np.asarray(given)
        if array.shape != like.shape:
            raise ArgumentError(f"from_keras: an array of {like.shape} is needed, and {array.shape} was given")
        name = next(places)
        values[name] = array.reshape(layer.parameters()[name].shape)
    layer.assign(values)


def to_keras(layer: MultiHeadAttention) -> list[Array]:
    """The weights as `keras_layer.set_weights` takes them.

    >>> [w.shape for w in td.nn.attention.to_keras(td.nn.MultiHeadAttention(2, input_size=8, use_bias=False))]
    [(8, 2, 4), (8, 2, 4), (8, 2, 4), (2, 4, 8)]
    """
    found = []
    for name in ("query", "key", "value", "output"):
        dense: Dense = getattr(layer, name)
        kernel, heads = np.asarray(dense.kernel), layer.key_heads if name in ("key", "value") else layer.num_heads
        if name == "output":
            found.append(kernel.reshape(heads, -1, kernel.shape[1]))
        else:
            found.append(kernel.reshape(kernel.shape[0], heads, -1))
        if dense.bias is not None:
            bias = np.asarray(dense.bias)
            found.append(bias if name == "output" else bias.reshape(heads, -1))
    return found


def _attentions(layer: Any) -> list[tuple[str, MultiHeadAttention]]:
    found = [("self_attn", layer.attention)]
    if isinstance(layer, TransformerDecoderLayer):
        found.append(("multihead_attn", layer.memory_attention))
    return found


def _attention_to_torch(layer: MultiHeadAttention) -> dict[str, Array]:
    dense = {name: getattr(layer, name) for name in ("query", "key", "value", "output")}
    kernels = {name: np.asarray(d.kernel).T for name, d in dense.items()}
    if len({k.shape for n, k in kernels.items() if n != "output"}) > 1:
        raise ArgumentError(
            "PyTorch's MultiheadAttention has query, key and value of one size: as many key heads as heads, and inputs "
            f"of one width; these kernels are {[k.shape for n, k in kernels.items() if n != 'output']}"
        )
    parts = ("query", "key", "value")
    found = {"in_proj_weight": np.concatenate([kernels[n] for n in parts])}
    if layer.use_bias:
        found["in_proj_bias"] = np.concatenate([np.asarray(dense[n].bias) for n in parts])
    found["out_proj.weight"] = np.ascontiguousarray(kernels["output"])
    if layer.use_bias:
        found["out_proj.bias"] = np.asarray(dense["output"].bias)
    return found


def _joined(given: dict[str, Array]) -> dict[str, Array]:
    """`q_proj_weight` and its like, which PyTorch has where kdim or vdim are given, as one `in_proj_weight`."""
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    if not all(n in given for n in names):
        return given
    rest = {n: w for n, w in given.items() if n not in names}
    if len({given[n].shape for n in names}) > 1:
        raise ArgumentError(
            f"from_torch: {', '.join(f'{n} {given[n].shape}' for n in names)} differ in size; assign the kernels of "
            "layer.query, layer.key and layer.value, each transposed"
        )
    return {"in_proj_weight": np.concatenate([given[n] for n in names]), **rest}


def _ours(layer: Module, given: Mapping[str, Array]) -> dict[str, Array]:
    """PyTorch's arrays by our paths."""
    if isinstance(layer, MultiHeadAttention):
        return _attention_ours(given)
    values: dict[str, Array] = {}
    for theirs, _ in _attentions(layer):
        prefix = "attention" if theirs == "self_attn" else "memory_attention"
        own = {n.removeprefix(f"{theirs}."): w for n, w in given.items() if n.startswith(f"{theirs}.")}
        values |= {f"{prefix}.{name}": w for name, w in _attention_ours(own).items()}
    for theirs, ours in _DENSE:
        values[f"{ours}.kernel"] = given[f"{theirs}.weight"].T
        if f"{theirs}.bias" in given:
            values[f"{ours}.bias"] = given[f"{theirs}.bias"]
    for name, w in given.items():
        if name.startswith("norm"):
            number, kind = name.removeprefix("norm").split(".")
            values[f"norms.{int(number) - 1}.{'gamma' if kind == 'weight' else 'beta'}"] = w
    return values


def _attention_ours(given: Mapping[str, Array]) -> dict[str, Array]:
    values = {"output.kernel": given["out_proj.weight"].T}
    parts = ("query", "key", "value")
    values |= {f"{n}.kernel": w.T for n, w in zip(parts, np.split(given["in_proj_weight"], 3), strict=True)}
    if "out_proj.bias" in given:
        values["output.bias"] = given["out_proj.bias"]
        values |= {f"{n}.bias": b for n, b in zip(parts, np.split(given["in_proj_bias"], 3), strict=True)}
    return values
