"""Files that TensorFlow wrote (files/make_tensorflow.py) are read; records of one layout together, as one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td

pytest.importorskip("crc32c")

from tests.data.chains import plain
from tests.data.files.make_tensorflow import N, example, sequence
from treadle.core.errors import DataError
from treadle.data._columns import pick
from treadle.data._layouts import Layout
from treadle.data._protobuf import encode_example

FILES = Path(__file__).parent / "files"
FEATURES = {
    "image": td.Spec((3, 4), td.uint8), "label": "int64", "numbers": td.Spec((3,), td.float32), "tokens": ["int64"],
    "text": "str", "words": ["str"],
}  # fmt: skip


@pytest.mark.parametrize("name", ["examples.tfrecord", "examples.tfrecord.gz"])
def test_examples(name: str) -> None:
    ds = td.data.from_tfrecord(FILES / name, FEATURES)
    assert len(ds) == N
    assert [plain(x) for x in ds] == [plain(example(i)) for i in range(N)]
    everything = td.data.from_tfrecord(FILES / name)
    assert plain(everything[7]["numbers"]) == example(7)["numbers"].tolist()
    assert everything[7]["image"][0] == example(7)["image"].tobytes()


def test_sequence_examples() -> None:
    ds = td.data.from_tfrecord(FILES / "sequences.tfrecord", {"id": "int64", "frames": ["int64"]}, kind="sequence")
    for i, x in enumerate(ds):
        context, frames = sequence(i)
        assert x["id"] == context["id"]
        assert x["frames"].tolist() == [v for f in frames for v in f]


# One record's features, of kinds and sizes that make some records alike and others not.
NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300), max_size=3)
RECORD = st.fixed_dictionaries(
    {
        "a": NUMBERS.map(lambda v: np.array(v, np.int64)),
        "b": st.lists(st.floats(width=32, allow_nan=False), max_size=3).map(np.float32),
        "c": st.text(max_size=2),
    },
    optional={"d": st.integers(0, 3)},
)


@settings(max_examples=60, deadline=None)
@given(kinds=st.lists(RECORD, min_size=1, max_size=6), seed=st.integers(0, 10), all_features=st.booleans())
def test_many_records_at_once_are_the_records_one_by_one(
    kinds: list[dict[str, Any]], seed: int, all_features: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    elements = [kinds[k] for k in rng.integers(0, len(kinds), 60)]
    path = tmp_path_factory.mktemp("records")
    wanted = None if all_features else {"a": ["int64"], "b": ["float32"], "c": "str"}
    for part in range(2):
        td.data.write_tfrecord(td.data.from_items(elements[part::2]), path / f"{part}.tfrecord")
    if all_features:
        have = {frozenset(e) for e in elements}
        if len(have) > 1:
            return  # elements of different structure are no columns
    ds = td.data.from_tfrecord(str(path / "*.tfrecord"), wanted)
    one_by_one = [ds[i] for i in range(len(ds))]
    rows = rng.permutation(len(ds))
    columns = ds._node.take(rows, 0)
    for k, i in enumerate(rows):
        got, want = pick(columns, k), one_by_one[i]
        assert plain(got) == plain(want)
        for name, value in want.items():
            assert np.asarray(got[name]).dtype == np.asarray(value).dtype
    assert [plain(x) for x in ds] == [plain(x) for x in one_by_one]


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5), st.integers(0, 200), st.integers(0, 255))
def test_a_layout_fits_no_record_of_another_form(numbers: list[int], place: int, byte: int) -> None:
    data = encode_example({"n": np.array(numbers), "x": np.float32([1, 2])})
    layout = Layout(data)
    changed = bytearray(data)
    changed[place % len(data)] = byte
    records = np.frombuffer(data + bytes(changed), np.uint8).reshape(2, -1)
    first, second = layout.has(records)
    assert first
    if second:  # only values differ: a parser that knows no layouts must find the same
        from treadle.data._protobuf import example as parse

        found = parse(bytes(changed))
        assert found["n"].tolist() == layout.values("n", records)[1][1].tolist()
        assert found["x"].tobytes() == layout.values("x", records)[1][1].tobytes()


def test_damage_among_records_of_one_layout_is_told_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "d.tfrecord"
    td.data.write_tfrecord(td.data.from_arrays(x=np.arange(40), y=np.ones((40, 5), np.float32)), path)
    data = bytearray(path.read_bytes())
    size = len(data) // 40
    data[17 * size + 30] ^= 1
    path.write_bytes(bytes(data))
    ds = td.data.from_tfrecord(path, {"x": "int64", "y": td.Spec((5,), td.float32)})
    got = []
    with pytest.raises(DataError, match=rf"d\.tfrecord, record 17, byte {17 * size}: its checksum is wrong"):
        got.extend(ds.map(lambda x: int(x["x"])))
    assert got == list(range(17))
    with pytest.raises(DataError, match="record 17"):
        ds.batch(40)[0]
    rest = td.data.from_tfrecord(path, {"x": "int64"}, on_error="skip")
    assert rest.batch(64)[0]["x"].tolist() == [i for i in range(40) if i != 17]
    assert rest.skipped == 1
    # A record that is whole but lacks a feature, too.
    with pytest.raises(DataError, match=r"record 0, .*there is no feature 'z'"):
        td.data.from_tfrecord(path, {"z": "int64"}).batch(10)[0]


def test_shapes_that_differ_from_batch_to_batch_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "d.tfrecord"
    td.data.write_tfrecord(td.data.from_arrays(v=[[1, 2]] * 8 + [[1, 2, 3]] + [[1, 2]] * 7), path)
    batches = td.data.from_tfrecord(path, {"v": ["int64"]}).batch(8)
    assert batches[0]["v"].shape == (8, 2)
    with pytest.raises(DataError, match="padded_batch"):
        batches[1]
