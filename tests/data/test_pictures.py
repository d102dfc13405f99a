"""Decoding and resizing pictures, against Pillow's own resampling of Pillow's own decoding."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.backends.native import resampling
from treadle.core.errors import MissingExtraError
from treadle.data import _pictures
from treadle.nn.resizing import resize_weights

image_of = pytest.importorskip("PIL.Image")
BILINEAR = image_of.Resampling.BILINEAR


def by_pillow(picture: Any, size: tuple[int, int]) -> Any:
    channels = picture.shape[2]
    image = image_of.fromarray(picture if channels > 1 else picture[..., 0])
    return np.asarray(image.resize(size[::-1], BILINEAR)).reshape(*size, channels)


def off(got: Any, want: Any) -> Any:
    return np.abs(got.astype(int) - want.astype(int))


def photo() -> Any:
    from sklearn.datasets import load_sample_image

    return load_sample_image("flower.jpg")


def jpeg(picture: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    image_of.fromarray(picture).save(out, "jpeg", **options)
    return out.getvalue()


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from([1, 3, 4]),
    st.integers(0, 2**32 - 1),
)
def test_any_size_is_as_pillow_makes_it(old: tuple[int, int], new: tuple[int, int], channels: int, seed: int) -> None:
    # Noise of the two extremes: what is rounded wrongly, or runs over, shows.
    picture = np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), (*old, channels))
    got = _pictures.resized(picture, new)
    assert got.shape == (*new, channels)
    assert off(got, by_pillow(picture, new)).max(initial=0) <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("new", [(224, 224), (500, 700), (40, 640), (9, 12)])
def test_a_photo_is_one_off_at_most(channels: int, new: tuple[int, int]) -> None:
    picture = np.ascontiguousarray(photo()[..., :channels])
    difference = off(_pictures.resized(picture, new), by_pillow(picture, new))
    assert difference.max() <= 1
    assert difference.mean() < 0.2


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_one_colour_stays_it(value: int) -> None:
    picture = np.full((97, 131, 3), value, np.uint8)
    for size in ((31, 29), (97, 20), (200, 300)):
        assert (_pictures.resized(picture, size) == value).all()


def test_nothing_is_written_beside_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    rows = resampling.of_rows(resize_weights(40, 17, antialias=True))
    columns = resampling.of_columns(resize_weights(50, 13, antialias=True), 3)
    memory = np.full(17 * 13 * 3 + 128, 77, np.uint8)
    resampling.resample(picture, memory[64:-64].reshape(17, 13, 3), rows, columns)
    assert (memory[:64] == 77).all()
    assert (memory[-64:] == 77).all()
    assert off(memory[64:-64].reshape(17, 13, 3), by_pillow(picture, (17, 13))).max() <= 1


def test_the_weights_of_a_point_add_up_to_one() -> None:
    for old, new in ((500, 224), (224, 500), (97, 96), (4000, 256)):
        dense = resize_weights(old, new, antialias=True)
        assert (resampling.of_rows(dense).weights.sum(axis=1) == 1 << resampling.ROWS).all()
        assert (resampling.of_columns(dense, 3).weights[:, :, :3].sum(axis=(1, 3)) == 1 << resampling.COLUMNS).all()


def test_few_points_or_many_for_each_are_left_to_pillow() -> None:
    def fits(old: tuple[int, int], new: tuple[int, int]) -> bool:
        down = resize_weights(old[0], new[0], antialias=True)
        across = resize_weights(old[1], new[1], antialias=True)
        return resampling.fits(resampling.of_rows(down), resampling.of_columns(across, 3), 3)

    assert fits((375, 500), (224, 224))
    assert not fits((375, 3), (224, 2))
    assert not fits((1, 500), (1, 224))
    assert not fits((375, 500), (10, 12))  # 75 rows for each new one


@pytest.mark.parametrize("size", [(224, 224), (213, 320), (100, 160), (53, 80), (20, 30), (427, 640), (600, 900)])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpegs_are_decoded_at_the_scale_that_pillow_chooses(size: tuple[int, int], subsampling: int) -> None:
    pytest.importorskip("simplejpeg")
    data = jpeg(photo(), quality=90, subsampling=subsampling)
    image = image_of.open(io.BytesIO(data))
    image.draft("RGB", size[::-1])
    want = np.asarray(image.resize(size[::-1], BILINEAR))
    assert off(_pictures.decode_image(data, "RGB", size), want).max() <= 1


def test_the_fast_way_differs_little_and_only_where_asked_for() -> None:
    pytest.importorskip("simplejpeg")
    data = jpeg(photo(), quality=90)
    exact = _pictures.decode_image(data, "RGB", (224, 224))
    fast = _pictures.decode_image(data, "RGB", (224, 224), exact=False)
    difference = off(fast, exact)
    assert 0 < difference.mean() < 1.5
    assert np.quantile(difference, 0.99) <= 5


def test_pictures_of_one_thread_do_not_get_into_anothers() -> None:
    data = [jpeg(np.roll(photo(), 50 * k, axis=1)) for k in range(8)]
    alone = [_pictures.decode_image(d, "RGB", (64, 96)) for d in data]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, want in zip(
                pool.map(lambda d: _pictures.decode_image(d, "RGB", (64, 96)), data), alone, strict=True
            ):
                np.testing.assert_array_equal(got, want)


def test_exact_false_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_of.new("RGB", (40, 30), "red").save(tmp_path / "1.jpg")
    fast = td.data.from_images(tmp_path / "1.jpg", size=(20, 20), exact=False)
    assert off(fast[0], np.broadcast_to(np.uint8([254, 0, 0]), (20, 20, 3))).max() <= 2

    monkeypatch.setitem(sys.modules, "simplejpeg", None)  # importing it now fails
    with pytest.raises(MissingExtraError, match="simplejpeg"):
        td.data.from_images(tmp_path / "1.jpg", exact=False)
