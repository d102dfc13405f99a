"""Datasets of files that are one element each: pictures and sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, ShapeError
from treadle.data._files import Paths, class_folders, extra, find, is_folder, with_errors
from treadle.data._media import IMAGES, ImageFiles
from treadle.data._sound import SOUNDS, AudioFiles
from treadle.data.dataset import IndexedDataset


def from_images(
    paths: Paths, labels: Any = None, *, folder: str | PathLike[str] | None = None, mode: str = "RGB",
    size: tuple[int, int] | None = None, exact: bool = True, on_error: str = "raise",
) -> IndexedDataset:  # fmt: skip
    """Pictures as uint8 `[height, width, channels]`, or `(picture, label)`.

    Args:
        paths: a folder or its URL, with all pictures below it (those in sub-folders get the sub-folder's number as
            label); or a name, glob, URL, or list of them, such as a table's column.
        labels: one for each file; of texts, elements get the number of each in `ds.classes`.
        folder: where the files of such a list are, if their names do not say it.
        mode: "RGB", "L" (grey) or "RGBA"; pictures of other modes are converted.
        size: (height, width) to which each is resized (bilinear and antialiased: as Pillow does it, 1 off at most);
            JPEGs at least twice as large are decoded at a half, a quarter or an eighth.
        exact: False: JPEGs in RGB by libjpeg's faster transform and nearest colours, in a tenth less time; values are
            1 off in the mean, near edges of strong colours more.
        on_error: "raise", or "skip": leave out what is no picture; `skipped` counts it.

    Returns: with sub-folders or texts as labels, `ds.classes` are their names, sorted.

    Raises:
        DataError: no files; when it is read, one that is no picture, by its name.
        MissingExtraError: pillow is not installed, or simplejpeg, with `exact=False`.

    >>> import PIL.Image
    >>> for name in ("cat", "dog"):
    ...     os.makedirs(f"pets/{name}")
    ...     PIL.Image.new("RGB", (4, 3), "red").save(f"pets/{name}/1.png")
    >>> ds = td.data.from_images("pets")
    >>> ds.classes, ds.spec
    (('cat', 'dog'), (u8[3,4,3], i64[]))
    >>> table = {"file": ["dog/1.png", "cat/1.png"], "kind": ["dog", "cat"]}
    >>> [label for _, label in td.data.from_images(table["file"], table["kind"], folder="pets")]
    [np.int64(1), np.int64(0)]
    """
    extra("PIL.Image", "from_images")
    if mode not in ("RGB", "L", "RGBA"):
        raise ArgumentError(f'from_images(mode={mode!r}): "RGB", "L" or "RGBA"')
    if not exact:
        extra("simplejpeg", "from_images(exact=False)")
    files, found, classes = _files(paths, labels, folder, IMAGES, "from_images")
    return _dataset(ImageFiles(files, found, mode, size, exact), classes, on_error, "from_images")


def from_audio(
    paths: Paths, labels: Any = None, *, folder: str | PathLike[str] | None = None, rate: int | None = None,
    mono: bool = True, on_error: str = "raise",
) -> IndexedDataset:  # fmt: skip
    """Sound as float32 in -1..1, `[time]`, or `(sound, label)`: WAVE files; with soundfile also FLAC, Ogg, MP3, AIFF.

    Args:
        rate: samples a second that each file must have; None: any.
        mono: the mean of the channels; else `[time, channels]`.
        paths, labels, folder, on_error: as for `from_images`.

    Raises:
        DataError: no files; when it is read, one that is no sound file, is cut short or has another rate, by its name.
        MissingExtraError (when it is read): a file that is no WAVE file, and soundfile is not installed.

    >>> import wave
    >>> with wave.open("tone.wav", "wb") as f:
    ...     f.setparams((1, 2, 8000, 0, "NONE", ""))
    ...     f.writeframes(np.array([0, 16384, -32768], np.int16).tobytes())
    >>> td.data.from_audio("tone.wav")[0]
    array([ 0. ,  0.5, -1. ], dtype=float32)
    """
    files, found, classes = _files(paths, labels, folder, SOUNDS, "from_audio")
    return _dataset(AudioFiles(files, found, rate, mono), classes, on_error, "from_audio")


def _files(
    paths: Paths, labels: Any, folder: str | PathLike[str] | None, suffixes: Sequence[str], what: str
) -> tuple[list[str], Any, tuple[str, ...]]:
    """Files, labels, and the classes' names."""
    if folder is not None:
        given = [paths] if isinstance(paths, str | PathLike) else list(paths)
        paths = [f"{os.fspath(folder)}/{os.fspath(p)}" for p in given]
    if isinstance(paths, str | PathLike) and is_folder(paths):
        files, names = class_folders(paths, suffixes, what)
        if labels is None and any(names):
            labels = names
    else:
        files = find([str(p) for p in paths] if not isinstance(paths, str | PathLike) else paths, what)
    if labels is None:
        return files, None, ()
    if len(labels) != len(files):
        raise ShapeError(f"{what}: {len(files)} files and {len(labels)} labels; one for each file is needed")
    if all(isinstance(label, str) for label in labels):
        classes, numbers = np.unique(np.array(list(labels)), return_inverse=True)
        return files, numbers, tuple(classes.tolist())
    return files, np.asarray(labels), ()


def _dataset(node: Any, classes: tuple[str, ...], on_error: str, what: str) -> IndexedDataset:
    dataset = IndexedDataset(with_errors(node, on_error, what))
    dataset.classes = classes
    return dataset
