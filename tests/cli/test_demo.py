"""The demo reaches 98% on digits it has not seen, repeats itself bit by bit, and writes what it names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import treadle as td
from treadle.cli import _demo_pictures as pictures
from treadle.cli import demo, main

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one epoch."""
    folder = tmp_path_factory.mktemp("demo") / "results"
    assert main(["demo", "--epochs", "1", "--output", str(folder)]) == 0
    return folder


def test_it_writes_every_file_that_it_names(short: Path) -> None:
    assert sorted(path.name for path in short.iterdir()) == sorted(demo.FILES)
    for path in short.glob("*.png"):
        assert path.read_bytes().startswith(PNG)


def test_the_figures_agree_with_each_other_and_with_the_weights(short: Path) -> None:
    figures = json.loads((short / "metrics.json").read_text())
    counts = np.array(figures["confusion"])
    data = td.datasets.digits()
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(data.y_test))
    assert np.trace(counts) == figures["right"]
    assert figures["accuracy"] == figures["right"] / figures["of"] == figures["history"]["val_accuracy"][-1]
    assert all(len(values) == 1 for values in figures["history"].values())
    model = demo.load_model(short / "digits.safetensors")
    answers = np.argmax(np.asarray(model(data.x_test)), axis=1)
    assert (answers == data.y_test).sum() == figures["right"]
    assert sum(p.size for p in model.parameters().values()) == figures["parameters"]


def test_the_same_seed_gives_the_same_bits(short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--epochs", "1", "--output", str(tmp_path)]) == 0
    again = (tmp_path / "digits.safetensors").read_bytes()
    assert again == (short / "digits.safetensors").read_bytes()
    assert main(["demo", "--epochs", "1", "--output", str(tmp_path), "--seed", "1"]) == 0
    assert again != (tmp_path / "digits.safetensors").read_bytes()


def test_it_ends_with_five_lines_that_name_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--epochs", "1", "--output", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()[-5:]
    for name in demo.FILES:
        assert str(tmp_path / name) in "\n".join(lines)
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert f"{figures['right']} of 599 digits" in lines[0]
    (code,) = (line.partition(":")[2].strip() for line in lines if line.startswith("Load it:"))
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(names["model"], td.nn.Sequential)
    (command,) = re.findall(r"treadle (demo [^;]*);", lines[-1])
    assert main([*command.split()[:-1], str(tmp_path / "other"), "--epochs", "1"]) == 0


def test_no_epochs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--epochs", "0", "--output", str(tmp_path / "x")]) == 2
    assert "--epochs must be at least 1" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()


def test_without_matplotlib_it_names_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert demo.run(main_options(tmp_path)) == 1
    assert 'pip install "treadle[plot]"' in capsys.readouterr().out


def main_options(folder: Path) -> object:
    import argparse

    return argparse.Namespace(output=folder, epochs=1, seed=0)


@pytest.mark.slow
def test_it_reaches_98_percent(tmp_path: Path) -> None:
    assert main(["demo", "--output", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["accuracy"] >= 0.98


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_curves_of_any_length_are_drawn(tmp_path: Path, epochs: int) -> None:
    values = np.stack([np.linspace(2, 0, epochs), np.linspace(0.5, 1, epochs)], axis=1)
    pictures.learning_curves(tmp_path / "a.png", values, values)
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


def test_a_perfect_network_can_be_drawn(tmp_path: Path) -> None:
    pictures.confusion_matrix(tmp_path / "a.png", np.diag([5, 0, 2]), "abc")
    pictures.worst_digits(tmp_path / "b.png", np.zeros((3, 8, 8)), np.arange(3), np.eye(3), "abc")
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}
