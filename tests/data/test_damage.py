"""Damage of every format: cut short, corrupt, of another type. It is told by its place, or left out and counted."""

# ruff: noqa: E501, a table has long lines
from __future__ import annotations

import io
import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.data.chains import values
from tests.data.formats import FORMATS
from treadle.core.errors import ArgumentError, DataError, MissingExtraError, TreadleError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
h5py = pytest.importorskip("h5py")
pytest.importorskip("crc32c")

FORM = {f.name: f for f in FORMATS}


@dataclass(frozen=True)
class Damage:
    """A damaged file.

    Attributes:
        words: the error's, with `{file}` for the file's name.
        left: how many elements are given when the bad ones are left out; None: that cannot be asked for.
        skipped: and how many are counted.
    """

    name: str
    write: Callable[[Path], Any]
    read: Callable[..., Any]
    words: str
    left: int | None
    skipped: int = 1

    @property
    def file(self) -> str:
        return "bad." + self.name.split()[1].removeprefix("t.")


def cut(name: str, part: float, read: Any, words: str, left: int | None, skipped: int = 1) -> Damage:
    """One of the files that are read elsewhere, cut short."""

    def write(path: Path) -> None:
        FORM[name].write(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * part)])

    return Damage(f"cut {name}", write, read, words, left, skipped)


def changed(name: str, read: Any, at: Callable[[bytes], int], words: str, left: int | None, skipped: int = 1) -> Damage:
    """One of them with some bytes changed."""

    def write(path: Path) -> None:
        FORM[name].write(path)
        data = bytearray(path.read_bytes())
        start = at(bytes(data))
        data[start : start + 4] = bytes(b ^ 0xFF for b in data[start : start + 4])
        path.write_bytes(bytes(data))

    return Damage(f"changed {name}", write, read, words, left, skipped)


def text(name: str, content: bytes, read: Any, words: str, left: int | None, skipped: int = 1) -> Damage:
    return Damage(f"mistyped {name}", lambda p: p.write_bytes(content), read, words, left, skipped)


def database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table t (a integer, b text)")
        db.executemany("insert into t values (?, ?)", [(i if i != 3 else "three", f"row {i}" * 50) for i in range(200)])
    db.close()


def damaged_database(path: Path) -> None:
    database(path)
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xff" * (len(data) - 8192)
    path.write_bytes(bytes(data))


def sql(query: str) -> Callable[..., Any]:
    return lambda p, **options: td.data.from_sql(str(p), query, **options)


def npy_of_objects(path: Path) -> None:
    np.save(path, np.array([{}]), allow_pickle=True)


def checked_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f.create_dataset("x", data=np.arange(40).reshape(20, 2), chunks=(5, 2), fletcher32=True)
        at = f["x"].id.get_chunk_info(2).byte_offset
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))


def hdf5_of_records(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f["g/x"] = np.arange(3)


def png_of_text(path: Path) -> None:
    path.write_bytes(b"GIF89a no picture")


def middle_of_group(data: bytes) -> int:
    """A byte of the texts of the second row group."""
    return int(pq.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(2).data_page_offset) + 40


def wrong_tar(path: Path) -> None:
    td.data.write_tar(td.data.from_items([{"cls": b"1"}, {"cls": b"one"}, {"cls": b"2"}]), path)


def parquet(path: Path, **options: Any) -> Any:
    return td.data.from_parquet(path, **options)


def features(path: Path, **options: Any) -> Any:
    return td.data.from_tfrecord(path, {"y": ["str"]}, **options)


DAMAGES = [
    text("csv", b"a,b\n1,2\n3\n4,5\n", td.data.from_csv, r"{file}: .*Row #3.*got 1: 3", 2),
    text("csv cell", b"a,b\n1,2\nx,3\n4,5\n", lambda p, **o: td.data.from_csv(p, dtypes={"a": int}, **o), r"{file}: .*column #0: Row #3.*'x'", 2),
    text("csv encoding", b"a,b\n1,x\n2,\xff\xfe\n", td.data.from_csv, r"{file}, row 2, column 'b': .* is not UTF-8", 1),
    text("csv stream", b"a,b\n1,x\n2,\xff\xfe\n", lambda p, **o: td.data.from_csv(p, stream=True, **o), r"{file}, row 2, column 'b'", 1),
    text("streamed csv", b"a,b\n1,2\n3\n4,5\n", lambda p, **o: td.data.from_csv(p, stream=True, **o), r"{file}, behind row 0: .*Row #3", 2),
    cut("t.parquet", 0.6, parquet, r"{file} is no Parquet file, or is damaged", 0),
    changed("t.parquet", parquet, middle_of_group, r"{file}, row group 1, cannot be read", 18, 7),
    Damage(
        "mistyped parquet",
        lambda p: pq.write_table(pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}), p),
        parquet,
        r"{file}, row group 0: column 'm' is map",
        0,
    ),
    text("jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n', td.data.from_jsonl, r"{file}, line 2: JSONDecodeError", 2),
    cut("t.jsonl", 0.7, td.data.from_jsonl, r"{file}, line \d+: JSONDecodeError", 17),
    text("text", b"one\ntw\xff\nthree\n", td.data.from_text, r"{file}, line 2: UnicodeDecodeError", 2),
    cut("t.png", 0.6, td.data.from_images, r"{file}: .*[Tt]runcated", 0),
    Damage("mistyped png", png_of_text, td.data.from_images, r"{file}: ", 0),
    cut("t.wav", 0.7, td.data.from_audio, r"{file}: cut short: 80 bytes .* announced at byte 36", 0),
    text("wav", b"RIFF????WAVEfmt \x10\x00\x00\x00", td.data.from_audio, r"{file}: cut short: no samples", 0),
    cut("t.tfrecord", 0.7, FORM["t.tfrecord"].read, r"{file}, record 1\d, byte \d+: the file is cut short", 17),
    changed("t.tfrecord", FORM["t.tfrecord"].read, lambda d: 40, r"{file}, record 0, byte 0: its checksum is wrong", 24),
    Damage("mistyped tfrecord", FORM["t.tfrecord"].write, features, r"{file}, record 0, byte 0: .*'y' holds int64", 0, 25),
    cut("t.tar", 0.6, td.data.from_webdataset, r"{file}, record \d+, byte \d+: ", 15),
    Damage("mistyped tar", wrong_tar, td.data.from_webdataset, r"{file}, record 1, byte \d+: ValueError: invalid literal", 2),
    cut("t.npy", 0.7, td.data.from_numpy_files, r"{file} is no \.npy file of numbers, or is cut short", None),
    Damage("mistyped npy", npy_of_objects, td.data.from_numpy_files, r"{file} is no \.npy file of numbers", None),
    cut("t.h5", 0.7, FORM["t.h5"].read, r"{file} is no HDF5 file, or is damaged", None),
    Damage("changed h5", checked_hdf5, lambda p, **o: td.data.from_hdf5(p, "x", **o), r"{file}, row", 15, 5),
    Damage("mistyped h5", hdf5_of_records, lambda p, **o: td.data.from_hdf5(p, "g", **o), r"{file} has no dataset 'g'", None),
    Damage("changed sql", damaged_database, sql("select * from t"), r"{file}: DatabaseError: .*\n    query: select", None),
    text("sql", b"no database" * 100, sql("select * from t"), r"{file}: DatabaseError: file is not a database", None),
    Damage("mistyped sql", database, sql("select * from t"), r"row 4, column 'a': 'three' among numbers", 199),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.name)
def test_damage_is_told_by_file_and_place(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / damage.file
    damage.write(path)
    with pytest.raises(TreadleError, match=damage.words.replace("{file}", re.escape(damage.file))):
        values(damage.read(path))


@pytest.mark.parametrize("damage", [d for d in DAMAGES if d.left is not None], ids=lambda d: d.name)
def test_what_is_damaged_is_left_out_and_counted(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / damage.file
    damage.write(path)
    ds = damage.read(path, on_error="skip")
    assert len(values(ds)) == damage.left
    assert ds.skipped == damage.skipped
    assert f"({damage.skipped} bad ones left out)" in repr(ds)


def test_every_format_is_damaged_in_every_way() -> None:
    done = {tuple(d.name.replace("t.", "").replace("streamed ", "").split()[:2]) for d in DAMAGES}
    for name in ("parquet", "tfrecord", "tar", "npy", "h5", "png", "wav"):
        assert {("cut", name), ("mistyped", name)} <= done
    for name in ("csv", "jsonl", "text", "sql"):
        assert ("mistyped", name) in done


def test_damaged_files_among_others_are_left_out(tmp_path: Path) -> None:
    for name, read in (
        ("t.parquet", parquet),
        ("t.npy", td.data.from_numpy_files),
        ("t.h5", lambda p, **o: td.data.from_hdf5(p, x="in/x", y="y", **o)),
    ):
        files = [tmp_path / f"{k}-{name}" for k in range(3)]
        for file in files:
            FORM[name].write(file)
        want = values(read(files[::2]))
        files[1].write_bytes(files[1].read_bytes()[:99])
        with pytest.raises(DataError, match=rf"1-{name}"):
            values(read(files))
        ds = read(files, on_error="skip")
        assert values(ds) == want
        assert ds.skipped == 1
    with pytest.raises(ArgumentError, match="known only when it is read"):
        td.data.from_sql("x.db", "select 1", stream=True, on_error="skip")


def test_skipped_counts_those_of_all_that_are_merged(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\nbad\n')
    (tmp_path / "b.jsonl").write_text('bad\nbad\n{"a": 2}\n')
    a, b = (td.data.from_jsonl(tmp_path / f"{n}.jsonl", on_error="skip") for n in "ab")
    for ds in (a.concatenate(b), a.zip(b)):
        values(ds)
        assert ds.skipped == 3


def test_sound_of_other_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.flac"
    path.write_bytes(b"fLaC" + bytes(60))
    with monkeypatch.context() as m:
        m.setitem(sys.modules, "soundfile", None)
        for on_error in ("raise", "skip"):
            with pytest.raises(MissingExtraError, match=r't\.flac: .* need soundfile: pip install "treadle\[audio\]"'):
                values(td.data.from_audio(path, on_error=on_error))
    soundfile = pytest.importorskip("soundfile")
    with pytest.raises(DataError, match=r"t\.flac: no sound file, or a damaged one"):
        values(td.data.from_audio(path))
    sound = np.random.default_rng(0).uniform(-0.9, 0.9, (800, 2)).astype(np.float32)
    for name in ("FLAC", "AIFF", "OGG", "MP3"):
        file = tmp_path / f"{name}.{name.lower()}"
        soundfile.write(file, sound, 8000, format=name)
        got = td.data.from_audio(file, mono=False, rate=8000)[0]
        assert got.dtype == np.float32
        assert got.shape[1] == 2
        if name in ("FLAC", "AIFF"):
            np.testing.assert_allclose(got, sound, rtol=0, atol=2**-15)  # written with 16 bits
    assert len(td.data.from_audio(tmp_path, on_error="skip")) == 4
