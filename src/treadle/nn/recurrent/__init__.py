"""Recurrent layers: any step function as a layer, and the well-known cells."""

from __future__ import annotations

from treadle.nn.recurrent.attending import AttentionCell, BahdanauAttention, Decoder, LuongAttention
from treadle.nn.recurrent.bidirectional import Bidirectional
from treadle.nn.recurrent.cells import Cell, SimpleRNNCell, StackedCells
from treadle.nn.recurrent.conv_lstm import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D, ConvLSTMCell
from treadle.nn.recurrent.gru import GRUCell
from treadle.nn.recurrent.layer import Recurrent
from treadle.nn.recurrent.layers import GRU, LSTM, SimpleRNN
from treadle.nn.recurrent.linear import (
    LinearCell,
    LinearRecurrent,
    MinGRUCell,
    MinLSTMCell,
    S4DCell,
    SelectiveCell,
    linear_recurrence,
)
from treadle.nn.recurrent.lstm import LSTMCell
from treadle.nn.recurrent.mamba import MambaBlock
from treadle.nn.recurrent.stateful import reset_states
from treadle.nn.recurrent.topologies import ClockedCells, FeedbackCell, ResidualCell
from treadle.nn.recurrent.weights import from_keras, from_torch, to_keras, to_torch

__all__ = [
    "AttentionCell",
    "BahdanauAttention",
    "Bidirectional",
    "Cell",
    "ClockedCells",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "ConvLSTMCell",
    "Decoder",
    "FeedbackCell",
    "GRU",
    "GRUCell",
    "LSTM",
    "LSTMCell",
    "LinearCell",
    "LinearRecurrent",
    "LuongAttention",
    "MambaBlock",
    "MinGRUCell",
    "MinLSTMCell",
    "Recurrent",
    "ResidualCell",
    "S4DCell",
    "SelectiveCell",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedCells",
    "from_keras",
    "from_torch",
    "linear_recurrence",
    "reset_states",
    "to_keras",
    "to_torch",
]
