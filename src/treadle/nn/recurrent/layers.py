"""SimpleRNN, LSTM, GRU: the layers with Keras's names and arguments."""

from __future__ import annotations

from typing import Any

from treadle.nn.recurrent.cells import SimpleRNNCell
from treadle.nn.recurrent.gru import GRUCell
from treadle.nn.recurrent.layer import Recurrent
from treadle.nn.recurrent.lstm import LSTMCell

_OF_THE_LAYER = (
    "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "dropout", "recurrent_dropout", "seed",
    "checkpoint",
)  # fmt: skip


def divided(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arguments of the layer, arguments of the cell)"""
    own = {k: v for k, v in options.items() if k in _OF_THE_LAYER}
    return own, {k: v for k, v in options.items() if k not in _OF_THE_LAYER}


class SimpleRNN(Recurrent):
    """`nn.Recurrent(nn.SimpleRNNCell(units, …), …)`: x `[batch, time, in]` → y `[batch, units]`, or with
    `return_sequences` `[batch, time, units]`.

    Args:
        units: size of the state and the output.
        options: those of `nn.SimpleRNNCell` and of `nn.Recurrent`, by name.

    >>> td.nn.SimpleRNN(4)(td.ones((2, 7, 3)), lengths=td.asarray([7, 2])).shape
    (2, 4)
    """

    def __init__(self, units: int, **options: Any) -> None:
        own, of_cell = divided(options)
        super().__init__(SimpleRNNCell(units, **of_cell), **own)


class LSTM(Recurrent):
    """`nn.Recurrent(nn.LSTMCell(units, …), …)`: x `[batch, time, in]` → y `[batch, units]`, or with
    `return_sequences` `[batch, time, units]`. The state is `(h, c)`.

    Args:
        units: size of the state and the output.
        options: those of `nn.LSTMCell` and of `nn.Recurrent`, by name.

    >>> y, (h, c) = td.nn.LSTM(4, return_sequences=True, return_state=True)(td.ones((2, 7, 3)))
    >>> y.shape, h.shape, c.shape
    ((2, 7, 4), (2, 4), (2, 4))
    """

    def __init__(self, units: int, **options: Any) -> None:
        own, of_cell = divided(options)
        super().__init__(LSTMCell(units, **of_cell), **own)


class GRU(Recurrent):
    """`nn.Recurrent(nn.GRUCell(units, …), …)`: x `[batch, time, in]` → y `[batch, units]`, or with
    `return_sequences` `[batch, time, units]`.

    Args:
        units: size of the state and the output.
        options: those of `nn.GRUCell` and of `nn.Recurrent`, by name.

    >>> td.nn.GRU(4, return_sequences=True)(td.ones((2, 7, 3))).shape
    (2, 7, 4)
    """

    def __init__(self, units: int, **options: Any) -> None:
        own, of_cell = divided(options)
        super().__init__(GRUCell(units, **of_cell), **own)
