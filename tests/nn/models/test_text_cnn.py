"""TextCNN: its formula in NumPy, and texts that are padded against texts alone."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.core.errors import ShapeError


def model(windows=(2, 4), **options):
    td.random.set_seed(2)
    made = nn.models.TextCNN(9, 3, width=4, filters=5, windows=windows, dtype="float64", **options)
    made.assign({k: v + 0.1 for k, v in made.parameters().items() if "bias" in k})
    return made


def by_hand(model, tokens):
    """The logits of one text without padding."""
    x = np.asarray(model.embedding.embeddings)[np.array(tokens, int)].reshape(-1, 4)
    pooled = []
    for layer, n in zip(model.convolutions, model.windows, strict=True):
        short = np.concatenate([x, np.zeros((max(n - len(x), 0), 4))])
        parts = np.stack([short[t : t + n] for t in range(len(short) - n + 1)])
        y = np.einsum("tnw,nwf->tf", parts, np.asarray(layer.kernel)) + np.asarray(layer.bias)
        pooled.append(np.maximum(y, 0).max(axis=0))
    return np.concatenate(pooled) @ np.asarray(model.output.kernel) + np.asarray(model.output.bias)


TEXTS = [[3, 1, 4, 1, 5, 8], [2, 6], [5], [], [3, 5, 8, 7]]


@pytest.mark.parametrize("how", ["zeros", "lengths", "mask"])
def test_padded_texts_give_what_each_gives_alone(how):
    tokens = np.full((5, 6), 0 if how == "zeros" else 7, np.int32)
    for row, text in zip(tokens, TEXTS, strict=True):
        row[: len(text)] = text
    lengths = np.array([len(t) for t in TEXTS], np.uint8)
    more = {
        "zeros": {},
        "lengths": {"lengths": td.asarray(lengths)},
        "mask": {"mask": td.asarray(np.arange(6) < lengths[:, None])},
    }[how]
    made = model()
    y = td.compile(lambda m, x: m(x, **more))(made, td.asarray(tokens))
    if more:
        both = made(td.asarray(tokens), td.asarray(lengths), td.asarray(np.arange(6) < lengths[:, None]))
        np.testing.assert_allclose(both.numpy(), y.numpy(), rtol=1e-12)
    for row, text in zip(y.numpy(), TEXTS, strict=True):
        np.testing.assert_allclose(row, by_hand(made, text), rtol=1e-10)


def test_pretrained_vectors_and_messages():
    frozen = nn.Embedding(9, 6, trainable=False)
    made = nn.models.TextCNN(9, 2, embedding=frozen)
    assert not any("embedding" in name for name in made.parameters())
    assert "embedding.embeddings" in made.states()
    assert made(td.asarray([[1, 2]])).shape == (1, 2)
    with pytest.raises(ShapeError, match=r"TextCNN takes tokens \[batch, time\], and got \[3\]"):
        made(td.asarray([1, 2, 3]))
