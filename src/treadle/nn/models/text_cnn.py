"""`TextCNN`: texts into classes by the strongest of many short patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treadle import array as xp
from treadle.core.errors import ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.convolution import Conv1D
from treadle.nn.dense import Dense
from treadle.nn.dropout import Dropout
from treadle.nn.embedding import Embedding
from treadle.nn.masking import real_of
from treadle.nn.module import Module


class TextCNN(Module):
    """Convolutions of several widths over the words' vectors, the largest value of each filter, and a dense layer.

    Shapes: tokens `[batch, time]` of integers, 0 for padding → logits `[batch, classes]`.

    Args:
        vocabulary_size: how many tokens there are.
        classes: of the logits.
        width: features of a token.
        filters: of each window.
        windows: how many tokens a filter sees.
        dropout: before the dense layer, while training.
        embedding: instead of a new one: `vectors.embedding(vocabulary)` of `td.data.read_vectors`, for instance.
        dtype: of the parameters.

    Call: `model(tokens, lengths=None, mask=None)`: what is real; without them, what is not 0. What is padding has no
    influence: a text gives in any batch what it gives alone.

    Raises (at a call):
        ShapeError: tokens are not `[batch, time]`.

    Source: Kim, Convolutional neural networks for sentence classification (EMNLP 2014).

    >>> model = td.nn.models.TextCNN(vocabulary_size=100, classes=2, width=16, filters=8)
    >>> model(td.asarray([[5, 7, 2, 0], [9, 0, 0, 0]])).shape
    (2, 2)
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int,
        width: int = 128,
        filters: int = 100,
        windows: Sequence[int] = (3, 4, 5),
        dropout: float = 0.5,
        *,
        embedding: Embedding | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.embedding = embedding or Embedding(vocabulary_size, width, dtype=dtype)
        size = self.embedding.output_dim
        self.windows = tuple(windows)
        self.convolutions = [
            Conv1D(filters, n, data_format="channels_last", activation="relu", input_size=size, dtype=dtype)
            for n in self.windows
        ]
        self.dropout = Dropout(dropout)
        self.output = Dense(classes, input_size=filters * len(self.windows), dtype=dtype)

    def __call__(self, tokens: Tensor, lengths: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        if tokens.ndim != 2:
            raise ShapeError(f"TextCNN takes tokens [batch, time], and got {show_shape(tokens.shape)}")
        real = real_of(tokens, lengths, mask)
        real = tokens != 0 if real is None else real
        x = xp.where(real[:, :, None], self.embedding(tokens), 0)
        x = xp.pad(x, ((0, 0), (0, max(self.windows) - 1), (0, 0)))
        real = xp.pad(real, ((0, 0), (0, max(self.windows) - 1)))
        pairs = zip(self.convolutions, self.windows, strict=True)
        pooled = [self._largest(layer(x), real, n) for layer, n in pairs]
        return self.output(self.dropout(xp.concat(pooled, axis=-1)))

    def _largest(self, y: Tensor, real: Tensor, window: int) -> Tensor:
        """Of each filter, over the windows that end before the padding; over the first one of a shorter text."""
        inside = xp.logical_or(real[:, window - 1 :], xp.arange(y.shape[1]) == 0)
        return xp.max(xp.where(inside[:, :, None], y, 0), axis=1)  # after relu, 0 is no candidate but the least
