"""Caches: each element made once, the same in every epoch; in files also for the next program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.data.chains import SOURCES, N, noisy, numbers, plain, values
from treadle.core.errors import DataError


class Made:
    """A map that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, x: Any) -> Any:
        self.count += 1
        i = int(x)
        return {
            "i": i,
            "half": i / 2,
            "ragged": np.arange(i % 4, dtype=np.int16),
            "text": f"é{i}",
            "raw": (bytes([i]),),
        }


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("disk", [False, True])
def test_each_element_is_made_once(source: str, disk: bool, tmp_path: Path) -> None:
    made = Made()
    ds = SOURCES[source]().map(made).cache(tmp_path / "c" if disk else None)
    want = [plain(made(i)) for i in range(N)]
    assert values(ds) == values(ds) == want
    assert [plain(ds[i]) for i in range(len(ds))] == want
    assert plain(ds.shuffle(1).shuffle(1)[3])["i"] in range(N)
    assert made.count == 2 * N  # N of them above
    batch = ds.padded_batch(5, ragged=["ragged"])[1]
    assert batch["ragged"].lengths.tolist() == [1, 2, 3, 0, 1]
    assert list(batch["text"]) == [f"é{i}" for i in range(5, 10)]
    assert batch["half"].tolist() == [2.5, 3.0, 3.5, 4.0, 4.5]


def test_in_memory_elements_are_made_as_they_are_asked_for() -> None:
    made = Made()
    ds = numbers().map(made).cache()
    ds[5], ds[5], ds[3:7].columns()
    assert made.count == 4


def test_a_cache_makes_random_maps_the_same_in_every_epoch() -> None:
    ds = numbers().map(noisy, seed=1).cache()
    assert values(ds) == values(ds) == values(numbers().map(noisy, seed=1))


def test_a_folder_is_found_again_and_only_by_the_same_steps(tmp_path: Path) -> None:
    made = Made()
    values(numbers().map(made).cache(tmp_path / "c"))
    values(numbers().map(made).cache(tmp_path / "c"))
    assert made.count == N
    with pytest.raises(DataError, match=r"holds the elements of other steps: .*from_arrays\(37.*now they are.*\(5 e"):
        values(numbers(5).map(made).cache(tmp_path / "c"))


def test_a_cache_that_was_not_finished_is_none(tmp_path: Path) -> None:
    def fails(x: Any) -> Any:
        if x == 5:
            raise OSError("gone")
        return x

    with pytest.raises(DataError, match="OSError: gone"):
        values(numbers().map(fails).cache(tmp_path / "c"))
    assert list(tmp_path.iterdir()) == []
    assert values(numbers().cache(tmp_path / "c")) == list(range(N))


def test_damaged_caches_say_so(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    ds = td.data.from_arrays([[1, 2], [3]])
    values(ds.cache(folder))
    (folder / "0.bin").write_bytes(b"1234567812345678")
    with pytest.raises(DataError, match=r"0\.bin has 2 values and should have 3"):
        values(ds.cache(folder))
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, "format": 99}))
    with pytest.raises(DataError, match="format 99"):
        values(ds.cache(folder))
    (folder / "index.json").write_text("{")
    with pytest.raises(DataError, match="damaged cache"):
        values(ds.cache(folder))


def test_what_files_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="numbers and texts"):
        values(numbers().map(lambda x: np.array([{}])).cache(tmp_path / "c"))
    with pytest.raises(DataError, match=r"was ragged of float64.*element 1, which is str"):
        values(td.data.from_generator(lambda: [1.0, "a"]).cache(tmp_path / "c"))
    with pytest.raises(DataError, match="Padded cannot be kept"):
        values(td.data.from_arrays([[1], [2, 3]]).padded_batch(2).cache(tmp_path / "c"))
