"""What each reader does beyond what all do: columns, dtypes, features, labels; files that other programs wrote."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from tests.data.chains import plain, values
from treadle.core.errors import ArgumentError, DataError, MissingExtraError, ShapeError
from treadle.data import _files
from treadle.data import _protobuf as protobuf

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


# CSV.


def csv(folder: Path, text: str, name: str = "t.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_csv_rows_with_another_number_of_cells(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b\n1,2\n3\n4,5\n6,7,8\n")
    with pytest.raises(DataError, match=r"t\.csv: .*Row #3.*Expected 2 columns, got 1: 3"):
        values(td.data.from_csv(path))
    for stream in (False, True):
        ds = td.data.from_csv(path, on_error="skip", stream=stream)
        assert values(ds) == [{"a": 1, "b": 2}, {"a": 4, "b": 5}]
        assert ds.skipped == 2
    with pytest.raises(DataError, match=r"t\.csv, behind row 0"):
        values(td.data.from_csv(path, stream=True))


def test_csv_cells_of_another_type(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b\n1,2\nx,3\n4,\n")
    with pytest.raises(DataError, match=r"t\.csv: In CSV column #0: Row #3: CSV conversion error to int32: .*'x'"):
        values(td.data.from_csv(path, dtypes={"a": "int32"}))
    ds = td.data.from_csv(path, dtypes={"a": "int32", "b": "float32"}, on_error="skip")
    assert plain(ds.columns()["a"]) == [1, 4]
    assert ds.spec["a"] == td.Spec((), td.int32)
    assert np.isnan(ds[1]["b"])
    assert ds.skipped == 1


def test_csv_columns_and_types(tmp_path: Path) -> None:
    path = csv(tmp_path, "1;02;a\n3;04;\n")
    ds = td.data.from_csv(path, delimiter=";", header=["n", "zip", "t"], dtypes={"zip": str, "n": np.float32})
    assert values(ds) == [{"n": 1.0, "zip": "02", "t": "a"}, {"n": 3.0, "zip": "04", "t": ""}]
    assert values(td.data.from_csv(path, delimiter=";", header=["n", "z", "t"], x="n", y="t")) == [(1, "a"), (3, "")]
    assert values(td.data.from_csv(path, delimiter=";", header=["n", "z", "t"], columns=["n", "z"], y="n")) == [
        ([2.0], 1),
        ([4.0], 3),
    ]
    with pytest.raises(ArgumentError, match=r"no column 'w'; there are 'n', 'z', 't'"):
        values(td.data.from_csv(path, delimiter=";", header=["n", "z", "t"], x=["w"]))
    with pytest.raises(ArgumentError, match=r"column 't' is no number.*Vocabulary"):
        values(td.data.from_csv(path, delimiter=";", header=["n", "z", "t"], x=["n", "t"]))
    with pytest.raises(ArgumentError, match="gone"):
        values(td.data.from_csv(path, columns=["gone"]))


def test_csv_errors_name_the_row_of_the_file(tmp_path: Path) -> None:
    csv(tmp_path, "a\n0\n1\n", "a.csv")
    csv(tmp_path, "a\n2\n3\n", "b.csv")
    ds = td.data.from_csv(str(tmp_path / "*.csv")).shuffle().map(lambda e: {3: 1}[e["a"]] or e)
    with pytest.raises(DataError, match=r"at .*[ab]\.csv, row [12]: KeyError"):
        values(ds)
    csv(tmp_path, "c\n1\n", "c.csv")
    with pytest.raises(DataError, match=r"c\.csv has the columns \['c'\]"):
        values(td.data.from_csv(str(tmp_path / "*.csv")))


def test_csv_streams_resume_in_any_file(tmp_path: Path) -> None:
    for k in range(3):
        csv(tmp_path, "a,b\n" + "".join(f"{10 * k + i},x\n" for i in range(4)), f"{k}.csv")
    ds = td.data.from_csv(str(tmp_path / "*.csv"), stream=True)
    want = values(ds)
    assert [w["a"] for w in want] == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert values(td.data.from_csv(str(tmp_path / "*.csv"))) == want
    it = iter(ds)
    for at in range(1, 12):
        next(it)
        other = td.data.from_csv(str(tmp_path / "*.csv"), stream=True)
        other.restore(ds.state())
        assert values(other) == want[at:]


# Tables.


def test_arrow_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "i": pa.array([1, None, 3], pa.int32()),
            "flag": pa.array([True, False, True]),
            "cat": pa.array(["a", "b", "a"]).dictionary_encode(),
            "list": pa.array([[1, 2], [], None], pa.list_(pa.int64())),
            "fixed": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
            "struct": pa.array([{"p": 1, "q": "x"}, {"p": 2, "q": "y"}, {"p": 3, "q": None}]),
            "raw": pa.array([b"1", b"", b"3"]),
            "when": pa.array([0, 1, 2], pa.timestamp("s")),
            "price": pa.array([1, 2, 3], pa.decimal128(5, 2)),
            "none": pa.nulls(3),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    for ds in (td.data.from_dataframe(table), td.data.from_parquet(tmp_path / "t.parquet")):
        assert ds[0]["i"] == 1
        assert np.isnan(ds[1]["i"])
        assert [e["cat"] for e in ds] == ["a", "b", "a"]
        assert [e["list"].tolist() for e in ds] == [[1, 2], [], []]
        assert ds.columns()["fixed"].shape == (3, 2)
        assert plain(ds[2]["struct"]) == {"p": 3, "q": ""}
        assert ds[0]["raw"] == b"1"
        assert ds[1]["when"] == np.datetime64(1, "s")
        assert ds[2]["price"] == 3.0
        assert ds[0]["flag"].dtype == bool
        assert np.isnan(ds[0]["none"])
    with pytest.raises(DataError, match="column 'm' is map"):
        td.data.from_dataframe(pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}))


def test_dataframes_of_pandas_and_polars() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    data = {"a": [1, 2, 3], "b": [0.5, None, 1.5], "s": ["x", "y", None], "l": [[1], [1, 2], []]}
    for frame in (pandas.DataFrame(data, index=[7, 8, 9]), polars.DataFrame(data)):
        got = values(td.data.from_dataframe(frame))
        assert [e["a"] for e in got] == [1, 2, 3]
        assert [e["s"] for e in got] == ["x", "y", ""]
        assert [e["l"] for e in got] == [[1], [1, 2], []]
        assert np.isnan(got[1]["b"])
        assert list(got[0]) == ["a", "b", "s", "l"]
    with pytest.raises(ArgumentError, match="not list"):
        td.data.from_dataframe([1, 2])


def test_parquet_written_by_pandas_polars_and_duckdb(tmp_path: Path) -> None:
    pandas, polars, duckdb = (pytest.importorskip(n) for n in ("pandas", "polars", "duckdb"))
    n = 1000
    frame = pandas.DataFrame({"a": np.arange(n), "b": np.arange(n) / 8, "c": [f"t{i}" for i in range(n)]})
    frame.to_parquet(tmp_path / "pandas.parquet", row_group_size=100)
    polars.from_pandas(frame).write_parquet(tmp_path / "polars.parquet")
    duckdb.sql(f"copy (select * from frame) to '{tmp_path}/duckdb.parquet' (row_group_size 300)")
    for name in ("pandas", "polars", "duckdb"):
        ds = td.data.from_parquet(tmp_path / f"{name}.parquet", x=["a", "b"], y="c")
        assert len(ds) == n
        x, y = ds.shuffle(1).batch(n)[0]
        order = np.argsort(x[:, 0])
        assert np.array_equal(x[order], frame[["a", "b"]].to_numpy(np.float32))
        assert list(y[order]) == list(frame["c"])


def test_parquet_keeps_no_more_groups_than_the_memory_allows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    td.data.write_parquet(td.data.from_arrays(a=np.arange(1000), b=np.zeros((1000, 20))), path, group=50)
    ds = td.data.from_parquet(path, memory=30_000)
    assert [int(e["a"]) for e in ds.shuffle(1, within=50)] != list(range(1000))
    assert sorted(int(a) for b in ds.shuffle(1).batch(64) for a in b["a"]) == list(range(1000))
    assert 1 <= len(ds._node._kept) <= 3
    with pytest.raises(DataError, match=r"at .*t\.parquet, row group 3, row 7: KeyError"):
        ds.map(lambda e: {}[1])[157]
    with pytest.raises(ArgumentError, match=r"has no column 'c'; it has 'a', 'b'"):
        td.data.from_parquet(path, columns=["c"])[0]


def test_sql(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "t.db"
    rows = [(1, 0.5, "a"), (2, None, None), (None, 1.5, "c")]
    with sqlite3.connect(path) as lite:
        lite.execute("create table t (i integer, f real, s text)")
        lite.executemany("insert into t values (?, ?, ?)", rows)
    lite.close()
    duck = duckdb.connect()
    duck.execute("create table t (i integer, f double, s varchar)")
    duck.executemany("insert into t values (?, ?, ?)", rows)
    for source in (path, str(path), lambda: sqlite3.connect(path), duck):
        ds = td.data.from_sql(source, "select * from t order by coalesce(i, 3)")
        columns = ds.columns()
        np.testing.assert_array_equal(columns["i"], [1, 2, np.nan])
        np.testing.assert_array_equal(columns["f"], [0.5, np.nan, 1.5])
        assert list(columns["s"]) == ["a", "", "c"]
        assert len(td.data.from_sql(source, "select f, i from t where s = ?", ["a"], x=["i", "f"])[0]) == 2
        streamed = td.data.from_sql(source, "select i from t where i > 0 order by i", stream=True)
        assert values(streamed) == values(streamed) == [{"i": 1}, {"i": 2}]
        it = iter(streamed)
        next(it)
        streamed.restore(streamed.state())
        assert values(streamed) == [{"i": 2}]
        with pytest.raises(DataError, match=r"(?s)Error: .*query: select \* from nothing"):
            len(td.data.from_sql(source, "select * from nothing"))
    duck.close()
    with pytest.raises(ArgumentError, match="not int"):
        td.data.from_sql(3, "select 1")
    with pytest.raises(DataError, match=r"there is no file gone\.db"):
        len(td.data.from_sql("gone.db", "select 1"))


# Lines.


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=9), max_size=30))
def test_lines(lines: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for end, last in (("\n", "\n"), ("\n", ""), ("\r\n", "\r\n")):
            path = Path(folder) / "t.txt"
            path.write_bytes((end.join(lines) + (last if lines else "")).encode())
            kept = lines if last or not lines or lines[-1] else lines[:-1]
            assert values(td.data.from_text(path, keep_empty=True)) == kept
            if end == "\n":
                assert values(td.data.from_text(path)) == [line for line in lines if line]


def test_lines_that_are_none_are_told_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2\n{"a": [1, null]}\n{"a": [[1], [2, 3]]}\n')
    ds = td.data.from_jsonl(path)
    assert len(ds) == 4
    for i, words in ((1, r"t\.jsonl, line 3: JSONDecodeError"), (2, r"line 4: a list with null")):
        with pytest.raises(DataError, match=words):
            ds[i]
    assert [v.tolist() for v in ds[3]["a"]] == [[1], [2, 3]]
    kept = td.data.from_jsonl(path, on_error="skip")
    assert len(kept.shuffle().batch(1)) == 2
    assert kept.skipped == 2
    (tmp_path / "t.txt").write_bytes(b"a\nb\xff\n")
    with pytest.raises(DataError, match=r"t\.txt, line 2: UnicodeDecodeError"):
        values(td.data.from_text(tmp_path / "t.txt"))
    assert values(td.data.from_text(tmp_path / "t.txt", encoding="latin-1")) == ["a", "bÿ"]


# TFRecord.

FEATURE = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(lambda v: np.array(v, np.int64)),
    st.lists(st.floats(width=32), max_size=5).map(lambda v: np.array(v, np.float32)),
    st.text(max_size=5),
    st.binary(max_size=5),
)


@given(st.dictionaries(st.text(max_size=5), FEATURE, max_size=4))
def test_examples_there_and_back(element: dict[str, Any]) -> None:
    got = protobuf.example(protobuf.encode_example(element))
    assert list(got) == list(element)
    for name, value in element.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(got[name], value)
            assert got[name].dtype == value.dtype or not len(value)
        else:
            assert got[name].tolist() == [value.encode() if isinstance(value, str) else value]


@given(st.binary(max_size=60))
def test_bytes_that_are_no_message_are_refused_or_read(data: bytes) -> None:
    try:
        protobuf.example(data)
    except (DataError, UnicodeDecodeError, TypeError, AttributeError, ValueError):
        return  # a reader tells each of these as a bad record


# By hand, from the documented encoding: tf.train.Example with a: int64 [1, -2], b: float 0.5, c: bytes "hi" and "".
EXAMPLE = bytes.fromhex(
    "0a34"
    "0a140a0161120f1a0d0a0b01feffffffffffffffff01"
    "0a0d0a0162120812060a040000003f"
    "0a0d0a016312080a060a0268690a00"
)  # fmt: skip


def test_the_encoding_is_the_documented_one() -> None:
    got = protobuf.example(EXAMPLE)
    assert got["a"].tolist() == [1, -2]
    assert got["b"].tolist() == [0.5]
    assert got["c"].tolist() == [b"hi", b""]
    # Lists that are not packed are legal, too.
    unpacked = bytes.fromhex("0a0f0a0d0a016112081a06080108030805")
    assert protobuf.example(unpacked)["a"].tolist() == [1, 3, 5]


def test_checksums_are_those_of_the_standard(tmp_path: Path) -> None:
    pytest.importorskip("crc32c")
    from treadle.data._tfrecord import masked_crc

    # RFC 3720, B.4: CRC-32C of 32 bytes of zeros is 8A9136AA.
    crc = 0x8A9136AA
    assert masked_crc(bytes(32)) == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    from treadle.data._tfrecord import masked_crc

    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc(head)) + data + struct.pack("<I", masked_crc(data))


def test_tfrecord_damage_is_told_by_record_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.tfrecord"
    whole = b"".join(record(b"%d" % i * 5) for i in range(4))
    size = len(record(b"00000"))
    for at, words, left in (
        (2 * size + 14, rf"record 2, byte {2 * size}: its checksum is wrong", [0, 1, 3]),
        (2 * size + 9, rf"record 2, byte {2 * size}: its length's checksum is wrong", [0, 1]),
    ):
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        with pytest.raises(DataError, match=words):
            values(td.data.from_tfrecord(path, kind="bytes"))
        ds = td.data.from_tfrecord(path, kind="bytes", on_error="skip")
        assert list(ds) == [b"%d" % i * 5 for i in left]
        assert ds.skipped == 1
    path.write_bytes(whole[: 3 * size + 14])
    with pytest.raises(DataError, match=rf"record 3, byte {3 * size}: the file is cut short: 21 bytes .* 14 are left"):
        values(td.data.from_tfrecord(path, kind="bytes"))


def test_tfrecord_features(tmp_path: Path) -> None:
    path = tmp_path / "t.tfrecord"
    path.write_bytes(record(EXAMPLE))
    assert plain(td.data.from_tfrecord(path)[0]) == {"a": [1, -2], "b": [0.5], "c": [b"hi", b""]}
    got = td.data.from_tfrecord(path, {"a": td.Spec((2, 1), td.int32), "b": "float64", "c": ["str"]})[0]
    assert got["a"].tolist() == [[1], [-2]]
    assert got["a"].dtype == np.int32
    assert got["b"] == 0.5
    assert list(got["c"]) == ["hi", ""]
    for features, words in (
        ({"d": "int64"}, "no feature 'd'"),
        ({"a": "int64"}, "feature 'a' has 2 values"),
        ({"a": "str"}, "'a' holds int64, and str"),
        ({"c": ["float32"]}, "'c' holds bytes"),
    ):
        with pytest.raises(DataError, match=rf"t\.tfrecord, record 0, byte 0: .*{words}"):
            td.data.from_tfrecord(path, features)[0]
    with pytest.raises(ArgumentError, match=r"td\.Spec\(shape, dtype\)"):
        td.data.from_tfrecord(path, {"a": "integer"})
    with pytest.raises(ArgumentError, match='"sequence"'):
        td.data.from_tfrecord(path, kind="none")


def test_sequence_examples(tmp_path: Path) -> None:
    def feature(values: list[int]) -> bytes:
        return protobuf._field(3, protobuf._field(1, bytes(values)))

    def entry(name: str, value: bytes) -> bytes:
        return protobuf._field(1, protobuf._field(1, name.encode()) + protobuf._field(2, value))

    steps = b"".join(protobuf._field(1, feature([i, i + 1])) for i in range(3))
    data = protobuf._field(1, entry("label", feature([7]))) + protobuf._field(2, entry("frames", steps))
    path = tmp_path / "t.tfrecord"
    path.write_bytes(record(data))
    features = {"label": "int64", "frames": td.Spec((3, 2), td.int64)}
    got = td.data.from_tfrecord(path, features, kind="sequence")[0]
    assert plain(got) == {"label": 7, "frames": [[0, 1], [1, 2], [2, 3]]}


# Pictures, sound, tar.


def test_pictures_in_folders_with_labels(tmp_path: Path) -> None:
    image_of = pytest.importorskip("PIL.Image")
    for k, name in enumerate(["b", "a", "c"]):
        (tmp_path / name).mkdir()
        for i in range(2):
            image_of.new("RGB", (40, 30), (50 * k, 0, 0)).save(tmp_path / name / f"{i}.{'jpg' if i else 'png'}")
    ds = td.data.from_images(tmp_path, size=(6, 8))
    assert ds.classes == ("a", "b", "c")
    x, y = next(iter(ds.batch(6)))
    assert x.shape == (6, 6, 8, 3)
    assert y.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(x[:, 0, 0, 0], [50, 50, 0, 0, 100, 100], atol=2)  # JPEG loses a little
    assert td.data.from_images(tmp_path, mode="L")[0][0].shape == (30, 40, 1)
    files = sorted(tmp_path.rglob("*.png"))
    assert values(td.data.from_images(files, labels=[5, 6, 7]).map(lambda e: e[1])) == [5, 6, 7]
    with pytest.raises(ShapeError, match="3 files and 2 labels"):
        td.data.from_images(files, labels=[5, 6])
    (tmp_path / "a" / "2.png").write_bytes(b"nothing")
    assert len(td.data.from_images(tmp_path, on_error="skip").batch(1)) == 6
    with pytest.raises(DataError, match=r"a/2\.png: UnidentifiedImageError"):
        values(td.data.from_images(tmp_path))
    with pytest.raises(DataError, match="no files with"):
        td.data.from_audio(tmp_path)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sound_of_every_width(width: int, tmp_path: Path) -> None:
    full = 2 ** (8 * width - 1)
    numbers = np.array([[0, full - 1], [-full, 1], [full // 2, -1]])
    raw = b"".join(
        int(v + 128 if width == 1 else v).to_bytes(width, "little", signed=width > 1) for v in numbers.ravel()
    )
    with wave.open(str(tmp_path / "t.wav"), "wb") as f:
        f.setparams((2, width, 16000, 0, "NONE", ""))
        f.writeframes(raw)
    got = td.data.from_audio(tmp_path / "t.wav", mono=False, rate=16000)[0]
    np.testing.assert_allclose(got, numbers / full, rtol=0, atol=1e-7)
    np.testing.assert_allclose(td.data.from_audio(tmp_path / "t.wav")[0], got.mean(axis=1))
    with pytest.raises(DataError, match="16000 samples a second, and rate=8000"):
        td.data.from_audio(tmp_path / "t.wav", rate=8000)[0]


def test_tar_shards_as_others_write_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", TAR], check=True, cwd=tmp_path)
    ds = td.data.from_webdataset(tmp_path / "t.tar")
    assert values(ds) == [{"__key__": "a/1", "x.txt": "one", "cls": 3}, {"__key__": "a/2", "bin": b"\x00"}]
    raw = td.data.from_webdataset(tmp_path / "t.tar", decode=False)[0]
    assert raw == {"__key__": "a/1", "x.txt": b"one", "cls": b"3"}


TAR = """
import tarfile, pathlib
pathlib.Path("a").mkdir()
for name, data in {"1.x.txt": b"one", "1.cls": b"3", "2.bin": b"\\0"}.items():
    pathlib.Path("a", name).write_bytes(data)
with tarfile.open("t.tar", "w", format=tarfile.PAX_FORMAT) as tar:
    for name in ["1.x.txt", "1.cls", "2.bin"]:
        tar.add("a/" + name)
"""


# Arrays.


def test_named_numpy_files_and_their_shards(tmp_path: Path) -> None:
    for k in range(2):
        np.save(tmp_path / f"x{k}.npy", np.arange(6).reshape(3, 2) + 10 * k)
        np.save(tmp_path / f"y{k}.npy", np.arange(3) + 10 * k)
    ds = td.data.from_numpy_files(x=str(tmp_path / "x*.npy"), y=str(tmp_path / "y*.npy"))
    assert [e["y"] for e in values(ds)] == [0, 1, 2, 10, 11, 12]
    assert values(ds)[4] == {"x": [12, 13], "y": 11}
    with pytest.raises(ArgumentError, match=r"as many files of each.*'x': 2, 'y': 1"):
        td.data.from_numpy_files(x=str(tmp_path / "x*.npy"), y=tmp_path / "y0.npy")
    np.save(tmp_path / "z.npy", np.arange(4))
    with pytest.raises(ShapeError, match=r"x \[3, 2\], z \[4\]"):
        td.data.from_numpy_files(x=tmp_path / "x0.npy", z=tmp_path / "z.npy")
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"o\.npy is no \.npy file of numbers"):
        td.data.from_numpy_files(tmp_path / "o.npy")


def test_hdf5_says_what_there_is(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "t.h5", "w") as f:
        f["a/b"], f["s"], f["c"] = np.arange(3), ["x", "y", "z"], np.arange(4)
    with pytest.raises(ArgumentError, match="no dataset 'b'; it has 'a/b', 'c', 's'"):
        len(td.data.from_hdf5(tmp_path / "t.h5", "b"))
    with pytest.raises(ShapeError, match=r"a/b \[3\], c \[4\]"):
        len(td.data.from_hdf5(tmp_path / "t.h5", x="a/b", y="c"))
    ds = td.data.from_hdf5(tmp_path / "t.h5", x="a/b", s="s").shuffle(1).batch(3)
    batch = ds[0]
    assert dict(zip(batch["x"].tolist(), batch["s"], strict=True)) == {0: "x", 1: "y", 2: "z"}
    assert values(td.data.from_hdf5(tmp_path / "t.h5", "c")) == [0, 1, 2, 3]


# Writers.


def test_shards_and_what_cannot_be_written(tmp_path: Path) -> None:
    ds = td.data.from_arrays(a=np.arange(5), cls=np.arange(5))
    files = td.data.write_parquet(ds, tmp_path / "t.parquet", shard=2)
    assert [Path(f).name for f in files] == ["t-00000.parquet", "t-00001.parquet", "t-00002.parquet"]
    assert values(td.data.from_parquet(files)) == values(ds)
    files = td.data.write_tfrecord(ds, tmp_path / "t.tfrecord", shard=3)
    assert [Path(f).name for f in files] == ["t.tfrecord-00000-of-00002", "t.tfrecord-00001-of-00002"]
    assert values(td.data.from_tfrecord(files, {"a": "int64", "cls": "int64"})) == values(ds)
    files = td.data.write_tar(ds.map(lambda e: {"cls": e["cls"]}), tmp_path / "t.tar", shard=5)
    assert len(files) == 1
    before = sorted(tmp_path.iterdir())
    numbers: Any = td.data.from_arrays(np.arange(3))
    for write, elements, words in (
        (td.data.write_parquet, numbers, "element 0 is no dict"),
        (td.data.write_parquet, td.data.from_arrays(a=np.zeros((2, 2, 2))), "a has more than one axis"),
        (td.data.write_parquet, numbers.take(0), "no elements"),
        (td.data.write_tfrecord, numbers, "element 0 is neither a dict nor bytes"),
        (td.data.write_tfrecord, td.data.from_items([{"a": np.datetime64(0, "s")}]), "has no place in an Example"),
        (td.data.write_tar, ds, r"in a file \.a; bytes"),
    ):
        with pytest.raises(DataError, match=words):
            write(elements, tmp_path / "bad")
    assert sorted(tmp_path.iterdir()) == before  # nothing half-written is left
    with pytest.raises(ArgumentError, match="at least one"):
        td.data.write_tar(ds, tmp_path / "x.tar", shard=0)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'tables needs pyarrow: pip install "treadle\[data\]"'):
        _files.extra("pyarrow", "tables")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match="from_images needs pillow"):
        td.data.from_images("x")


def fails_at_seven(row: Any) -> Any:
    if row["a"] == 7:
        raise ValueError("seven")
    return [row]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (lambda d: d.map(fails_at_seven), r"step 1, map\(.*, at element 7 \(.*b\.csv, row 3\): ValueError: seven"),
        (lambda d: d.filter(fails_at_seven), r"the element after 7 that were kept \(.*b\.csv, row 3\)"),
        (lambda d: d.flat_map(fails_at_seven), r"element 7 \(.*b\.csv, row 3\)"),
        (lambda d: d.skip(2).repeat(2).map(fails_at_seven), r"element 5 \(.*b\.csv, row 3\)"),
        (lambda d: d.interleave(d.map(lambda r: {"a": 0})).map(fails_at_seven), r"element 14 \(.*b\.csv, row 3\)"),
        (lambda d: d.take(1).concatenate(d).map(fails_at_seven), r"element 8 \(.*b\.csv, row 3\)"),
        (lambda d: td.data.mix([d, d.map(lambda r: {"a": 0})]).map(fails_at_seven), r"\(.*b\.csv, row 3\)"),
        (
            lambda d: d.zip(d.skip(1)).map(lambda rows: fails_at_seven(rows[1])),
            r"element 6 \(.*b\.csv, row 2 and .*b\.csv, row 3\)",
        ),
    ],
)
def test_errors_behind_streams_name_the_file_and_the_record(steps: Any, words: str, tmp_path: Path) -> None:
    csv(tmp_path, "a\n0\n1\n2\n3\n4\n", "a.csv")
    csv(tmp_path, "a\n5\n6\n7\n8\n", "b.csv")
    ds = steps(td.data.from_csv(str(tmp_path / "*.csv"), stream=True))
    with pytest.raises(DataError, match=words):
        list(ds)


def test_folders_and_files_by_url(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    image_of = pytest.importorskip("PIL.Image")
    fs = fsspec.filesystem("memory")
    for name, colour in (("cat", "red"), ("dog", "blue")):
        with fsspec.open(f"memory://pets/{name}/1.png", "wb") as f:
            image_of.new("RGB", (4, 3), colour).save(f, "png")
    try:
        ds = td.data.from_images("memory://pets")
        assert ds.classes == ("cat", "dog")
        assert [(x[0, 0].tolist(), int(y)) for x, y in ds] == [([255, 0, 0], 0), ([0, 0, 255], 1)]
        by_name = td.data.from_images(["dog/1.png"], ["dog"], folder="memory://pets")
        assert by_name.classes == ("dog",)
        assert by_name[0][0][0, 0].tolist() == [0, 0, 255]
        with pytest.raises(DataError, match=r"from_audio: there are no files with \.wav, \.flac.* in memory://pets"):
            td.data.from_audio("memory://pets")
    finally:
        fs.rm("/pets", recursive=True)


def test_hdf5_files_one_after_another(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for k in range(3):
        with h5py.File(tmp_path / f"{k}.h5", "w") as f:
            f["x"] = np.arange(4) + 10 * k
    ds = td.data.from_hdf5(str(tmp_path / "*.h5"), "x")
    assert values(ds) == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert ds._node.where(5, 0).endswith("1.h5, row 1")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(31, 17), (640, 480), (1, 1)])
def test_jpegs_are_pillows_values(
    mode: str, subsampling: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    from treadle.data import _pictures as pictures

    pytest.importorskip("simplejpeg")
    image_of = pytest.importorskip("PIL.Image")
    picture = image_of.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8))
    for progressive in (False, True):
        out = io.BytesIO()
        picture.convert(mode).resize(size, image_of.Resampling.BICUBIC).save(
            out, "jpeg", subsampling=subsampling, progressive=progressive
        )
        for wanted in (None, (24, 20), (300, 300)):
            with monkeypatch.context() as without:
                got = pictures.decode_image(out.getvalue(), "RGB", wanted)
                without.setattr(pictures, "simplejpeg", lambda: None)  # as where it is not installed
                np.testing.assert_array_equal(got, pictures.decode_image(out.getvalue(), "RGB", wanted))


@pytest.mark.parametrize("keep_empty", [False, True])
@pytest.mark.parametrize(
    "body",
    ["", "\n", "a", "a\n", "a\nb", "\n\na\r\n\nb\n\n", "a\n\n", "\na", "é\nzz\n", "\r\n", "x\n\n\ny"],
    ids=repr,
)
def test_lines_end_where_pythons_do(tmp_path, body, keep_empty):
    (tmp_path / "lines.txt").write_bytes(body.encode())
    lines = body.split("\n")
    lines = lines[:-1] if not lines[-1] else lines
    wanted = [line.removesuffix("\r") for line in lines if line or keep_empty]
    assert [str(line) for line in td.data.from_text(tmp_path / "lines.txt", keep_empty=keep_empty)] == wanted


def test_columns_of_one_dtype_are_gathered_together(tmp_path):
    rng = np.random.default_rng(0)
    table = {f"f{k}": rng.standard_normal(50) for k in range(6)} | {"name": [f"n{k}" for k in range(50)]}
    table |= {f"i{k}": rng.integers(0, 9, 50) for k in range(2)} | {"last": rng.standard_normal(50)}
    header, *rows = [",".join(table)] + [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join([header, *rows]))
    ds = td.data.from_csv(tmp_path / "t.csv")
    order = rng.permutation(50)
    for batch, part in ((next(iter(ds.batch(50))), np.arange(50)), (ds._node.take(order, 0), order)):
        assert list(batch) == list(table)
        for name, column in batch.items():
            assert column.tolist() == np.asarray(table[name])[part].tolist()
            assert column.flags.c_contiguous
    assert ds[7]["f3"] == table["f3"][7]


def test_a_list_of_texts_takes_no_more_than_the_texts():
    texts = ["a" * 20_000_000, *("b" for _ in range(5_000))]  # 400 GB, if each had the longest one's size
    ds = td.data.from_arrays(texts)
    assert len(ds[0]) == 20_000_000
    assert ds[5_000] == "b"
