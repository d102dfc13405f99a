"""The packaged digits are scikit-learn's, and their split is fixed."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from tools import make_digits
from treadle.datasets import _digits
from treadle.datasets._split import fixed_permutation


def test_the_packaged_file_is_what_the_tool_makes() -> None:
    with np.load(make_digits.TARGET) as packaged:
        made = make_digits.arrays()
        assert set(packaged.files) == set(made)
        for name, array in made.items():
            assert packaged[name].dtype == array.dtype
            np.testing.assert_array_equal(packaged[name], array)


def test_the_licence_stands_beside_it() -> None:
    # Years in the copyright line change with scikit-learn's version.
    text = make_digits.TARGET.with_suffix(".LICENSE.txt").read_text(encoding="utf-8")
    assert "BSD 3-Clause License" in text
    assert "The scikit-learn developers" in text
    assert "CC BY 4.0" in text
    assert text.startswith(make_digits.HEADER)
    assert make_digits.licence().startswith(make_digits.HEADER + "BSD 3-Clause License")


def test_the_packed_bytes_can_be_repeated() -> None:
    assert make_digits.packed() == make_digits.packed()


def test_every_image_is_in_exactly_one_part() -> None:
    from sklearn.datasets import load_digits

    data, known = td.datasets.digits(), load_digits()
    together = np.concatenate([data.x_train, data.x_test])[..., 0] * 16
    labels = np.concatenate([data.y_train, data.y_test])
    order = fixed_permutation(_digits.SIZE, _digits.SEED)
    assert sorted(order) == list(range(1797))
    np.testing.assert_array_equal(together, known.images[order])
    np.testing.assert_array_equal(labels, known.target[order])


def test_shapes_dtypes_and_range() -> None:
    data = td.datasets.digits()
    assert (data.x_train.shape, data.y_train.shape) == ((1198, 8, 8, 1), (1198,))
    assert (data.x_test.shape, data.y_test.shape) == ((599, 8, 8, 1), (599,))
    assert {a.dtype.name for a in (data.x_train, data.x_test)} == {"float32"}
    assert {a.dtype.name for a in (data.y_train, data.y_test)} == {"int32"}
    assert (data.x_train.min(), data.x_train.max()) == (0.0, 1.0)
    assert data.train[0] is data.x_train
    assert data.test[1] is data.y_test
    assert data.classes == tuple("0123456789")


def test_every_class_is_in_both_parts() -> None:
    data = td.datasets.digits()
    assert np.bincount(data.y_train).min() > 90
    assert np.bincount(data.y_test).min() > 40


def test_what_is_shared_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        td.datasets.digits().x_train[0] = 0


def test_the_permutation_never_changes() -> None:
    # Philox-4x64's raw stream for keys 0 and 1, sorted: stored, because another order would silently move the split.
    assert fixed_permutation(10, 0).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
    assert fixed_permutation(10, 1).tolist() == [3, 5, 2, 9, 7, 0, 8, 6, 1, 4]
