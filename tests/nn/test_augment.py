"""Augmentations against SciPy, Pillow, colorsys and loops; that they are per example, seeded, and off by default."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, DTypeError, ShapeError

augment = nn.augment
KEY = td.random.key(3)
X = td.asarray(np.random.default_rng(0).uniform(0, 1, (16, 9, 7, 3)).astype(np.float32))
ONE_HOT = td.eye(16)

FUNCTIONS: dict[str, Callable[[td.Tensor, td.Tensor], td.Tensor]] = {
    "flip": lambda k, x: augment.random_flip(k, x, "both"),
    "crop": lambda k, x: augment.random_crop(k, x, (6, 5), padding=2),
    "affine": lambda k, x: augment.random_affine(k, x, 40, 0.2, (0.7, 1.4), 20),
    "jitter": lambda k, x: augment.color_jitter(k, x, 0.3, 0.3, 0.3, 0.2),
    "erasing": lambda k, x: augment.random_erasing(k, x, p=1.0),
    "mixup": lambda k, x: augment.mixup(k, x, td.mean(x, axis=(1, 2)), alpha=1.0)[0],
    "cutmix": lambda k, x: augment.cutmix(k, x, td.mean(x, axis=(1, 2)))[0],
}
every = pytest.mark.parametrize("name", FUNCTIONS)


@every
def test_same_key_same_images_compiled_or_not(name: str) -> None:
    f = FUNCTIONS[name]
    y = f(KEY, X)
    np.testing.assert_array_equal(f(KEY, X).numpy(), y.numpy())
    np.testing.assert_allclose(td.compile(f)(KEY, X).numpy(), y.numpy(), rtol=1e-5, atol=1e-5)
    assert (f(td.random.key(4), X).numpy() != y.numpy()).any()
    assert y.dtype is td.float32


@every
def test_each_image_is_changed_by_itself(name: str) -> None:
    same = td.broadcast_to(X[:1], X.shape) if name not in ("mixup", "cutmix") else X
    y = FUNCTIONS[name](KEY, same).numpy()
    changed = {image.tobytes() for image in y}
    assert len(changed) >= (4 if name == "flip" else 14)  # there are four ways to mirror


@every
def test_vmap_over_keys(name: str) -> None:
    keys = td.random.split(KEY, 3)
    f = FUNCTIONS[name]
    expected = np.stack([f(k, X).numpy() for k in keys])
    np.testing.assert_allclose(td.vmap(f, (0, None))(keys, X).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["flip", "crop", "affine", "jitter", "erasing"])
def test_a_smaller_batch_is_the_beginning_of_a_larger_one(name: str) -> None:
    y = FUNCTIONS[name](KEY, X).numpy()
    np.testing.assert_allclose(FUNCTIONS[name](KEY, X[:5]).numpy(), y[:5], rtol=1e-5, atol=1e-6)


@every
def test_batches_of_unknown_size(name: str) -> None:
    run = td.compile(FUNCTIONS[name], dynamic={"x": ("batch", None, None, None)})
    for n in (16, 3):
        np.testing.assert_allclose(run(KEY, X[:n]).numpy(), FUNCTIONS[name](KEY, X[:n]).numpy(), rtol=1e-5, atol=1e-5)
    assert run.traces == 1


def test_flips_are_flips_and_half_of_the_images() -> None:
    x = td.asarray(np.random.default_rng(0).integers(0, 256, (400, 3, 2, 1)).astype(np.uint8))
    y, original = augment.random_flip(KEY, x).numpy(), x.numpy()
    turned = (y != original).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(y[turned], original[turned][:, :, ::-1])
    assert 160 < turned.sum() < 240  # 200 ± 4 deviations of 10, and a few that are the same in the mirror
    up = augment.random_flip(KEY, x, "vertical", p=1.0).numpy()
    np.testing.assert_array_equal(up, original[:, ::-1])


def test_crops_are_parts_of_the_padded_image_and_reach_all_of_it() -> None:
    image = np.arange(1, 25, dtype=np.int32).reshape(1, 4, 6, 1)
    y = augment.random_crop(KEY, td.asarray(np.repeat(image, 300, axis=0)), (3, 4), padding=(1, 2)).numpy()
    padded = np.pad(image[0, :, :, 0], ((1, 1), (2, 2)))
    parts = {padded[i : i + 3, j : j + 4].tobytes(): (i, j) for i in range(4) for j in range(7)}
    found = [parts[part[..., 0].tobytes()] for part in y]
    assert len(set(found)) == 28


@pytest.mark.parametrize("fill", [0.0, 0.25])
def test_affine_against_scipy(fill: float) -> None:
    rng = np.random.default_rng(1)
    x = td.asarray(rng.uniform(0, 1, (6, 9, 7, 2)))
    matrices = np.eye(2, 3) + rng.standard_normal((6, 2, 3)) * [0.4, 0.4, 2.0]
    y = augment.affine(x, td.asarray(matrices), fill).numpy()
    middle = np.array([4.0, 3.0])
    for image, m, result in zip(x.numpy(), matrices, y, strict=True):
        offset = m[:, 2] + middle - m[:, :2] @ middle
        for c in range(2):
            expected = scipy.ndimage.affine_transform(
                image[..., c], m[:, :2], offset, order=1, mode="grid-constant", cval=fill
            )
            # The matrix, and so each place, is float32: a pixel is off by up to 1e-6 of the slope.
            np.testing.assert_allclose(result[..., c], expected, atol=1e-5)


def test_a_quarter_turn_and_places_far_away() -> None:
    x = X[:, :7]  # square
    np.testing.assert_allclose(
        augment.affine(x, [[0, 1, 0], [-1, 0, 0]]).numpy(), np.rot90(x.numpy(), axes=(1, 2)), atol=1e-5
    )
    assert not augment.affine(x, [[1e12, 0, 0], [0, 1, 1e15]]).numpy()[:, 0].any()


def test_random_affine_turns_about_the_middle_as_pillow_does() -> None:
    image = np.zeros((33, 33), np.float32)
    image[8:20, 10:24] = np.linspace(0, 1, 14)
    y = augment.random_affine(KEY, td.asarray(image[None, :, :, None]), degrees=90).numpy()[0, :, :, 0]
    angles = np.arange(-90, 90.1, 0.25)
    turned = [np.asarray(Image.fromarray(image).rotate(a, Image.Resampling.BILINEAR)) for a in angles]
    errors = [np.abs(t - y)[4:-4, 4:-4].mean() for t in turned]
    assert min(errors) < 2e-3 < np.median(errors)


def test_random_affine_scales_moves_and_shears_within_its_ranges() -> None:
    x = td.zeros((200, 41, 41, 1)).at[:, 20, 20].set(1.0)
    row, column = np.mgrid[:41, :41]

    def middles(y: np.ndarray) -> np.ndarray:
        mass = y[..., 0] / y[..., 0].sum(axis=(1, 2), keepdims=True)
        return np.stack([(mass * g).sum(axis=(1, 2)) for g in (row, column)], axis=-1) - 20

    moved = middles(augment.random_affine(KEY, x, translate=(0.1, 0.2)).numpy())
    assert (np.abs(moved) <= [4.1 + 1e-3, 8.2 + 1e-3]).all()
    assert (np.abs(moved).max(axis=0) > [3.5, 7.0]).all()
    assert np.abs(middles(augment.random_affine(KEY, x, 180, shear=30, scale=(0.9, 1.1)).numpy())).max() < 1e-3
    square = td.zeros((200, 41, 41, 1)).at[:, 15:26, 15:26].set(1.0)  # 121 pixels
    areas = augment.random_affine(KEY, square, 45, scale=(0.8, 1.5)).numpy().sum(axis=(1, 2, 3)) / 121
    assert areas.min() > 0.8**2 * 0.97
    assert areas.max() < 1.5**2 * 1.03
    assert areas.max() > 1.4**2
    sheared = augment.random_affine(KEY, square, shear=30).numpy().sum(axis=(1, 2, 3))
    np.testing.assert_allclose(sheared, 121, rtol=0.02)  # a shear keeps areas


def test_color_jitter_against_colorsys_and_by_hand() -> None:
    x = X.numpy().astype(np.float64)
    wide = td.asarray(x)
    bright = augment.color_jitter(KEY, wide, brightness=0.5).numpy()
    factor = (bright.sum(axis=-1) / x.sum(axis=-1)).min(axis=(1, 2))  # where nothing was cut; cut ones are less
    uncut = bright.max(axis=(1, 2, 3)) < 1
    assert uncut.any()
    np.testing.assert_allclose(bright[uncut], x[uncut] * factor[uncut][:, None, None, None], rtol=1e-6)
    grey = x @ [0.299, 0.587, 0.114]
    for name, other in (("contrast", grey.mean(axis=(1, 2))[:, None, None]), ("saturation", grey)):
        y = augment.color_jitter(KEY, wide, **{name: 0.5}).numpy()
        other = np.broadcast_to(other, grey.shape)[..., None]
        inner = (y > 0) & (y < 1) & (np.abs(x - other) > 0.05)
        share = np.where(inner, (y - other) / np.where(inner, x - other, 1), np.nan)
        low, high = np.nanmin(share, axis=(1, 2, 3)), np.nanmax(share, axis=(1, 2, 3))
        np.testing.assert_allclose(low, high, rtol=1e-6)  # one factor for each image
        assert (low >= 0.5).all()
        assert (high <= 1.5).all()
        assert np.ptp(low) > 0.3
    turned = augment.color_jitter(KEY, wide, hue=0.2).numpy()
    before, after = (np.apply_along_axis(lambda p: colorsys.rgb_to_hsv(*p), -1, images[:4]) for images in (x, turned))
    np.testing.assert_allclose(after[..., 1:], before[..., 1:], rtol=1e-9)
    steps = (after[..., 0] - before[..., 0] + 0.5) % 1 - 0.5
    assert np.ptp(steps, axis=(1, 2)).max() < 1e-6
    assert np.abs(steps).max() <= 0.2
    assert augment.color_jitter(KEY, td.full((1, 2, 2, 1), 0.5), brightness=0.1, contrast=0.1).shape == (1, 2, 2, 1)


def test_erasing_erases_rectangles_of_the_area_asked_for() -> None:
    x = td.ones((300, 20, 30, 2))
    y = augment.random_erasing(KEY, x, p=0.5, area=(0.1, 0.2), aspect=(0.5, 2.0), fill=7.0).numpy()
    hit = (y == 7).any(axis=(1, 2, 3))
    assert 110 < hit.sum() < 190
    for image in y[hit]:
        assert set(np.unique(image)) == {1.0, 7.0}
        rows, columns = np.nonzero(image[..., 0] == 7)
        box = (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1)
        assert box[0] * box[1] == len(rows)  # all of the rectangle
        assert 0.08 < len(rows) / 600 < 0.22  # sides are whole numbers of pixels
        assert 0.4 < box[0] / box[1] < 2.4


def test_mixup_blends_images_and_targets_alike() -> None:
    x, y = augment.mixup(KEY, X, ONE_HOT, alpha=1.0)
    np.testing.assert_allclose(y.numpy().sum(axis=1), 1, rtol=1e-6)
    # Each target's weights say which images were blended, and how much of each.
    np.testing.assert_allclose(x.numpy(), np.einsum("nm,mhwc->nhwc", y.numpy(), X.numpy()), rtol=1e-4, atol=1e-5)
    shares = y.numpy().diagonal()
    assert shares.min() < 0.3
    assert shares.max() > 0.7


def test_cutmix_targets_are_areas() -> None:
    images = td.broadcast_to(td.arange(16.0)[:, None, None, None], (16, 10, 12, 1))
    x, y = augment.cutmix(KEY, images, ONE_HOT)
    for n, (image, target) in enumerate(zip(x.numpy(), y.numpy(), strict=True)):
        for k in np.nonzero(target > 1e-6)[0]:
            assert abs((image == k).mean() - target[k]) < 1e-6
        rows, columns, _ = np.nonzero(image != n)
        assert len(rows) == 0 or len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert 0.2 < y.numpy().diagonal().mean() < 0.8


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 4.0])
def test_shares_of_mixup_have_the_moments_of_beta(alpha: float) -> None:
    x = td.ones((4000, 1)).at[:2000].set(0.0)
    _, shares = augment.mixup(KEY, x, td.eye(4000), alpha)
    own = shares.numpy().diagonal()
    assert abs(own.mean() - 0.5) < 0.03
    assert abs(own.var() - 1 / (4 * (2 * alpha + 1))) < 0.02


def test_layers_are_active_in_training_only_and_seeded() -> None:
    layers = [
        nn.RandomFlip("both", seed=1), nn.RandomAffine(20, seed=1), nn.ColorJitter(0.2, seed=1),
        nn.RandomErasing(1.0, seed=1), nn.RandomCrop((9, 7), padding=2, seed=1),
    ]  # fmt: skip
    for layer in layers:
        np.testing.assert_array_equal(layer(X).numpy(), X.numpy())
        a, b = layer(X, training=True).numpy(), layer(X, training=True).numpy()
        assert (a != X.numpy()).any()
        assert (a != b).any()
        layer.stream.reset(1)
        np.testing.assert_array_equal(layer(X, training=True).numpy(), a)
    for layer in (nn.MixUp(seed=0), nn.CutMix(seed=0)):
        assert layer(X, ONE_HOT) == (X, ONE_HOT)
        assert (layer(X, ONE_HOT, training=True)[1].numpy() != ONE_HOT.numpy()).any()
    middle = nn.RandomCrop((5, 3))(X)
    np.testing.assert_array_equal(middle.numpy(), X.numpy()[:, 2:7, 2:5])


def test_inside_of_fit_the_stream_moves_on_and_is_saved() -> None:
    td.random.set_seed(0)
    x = X.numpy()[:, :8, :, :1]
    model = nn.Sequential([nn.RandomFlip(seed=5), nn.RandomCrop(6, padding=1, seed=5), nn.Flatten(), nn.Dense(2)])
    td.fit(model, (x, np.arange(16) % 2), loss="sparse_categorical_crossentropy", optimizer="adam", batch_size=8,
           epochs=3, verbose=False)  # fmt: skip
    assert model.layers[0].stream.counter.item() == 6
    assert "layers.1.stream.counter" in model.states()


WRONG: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: augment.random_flip(KEY, X[0]), ShapeError, ["[batch, height, width, channels]", "x[None]"]),
    (lambda: augment.random_flip(KEY, X, "left"), ArgumentError, ["'horizontal', 'vertical', 'both'", "'left'"]),
    (lambda: nn.RandomFlip(p=2), ArgumentError, ["RandomFlip: p is a probability"]),
    (lambda: augment.random_crop(KEY, X, 12), ShapeError, ["height 12", "9 + 2 * 0 = 9", "padding=2"]),
    (lambda: nn.RandomCrop(12)(X), ShapeError, ["RandomCrop: parts of height 12"]),
    (lambda: augment.affine(X, np.eye(3)), ShapeError, ["[2, 3] or [batch, 2, 3]", "[3, 3]"]),
    (lambda: augment.affine(X.astype("uint8"), np.eye(2, 3)), DTypeError, ["floating point", "td.data.Rescale()"]),
    (lambda: nn.RandomAffine(-1), ArgumentError, ["degrees is the largest angle"]),
    (lambda: nn.RandomAffine(shear=90), ArgumentError, ["below 90"]),
    (lambda: nn.RandomAffine(scale=(1.2, 0.8)), ArgumentError, ["scale is (least, greatest)"]),
    (lambda: nn.RandomAffine(scale=(0, 1)), ArgumentError, ["scale is above 0"]),
    (lambda: nn.RandomAffine(translate=(0.1, 0.2, 0.3)), ArgumentError, ["fraction of height and width"]),
    (lambda: nn.ColorJitter(-0.1), ArgumentError, ["brightness is at least 0"]),
    (lambda: nn.ColorJitter(hue=0.7), ArgumentError, ["0 to 0.5 turns"]),
    (lambda: augment.color_jitter(KEY, X[..., :1], hue=0.1), ShapeError, ["has 1 channels", "leave them 0"]),
    (lambda: nn.RandomErasing(area=(0.5, 1.5)), ArgumentError, ["at most 1"]),
    (lambda: nn.RandomErasing(aspect=(0, 1)), ArgumentError, ["aspect is above 0"]),
    (lambda: augment.mixup(KEY, X, td.arange(16)), DTypeError, ["cannot be blended", "td.data.OneHot(classes)"]),
    (lambda: augment.mixup(KEY, X, td.eye(3)), ShapeError, ["[16, 9, 7, 3]", "[3, 3]"]),
    (lambda: nn.MixUp(0), ArgumentError, ["MixUp: alpha is a number above 0"]),
    (lambda: augment.cutmix(KEY, X[0], td.eye(9)), ShapeError, ["cutmix takes [batch, height"]),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG, ids=lambda v: None)
def test_message(call: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)
