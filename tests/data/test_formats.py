"""Every format: what was written is read, whole, compressed, from anywhere, in processes; damage is told by place."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("h5py")
pytest.importorskip("crc32c")

from tests.data.chains import plain, values
from tests.data.formats import FORMATS, Format
from treadle.core.errors import ArgumentError, DataError
from treadle.data._columns import pick

every = pytest.mark.parametrize("form", FORMATS, ids=lambda f: f.name)


def made(form: Format, folder: Path, name: str | None = None) -> Path:
    path = folder / (name or form.name)
    form.write(path)
    return path


@every
def test_what_was_written_is_read(form: Format, tmp_path: Path) -> None:
    ds = form.read(made(form, tmp_path))
    want = [plain(form.element(i)) for i in range(len(ds))]
    assert values(ds) == want
    assert [plain(ds[i]) for i in range(len(ds))] == want
    order = [3, 0, 2] if len(ds) > 3 else [0, 0]
    taken = ds._node.take(np.array(order), 0)
    assert [plain(pick(taken, k)) for k in range(len(order))] == [want[i] for i in order]
    assert ds.spec is not None
    assert form.name in repr(ds) or "1 files" in repr(ds)


@every
def test_it_can_be_sent_to_a_process_and_resumed(form: Format, tmp_path: Path) -> None:
    ds = form.read(made(form, tmp_path))
    for _ in range(2):
        copy = pickle.loads(pickle.dumps(ds._node))
        assert [plain(copy.get(i, 0)) for i in range(copy.length)] == values(ds)
    it = iter(ds)
    next(it)
    state = json.loads(json.dumps(ds.state()))
    other = form.read(tmp_path / form.name)
    other.restore(state)
    assert values(other) == values(it)


@every
@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz"])
def test_compressed_files(form: Format, ending: str, tmp_path: Path) -> None:
    if not form.packs:
        return
    path = made(form, tmp_path)
    data = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[ending](path.read_bytes())
    packed = tmp_path / (form.name + ending)
    packed.write_bytes(data)
    assert values(form.read(packed)) == values(form.read(path))
    packed.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=form.name):
        values(form.read(packed))


@every
def test_files_through_fsspec(form: Format, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    path = made(form, tmp_path)
    with fsspec.open(f"memory://data/{form.name}", "wb") as file:
        file.write(path.read_bytes())
    try:
        assert values(form.read(f"memory://data/{form.name}")) == values(form.read(path))
        assert values(form.read(f"memory://data/*{form.name}")) == values(form.read(path))
        with pytest.raises(DataError, match="no file memory://data/other"):
            form.read("memory://data/other")
    finally:
        fsspec.filesystem("memory").rm("/data", recursive=True)


@every
def test_a_file_that_is_cut_short_is_told_with_its_name(form: Format, tmp_path: Path) -> None:
    path = made(form, tmp_path)
    data = path.read_bytes()
    # The last bytes of a tar file are padding, those of a PNG file only say that it ends.
    padded = form.name in ("t.tar", "t.png")
    for part in (len(data) * 2 // 3, *(() if padded else (len(data) - 3,))):
        path.write_bytes(data[:part])
        if not form.cut:
            values(form.read(path))  # a text may end anywhere
            continue
        with pytest.raises(DataError, match=form.name):
            values(form.read(path))


@every
def test_a_file_of_something_else_is_told_with_its_name(form: Format, tmp_path: Path) -> None:
    path = tmp_path / form.name
    path.write_bytes(bytes(range(255, 0, -1)) * 20)
    with pytest.raises(DataError, match=form.name):
        values(form.read(path))


@every
def test_a_missing_file_is_told_with_its_name(form: Format, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no file .*gone.{form.name}"):
        form.read(tmp_path / "gone" / form.name)
    with pytest.raises(DataError, match="there is no file"):
        form.read(str(tmp_path / "*.nothing"))
    with pytest.raises(ArgumentError, match="no files were given"):
        form.read([])


@every
def test_bad_records_can_be_left_out_and_are_counted(form: Format, tmp_path: Path) -> None:
    if not form.skips:
        return
    path = made(form, tmp_path)
    whole = values(form.read(path))
    data = path.read_bytes()
    with pytest.raises(ArgumentError, match='"raise" or "skip"'):
        form.read(path, on_error="ignore")
    path.write_bytes(data[: len(data) * 2 // 3])
    ds = form.read(path, on_error="skip")
    got = values(ds)
    assert got == whole[: len(got)] or not form.cut
    if form.cut:
        assert ds.skipped == 1
        assert "(1 bad ones left out)" in repr(ds)
        state = ds.state()
        form.read(path, on_error="skip").restore(state)  # the count is no part of the steps


@every
def test_several_files_in_order_of_their_names(form: Format, tmp_path: Path) -> None:
    if form.name == "t.h5":
        return  # one file
    one = values(form.read(made(form, tmp_path, f"b-{form.name}")))
    made(form, tmp_path, f"a-{form.name}")
    for paths in (str(tmp_path / f"*{form.name}"), [tmp_path / f"b-{form.name}", tmp_path / f"a-{form.name}"]):
        ds = form.read(paths)
        assert len(ds) == 2 * len(one)
        assert values(ds) == one * 2
