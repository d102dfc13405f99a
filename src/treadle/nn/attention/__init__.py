"""Attention: the function, multi-head attention with positions and a cache, transformer blocks."""

from __future__ import annotations

from treadle.nn.attention.dot_product import scaled_dot_product_attention
from treadle.nn.attention.multi_head import Cache, MultiHeadAttention
from treadle.nn.attention.positions import (
    LearnedPositions,
    RelativePositionBias,
    SinusoidalPositions,
    alibi,
    rotary,
    sinusoidal,
)
from treadle.nn.attention.transformer import FeedForward, TransformerDecoderLayer, TransformerEncoderLayer
from treadle.nn.attention.weights import from_keras, from_torch, to_keras, to_torch

__all__ = [
    "Cache",
    "FeedForward",
    "LearnedPositions",
    "MultiHeadAttention",
    "RelativePositionBias",
    "SinusoidalPositions",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "alibi",
    "from_keras",
    "from_torch",
    "rotary",
    "scaled_dot_product_attention",
    "sinusoidal",
    "to_keras",
    "to_torch",
]
