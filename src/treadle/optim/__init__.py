"""Optimisers: from gradients to better parameters. `opt = td.optim.Adam(1e-3)`; `opt.update(model, grads)`."""

from __future__ import annotations

from treadle.optim import schedules
from treadle.optim.adadelta import Adadelta
from treadle.optim.adagrad import Adagrad
from treadle.optim.adam import Adam, AdamW
from treadle.optim.average import EMA, SWA, WeightAverage
from treadle.optim.clipping import clip_by_global_norm, clip_by_norm, clip_by_value, global_norm
from treadle.optim.lamb import LAMB
from treadle.optim.lion import Lion
from treadle.optim.loss_scale import LossScale
from treadle.optim.optimizer import Optimizer
from treadle.optim.rmsprop import RMSprop
from treadle.optim.sgd import SGD

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "EMA",
    "LAMB",
    "Lion",
    "LossScale",
    "Optimizer",
    "RMSprop",
    "SGD",
    "SWA",
    "WeightAverage",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "global_norm",
    "schedules",
]
