"""What is shown while training, and the history that remains."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import treadle as td
from tests.train import problem
from treadle.core.errors import ArgumentError, MissingExtraError
from treadle.train.progress import Bar, Lines, Silent, duration, make_progress, show


def fit(**options: object) -> td.train.History:
    return td.fit(
        problem.model(),
        problem.data(60),
        loss="sparse_categorical_crossentropy",
        optimizer="adam",
        metrics=["accuracy"],
        validation_split=0.2,
        **{"epochs": 3, **options},  # type: ignore[arg-type]
    )


def test_lines_when_it_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    fit()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["epoch 1/3", "epoch 3/3"]  # those between went too fast
    for word in ("loss 0.", "accuracy 0.", "val_loss 0.", "val_accuracy 0.", " s"):
        assert word in lines[1]
    assert "step" not in lines[1]
    fit(verbose=False)
    assert capsys.readouterr().out == ""


def test_slow_epochs_have_lines_inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    lines = Lines(seconds=5)
    lines.epoch(0, 2, 10, 0)
    for _ in range(6):
        clock[0] += 2
        lines.step({"loss": 0.5})
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "epoch 1/2  batch 3/10  loss 0.5000  14 s left",
        "epoch 1/2  batch 6/10  loss 0.5000  8.0 s left",
    ]


def test_bar() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    bar = Bar(console)
    bar.epoch(1, 4, 10, 3)
    for _ in range(5):
        bar.step({"loss": 0.25, "accuracy": 0.5})
    assert bar.bar.tasks[0].completed == 8
    assert bar.bar.tasks[0].fields["values"] == "loss 0.2500  accuracy 0.5000"
    bar.bar.refresh()
    bar.tell("Checkpoint [x] written")
    bar.epoch_end({"epoch": 2, "step": 9, "learning_rate": 0.1, "loss": 0.2, "m": np.ones((2, 2))})
    bar.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("epoch 2/4", "8/10", "Checkpoint [x] written", "epoch 2/4  loss 0.2000  0.0 s"):
        assert word in text


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress(False), Silent)
    assert isinstance(make_progress(0), Silent)
    assert isinstance(make_progress("lines"), Lines)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    bar = make_progress(None)
    assert isinstance(bar, Bar)
    bar.close()


def test_numbers() -> None:
    assert show({"a": 0.5, "b": 1e-5, "c": 123456.0, "d": 0.0, "e": [1]}) == (
        "a 0.5000  b 1.000e-05  c 1.235e+05  d 0.0000"
    )
    assert [duration(s) for s in (0.24, 42.3, 185, 3723)] == ["0.2 s", "42 s", "3:05", "1:02:03"]


def test_history(tmp_path: Path) -> None:
    history = fit(verbose=False)
    assert list(history) == ["epoch", "step", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert len(history["loss"]) == 3
    assert history["step"][-1] == len(history.steps)
    assert history.best("val_loss")["val_loss"] == min(history["val_loss"])
    assert history.best("accuracy", "max")["accuracy"] == max(history["accuracy"])
    assert "3 epochs" in repr(history)
    with pytest.raises(KeyError, match="Did you mean 'val_loss'"):
        history["vall_loss"]
    with pytest.raises(ArgumentError, match="no epoch has a finite 'auc'"):
        history.best("auc")
    figure = history.plot(tmp_path / "curves.png")
    assert [a.get_title() for a in figure.axes] == ["learning_rate", "loss", "accuracy"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    loss = figure.axes[1].lines
    np.testing.assert_array_equal(loss[0].get_ydata(), history["loss"])
    np.testing.assert_array_equal(loss[1].get_ydata(), history["val_loss"])


def test_plot_needs_an_epoch_and_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="no epoch has ended"):
        td.train.History().plot()
    history = td.train.History()
    history.rows.append({"epoch": 1, "loss": 1.0})
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"treadle\[plot\]"):
        history.plot()
