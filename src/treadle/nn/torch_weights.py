"""`from_torch`: the weights of a PyTorch model, by its names and in its layouts, into a model of the same build."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.source import place_text
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.activation_layers import PReLU
from treadle.nn.batch_norm import BatchNormalization
from treadle.nn.conv_base import Convolution
from treadle.nn.dense import Dense
from treadle.nn.depthwise import DepthwiseConv1D, DepthwiseConv2D
from treadle.nn.embedding import Embedding
from treadle.nn.module import Module
from treadle.nn.normalization import GroupNormalization, LayerNormalization, RMSNormalization
from treadle.nn.tables import own_variables

Array = np.ndarray[Any, Any]
Layout = Callable[[Array, Tensor], Array]
Rename = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]


def _same(w: Array, ours: Tensor) -> Array:
    return w


def _turned(w: Array, ours: Tensor) -> Array:
    """out, in, *spatial → *spatial, in, out."""
    return np.moveaxis(w, (0, 1), (-1, -2)) if w.ndim > 1 else w


def _per_channel(w: Array, ours: Tensor) -> Array:
    """A depthwise kernel: channels * multiplier, 1, *spatial → *spatial, channels, multiplier."""
    moved = np.moveaxis(w, 0, -1)[0] if w.ndim > 1 and w.shape[1] == 1 else w
    fits = moved.size == ours.size and moved.shape[:-1] == ours.shape[:-2]
    return moved.reshape(ours.shape) if fits else w


def _stretched(w: Array, ours: Tensor) -> Array:
    return w.reshape(ours.shape) if w.size == ours.size else w


_SCALE: dict[str, tuple[str, Layout]] = {"gamma": ("weight", _same), "beta": ("bias", _same)}
_KERNEL: dict[str, tuple[str, Layout]] = {"kernel": ("weight", _turned), "bias": ("bias", _same)}
# What our tensors are called in the modules of PyTorch, and their layout there. The first class that fits counts.
_LAYERS: tuple[tuple[tuple[type, ...], dict[str, tuple[str, Layout]]], ...] = (
    ((DepthwiseConv1D, DepthwiseConv2D), {**_KERNEL, "kernel": ("weight", _per_channel)}),
    ((Convolution, Dense), _KERNEL),
    (
        (BatchNormalization,),
        {**_SCALE, "moving_mean": ("running_mean", _same), "moving_variance": ("running_var", _same)},
    ),
    ((LayerNormalization, RMSNormalization, GroupNormalization), _SCALE),
    ((Embedding,), {"embeddings": ("weight", _same)}),
    ((PReLU,), {"alpha": ("weight", _stretched)}),
)


def from_torch(model: Module, weights: Mapping[str, Any], rename: Rename = ()) -> None:
    """Give a model the weights of a PyTorch model of the same build: its state dict, as `td.load(path)` reads it.

    A layer's tensors are called there as PyTorch's own are (`weight`, `running_mean`, …) below the layer's path, and
    are laid out as there: kernels become `[*spatial, in, out]`, those of depthwise convolutions
    `[*spatial, channels, multiplier]`; the projections of an attention (`in_proj_weight`, `out_proj`) become its
    dense layers. Parameters that a module
    of your own holds keep their name and layout. Counters (`num_batches_tracked`) are left out. All fits, or nothing
    is assigned. For recurrent layers there is `nn.recurrent.from_torch`, for a `Dense` behind flattened images
    `nn.flat_kernel_to`.

    Args:
        model: with all its parameters: `model.init(shape)`.
        weights: name → array or tensor.
        rename: (regular expression, replacement) pairs, applied in order, that make our paths of the names there; a
            replacement is a string or a function of the match, as for `re.sub`.

    Raises:
        ArgumentError: names that are missing or left over; the nearest ones are given.
        ShapeError: a tensor has another shape than ours.
        BuildError: a layer has no parameters yet.

    >>> model = td.nn.Sequential([td.nn.Dense(2, input_size=3)])
    >>> theirs = {"fc.weight": np.ones((2, 3), np.float32), "fc.bias": np.zeros(2, np.float32)}
    >>> td.nn.from_torch(model, theirs, rename=[(r"^fc\\.", "layers.0.")])
    >>> model(td.ones((1, 3))).tolist()
    [[3.0, 3.0]]
    """
    try:
        model.assign(_converted(model, weights, rename))
    except (ArgumentError, ShapeError) as e:
        raise e.at(place_text()) from None


def _converted(model: Module, weights: Mapping[str, Any], rename: Rename) -> dict[str, Array]:
    weights = _projections_apart(weights)
    found: dict[str, str] = {}
    for name in weights:
        if not name.endswith("num_batches_tracked"):
            new = name
            for pattern, replacement in rename:
                new = re.sub(pattern, replacement, new)
            if new in found:
                raise ArgumentError(f"from_torch: rename gives {found[new]} and {name} the same name, {new}")
            found[new] = name
    places = _places(model)
    missing = [name for name in places if name not in found]
    unknown = [name for name in found if name not in places]
    if missing or unknown:
        raise ArgumentError(_complaint(type(model).__name__, missing, unknown, found))
    values, wrong = {}, []
    for name, (path, ours, layout) in places.items():
        given = np.asarray(weights[found[name]])
        made = layout(given, ours)
        if made.shape != ours.shape:
            wrong.append(f"{path} is {show_shape(ours.shape)}, and {found[name]} is {show_shape(given.shape)}")
        values[path] = made.astype(ours.dtype.numpy)
    if wrong:
        raise ShapeError("from_torch: the weights are of another model; nothing was assigned\n    " + _listed(wrong))
    return values


def _projections_apart(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The joined projections of `torch.nn.MultiheadAttention` as the dense layers that they are here."""
    out: dict[str, Any] = {}
    for name, w in weights.items():
        joined = re.fullmatch(r"(.*\.|)in_proj_(weight|bias)", name)
        if joined:
            thirds = np.split(np.asarray(w), 3)
            out |= {
                f"{joined[1]}{part}.{joined[2]}": t for part, t in zip(("query", "key", "value"), thirds, strict=True)
            }
        else:
            out[re.sub(r"(^|\.)out_proj\.", r"\1output.", name)] = w
    return out


def _places(model: Module) -> dict[str, tuple[str, Tensor, Layout]]:
    """Their name, in our paths → our path, our tensor, and how theirs becomes it."""
    model.variables()  # raises where a layer has not made its parameters
    places: dict[str, tuple[str, Tensor, Layout]] = {}
    seen: set[int] = set()
    for path, module in model.modules().items():
        names = next((table for classes, table in _LAYERS if isinstance(module, classes)), {})
        for own, tensor in own_variables(module).items():
            if id(tensor) in seen or (tensor.kind != "parameter" and own not in names):
                continue  # a tensor of two layers has one name; random streams have none there
            seen.add(id(tensor))
            theirs, layout = names.get(own, (own, _same))
            prefix = f"{path}." if path else ""
            places[prefix + theirs] = prefix + own, tensor, layout
    return places


def _complaint(model: str, missing: list[str], unknown: list[str], found: Mapping[str, str]) -> str:
    lines = [f"from_torch: the names do not fit {model}; nothing was assigned"]
    if missing:
        near = [
            f"{name}{f' (there is {close[0]})' if close else ''}"
            for name in missing[:8]
            if (close := difflib.get_close_matches(name, unknown, n=1)) is not None
        ]
        lines.append(f"    {len(missing)} missing: {_listed(near, len(missing))}")
    if unknown:
        given = [n if found[n] == n else f"{n} (from {found[n]})" for n in unknown[:8]]
        lines.append(f"    {len(unknown)} of no layer: {_listed(given, len(unknown))}")
    lines.append("  rename=[(pattern, replacement), …] makes the model's paths of their names.")
    return "\n".join(lines)


def _listed(parts: Sequence[str], total: int | None = None) -> str:
    more = (total or len(parts)) - len(parts[:8])
    return ", ".join(parts[:8]) + (f", and {more} more" if more else "")
