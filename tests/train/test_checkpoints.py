"""Checkpoints: when, how many, and what becomes of damaged ones. (Kills: test_killed.py. Resuming: test_fit.py.)"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import treadle as td
from tests.train import problem
from treadle.core.errors import ArgumentError
from treadle.train.checkpoints import RECORD, Checkpoint, Saved, newest, read, steps

SAVED = Saved({"w": np.arange(3.0)}, {"m": np.zeros(2)}, {"n": 1, "a": np.ones(2), "inf": float("inf")})


def names(folder: Path) -> list[str]:
    return [p.name for p in steps(folder)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = Checkpoint(tmp_path).write(SAVED, 7)
    assert path.name == "step-00000007"
    found = read(path)
    np.testing.assert_array_equal(found.weights["w"], SAVED.weights["w"])
    np.testing.assert_array_equal(found.state["a"], np.ones(2))
    assert (found.state["n"], found.state["inf"]) == (1, float("inf"))
    assert json.loads((path / RECORD).read_text())["version"] == td.__version__
    assert newest(tmp_path) == path


def test_the_newest_are_kept(tmp_path: Path) -> None:
    keeper = Checkpoint(tmp_path, keep=2)
    for step in (1, 5, 9, 100000000):
        keeper.write(SAVED, step)
    assert names(tmp_path) == ["step-00000009", "step-100000000"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names(tmp_path)
    everything = Checkpoint(tmp_path / "all", keep=None)
    for step in range(6):
        everything.write(SAVED, step)
    assert len(names(tmp_path / "all")) == 6


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_ones_are_passed_over(tmp_path: Path, file: str, damage: str) -> None:
    keeper = Checkpoint(tmp_path)
    keeper.write(SAVED, 1)
    victim = keeper.write(SAVED, 2) / file
    content = bytearray(victim.read_bytes())
    if damage == "gone":
        victim.unlink()
    elif damage == "cut":
        victim.write_bytes(content[:-3])
    else:
        content[len(content) // 2 if file != "state.json" else 0] ^= 0xFF
        victim.write_bytes(content)
    told: list[str] = []
    found = keeper.latest(told.append)
    assert found is not None
    assert found[0].name == "step-00000001"
    assert len(told) == 1
    assert "step-00000002 is passed over" in told[0]
    assert file in told[0]
    # The run that resumes comes by step 2 again and puts a whole one in its place.
    keeper.begin(1)
    keeper.write(SAVED, 2)
    assert read(tmp_path / "step-00000002").state["n"] == 1


def test_other_things_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "step-best").mkdir()
    (tmp_path / "step-00000003").write_text("a file")
    (tmp_path / ".unfinished-step-00000004-1").mkdir()
    keeper = Checkpoint(tmp_path)
    assert keeper.latest() is None
    keeper.begin(None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "step-00000003", "step-best"]


def test_when(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    by_time = Checkpoint(tmp_path, every_seconds=60)
    by_time.begin(0)
    assert not by_time.is_due(5, None)
    clock[0] += 60
    assert by_time.is_due(6, None)
    by_time.write(SAVED, 6)
    assert not by_time.is_due(7, None)
    by_step = Checkpoint(tmp_path / "b", every_steps=10)
    by_step.begin(0)
    assert next(s for s in range(1, 25) if by_step.is_due(s, None)) == 10
    assert not by_step.is_due(9, 1)
    by_epoch = Checkpoint(tmp_path / "c")
    by_epoch.begin(0)
    assert by_epoch.is_due(10, 1)
    assert not by_epoch.is_due(10, None)
    second = Checkpoint(tmp_path / "d", every_epochs=2)
    assert [n for n in range(1, 7) if second.is_due(n, n)] == [2, 4, 6]


def test_fit_saves_when_asked(tmp_path: Path) -> None:
    def saved(**options: int) -> list[str]:
        folder = tmp_path / str(options)
        checkpoint = td.train.Checkpoint(folder, keep=None, **options)
        td.fit(
            problem.model(), problem.data(40), loss="sparse_categorical_crossentropy", optimizer="sgd", epochs=3,
            batch_size=10, verbose=False, checkpoint=checkpoint,
        )  # fmt: skip
        return [str(int(name.removeprefix("step-"))) for name in names(folder)]

    assert saved() == ["0", "4", "8", "12"]
    assert saved(every_steps=5) == ["0", "5", "10", "12"]
    assert saved(every_epochs=2) == ["0", "8", "12"]


@pytest.mark.parametrize("name", ["every_steps", "every_seconds", "every_epochs", "keep"])
def test_numbers_are_positive(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name}=0"):
        Checkpoint(tmp_path, **{name: 0})


def test_weights_of_a_run_are_loaded_from_its_folder(tmp_path: Path) -> None:
    model = problem.model()
    td.fit(
        model, problem.data(40), loss="sparse_categorical_crossentropy", optimizer="adam", verbose=False,
        checkpoint=tmp_path,
    )  # fmt: skip
    other = problem.model(seed=4)
    assert td.load(tmp_path, into=other).complete
    assert problem.bits(other) == problem.bits(model)
    assert td.load(newest(tmp_path), into=other).complete  # type: ignore[arg-type]
