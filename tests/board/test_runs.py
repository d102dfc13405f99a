"""Finding runs, naming them, and the tables of the command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.board import comparing, runs
from treadle.board.server import Links
from treadle.cli import main

ArgumentError = td.errors.ArgumentError


def make(folder: Path, **values: list[float]) -> Path:
    with td.board.Writer(folder) as w:
        for tag, numbers in values.items():
            for step, value in enumerate(numbers, 1):
                w.scalar(tag.replace("__", "/"), value, step)
    return folder


def test_runs_are_found_below(tmp_path: Path) -> None:
    for place in ("a/x", "b, c: d", ".hidden/z", "node_modules/y", "a/x/inner"):
        make(tmp_path / place)
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = runs.find([tmp_path, tmp_path / "a"])
    assert [p.relative_to(tmp_path.resolve()).as_posix() for p in found] == ["a/x", "a/x/inner", "b, c: d"]
    with pytest.raises(ArgumentError, match=r"there is no folder .*nowhere"):
        runs.find([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/r/a"], ["a"]),
        (["/r/a", "/r/b"], ["a", "b"]),
        (["/r/a/train", "/r/b/train", "/r/c"], ["a/train", "b/train", "c"]),
        (["/r/1/x/t", "/r/2/x/t"], ["1/x/t", "2/x/t"]),
        (["/r/a", "/r/a/train", "/r/b"], ["a", "a/train", "b"]),
        (["/r/e", "/s/e/0", "/s/f/0"], ["e", "s/e/0", "f/0"]),  # "e/0" would lie inside of "e"
        (["/x", "/y/x"], ["x", "y/x"]),
        (["/a/a", "/a/b", "/b"], ["a", "a_b", "b"]),  # neither "b" nor "a/b" will do
    ],
)
def test_names(paths: list[str], expected: list[str]) -> None:
    assert list(runs.names([Path(p) for p in paths]).values()) == expected


@given(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple), min_size=1, max_size=12))
def test_names_are_distinct_and_none_begins_another(parts: Any) -> None:
    paths = [Path("/", *p) for p in sorted(parts)]
    named = runs.tops(runs.names(paths))
    names = list(named.values())
    assert len(set(names)) == len(names)
    for path, name in named.items():
        parts = name.split("/")
        assert list(path.parts[-len(parts) :]) == parts or name.rstrip("_") == "_".join(path.parts[1:])
        assert not any(other.startswith(f"{name}/") for other in names)


def test_links_grow_and_go(tmp_path: Path) -> None:
    make(tmp_path / "s p,a:c" / "run")
    links = Links([tmp_path])
    assert (links.folder / "run").resolve() == (tmp_path / "s p,a:c" / "run").resolve()
    make(tmp_path / "s p,a:c" / "run" / "inner")
    make(tmp_path / "later" / "run")
    assert links.update() == ["later/run"], "what is inside of a link is there already; the old name stays"
    assert links.update() == []
    folder = links.folder
    links.close()
    assert not folder.exists()
    assert runs.find([tmp_path]), "the runs are still there"
    with pytest.raises(ArgumentError):
        Links([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([1], "▁"), ([0, 1], "▁█"), ([3, 3, 3], "▁▁▁"), ([0, np.nan, 7], "▁×█"), (range(8), "▁▂▃▄▅▆▇█")],
)
def test_sparklines(values: Any, line: str) -> None:
    assert comparing.sparkline(values) == line
    assert len(comparing.sparkline(range(1000), 12)) == 12


def test_list_and_compare(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("runs/[a] x"), loss__train=[3, 2, 1], accuracy__train=[0.1, 0.5, 0.9], learning_rate=[1, 1, 1])
    make(Path("runs/b"), loss__train=[4, 3.5])
    assert main(["board", "--list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["run", "last", "step", "last", "loss", "folder"],
        ["[a]", "x", "3", "1", os.path.join("runs", "[a]"), "x"],
        ["b", "2", "3.5", os.path.join("runs", "b")],
    ]
    assert main(["board", "runs", "--compare"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["run", "step", "loss/train", "accuracy/train"],
        ["[a]", "x", "3", "1", "█▅▁", "0.9", "▁▅█"],
        ["b", "2", "3.5", "█▁"],
    ]
    assert main(["board", "runs", "--compare", "--tags", "learn*"]) == 0
    assert capsys.readouterr().out.split() == ["run", "step", "learning_rate", "[a]", "x", "3", "1", "▁▁▁", "b", "2"]
    assert main(["board", "runs", "--compare", "--tags", "los"]) == 1
    assert "no scalar fits 'los'. There are" in capsys.readouterr().err


def test_messages_of_the_command(tmp_path: Path, capsys: Any) -> None:
    assert main(["board", str(tmp_path), "--list"]) == 1
    assert "no runs at or below" in capsys.readouterr().out
    assert main(["board", str(tmp_path / "nowhere")]) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert main(["board", "--reload", "0"]) == 2
    assert "a number of seconds above 0" in capsys.readouterr().err
    assert main(["board", "--tags", "x"]) == 2
    assert "--tags goes with --compare" in capsys.readouterr().err


@pytest.mark.parametrize("browser", [True, False])
def test_the_command_opens_the_browser(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, browser: bool
) -> None:
    opened: list[str] = []
    looked: list[Path] = []

    def start(folder: Path, port: int | None, reload: float, location: str) -> str:
        assert location == str(tmp_path)
        looked.append(folder)
        return "http://127.0.0.1:6006/"

    def watch(links: Links, seconds: float) -> None:
        make(tmp_path / "new")
        assert links.update() == ["new"]
        raise KeyboardInterrupt  # what Ctrl-C does

    monkeypatch.setattr("treadle.board.server.start", start)
    monkeypatch.setattr("treadle.cli.board._watch", watch)
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["board", str(tmp_path), *([] if browser else ["--no-browser"])]) == 0
    assert opened == ["http://127.0.0.1:6006/"] * browser
    out = capsys.readouterr().out
    assert "no runs yet at or below" in out
    assert "TensorBoard: http://127.0.0.1:6006/ (Ctrl-C ends it)" in out
    assert not looked[0].exists()
    assert (tmp_path / "new").is_dir()


def test_read_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there is no folder"):
        td.board.read(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="has no event files; below it there may be runs"):
        td.board.read(tmp_path)


def test_read_gives_every_kind(tmp_path: Path) -> None:
    with td.board.Writer(tmp_path) as w:
        w.histogram("h", [0.0, 1.0], 3, bins=2)
        w.image("i", np.eye(4), 1)
        w.audio("a", np.zeros(10), 1, rate=8000)
        w.text("t", ["x", "y"], 1)
        w.pr_curve("p", [0, 1], [0.2, 0.8], 1, thresholds=5)
        w.hparams({"lr": 0.5, "name": "n", "flag": True})
    run = td.board.read(tmp_path)
    assert run.histograms["h"].values.tolist() == [[[0, 0.5, 1], [0.5, 1, 1]]]
    assert (run.images["i"].values[0][0][..., 0] == np.eye(4) * 255).all()
    assert run.audio["a"].values[0][0][:4] == b"RIFF"
    assert run.texts["t"].values == [["x", "y"]]
    assert run.pr_curves["p"].values.shape == (1, 6, 5)
    assert run.hparams == {"lr": 0.5, "name": "n", "flag": True}
    assert repr(run).endswith("1 histograms, 1 images, 1 audio, 1 texts, 1 pr_curves>")
    assert repr(run.histograms["h"]) == "<Series: 1 values, steps 3 to 3>"
