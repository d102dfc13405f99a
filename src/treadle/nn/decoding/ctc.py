"""Labels from the outputs of a model trained with `td.losses.ctc`."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle import array as xp
from treadle.core.dtypes import int32
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.padded import Padded
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.masking import check_lengths, mask_of


def ctc_greedy(logits: Any, *, lengths: Any = None, blank: int = 0) -> Padded:
    """The labels of the likeliest way: the best class of each step, repetitions merged, then blanks removed.

    Args:
        logits: `[batch, time, classes]`. lengths: integers `[batch]`, steps that are real; all if None.
        blank: the class that stands for no label.

    Returns: int32 labels `[batch, time]` with their lengths, the rest `blank`.

    >>> best = td.asarray([[1, 1, 0, 1, 2, 2, 0]])
    >>> logits = (best[..., None] == td.arange(3)).astype(td.float32)
    >>> td.nn.unpad_sequences(td.nn.decoding.ctc_greedy(logits))[0].tolist()
    [1, 1, 2]
    """
    x = _logits(logits)
    batch, time, _ = x.shape
    best = xp.argmax(x, axis=-1).astype(int32)
    real = mask_of(xp.full((batch,), time, dtype=int32) if lengths is None else lengths, time)
    before = xp.concat([xp.full((batch, 1), -1, dtype=int32), best[:, :-1]], axis=1)
    kept = xp.logical_and(real, xp.logical_and(best != blank, best != before))
    count = xp.count_nonzero(kept, axis=1).astype(int32)
    order = xp.argsort(xp.logical_not(kept).astype(int32), axis=1)  # stable: those that are kept come first, in order
    labels = xp.take_along_axis(xp.where(kept, best, blank), order, axis=1)
    return Padded(labels, count, mask_of(count, time))


def ctc_beam_search(
    logits: Any, *, beams: int = 16, lengths: Any = None, blank: int = 0
) -> list[list[tuple[list[int], float]]]:
    """The likeliest labels, all their ways counted, among the `beams` likeliest prefixes at each step.

    Runs in NumPy, step by step: for evaluation, not inside of compiled code.

    Args:
        logits: `[batch, time, classes]`. lengths: integers `[batch]`; all steps if None.
        beams: prefixes that are kept.
        blank: the class that stands for no label.

    Returns: for each sequence `(labels, log probability)`, the likeliest first, at most `beams`.

    Source: Hannun et al., First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs
    (2014), without a language model.

    >>> p = td.asarray([[[0.6, 0.4], [0.6, 0.4]]])  # two blanks: .36; the three ways that read as [1]: .64
    >>> labels, log_p = td.nn.decoding.ctc_beam_search(td.log(p))[0][0]
    >>> labels, round(float(np.exp(log_p)), 2)
    ([1], 0.64)
    """
    if isinstance(beams, bool) or not isinstance(beams, int) or beams < 1:
        raise ArgumentError(f"beams is the number of prefixes to keep, at least 1; got {beams!r}")
    log_p = xp.log_softmax(_logits(logits).astype(xp.float64), axis=-1).numpy()
    steps = [log_p.shape[1]] * len(log_p) if lengths is None else np.asarray(check_lengths(lengths, log_p.shape[1]))
    return [_prefixes(rows[:n], beams, blank) for rows, n in zip(log_p, steps, strict=True)]


def _prefixes(log_p: np.ndarray[Any, Any], beams: int, blank: int) -> list[tuple[list[int], float]]:
    never = -np.inf
    # prefix → log probability of the ways that end in a blank, and of those that end in its last label
    kept: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, never)}
    for row in log_p:
        new: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(prefix: tuple[int, ...], in_blank: float, in_label: float, into: Any = new) -> None:
            a, b = into.get(prefix, (never, never))
            into[prefix] = float(np.logaddexp(a, in_blank)), float(np.logaddexp(b, in_label))

        for prefix, (in_blank, in_label) in kept.items():
            total = np.logaddexp(in_blank, in_label)
            add(prefix, total + row[blank], never)
            if prefix:
                add(prefix, never, in_label + row[prefix[-1]])
            for label, score in enumerate(row):
                if label != blank:
                    # The same label again is a new one only after a blank.
                    add((*prefix, label), never, score + (in_blank if prefix and label == prefix[-1] else total))
        possible = [item for item in new.items() if max(item[1]) > never]
        ranked = sorted(possible, key=lambda item: -np.logaddexp(*item[1]))
        kept = dict(ranked[:beams])
    return [(list(prefix), float(np.logaddexp(*both))) for prefix, both in kept.items()]


def _logits(logits: Any) -> Tensor:
    x = xp.asarray(logits)
    if x.ndim != 3:
        raise ShapeError(f"CTC decoding takes [batch, time, classes], and got {show_shape(x.shape)}")
    return x
