"""Metrics: numbers about a whole data set, gathered batch by batch without loss."""

from treadle.train.metrics.base import FunctionMetric, Mean, Metric
from treadle.train.metrics.choice import as_metric, as_metrics
from treadle.train.metrics.classification import F1, Accuracy, ConfusionMatrix, Precision, Recall, TopK
from treadle.train.metrics.ranking import AUC
from treadle.train.metrics.regression import MAE, MSE, R2, RMSE

__all__ = [
    "AUC",
    "Accuracy",
    "ConfusionMatrix",
    "F1",
    "FunctionMetric",
    "MAE",
    "MSE",
    "Mean",
    "Metric",
    "Precision",
    "R2",
    "RMSE",
    "Recall",
    "TopK",
    "as_metric",
    "as_metrics",
]
