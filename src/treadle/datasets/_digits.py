"""The 8×8 digits that come with treadle."""

from __future__ import annotations

from importlib import resources

import numpy as np

from treadle.datasets._split import Dataset, split

SIZE = 1797
TRAIN = 1198  # two thirds
SEED = 0


def digits() -> Dataset:
    """1,797 handwritten digits of 13 people, 8×8 pixels in 17 shades of grey, from a file inside treadle.

    They are the test set of the UCI collection "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998,
    CC BY 4.0) in the form in which scikit-learn carries it (BSD-3). The order is shuffled once and for all: the first
    1,198 are to train on, the last 599 to test on. The same people wrote both parts.

    Returns: images float32 `[n, 8, 8, 1]` in 0..1 (0 is paper, 1 is ink), labels int32 `[n]`, as NumPy arrays.

    >>> data = td.datasets.digits()
    >>> data
    <Dataset digits: 1198 to train, 599 to test, each 8x8x1, 10 classes>
    >>> data.x_test.shape, data.y_test[:5].tolist()
    ((599, 8, 8, 1), [6, 6, 2, 4, 1])
    """
    with resources.files("treadle.datasets").joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        pixels, labels = arrays["pixels"], arrays["labels"]
    source = "UCI optical recognition of handwritten digits (CC BY 4.0), from scikit-learn (BSD-3-Clause)"
    return split("digits", pixels, labels, top=16, train=TRAIN, seed=SEED, source=source)
