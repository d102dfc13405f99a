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

__all__ = [
    "Cache",
    "LearnedPositions",
    "MultiHeadAttention",
    "RelativePositionBias",
    "SinusoidalPositions",
    "alibi",
    "rotary",
    "scaled_dot_product_attention",
    "sinusoidal",
]
