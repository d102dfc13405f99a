"""Layers that learn from data: against NumPy, scikit-learn and Pillow; eager, compiled, saved, in a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import treadle as td
from treadle.core.errors import ArgumentError, BuildError, DataError, DTypeError, ShapeError

X = np.random.default_rng(0).gamma(2.0, 3.0, size=(500, 3)) * [1, 100, 0.01] + [0, 1e4, -5]

NUMERIC: dict[str, Callable[[], Any]] = {
    "Standardize": td.data.Standardize,
    "Quantiles": lambda: td.data.Quantiles(20),
    "Discretize": lambda: td.data.Discretize(7),
    "OneHot": td.data.OneHot,
    "Rescale": lambda: td.data.Rescale([0.5, 2, 3], offset=1),
    "Resize": lambda: td.data.Resize(3, 2),
}
ADAPTING = ["Standardize", "Quantiles", "Discretize", "OneHot"]


def values(name: str) -> Any:
    if name == "OneHot":
        return np.random.default_rng(1).integers(0, 5, (500, 3))
    return np.random.default_rng(1).random((4, 5, 6, 3)) if name == "Resize" else X


def adapted(name: str) -> Any:
    layer = NUMERIC[name]()
    return layer.adapt(values(name)) if name in ADAPTING else layer


@pytest.mark.parametrize("name", NUMERIC)
def test_compiled_as_eager_and_for_each_row_alone(name: str) -> None:
    layer, x = adapted(name), td.asarray(values(name))
    x = x.astype(td.float32) if x.dtype.is_floating else x
    want = np.asarray(layer(x))
    got = np.asarray(td.compile(lambda layer, x: layer(x))(layer, x))
    # The compiler may contract a product and a sum; Quantiles' means are of 19 terms.
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    one = np.asarray(layer(x[7 % x.shape[0]]))
    np.testing.assert_allclose(one, want[7 % x.shape[0]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ADAPTING)
def test_adapting_to_a_dataset_of_any_form_gives_the_same(name: str) -> None:
    want = adapted(name)
    x = values(name)
    rows = td.data.from_arrays(x=x, y=np.zeros(500))
    forms = {
        "elements": (rows, "x"),
        "batches": (rows.batch(64), "x"),
        "stream": (td.data.from_generator(lambda: zip(x, range(500), strict=True)), 0),
        "workers": (td.data.from_arrays(x).parallel(2), None),
    }
    for form, (ds, path) in forms.items():
        layer = NUMERIC[name]().adapt(ds, path)
        for a, b in zip(layer.states().values(), want.states().values(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, err_msg=form)
        assert getattr(layer, "classes", None) == getattr(want, "classes", None)
    with pytest.raises(ArgumentError, match=rf"{name}\.adapt: an element has 'x', 'y'\. Say which"):
        NUMERIC[name]().adapt(rows)
    with pytest.raises(ArgumentError, match="'x', 'y'"):
        NUMERIC[name]().adapt(rows, "z")
    with pytest.raises(ArgumentError, match="no data to learn from"):
        NUMERIC[name]().adapt(np.zeros((0, 3)))
    with pytest.raises(ArgumentError, match="takes numbers"):
        NUMERIC[name]().adapt(["a", "b"])


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 40), st.integers(1, 3)),
        elements=st.floats(-1e6, 1e6).map(lambda v: round(v, 2)),
    ),
    st.integers(1, 7),
)
def test_standardize_is_scikit_learns(x: Any, size: int) -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    layer = td.data.Standardize().adapt(td.data.from_arrays(x).batch(size))
    scaler = preprocessing.StandardScaler().fit(x)
    np.testing.assert_allclose(layer.mean, scaler.mean_, rtol=1e-5, atol=1e-6 * np.abs(x).max())
    np.testing.assert_allclose(layer.deviation, scaler.scale_, rtol=1e-4, atol=1e-10 * np.abs(x).max())


def test_standardize_leaves_missing_values_out() -> None:
    x = X.copy()
    x[::3, 0] = np.nan
    layer = td.data.Standardize().adapt(td.data.from_arrays(x).batch(7))
    np.testing.assert_allclose(layer.mean, np.nanmean(x, axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer.deviation, np.nanstd(x, axis=0), rtol=1e-5)
    assert np.isnan(np.asarray(layer(td.asarray(x)))[::3, 0]).all()
    assert layer(td.asarray(X)).dtype == td.float64
    assert float(td.data.Standardize().adapt(td.data.from_arrays([1.0, 3.0]))(5.0)) == 3.0


def test_quantiles_are_those_of_the_data() -> None:
    layer = td.data.Quantiles(101).adapt(X)
    got = np.asarray(layer(td.asarray(X)))
    rank = (np.argsort(np.argsort(X, axis=0), axis=0) + 0.5) / len(X)
    np.testing.assert_allclose(got, rank, atol=0.011)  # between two of 101 knots the share is linear
    assert np.asarray(layer(td.asarray(X.max(axis=0) + 1))).tolist() == [1, 1, 1]
    few = td.data.Quantiles(10, limit=50).adapt(td.data.from_arrays(X).batch(8))
    np.testing.assert_allclose(np.asarray(few(td.asarray(X))), rank, atol=0.25)
    same = td.data.Quantiles(4).adapt(np.ones((5, 1)))  # knots without width
    assert np.asarray(same(td.asarray([[0.5], [1.0], [2.0]]))).ravel().tolist() == [0, 1, 1]


def test_bins_have_equal_counts() -> None:
    layer = td.data.Discretize(5).adapt(X)
    got = np.asarray(layer(td.asarray(X)))
    assert got.dtype == np.int32
    for feature in got.T:
        assert np.bincount(feature).tolist() == [100] * 5
    assert int(td.data.Discretize(2).adapt(np.arange(4))(100)) == 1


@pytest.mark.parametrize(("old", "new"), [((8, 5), (4, 9)), ((7, 7), (3, 2)), ((4, 6), (4, 6)), ((3, 3), (11, 1))])
def test_resize_is_pillows(old: tuple[int, int], new: tuple[int, int]) -> None:
    image_of = pytest.importorskip("PIL.Image")
    x = np.random.default_rng(0).random(old).astype(np.float32)
    want = np.asarray(image_of.fromarray(x).resize(new[::-1], image_of.Resampling.BILINEAR))
    got = np.asarray(td.data.Resize(*new)(td.asarray(x[..., None])))[..., 0]
    np.testing.assert_allclose(got, want, atol=1e-5)
    nearest = np.asarray(td.data.Resize(*new, method="nearest")(td.asarray(x[None, :, :, None])))[0, ..., 0]
    np.testing.assert_array_equal(nearest, image_of.fromarray(x).resize(new[::-1], image_of.Resampling.NEAREST))


@pytest.mark.parametrize("name", ["Standardize", "Quantiles", "Discretize"])
def test_without_data_it_says_so_and_a_new_one_can_be_loaded(name: str, tmp_path: Path) -> None:
    x = td.asarray(X)
    with pytest.raises(BuildError, match=rf"{name} has not seen data yet: call adapt\(ds\)"):
        NUMERIC[name]()(x)
    layer = adapted(name)
    td.save(layer, tmp_path / "layer.safetensors")
    fresh = NUMERIC[name]()
    td.load(tmp_path / "layer.safetensors", fresh)
    np.testing.assert_array_equal(fresh(x), layer(x))


class Model(td.nn.Module):
    def __init__(self) -> None:
        self.scale = td.data.Standardize()
        self.dense = td.nn.Dense(1)

    def __call__(self, x: Any) -> Any:
        return self.dense(self.scale(x))


def test_in_a_model_it_is_kept_saved_and_not_trained(tmp_path: Path) -> None:
    y = ((X - X.mean(axis=0)) / X.std(axis=0)) @ np.array([[1.0], [-2.0], [0.5]])
    ds = td.data.from_arrays(X, y).shuffle().batch(50)
    model = Model()
    model.scale.adapt(ds, path=0)
    before = np.asarray(model.scale.mean)
    history = td.fit(model, ds, loss="mse", optimizer=td.optim.Adam(0.1), epochs=30, verbose=False)
    assert history["loss"][-1] < 1e-3
    assert set(model.parameters()) == {"dense.kernel", "dense.bias"}
    np.testing.assert_array_equal(model.scale.mean, before)
    td.save(model, tmp_path / "model.safetensors")
    other = Model()
    td.load(tmp_path / "model.safetensors", other)
    np.testing.assert_array_equal(other(td.asarray(X)), model(td.asarray(X)))


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "cé", "", "d d"]), max_size=6), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_vocabulary(sentences: list[list[str]], at_least: int) -> None:
    flat = [t for s in sentences for t in s if t]
    kept = sorted({t for t in flat if flat.count(t) >= at_least}, key=lambda t: (-flat.count(t), t))
    vocabulary = td.data.Vocabulary(at_least=at_least)
    if not kept:
        with pytest.raises(ArgumentError, match="there are none"):
            vocabulary.adapt(td.data.from_arrays(sentences))
        return
    vocabulary.adapt(td.data.from_arrays(sentences))
    assert list(vocabulary.tokens) == kept
    for sentence in sentences:
        numbers = vocabulary(sentence)
        assert numbers.dtype == np.int32
        assert numbers.tolist() == [0 if t == "" else kept.index(t) + 2 if t in kept else 1 for t in sentence]
        back = vocabulary.decode(numbers).tolist()
        assert back == [t if t in kept or t == "" else "?" for t in sentence]


def test_vocabulary_in_chains_and_files(tmp_path: Path) -> None:
    ds = td.data.from_arrays(["the cat", "the dog sat", ""]).map(str.split)
    vocabulary = td.data.Vocabulary(limit=3).adapt(ds)
    assert vocabulary.tokens == ("the", "cat", "dog")
    batch = ds.map(vocabulary).padded_batch(3)[0]
    assert batch.values.tolist() == [[2, 3, 0], [2, 4, 1], [0, 0, 0]]
    assert vocabulary(np.array([["the", "x"], ["", "dog"]], object)).tolist() == [[2, 1], [0, 4]]
    assert [v.tolist() for v in vocabulary(ds.columns())] == [[2, 3], [2, 4, 1], []]
    td.save(vocabulary, tmp_path / "v.safetensors")
    fresh = td.data.Vocabulary()
    with pytest.raises(BuildError, match="no list yet"):
        fresh("the")
    td.load(tmp_path / "v.safetensors", fresh)
    assert fresh.tokens == vocabulary.tokens
    td.save(td.data.Vocabulary(["q", "r"]), tmp_path / "w.safetensors")
    assert len(td.data.Vocabulary(["q", "r"])) == 4
    for call, words in (
        (lambda: td.data.Vocabulary(["a", "a"]), "one occurs twice"),
        (lambda: td.data.Vocabulary([""]), "'' cannot be one"),
        (lambda: td.data.Vocabulary(limit=0), "at least 1"),
        (lambda: td.data.Vocabulary().adapt(np.arange(3)), "takes texts"),
        (lambda: vocabulary.decode([5]), "numbers from 0 to 4, not 5"),
    ):
        with pytest.raises(ArgumentError, match=words):
            call()


def test_hashing() -> None:
    layer = td.data.Hashing(50, seed=3)
    numbers = layer([f"t{i}" for i in range(5000)])
    assert numbers.min() == 0
    assert numbers.max() == 49
    counts = np.bincount(numbers)
    assert ((counts - 100) ** 2 / 100).sum() < 85.4  # chi-squared with 49 degrees of freedom, one seed in a thousand
    assert (
        layer(td.asarray([1, 2, 1])).tolist() == layer(np.array([1, 2, 1])).tolist() == layer(["1", "2", "1"]).tolist()
    )
    assert not np.array_equal(numbers, td.data.Hashing(50, seed=4)([f"t{i}" for i in range(5000)]))
    # Written down once: a model that was trained with these numbers needs them for ever.
    assert td.data.Hashing(1000)(["treadle", ""]).tolist() == HASHES


HASHES = [865, 36]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: td.data.OneHot()(td.asarray([1])), ArgumentError, r"OneHot\(10\), or adapt"),
        (lambda: td.data.OneHot(3)(td.asarray([1.0])), DTypeError, "takes integers"),
        (lambda: td.data.OneHot(0), ArgumentError, "at least one class"),
        (lambda: td.data.Quantiles(1), ArgumentError, "2 <= count"),
        (lambda: td.data.Discretize(5, limit=3), ArgumentError, "2 <= bins <= limit"),
        (lambda: td.data.Hashing(0), ArgumentError, "at least one bin"),
        (lambda: td.data.Resize(0, 3), ArgumentError, "at least 1"),
        (lambda: td.data.Resize(2, 3, "cubic"), ArgumentError, '"linear" or "nearest"'),
        (lambda: td.data.Resize(2, 3)(td.zeros((4, 4))), ShapeError, "height, width, channels"),
    ],
)
def test_what_cannot_be(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_texts_in_a_map_that_fails_are_told() -> None:
    ds = td.data.from_arrays(np.arange(3)).map(td.data.Vocabulary())
    with pytest.raises(DataError, match=r"step 1, map\(Vocabulary\), at element 0: Vocabulary has no list yet"):
        list(ds)
