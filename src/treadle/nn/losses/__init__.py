"""Losses: what training makes small. `td.losses.mse(prediction, target)` is a scalar.

All take the same last four arguments:

    weights     how much each element counts: numbers >= 0. Aligned with the losses at the *first* axis: `[batch]`
                weighs samples, `[batch, time]` steps. A weight of 2 is the same as having the sample twice, 0 as not
                having it.
    mask        True where an element counts, aligned like the weights. What is masked is never looked at: neither NaN
                nor a target out of range there does harm, and its gradient is zero.
    lengths     instead of a mask: integers `[batch]`; of each sequence `[batch, time, …]` the steps from there on are
                masked. A `td.data.Padded` as prediction or target brings its own.
    reduction   "mean" (default): the sum divided by the sum of the weights (the number of elements that the mask
                leaves); 0 when nothing is left. "sum", or "none": the losses, weighted, each in its place.

Prediction and target are never broadcast against each other. Targets are converted to the prediction's dtype; 16-bit
predictions are computed with, and give a loss, in float32.
"""

from __future__ import annotations

from treadle.nn.losses.classification import (
    binary_crossentropy,
    categorical_crossentropy,
    hinge,
    kl_divergence,
    sparse_categorical_crossentropy,
)
from treadle.nn.losses.ctc import ctc
from treadle.nn.losses.regression import cosine_similarity, huber, log_cosh, mae, mse, poisson

__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "cosine_similarity",
    "ctc",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mae",
    "mse",
    "poisson",
    "sparse_categorical_crossentropy",
]
