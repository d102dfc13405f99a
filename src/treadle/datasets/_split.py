"""What every data set is, and how it is divided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dataset:
    """Labelled examples, divided into those to learn from and those to be judged by.

    Attributes:
        x_train, x_test: float32 `[n, ...]`, read-only NumPy arrays, values in 0..1.
        y_train, y_test: int32 `[n]`, positions in `classes`.
        classes: the classes' names.
        source: where the data come from, and their licence.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    classes: tuple[str, ...]
    source: str

    @property
    def train(self) -> tuple[Array, Array]:
        """`(x_train, y_train)`, as `td.fit` takes it."""
        return self.x_train, self.y_train

    @property
    def test(self) -> tuple[Array, Array]:
        """`(x_test, y_test)`, as `td.fit` takes it for validation."""
        return self.x_test, self.y_test

    def __repr__(self) -> str:
        size = "x".join(map(str, self.x_train.shape[1:]))
        train, test = len(self.x_train), len(self.x_test)
        return f"<Dataset {self.name}: {train} to train, {test} to test, each {size}, {len(self.classes)} classes>"


def fixed_permutation(count: int, seed: int) -> Array:
    """The numbers 0 to count - 1 in an order that no later NumPy changes, int64 `[count]`.

    They are sorted by the raw output of Philox-4x64 with key `seed`. NumPy promises that a bit generator's raw stream
    stays as it is; of `Generator.permutation` it does not (NEP 19).
    """
    return np.argsort(np.random.Philox(key=seed).random_raw(count), kind="stable")


def split(name: str, pixels: Array, labels: Array, *, top: int, train: int, seed: int, source: str) -> Dataset:
    """A data set of images: shuffled by `fixed_permutation`, the first `train` to learn from.

    Args:
        pixels: integers in 0..top, `[n, height, width]`.
        labels: digits, `[n]`.
    """
    order = fixed_permutation(len(pixels), seed)
    x = (pixels[order].astype(np.float32) / np.float32(top))[..., None]
    y = labels[order].astype(np.int32)
    parts = x[:train], y[:train], x[train:], y[train:]
    for part in parts:
        part.flags.writeable = False
    return Dataset(name, *parts, classes=tuple("0123456789"), source=source)
