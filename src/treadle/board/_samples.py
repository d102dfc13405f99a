"""Predictions of a few examples beside what they should be: as captioned pictures, or as a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.board.writer import Writer
from treadle.core import trees
from treadle.core.tensor import Tensor
from treadle.train.callbacks import Context
from treadle.train.data import unpack
from treadle.train.evaluation import predict

Array = np.ndarray[Any, Any]
NUMBERS = 6  # of a prediction, in a table


def write(writer: Writer, context: Context, count: int, compiled: bool) -> None:
    """The first `count` examples of `context.example`. Nothing is written of predictions that are no single array."""
    x, y, _ = unpack(context.example)
    if y is None:
        return
    x, y = (trees.map(lambda a: np.asarray(a)[:count], part) for part in (x, y))
    answer = predict(context.model, x, batch_size=count, compile=compiled)
    if not isinstance(answer, np.ndarray | Tensor) or not isinstance(y, np.ndarray):
        return
    guesses, truths, kind = _said(np.asarray(answer), y)
    if isinstance(x, np.ndarray) and _are_pictures(x):
        captions = [g if g == t else f"{g} ({t})" for g, t in zip(guesses, truths, strict=True)]
        words = f"{kind}; where it differs, what it should be stands in brackets"
        low, high = float(np.nanmin(x)), float(np.nanmax(x))
        usual = x.dtype == np.uint8 or (low >= 0 and high <= 1)
        span = None if usual else (low, high if high > low else low + 1)
        writer.image(
            "predictions", x if x.ndim == 4 else x[..., None], context.step,
            value_range=span, captions=captions, grid=True, description=words,
        )  # fmt: skip
        return
    rows = [f"| {k} | {g} | {t} |" for k, (g, t) in enumerate(zip(guesses, truths, strict=True))]
    writer.text("predictions", "\n".join(["| example | predicted | should be |", "|---|---|---|", *rows]), context.step)


def _said(answer: Array, y: Array) -> tuple[list[str], list[str], str]:
    """Predictions and targets in words: classes where the targets are classes, else numbers."""
    n = len(y)
    if np.issubdtype(y.dtype, np.integer) and y.size == n and answer.ndim == 2 and answer.shape[1] > 1:
        return [str(k) for k in answer.argmax(1)], [str(k) for k in y.ravel()], "the class of the largest score"
    if (
        y.ndim == 2
        and y.shape == answer.shape
        and y.shape[1] > 1
        and np.isin(y, (0, 1)).all()
        and (y.sum(1) == 1).all()
    ):
        return [str(k) for k in answer.argmax(1)], [str(k) for k in y.argmax(1)], "the class of the largest score"
    return _numbers(answer), _numbers(y), "the prediction"


def _numbers(values: Array) -> list[str]:
    rows = values.reshape(len(values), -1)
    more = " …" if rows.shape[1] > NUMBERS else ""
    return [" ".join(f"{v:.4g}" for v in row[:NUMBERS]) + more for row in rows]


def _are_pictures(x: Array) -> bool:
    """`[n, h, w, 1 or 3 or 4]`, or `[n, h, w]` of squares, not too small and not too large to be looked at."""
    if not np.issubdtype(x.dtype, np.number) and x.dtype != np.bool_:
        return False
    if x.ndim == 3:
        return x.shape[1] == x.shape[2] and 4 <= x.shape[1] <= 512
    return x.ndim == 4 and x.shape[-1] in (1, 3, 4) and 4 <= min(x.shape[1:3]) <= max(x.shape[1:3]) <= 512
