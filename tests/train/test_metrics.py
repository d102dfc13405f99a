"""Metrics against scikit-learn, on data cut into ragged batches, with and without weights."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.core.errors import ArgumentError, ShapeError
from treadle.train.metrics import (
    AUC,
    F1,
    MAE,
    MSE,
    R2,
    RMSE,
    Accuracy,
    ConfusionMatrix,
    FunctionMetric,
    Mean,
    Metric,
    Precision,
    Recall,
    TopK,
    as_metric,
    as_metrics,
)

N, CLASSES = 103, 4
CUTS = [(0, 103), (0, 32, 64, 96, 103), (0, 1, 50, 103)]


def data(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(N, CLASSES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, N)
    logits[np.arange(N), labels] += 1
    binary = rng.integers(0, 2, N)
    scores = np.round(rng.normal(size=N) + binary, 1)  # rounded: ties
    weights = rng.uniform(0, 2, N)
    weights[::7] = 0
    y = rng.normal(size=(N, 3))
    return {
        "logits": logits,
        "labels": labels,
        "binary": binary,
        "scores": scores,
        "weights": weights,
        "y": y,
        "p": y + rng.normal(size=y.shape),
    }


D = data()


def run(metric: Metric, cuts: tuple[int, ...], *columns: Any) -> Any:
    for a, b in itertools.pairwise(cuts):
        metric.update(*(None if c is None else c[a:b] for c in columns))
    return metric.result()


def one_hot(labels: Any) -> Any:
    return np.eye(CLASSES)[labels]


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True)).astype(np.float64)
    return e / e.sum(axis=1, keepdims=True)


Oracle = Callable[[Any], Any]
called = D["logits"].argmax(1)
binary_called = (D["scores"] > 0).astype(int)


def oracle(score: Callable[..., Any], truth: Any, guess: Any, **options: Any) -> Oracle:
    """A score of scikit-learn as a function of the weights."""
    return lambda w: score(truth, guess, sample_weight=w, **options)


CALLED = oracle(sk.accuracy_score, D["labels"], called)
CALLED_BINARY = oracle(sk.accuracy_score, D["binary"], binary_called)
TWO = D["logits"][:, :2].astype(np.float64)
ONE_OUTPUT = D["y"][:, 0], D["p"][:, 0]

CASES: list[tuple[str, Callable[[], Metric], Any, Any, Oracle]] = [
    ("accuracy-sparse", Accuracy, D["logits"], D["labels"], CALLED),
    ("accuracy-column", Accuracy, D["logits"], D["labels"][:, None], CALLED),
    ("accuracy-onehot", Accuracy, D["logits"], one_hot(D["labels"]), CALLED),
    ("accuracy-binary", Accuracy, D["scores"], D["binary"], CALLED_BINARY),
    ("accuracy-binary-column", Accuracy, D["scores"][:, None], D["binary"], CALLED_BINARY),
    ("accuracy-labels", Accuracy, called, D["labels"], CALLED),
    (
        "top-2",
        lambda: TopK(2),
        D["logits"],
        D["labels"],
        oracle(sk.top_k_accuracy_score, D["labels"], D["logits"], k=2),
    ),
    ("auc-binary", AUC, D["scores"], D["binary"], oracle(sk.roc_auc_score, D["binary"], D["scores"])),
    (
        "auc-ovr",
        lambda: AUC(from_logits=False),
        softmax(D["logits"]),
        D["labels"],
        oracle(sk.roc_auc_score, D["labels"], softmax(D["logits"]), multi_class="ovr"),
    ),
    (
        "auc-logits",
        AUC,
        D["logits"],
        D["labels"],
        oracle(sk.roc_auc_score, D["labels"], softmax(D["logits"].astype(np.float64)), multi_class="ovr"),
    ),
    ("auc-two", AUC, D["logits"][:, :2], D["binary"], oracle(sk.roc_auc_score, D["binary"], softmax(TWO)[:, 1])),
    ("confusion", ConfusionMatrix, D["logits"], D["labels"], oracle(sk.confusion_matrix, D["labels"], called)),
    ("mae", MAE, D["p"], D["y"], oracle(sk.mean_absolute_error, D["y"], D["p"])),
    ("mse", MSE, D["p"], D["y"], oracle(sk.mean_squared_error, D["y"], D["p"])),
    ("rmse", RMSE, ONE_OUTPUT[1], ONE_OUTPUT[0], oracle(sk.root_mean_squared_error, *ONE_OUTPUT)),
    ("r2", R2, D["p"], D["y"], oracle(sk.r2_score, D["y"], D["p"])),
    ("r2-one", R2, ONE_OUTPUT[1], ONE_OUTPUT[0], oracle(sk.r2_score, *ONE_OUTPUT)),
]
for mine, theirs in ((Precision, sk.precision_score), (Recall, sk.recall_score), (F1, sk.f1_score)):
    CASES += [
        (
            f"{mine.__name__}-{average}",
            functools.partial(mine, average),
            D["logits"],
            D["labels"],
            oracle(theirs, D["labels"], called, average=average),
        )
        for average in ("macro", "micro", "weighted", None)
    ]
    CASES.append(
        (f"{mine.__name__}-binary", mine, D["scores"], D["binary"], oracle(theirs, D["binary"], binary_called))
    )


IDS = [case[0] for case in CASES]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize(
    ("make", "prediction", "target", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_agrees_with_scikit_learn(
    make: Callable[[], Metric], prediction: Any, target: Any, expected: Oracle, cuts: tuple[int, ...], weighted: bool
) -> None:
    w = D["weights"] if weighted else None
    found = run(make(), cuts, prediction, target, w)
    np.testing.assert_allclose(found, expected(w), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("make", "prediction", "target"), [c[1:4] for c in CASES], ids=IDS)
def test_state_goes_on_where_it_was(make: Callable[[], Metric], prediction: Any, target: Any) -> None:
    whole = run(make(), CUTS[1], prediction, target)
    first, second = make(), make()
    run(first, (0, 32, 64), prediction, target)
    second.restore({k: v.copy() for k, v in first.state().items()})
    np.testing.assert_array_equal(run(second, (64, 96, 103), prediction, target), whole)
    second.reset()
    np.testing.assert_array_equal(run(second, CUTS[1], prediction, target), whole)


def test_weights_zero_hide_examples_whatever_they_hold() -> None:
    logits, labels = D["logits"][:4].copy(), D["labels"][:4].copy()
    logits[3], labels[3] = np.nan, -100  # padding
    w = np.array([1, 1, 1, 0])
    for metric, clean in ((Accuracy(), Accuracy()), (TopK(2), TopK(2)), (F1("macro"), F1("macro"))):
        metric.update(logits, labels, w)
        clean.update(logits[:3], labels[:3])
        assert metric.result() == clean.result()
    for metric, clean in ((MSE(), MSE()), (R2(), R2()), (MAE(), MAE())):
        metric.update(np.array([1.0, 2.0, np.nan]), np.array([0.0, 5.0, 0.0]), np.array([True, True, False]))
        clean.update(np.array([1.0, 2.0]), np.array([0.0, 5.0]))
        assert metric.result() == clean.result()


def test_sequences_with_a_mask() -> None:
    prediction = np.zeros((2, 3, CLASSES), np.float32)
    prediction[..., 1] = 1
    target, mask = np.array([[1, 1, 0], [1, 2, 2]]), np.array([[1, 1, 0], [1, 0, 0]], bool)
    m = Accuracy()
    m.update(td.asarray(prediction), td.asarray(target), td.asarray(mask))
    assert m.result() == 1.0
    m.reset()
    m.update(prediction, target)
    assert m.result() == 0.5


def test_multilabel_counts_each_entry() -> None:
    rng = np.random.default_rng(1)
    scores, truth = rng.normal(size=(40, 3)), rng.integers(0, 2, (40, 3))
    labels = (scores > 0).astype(int)
    m = Accuracy(task="multilabel")
    m.update(scores, truth)
    assert m.result() == pytest.approx((labels == truth).mean(), rel=1e-12)
    for mine, theirs in ((Precision, sk.precision_score), (Recall, sk.recall_score), (F1, sk.f1_score)):
        for average in ("macro", "micro", None):
            m = mine(average, task="multilabel")
            run(m, (0, 7, 40), scores, truth)
            np.testing.assert_allclose(m.result(), theirs(truth, labels, average=average), rtol=1e-12)
    auc = AUC(task="multilabel")
    auc.update(scores, truth)
    assert auc.result() == pytest.approx(sk.roc_auc_score(truth, scores), rel=1e-12)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    positive, negative = [s for s, t in pairs if t], [s for s, t in pairs if not t]
    m = AUC()
    m.update(np.array([float(s) for s, _ in pairs]), np.array([int(t) for _, t in pairs]))
    if not positive or not negative:
        assert np.isnan(m.result())
        return
    wins = sum((a > b) + (a == b) / 2 for a in positive for b in negative)
    assert m.result() == pytest.approx(wins / (len(positive) * len(negative)), rel=1e-15)


def test_ties_and_nan_among_scores() -> None:
    m = TopK(1)
    m.update(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), np.array([0, 1]))
    assert m.result() == 0.5  # the first of equal scores wins, as in Accuracy
    for metric in (Accuracy(), TopK(1)):
        metric.update(np.array([[np.nan, 1.0], [2.0, 1.0]]), np.array([0, 0]))
        assert metric.result() == 0.5
    binary = Accuracy()
    binary.update(np.array([np.nan, -1.0]), np.array([0, 0]))
    assert binary.result() == 0.5
    auc = AUC()
    auc.update(np.array([np.nan, 1.0]), np.array([0, 1]))
    assert np.isnan(auc.result())


def test_absent_classes() -> None:
    m = F1("macro")
    logits = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0]])  # classes 2 and 3 never occur
    m.update(logits, np.array([1, 1]))
    assert m.result() == pytest.approx(sk.f1_score([1, 1], [1, 0], average="macro"))
    each = F1(None)
    each.update(logits, np.array([1, 1]))
    np.testing.assert_allclose(each.result(), [0, 2 / 3, 0, 0])


def test_constant_targets_r2() -> None:
    for prediction, expected in ((np.array([2.0, 2.0]), 1.0), (np.array([2.0, 3.0]), 0.0)):
        m = R2()
        m.update(prediction, np.array([2.0, 2.0]))
        assert m.result() == expected == sk.r2_score([2.0, 2.0], prediction)


def test_r2_far_from_zero_does_not_cancel() -> None:
    rng = np.random.default_rng(0)
    y = 1e8 + rng.normal(size=1000)
    p = y + 0.1 * rng.normal(size=1000)
    assert run(R2(), (0, 10, 500, 1000), p, y) == pytest.approx(sk.r2_score(y, p), rel=1e-9)


@pytest.mark.parametrize("make", [Accuracy, TopK, Precision, Recall, F1, AUC, MAE, MSE, RMSE, R2, Mean])
def test_nothing_seen_is_nan(make: Callable[[], Metric]) -> None:
    assert np.isnan(make().result())


def test_bfloat16() -> None:
    m = Accuracy()
    m.update(td.asarray([[1.0, 2.0], [2.0, 1.0]], dtype=td.bfloat16), td.asarray([1, 1]))
    assert m.result() == 0.5


def test_probabilities_read_as_logits_are_noticed() -> None:
    m = Accuracy()
    m.update(np.array([0.2, 0.9]), np.array([0, 1]))
    with pytest.warns(UserWarning, match=r"look like probabilities.*threshold=0.5"):
        m.result()
    m = Accuracy(threshold=0.5)
    m.update(np.array([0.2, 0.9]), np.array([0, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert m.result() == 1.0


@pytest.mark.parametrize(
    ("make", "prediction", "target", "error", "words"),
    [
        (Accuracy, np.zeros((3, 4)), np.zeros(2, int), ShapeError, ["[3, 4]", "[2]", "labels [n]"]),
        (Accuracy, np.zeros((3, 4)), np.array([0, 1, 4]), ArgumentError, ["target 4", "example 2", "0 to 3"]),
        (Accuracy, np.zeros(3), np.array([0, 1, 2]), ArgumentError, ["0 or 1", "0 to 2"]),
        (Accuracy, np.zeros((2, 3)), np.array([0.5, 1.0]), ArgumentError, ["0.5 is no integer"]),
        (F1, np.zeros((2, 3)), np.array([0, -1]), ArgumentError, ["target -1", "weight 0"]),
        (MSE, np.zeros((3, 1)), np.zeros(3), ShapeError, ["[3, 1]", "[3]", "target[:, None]"]),
        (R2, np.zeros(3), np.zeros((3, 1)), ShapeError, ["target[..., 0]"]),
        (lambda: ConfusionMatrix(2), np.array([0, 2]), np.array([0, 1]), ArgumentError, ["class 2", "classes=3"]),
        (lambda: F1("binary"), np.zeros((2, 3)), np.array([0, 1]), ArgumentError, ["3 classes", 'average="macro"']),
    ],
)
def test_messages(
    make: Callable[[], Metric], prediction: Any, target: Any, error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        run(make(), (0, None), prediction, target)  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value)


def test_wrong_weights() -> None:
    with pytest.raises(ShapeError, match=r"weights \[2\] for targets \[3\]"):
        MSE().update(np.zeros(3), np.zeros(3), np.zeros(2))


def test_names() -> None:
    assert [m.name for m in as_metrics(["accuracy", "top_3", F1("macro", name="f"), MAE])] == [
        "accuracy",
        "top_3",
        "f",
        "mae",
    ]
    assert as_metrics("auc")[0].name == "auc"
    assert as_metrics({"acc": "accuracy"})[0].name == "acc"
    with pytest.raises(ArgumentError, match="Did you mean 'accuracy'"):
        as_metric("acuracy")
    with pytest.raises(ArgumentError, match="two metrics are called 'f1'"):
        as_metrics([F1("macro"), "f1"])
    with pytest.raises(ArgumentError, match=r"TopK\(k=0\)"):
        TopK(0)
    with pytest.raises(ArgumentError, match="there are 'binary'"):
        F1("micros")


def test_functions_are_averaged_over_examples() -> None:
    def worst(prediction: Any, target: Any) -> Any:
        return abs(prediction - target).max()

    m = as_metric(worst)
    m.update(np.array([1.0, 2.0, 3.0]), np.zeros(3))
    m.update(np.array([7.0]), np.zeros(1))
    assert (m.name, m.result()) == ("worst", (3 * 3 + 7) / 4)
    each = FunctionMetric(lambda p, t: p - t, "bias")
    each.update(np.array([1.0, 2.0]), np.zeros(2), np.array([1.0, 3.0]))
    assert each.result() == 7 / 4
