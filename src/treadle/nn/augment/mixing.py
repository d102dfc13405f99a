"""Parts of images erased, or of another image: `random_erasing`, `mixup`, `cutmix`."""

from __future__ import annotations

import math
from typing import Any

from treadle import array as xp
from treadle import random
from treadle.array.convert import as_tensor
from treadle.core.dims import same_size
from treadle.core.dtypes import float32
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.augment.checks import beta, images, interval, positive, probability, uniform


def random_erasing(
    key: Tensor,
    x: Any,
    p: float = 0.5,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: tuple[float, float] = (0.3, 3.3),
    fill: float = 0.0,
) -> Tensor:
    """A rectangle of each image, at a random place, replaced by `fill`, with probability p.

    x `[batch, height, width, channels]`, any dtype → the same.

    Args:
        area: the rectangle's part of the image: uniform between these.
        aspect: its height divided by its width: between these, its logarithm uniform. What does not fit is cut.

    Raises:
        ArgumentError: a range that is none.

    Source: Zhong et al., Random erasing data augmentation (AAAI 2020).

    >>> x = td.ones((2, 8, 8, 1))
    >>> td.sum(td.nn.augment.random_erasing(td.random.key(0), x, p=1.0, area=(0.25, 0.25), aspect=(1, 1))).item()
    96.0
    """
    t = images(x, "random_erasing")
    check_erasing(p, area, aspect)
    keys = random.split(key, 4)
    batch, height, width, _ = t.shape
    part = uniform(keys[0], batch, *area)
    shape = xp.exp(uniform(keys[1], batch, math.log(aspect[0]), math.log(aspect[1])))
    h, w = (xp.asarray(n, dtype=float32) for n in (height, width))
    tall = xp.clip(xp.round(xp.sqrt(part * h * w * shape)), 1, h)
    broad = xp.clip(xp.round(xp.sqrt(part * h * w / shape)), 1, w)
    where = uniform(keys[2], batch, 0.0, 1.0), uniform(random.fold_in(keys[2], 1), batch, 0.0, 1.0)
    top = xp.floor(where[0] * (h - tall + 1))
    left = xp.floor(where[1] * (w - broad + 1))
    inside = _inside(t, top, left, tall, broad)
    return xp.where(inside & random.bernoulli(keys[3], p, (batch, 1, 1, 1)), fill, t)


def check_erasing(p: Any, area: Any, aspect: Any) -> None:
    """Raise where an argument is out of its range."""
    probability(p, "random_erasing")
    if interval(area, "random_erasing", "area", low=0.0)[1] > 1:
        raise ArgumentError(f"random_erasing: area is a part of the image, at most 1; got {area!r}")
    if interval(aspect, "random_erasing", "aspect", low=0.0)[0] == 0:
        raise ArgumentError(f"random_erasing: aspect is above 0; got {aspect!r}")


def _inside(x: Tensor, top: Tensor, left: Tensor, tall: Tensor, broad: Tensor) -> Tensor:
    """Which pixels `[batch, height, width, 1]` lie in each image's rectangle."""
    row = xp.arange(x.shape[1], dtype=float32)[None, :, None, None]
    column = xp.arange(x.shape[2], dtype=float32)[None, None, :, None]
    return (row >= top) & (row < top + tall) & (column >= left) & (column < left + broad)


def mixup(key: Tensor, x: Any, y: Any, alpha: float = 0.2) -> tuple[Tensor, Tensor]:
    """Each image blended with another one of the batch, and their targets in the same proportion.

    `m * x + (1 - m) * x[order]`, m drawn from Beta(alpha, alpha) for each image, the order at random.

    Args:
        x: `[batch, ...]` floating point.
        y: `[batch, ...]` floating point: probabilities of classes, as `td.data.OneHot` makes them, or numbers.
        alpha: > 0; small ones mix little.

    Raises:
        DTypeError: classes as integers, which cannot be blended.
        ShapeError: another number of targets than images.

    Source: Zhang et al., mixup: Beyond empirical risk minimization (ICLR 2018).

    >>> x, y = td.nn.augment.mixup(td.random.key(0), td.ones((4, 8, 8, 3)), td.eye(4))
    >>> x.shape, td.sum(y, axis=1).tolist()
    ((4, 8, 8, 3), [1.0, 1.0, 1.0, 1.0])
    """
    t, targets = _pair(x, y, "mixup")
    positive(alpha, "mixup", "alpha")
    first, second = random.split(key)
    order = random.permutation(second, t.shape[0])
    share = beta(first, alpha, t.shape[0])
    return _mixed(share, t, t[order]), _mixed(share, targets, targets[order])


def cutmix(key: Tensor, x: Any, y: Any, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """A rectangle of each image replaced by that of another one of the batch, and the targets mixed by area.

    The rectangle has the image's proportions and about `1 - m` of its area, m from Beta(alpha, alpha); its middle lies
    anywhere, what reaches beyond the border is cut, and the area that remains counts.

    Args, errors as `nn.augment.mixup`; x `[batch, height, width, channels]`, any dtype.

    Source: Yun et al., CutMix (ICCV 2019).

    >>> x, y = td.nn.augment.cutmix(td.random.key(0), td.ones((4, 8, 8, 3)), td.eye(4))
    >>> x.shape, td.sum(y, axis=1).tolist()
    ((4, 8, 8, 3), [1.0, 1.0, 1.0, 1.0])
    """
    t = images(x, "cutmix")
    t, targets = _pair(t, y, "cutmix", floating=False)
    positive(alpha, "cutmix", "alpha")
    keys = random.split(key, 4)
    batch = t.shape[0]
    order = random.permutation(keys[1], batch)
    side = xp.sqrt(1 - beta(keys[0], alpha, batch))
    edges = []
    for k, n in zip(keys[2:], t.shape[1:3], strict=True):
        size = xp.asarray(n, dtype=float32)
        length = xp.round(side * size)
        middle = xp.floor(uniform(k, batch, 0.0, 1.0) * size)
        start = middle - xp.floor(length / 2)
        low, high = xp.clip(start, 0, size), xp.clip(start + length, 0, size)
        edges.append((low, high - low, size))
    (top, tall, height), (left, broad, width) = edges
    share = 1 - tall * broad / (height * width)
    inside = _inside(t, top, left, tall, broad)
    return xp.where(inside, t[order], t), _mixed(share, targets, targets[order])


def _mixed(share: Tensor, x: Tensor, other: Tensor) -> Tensor:
    m = xp.reshape(share, (share.shape[0], *(1,) * (x.ndim - 1))).astype(x.dtype)
    return m * x + (1 - m) * other


def _pair(x: Any, y: Any, name: str, *, floating: bool = True) -> tuple[Tensor, Tensor]:
    t, targets = as_tensor(x, name), as_tensor(y, name)
    if floating and not t.dtype.is_floating:
        raise DTypeError(f"{name} blends floating point, and x is {t.spec}; td.data.Rescale() makes 0..1 of uint8")
    if not targets.dtype.is_floating:
        raise DTypeError(
            f"{name} blends targets, and y is {targets.spec}: classes as numbers cannot be blended. Give their "
            "probabilities: td.data.OneHot(classes)(y), with the loss categorical_crossentropy"
        )
    if t.ndim < 1 or targets.ndim < 1 or not same_size(t.shape[0], targets.shape[0]):
        raise ShapeError(
            f"{name}: x {show_shape(t.shape)} and y {show_shape(targets.shape)} have other numbers of rows"
        )
    return t, targets
