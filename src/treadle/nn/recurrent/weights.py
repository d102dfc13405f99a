"""Weights of recurrent layers to and from the layouts of PyTorch and Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError
from treadle.nn.recurrent.cells import SimpleRNNCell
from treadle.nn.recurrent.conv_lstm import ConvLSTMCell
from treadle.nn.recurrent.gru import GRUCell
from treadle.nn.recurrent.layer import Recurrent
from treadle.nn.recurrent.lstm import LSTMCell

Array = np.ndarray[Any, Any]
# Where PyTorch has treadle's gates: GRU has reset, update, candidate there, and update, reset, candidate here.
_TORCH_ORDER: dict[Any, tuple[int, ...]] = {SimpleRNNCell: (0,), LSTMCell: (0, 1, 2, 3), GRUCell: (1, 0, 2)}


def from_torch(layer: Recurrent, weights: Mapping[str, Any], suffix: str = "l0") -> None:
    """Take over the weights of `torch.nn.RNN`, `LSTM` or `GRU`: one layer, one direction.

    Args:
        layer: SimpleRNN, LSTM or GRU with parameters and bias; a GRU with `reset_after=True`.
        weights: the state dict's `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, as arrays.
        suffix: of the names: "l1" for the second layer, "l0_reverse" for the backward direction.

    Raises:
        ArgumentError: a name is missing, or the layer is of another kind.
        ShapeError: sizes differ.

    >>> layer = td.nn.LSTM(3, input_size=2)
    >>> td.nn.recurrent.from_torch(layer, td.nn.recurrent.to_torch(layer))
    """
    cell = _cell(layer, _TORCH_ORDER)
    names = _names(suffix)[: 4 if cell.use_bias else 2]
    missing = [n for n in names if n not in weights]
    if missing:
        raise ArgumentError(f"from_torch: {', '.join(missing)} are missing; given are {', '.join(weights)}")
    kernel, recurrent, *biases = (_reordered(cell, np.asarray(weights[n])) for n in names)
    values = {"kernel": kernel.T, "recurrent_kernel": recurrent.T}
    if not biases:
        cell.assign(values)
        return
    bias, second = biases
    if isinstance(cell, GRUCell):
        values |= {"bias": bias, "recurrent_bias": second}
    else:
        values["bias"] = bias + second
    cell.assign(values)


def to_torch(layer: Recurrent, suffix: str = "l0") -> dict[str, Array]:
    """The weights in PyTorch's names and layout; of the two biases that are added there, the second is 0.

    >>> {name: w.shape for name, w in td.nn.recurrent.to_torch(td.nn.GRU(4, input_size=2)).items()}["weight_ih_l0"]
    (12, 2)
    """
    cell = _cell(layer, _TORCH_ORDER)
    found = [np.asarray(cell.kernel).T, np.asarray(cell.recurrent_kernel).T]
    if cell.use_bias:
        bias = np.asarray(cell.bias)
        found += [bias, np.asarray(cell.recurrent_bias) if isinstance(cell, GRUCell) else np.zeros_like(bias)]
    back = np.argsort(_TORCH_ORDER[type(cell)])
    return {n: np.ascontiguousarray(_reordered(cell, a, back)) for n, a in zip(_names(suffix), found, strict=False)}


def from_keras(layer: Recurrent, weights: Sequence[Any]) -> None:
    """Take over `keras_layer.get_weights()`: kernel, recurrent kernel, and where there is one bias (for a GRU with
    `reset_after` `[2, 3 * units]`). Also of ConvLSTMs.

    >>> layer = td.nn.GRU(3, input_size=2)
    >>> td.nn.recurrent.from_keras(layer, td.nn.recurrent.to_keras(layer))
    """
    cell = _cell(layer, (*_TORCH_ORDER, ConvLSTMCell))
    names = ["kernel", "recurrent_kernel", "bias"][: 3 if cell.use_bias else 2]
    if len(weights) != len(names):
        raise ArgumentError(f"from_keras: {', '.join(names)} are needed, and {len(weights)} arrays were given")
    values = dict(zip(names, map(np.asarray, weights), strict=True))
    if cell.use_bias and getattr(cell, "reset_after", False):
        values["bias"], values["recurrent_bias"] = values["bias"]
    cell.assign(values)


def to_keras(layer: Recurrent) -> list[Array]:
    """The weights as `keras_layer.set_weights` takes them.

    >>> [w.shape for w in td.nn.recurrent.to_keras(td.nn.LSTM(3, input_size=2))]
    [(2, 12), (3, 12), (12,)]
    """
    cell = _cell(layer, (*_TORCH_ORDER, ConvLSTMCell))
    kernels = [np.asarray(cell.kernel), np.asarray(cell.recurrent_kernel)]
    if not cell.use_bias:
        return kernels
    bias = np.asarray(cell.bias)
    return [
        *kernels,
        np.stack([bias, np.asarray(cell.recurrent_bias)]) if getattr(cell, "reset_after", False) else bias,
    ]


def _names(suffix: str) -> list[str]:
    return [f"{kind}_{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def _reordered(cell: Any, array: Array, order: Sequence[int] | Array | None = None) -> Array:
    """The gates, which are on the first axis, in the other toolkit's order or back."""
    parts = np.split(array, cell.gates)
    return np.concatenate([parts[k] for k in (_TORCH_ORDER[type(cell)] if order is None else order)])


def _cell(layer: Recurrent, kinds: Any) -> Any:
    cell: Any = layer.cell
    if type(cell) not in kinds or not cell.is_built or getattr(cell, "peephole", False):
        raise ArgumentError(
            "the weights of a SimpleRNN, LSTM or GRU with parameters are meant (to Keras also of a ConvLSTM), without "
            "peepholes; give input_size= or call the layer first"
        )
    if kinds is _TORCH_ORDER and isinstance(cell, GRUCell) and not cell.reset_after:
        raise ArgumentError("PyTorch's GRU has its reset gate after the product: make the layer with reset_after=True")
    if getattr(cell, "norms", None):
        raise ArgumentError("other toolkits' LSTM has no layer normalisation")
    return cell
