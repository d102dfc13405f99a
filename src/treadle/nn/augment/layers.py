"""Augmentations as layers: they change images in training, and are the identity else."""

from __future__ import annotations

from abc import abstractmethod

from treadle import array as xp
from treadle import random
from treadle.core.tensor import Tensor
from treadle.nn.augment import checks, color, geometry, mixing
from treadle.nn.calls import is_training
from treadle.nn.module import Module
from treadle.nn.spatial import check_data_format, per_axis


class _Augmentation(Module):
    """Active in training alone. Its random stream is saved with the model."""

    def _set(self, seed: int | None, data_format: str | None = None) -> None:
        self.data_format = check_data_format(data_format)
        self.stream = random.Stream(random.default_stream().next_seed() if seed is None else seed)


class _OfImages(_Augmentation):
    def __call__(self, x: Tensor) -> Tensor:
        first = self.data_format == "channels_first" and x.ndim == 4
        y = xp.moveaxis(x, 1, -1) if first else x
        y = self._changed(self.stream.next_key(), y) if is_training() else self._unchanged(y)
        return xp.moveaxis(y, -1, 1) if first else y

    @abstractmethod
    def _changed(self, key: Tensor, x: Tensor) -> Tensor:
        """In training; channels last."""

    def _unchanged(self, x: Tensor) -> Tensor:
        """Else."""
        return x


class RandomFlip(_OfImages):
    """While training, mirrors each image with probability p (`nn.augment.random_flip`); else the identity.

    Args:
        direction: "horizontal", "vertical" or "both".
        seed: of the layer's random stream; None takes one from `td.random.default_stream()`.
        data_format: "channels_last" (None) or "channels_first".

    >>> layer = td.nn.RandomFlip(seed=0)
    >>> x = td.reshape(td.arange(8.0), (4, 1, 2, 1))
    >>> sorted(layer(x, training=True)[:, 0, 0, 0].tolist()) == layer(x)[:, 0, 0, 0].tolist()
    False
    """

    def __init__(
        self, direction: str = "horizontal", p: float = 0.5, seed: int | None = None, data_format: str | None = None
    ) -> None:
        geometry.check_direction(direction)
        self.direction, self.p = direction, checks.probability(p, "RandomFlip")
        self._set(seed, data_format)

    def _changed(self, key: Tensor, x: Tensor) -> Tensor:
        return geometry.random_flip(key, x, self.direction, self.p)


class RandomCrop(_OfImages):
    """While training a part of each image from a random place (`nn.augment.random_crop`), else from the middle.

    Args:
        size, padding: as there.
        seed, data_format: as for `nn.RandomFlip`.

    >>> td.nn.RandomCrop(24)(td.zeros((2, 28, 28, 1))).shape
    (2, 24, 24, 1)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int | tuple[int, int] = 0,
        seed: int | None = None,
        data_format: str | None = None,
    ) -> None:
        self.size, self.padding = per_axis("size", size, 2), per_axis("padding", padding, 2, low=0)
        self._set(seed, data_format)

    def _changed(self, key: Tensor, x: Tensor) -> Tensor:
        return geometry.random_crop(key, x, (self.size[0], self.size[1]), (self.padding[0], self.padding[1]))

    def _unchanged(self, x: Tensor) -> Tensor:
        x = checks.images(x, "RandomCrop")
        sizes, border = geometry.crop_sizes(
            x, (self.size[0], self.size[1]), (self.padding[0], self.padding[1]), "RandomCrop"
        )
        wide = xp.pad(x, ((0, 0), *((b, b) for b in border), (0, 0))) if any(border) else x
        first = [(n - m) // 2 for n, m in zip(wide.shape[1:3], sizes, strict=True)]
        return wide[:, first[0] : first[0] + sizes[0], first[1] : first[1] + sizes[1]]


class RandomAffine(_OfImages):
    """While training, turns, scales, shears and moves each image (`nn.augment.random_affine`); else the identity.

    Args:
        degrees, translate, scale, shear, fill: as there.
        seed, data_format: as for `nn.RandomFlip`.

    >>> td.nn.RandomAffine(10, translate=0.1)(td.zeros((2, 8, 8, 1)), training=True).shape
    (2, 8, 8, 1)
    """

    def __init__(
        self,
        degrees: float = 0.0,
        translate: float | tuple[float, float] = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
        fill: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
    ) -> None:
        self.translate = geometry.check_affine(degrees, translate, scale, shear)
        self.degrees, self.scale, self.shear, self.fill = degrees, scale, shear, fill
        self._set(seed, data_format)

    def _changed(self, key: Tensor, x: Tensor) -> Tensor:
        return geometry.random_affine(key, x, self.degrees, self.translate, self.scale, self.shear, self.fill)


class ColorJitter(_OfImages):
    """While training, changes light and colours of each image (`nn.augment.color_jitter`); else the identity.

    Args:
        brightness, contrast, saturation, hue: as there.
        seed, data_format: as for `nn.RandomFlip`.

    >>> td.nn.ColorJitter(0.2, 0.2, 0.2, 0.1)(td.zeros((2, 8, 8, 3)), training=True).shape
    (2, 8, 8, 3)
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
    ) -> None:
        color.check_jitter(brightness, contrast, saturation, hue)
        self.strengths = brightness, contrast, saturation, hue
        self._set(seed, data_format)

    def _changed(self, key: Tensor, x: Tensor) -> Tensor:
        return color.color_jitter(key, x, *self.strengths)


class RandomErasing(_OfImages):
    """While training, erases a rectangle of each image with probability p (`nn.augment.random_erasing`).

    Args:
        p, area, aspect, fill: as there.
        seed, data_format: as for `nn.RandomFlip`.

    >>> td.nn.RandomErasing()(td.ones((2, 8, 8, 1))).shape
    (2, 8, 8, 1)
    """

    def __init__(
        self,
        p: float = 0.5,
        area: tuple[float, float] = (0.02, 0.33),
        aspect: tuple[float, float] = (0.3, 3.3),
        fill: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
    ) -> None:
        mixing.check_erasing(p, area, aspect)
        self.p, self.area, self.aspect, self.fill = p, area, aspect, fill
        self._set(seed, data_format)

    def _changed(self, key: Tensor, x: Tensor) -> Tensor:
        return mixing.random_erasing(key, x, self.p, self.area, self.aspect, self.fill)


class MixUp(_Augmentation):
    """While training, blends images and their targets (`nn.augment.mixup`): `x, y = layer(x, y)`; else the identity.

    Args:
        alpha: as there.
        seed: as for `nn.RandomFlip`.

    >>> x, y = td.nn.MixUp()(td.ones((2, 8, 8, 1)), td.eye(2), training=True)
    >>> y.shape
    (2, 2)
    """

    def __init__(self, alpha: float = 0.2, seed: int | None = None) -> None:
        self.alpha = checks.positive(alpha, "MixUp", "alpha")
        self._set(seed)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return mixing.mixup(self.stream.next_key(), x, y, self.alpha) if is_training() else (x, y)


class CutMix(_Augmentation):
    """While training, puts parts of images into others (`nn.augment.cutmix`): `x, y = layer(x, y)`; else the identity.

    Args:
        alpha: as there.
        seed: as for `nn.RandomFlip`.

    >>> x, y = td.nn.CutMix()(td.ones((2, 8, 8, 1)), td.eye(2), training=True)
    >>> y.shape
    (2, 2)
    """

    def __init__(self, alpha: float = 1.0, seed: int | None = None) -> None:
        self.alpha = checks.positive(alpha, "CutMix", "alpha")
        self._set(seed)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return mixing.cutmix(self.stream.next_key(), x, y, self.alpha) if is_training() else (x, y)
