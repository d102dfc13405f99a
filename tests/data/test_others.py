"""Datasets of other programs as sources, and Grain as an oracle of what a chain must give."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.data.chains import flat, values
from treadle.core.errors import DataError

N = 50


@pytest.fixture(scope="module")
def grain() -> Any:
    return pytest.importorskip("grain")


def test_grains_steps_give_the_same(grain: Any) -> None:
    x = np.arange(N)
    theirs = grain.MapDataset.source(x)
    ours: Any = td.data.from_arrays(x)
    for steps in (
        lambda d: d.map(lambda v: v * 2).batch(8),
        lambda d: d.repeat(2).batch(7),
        lambda d: d[3:40:2].batch(4),
    ):
        assert values(steps(ours)) == [np.asarray(b).tolist() for b in steps(theirs)]
    mine = [int(v) for b in ours.shuffle(1).batch(8) for v in b]
    their = [int(v) for b in theirs.seed(1).shuffle().batch(8) for v in b]
    assert sorted(mine) == sorted(their) == list(range(N))


def test_grains_datasets_are_sources_that_resume(grain: Any) -> None:
    indexed = grain.MapDataset.source(np.arange(N)).seed(3).shuffle()
    assert sorted(flat(td.data.from_items(indexed).batch(4))) == list(range(N))
    ds = td.data.from_generator(indexed.to_iter_dataset()).batch(3)
    whole = values(ds)
    it = iter(ds)
    for _ in range(4):
        next(it)
    state = json.loads(json.dumps(ds.state(), default=bytes.decode))
    ds.restore(state)
    assert values(ds) == whole[4:]


def test_torchs_datasets_are_sources() -> None:
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.arange(6), torch.eye(6))
    pairs = list(td.data.from_items(tensors))
    assert all(isinstance(v, np.ndarray) for pair in pairs for v in pair)
    assert [int(a) for a, _ in pairs] == list(range(6))
    loader = torch.utils.data.DataLoader(tensors, batch_size=4)
    batches = list(td.data.from_generator(loader))
    assert [b[1].shape for b in batches] == [(4, 6), (2, 6)]


class Many:
    """A dataset that gives many elements at once, as Hugging Face's do."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        self.calls.append(i)
        if i == 33:
            raise OSError("no more")
        return {"x": i, "words": ["w"] * (i % 3 + 1)}

    def __getitems__(self, rows: list[int]) -> list[Any]:
        if 33 in rows:
            raise OSError("no more")
        self.calls.append(rows)
        return [{"x": i, "words": ["w"] * (i % 3 + 1)} for i in rows]


def test_many_elements_at_once() -> None:
    items = Many()
    batch = td.data.from_items(items).take(30).shuffle(1).padded_batch(30, ragged=["words"])[0]
    assert sorted(batch["x"].tolist()) == list(range(30))
    assert batch["words"].lengths.tolist() == [i % 3 + 1 for i in batch["x"]]
    assert [len(c) for c in items.calls if isinstance(c, list)] == [30]
    with pytest.raises(DataError, match="at element 33: OSError: no more"):
        td.data.from_items(items).batch(40)[0]


def test_tensorflows_datasets_are_sources() -> None:
    tf = pytest.importorskip("tensorflow")
    theirs = tf.data.Dataset.from_tensor_slices((np.arange(6), ["a"] * 6)).batch(4)
    for source in (theirs, theirs.as_numpy_iterator):
        ds = td.data.from_generator(source)
        assert [b[0].tolist() for b in ds] == [[0, 1, 2, 3], [4, 5]]
        it = iter(ds)
        next(it)
        ds.restore(ds.state())
        assert [b[0].tolist() for b in ds] == [[4, 5]]


def test_hugging_faces_datasets_are_sources() -> None:
    theirs = pytest.importorskip("datasets").Dataset.from_dict({"x": list(range(N)), "t": ["a"] * N})
    ds = td.data.from_items(theirs).shuffle(1).batch(7)
    assert sorted(int(v) for b in ds for v in b["x"]) == list(range(N))
    assert [int(e["x"]) for e in td.data.from_generator(theirs.to_iterable_dataset())] == list(range(N))
