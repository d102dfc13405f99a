"""Training: fit, metrics, callbacks, checkpoints, and weights to files and back."""

from __future__ import annotations

from treadle.train import metrics
from treadle.train.callbacks import (
    BestCheckpoint,
    Callback,
    Context,
    EarlyStopping,
    LambdaCallback,
    ReduceLROnPlateau,
)
from treadle.train.checkpoints import Checkpoint
from treadle.train.csv_log import CSVLog
from treadle.train.evaluation import evaluate, predict
from treadle.train.fitting import fit
from treadle.train.health import Diagnosis, Finding, doctor
from treadle.train.history import History
from treadle.train.load_report import LoadReport
from treadle.train.saving import load, save

__all__ = [
    "BestCheckpoint",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "Context",
    "Diagnosis",
    "EarlyStopping",
    "Finding",
    "History",
    "LambdaCallback",
    "LoadReport",
    "ReduceLROnPlateau",
    "doctor",
    "evaluate",
    "fit",
    "load",
    "metrics",
    "predict",
    "save",
]
