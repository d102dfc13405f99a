"""One small file of each format, how it is read, and what must come out."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import PIL.Image

import treadle as td

N = 25


@dataclass(frozen=True)
class Format:
    """`write(path)`, `read(path)` → dataset, `element(i)`; the file's name.

    Attributes:
        cut: whether a file that is cut short is noticed.
        skips: whether bad records can be left out.
        packs: whether the file may be compressed.
    """

    name: str
    write: Callable[[Path], Any]
    read: Callable[..., Any]
    element: Callable[[int], Any]
    cut: bool = True
    skips: bool = True
    packs: bool = True


def image(i: int) -> Any:
    return np.random.default_rng(i).integers(0, 256, (5, 7, 3), np.uint8)


def sound(i: int) -> Any:
    return np.random.default_rng(i).integers(-(2**15), 2**15, 40 + i).astype(np.int16)


def row(i: int) -> dict[str, Any]:
    return {"a": i, "b": i / 4, "name": f"n{i} é"}


def write_csv(path: Path) -> None:
    path.write_text("a,b,name\n" + "".join(f"{i},{i / 4},n{i} é\n" for i in range(N)), encoding="utf-8")


def write_wav(path: Path) -> None:
    with wave.open(str(path), "wb") as f:
        f.setparams((1, 2, 8000, 0, "NONE", ""))
        f.writeframes(sound(0).tobytes())


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as f:
        f["in/x"], f["y"] = np.stack([image(i) for i in range(N)]), np.arange(N)


def columns() -> Any:
    return {k: [row(i)[k] for i in range(N)] for k in row(0)}


def example(i: int) -> dict[str, Any]:
    return {"x": image(i), "text": f"é{i}", "ids": np.arange(i % 5) - 2, "y": i}


FEATURES = {"x": td.Spec((5, 7, 3), td.uint8), "text": "str", "ids": ["int64"], "y": "int64"}


def write_tfrecord(path: Path) -> None:
    td.data.write_tfrecord(td.data.from_items([example(i) for i in range(N)]), path)


def write_tar(path: Path) -> None:
    items = [{"png": image(i), "cls": i, "txt": f"é{i}", "npy": sound(i), "json": {"i": i}} for i in range(N)]
    td.data.write_tar(td.data.from_items(items), path)


FORMATS = [
    Format("t.csv", write_csv, td.data.from_csv, row, cut=False),
    Format(
        "t.parquet",
        lambda p: td.data.write_parquet(td.data.from_arrays(**columns()), p, group=7),
        lambda p: td.data.from_parquet(p),
        row,
        skips=False,
        packs=False,
    ),
    Format(
        "t.txt",
        lambda p: p.write_text("".join(f"line {i} é\n" for i in range(N)), encoding="utf-8"),
        td.data.from_text,
        lambda i: f"line {i} é",
        cut=False,
    ),
    Format(
        "t.jsonl",
        lambda p: p.write_text("".join(json.dumps({**row(i), "v": [i, 1]}) + "\n" for i in range(N))),
        td.data.from_jsonl,
        lambda i: {**row(i), "v": [i, 1]},
    ),
    Format("t.tfrecord", write_tfrecord, lambda p, **o: td.data.from_tfrecord(p, FEATURES, **o), example),
    Format(
        "t.tar",
        write_tar,
        td.data.from_webdataset,
        lambda i: {"__key__": f"{i:06d}", "png": image(i), "cls": i, "txt": f"é{i}", "npy": sound(i), "json": {"i": i}},
    ),
    Format(
        "t.npy",
        lambda p: np.save(p, np.stack([image(i) for i in range(N)])),
        lambda p: td.data.from_numpy_files(p),
        image,
        skips=False,
    ),
    Format(
        "t.h5",
        write_hdf5,
        lambda p: td.data.from_hdf5(p, x="in/x", y="y"),
        lambda i: {"x": image(i), "y": i},
        skips=False,
        packs=False,
    ),
    Format("t.png", lambda p: PIL.Image.fromarray(image(0)).save(p), td.data.from_images, image),
    Format("t.wav", write_wav, td.data.from_audio, lambda i: sound(i) / np.float32(2**15)),
]
