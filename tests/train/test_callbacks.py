"""Callbacks, and what of them survives a resume."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import treadle as td
from tests.train import problem
from treadle.core.errors import ArgumentError, SaveError


def run(model: Any, *callbacks: Any, optimizer: Any = None, **options: Any) -> td.train.History:
    return td.fit(
        model,
        problem.data(60),
        loss="sparse_categorical_crossentropy",
        optimizer=optimizer or td.optim.SGD(0.01),
        batch_size=20,
        callbacks=callbacks,
        verbose=False,
        **{"epochs": 3, **options},
    )


class Script(td.train.Callback):
    """Writes a value of its own choosing into each epoch's row, before the callbacks behind it."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values = name, values

    def on_epoch_end(self, context: td.train.Context) -> None:
        context.logs[self.name] = self.values[context.epoch]


def test_events_come_in_order() -> None:
    seen: list[str] = []

    class Record(td.train.Callback):
        pass

    for event in ("on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end", "on_train_end"):
        setattr(Record, event, lambda self, c, event=event: seen.append(f"{event} {c.epoch} {c.batch} {c.step}"))
    run(problem.model(), Record(), epochs=1)
    assert seen == [
        "on_train_begin 0 0 0",
        "on_epoch_begin 0 0 0",
        "on_batch_begin 0 0 0",
        "on_batch_end 0 0 1",
        "on_batch_begin 0 1 1",
        "on_batch_end 0 1 2",
        "on_batch_begin 0 2 2",
        "on_batch_end 0 2 3",
        "on_epoch_end 0 2 3",
        "on_train_end 0 2 3",
    ]


def test_functions_and_what_they_see() -> None:
    rows: list[Any] = []
    means: list[float] = []

    def remember(context: td.train.Context) -> None:
        rows.append(dict(context.logs))
        context.logs["mine"] = context.epoch * 10

    each = td.train.LambdaCallback(on_batch_end=lambda c: means.append(c.logs["loss"]))
    history = run(problem.model(), remember, each)
    assert history["mine"] == [0, 10, 20]
    assert [r["loss"] for r in rows] == history["loss"]
    assert means[2::3] == history["loss"]
    assert history["learning_rate"] == [0.01] * 3


def test_early_stopping_and_the_best_weights() -> None:
    model = problem.model()
    snapshots: list[Any] = []
    stop = td.train.EarlyStopping("score", patience=2, mode="max", restore_best=True)
    history = run(
        model, Script("score", [1, 3, 2, 3, 9]), lambda c: snapshots.append(problem.bits(model)), stop, epochs=5
    )
    assert len(history.rows) == 4  # 3 is no more than 3
    assert "score has not improved for 2 epochs: it was best, 3, in epoch 2" in history.stopped
    assert problem.bits(model) == snapshots[1]
    again = run(problem.model(), Script("score", [1, 2, 3]), stop)  # the same object begins anew
    assert len(again.rows) == 3
    assert not again.stopped


@pytest.mark.parametrize(
    ("monitor", "values", "kept"),
    [("val_loss", [3, 2, 1], 3), ("val_accuracy", [3, 2, 1], 2), ("top_5", [1, 2, 3], 3), ("error", [1, 2, 3], 2)],
)
def test_which_way_is_better(monitor: str, values: list[float], kept: int) -> None:
    history = run(problem.model(), Script(monitor, values), td.train.EarlyStopping(monitor, patience=1))
    assert len(history.rows) == kept


def test_nan_is_never_better() -> None:
    stop = td.train.EarlyStopping("m", patience=2)
    history = run(problem.model(), Script("m", [float("nan")] * 3), stop)
    assert len(history.rows) == 2


def test_stopping_survives_a_resume(tmp_path: Path) -> None:
    values = [5.0, 4, 6, 6, 6, 1]

    def start(folder: Path, epochs: int) -> tuple[Any, td.train.History]:
        model = problem.model()
        stop = td.train.EarlyStopping("m", patience=3, restore_best=True)
        return model, run(model, Script("m", values), stop, checkpoint=folder, epochs=epochs)

    whole, history = start(tmp_path / "a", 6)
    assert len(history.rows) == 5
    start(tmp_path / "b", 3)
    model, resumed = start(tmp_path / "b", 6)  # two epochs of waiting come from the checkpoint, the best weights too
    assert resumed.rows == history.rows
    assert problem.bits(model) == problem.bits(whole)
    model, ended = start(tmp_path / "b", 6)  # a run that was stopped stays stopped
    assert ended.rows == history.rows
    assert ended.stopped == history.stopped
    assert problem.bits(model) == problem.bits(whole)


def test_best_checkpoint(tmp_path: Path) -> None:
    model, snapshots = problem.model(), []
    path = tmp_path / "best.safetensors"
    best = td.train.BestCheckpoint(path, "m")
    run(model, Script("m", [2, 1, 3]), lambda c: snapshots.append(problem.bits(model)), best)
    other = problem.model(seed=9)
    td.load(path, into=other)
    assert problem.bits(other) == snapshots[1]


def test_learning_rate_on_plateau() -> None:
    optimizer = td.optim.SGD(0.1)
    reduce = td.train.ReduceLROnPlateau("m", factor=0.5, patience=2, cooldown=1, min_lr=0.03)
    history = run(problem.model(), Script("m", [1.0] * 12), reduce, optimizer=optimizer, epochs=12)
    # Epoch 1 sets the mark; 2 and 3 wait; 4 cools down; 5 and 6 wait; …
    assert history["learning_rate"] == [0.1] * 3 + [0.05] * 3 + [0.03] * 6
    assert float(optimizer.learning_rate) == 0.03
    with pytest.raises(ArgumentError, match="is a schedule"):
        run(problem.model(), reduce, optimizer=td.optim.SGD(td.optim.schedules.cosine(0.1, steps=100)))


def test_csv_log(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    history = run(problem.model(), td.train.CSVLog(path), metrics=["accuracy", "confusion_matrix"])
    with open(path) as f:
        rows = list(csv.DictReader(f))
    assert list(rows[0]) == ["epoch", "step", "learning_rate", "loss", "accuracy"]
    assert [float(r["loss"]) for r in rows] == history["loss"]
    first = path.read_text()
    run(problem.model(), td.train.CSVLog(path), metrics=["accuracy"])
    assert path.read_text() == first  # a new run, a new file
    run(problem.model(), td.train.CSVLog(path, append=True), metrics=["accuracy"])
    assert path.read_text() == first + first.partition("\n")[2]
    with pytest.raises(SaveError, match=r"has the columns epoch,step.*append=False"):
        run(problem.model(), td.train.CSVLog(path, append=True), metrics=["auc"])


@pytest.mark.parametrize("append", [False, True])
def test_csv_rows_after_the_checkpoint_are_not_there_twice(tmp_path: Path, append: bool) -> None:
    def start(path: Path, epochs: int, folder: Path) -> None:
        log = td.train.CSVLog(path, append=append)
        run(problem.model(), log, epochs=epochs, checkpoint=td.train.Checkpoint(folder, every_epochs=2))

    before = "epoch,step,learning_rate,loss\n1,3,0.5,0.25\n" if append else ""
    for name in ("whole.csv", "cut.csv"):
        (tmp_path / name).write_text(before)
    start(tmp_path / "whole.csv", 4, tmp_path / "a")
    start(tmp_path / "cut.csv", 2, tmp_path / "b")
    with open(tmp_path / "cut.csv", "a") as f:  # what a killed run had written after its last checkpoint
        f.write("3,9,0.01,0.7\n4,12,0.0")
    start(tmp_path / "cut.csv", 4, tmp_path / "b")
    assert (tmp_path / "cut.csv").read_text() == (tmp_path / "whole.csv").read_text()
    assert (tmp_path / "cut.csv").read_text().startswith(before)


def test_stop_within_an_epoch() -> None:
    stop = td.train.LambdaCallback(on_batch_end=lambda c: c.stop("enough") if c.step == 4 else None)
    history = run(problem.model(), stop)
    assert (len(history.steps), len(history.rows), history.stopped) == (4, 1, "enough")


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match=r"on_epoch_ends.*Did you mean 'on_epoch_end'"):
        type("Mine", (td.train.Callback,), {"on_epoch_ends": lambda self, c: None})
    with pytest.raises(ArgumentError, match="no event 'epoch_end'"):
        td.train.LambdaCallback(epoch_end=print)
    with pytest.raises(ArgumentError, match=r"monitor='val_loss'.*validation_data="):
        run(problem.model(), td.train.EarlyStopping())
    with pytest.raises(ArgumentError, match=r"monitor='los'.*Did you mean 'loss'"):
        run(problem.model(), td.train.EarlyStopping("los"))
    for wrong in ({"patience": 0}, {"mode": "lower"}):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            td.train.EarlyStopping(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="factor"):
        td.train.ReduceLROnPlateau(factor=2.0)
