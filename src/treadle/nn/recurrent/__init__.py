"""Recurrent layers: any step function as a layer, and the well-known cells."""

from __future__ import annotations

from treadle.nn.recurrent.bidirectional import Bidirectional
from treadle.nn.recurrent.cells import Cell, SimpleRNNCell, StackedCells
from treadle.nn.recurrent.gru import GRUCell
from treadle.nn.recurrent.layer import Recurrent
from treadle.nn.recurrent.layers import GRU, LSTM, SimpleRNN
from treadle.nn.recurrent.lstm import LSTMCell
from treadle.nn.recurrent.weights import from_keras, from_torch, to_keras, to_torch

__all__ = [
    "Bidirectional",
    "Cell",
    "GRU",
    "GRUCell",
    "LSTM",
    "LSTMCell",
    "Recurrent",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedCells",
    "from_keras",
    "from_torch",
    "to_keras",
    "to_torch",
]
