"""Images to a few numbers and back: `Autoencoder`, `VAE`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from treadle import array as xp
from treadle import random
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.nn.calls import is_training
from treadle.nn.conv_transpose import Conv2DTranspose
from treadle.nn.convolution import Conv2D
from treadle.nn.dense import Dense
from treadle.nn.losses import binary_crossentropy
from treadle.nn.models.blocks import images
from treadle.nn.module import Module
from treadle.nn.sequential import Sequential
from treadle.nn.shaping import Flatten, Reshape
from treadle.nn.spatial import axis_names


class _Image(NamedTuple):
    height: int
    width: int
    channels: int
    data_format: str


def _encoder(filters: Sequence[int], size: int) -> Sequential:
    """Each convolution halves the image."""
    convs = [Conv2D(f, 3, strides=2, padding="same", activation="relu") for f in filters]
    return Sequential([*convs, Flatten(), Dense(size)])


def _decoder(image: _Image, filters: Sequence[int]) -> Sequential:
    """Each transposed convolution doubles the image."""
    small = image.height >> len(filters), image.width >> len(filters)
    target = (*small, filters[-1]) if image.data_format == "channels_last" else (filters[-1], *small)
    layers: list[Any] = [Dense(math.prod(target), "relu"), Reshape(target)]
    layers += [Conv2DTranspose(f, 3, strides=2, padding="same", activation="relu") for f in list(filters)[-2::-1]]
    return Sequential([*layers, Conv2DTranspose(image.channels, 3, strides=2, padding="same")])


def _checked(image_shape: Sequence[int], filters: Sequence[int], data_format: str, name: str) -> _Image:
    if len(image_shape) != 3 or not filters:
        axes = ", ".join(axis_names(2, data_format)[1:])
        raise ArgumentError(
            f"{name} takes image_shape=({axes}) and the filters of one convolution or more; got {image_shape!r} and "
            f"{filters!r}"
        )
    a, b, c = image_shape
    image = _Image(a, b, c, data_format) if data_format == "channels_last" else _Image(b, c, a, data_format)
    step = 1 << len(filters)
    if image.height % step or image.width % step:
        raise ArgumentError(
            f"{name}: {len(filters)} convolutions halve images of {image.height}×{image.width}, which are no multiples "
            f"of 2**{len(filters)} = {step}"
        )
    return image


class Autoencoder(Module):
    """Images to `latent` numbers and back: `decoder(encoder(x))`, to be trained to give x.

    Shapes: x `[batch, *image_shape]` → logits `[batch, *image_shape]`, for pixels in 0..1 with the loss
    "binary_crossentropy", or any numbers with "mse"; `encode` → `[batch, latent]`.

    Args:
        image_shape: (height, width, channels), sizes multiples of `2**len(filters)`.
        latent: how many numbers stand for an image.
        filters: of the convolutions, each of which halves the image.
        data_format: "channels_last" or "channels_first", `[batch, channels, height, width]` and so image_shape, with
            the same parameters. None is that of `nn.Conv2D`, which `nn.defaults` may change.

    >>> model = td.nn.models.Autoencoder((8, 8, 1), latent=2, filters=(4, 8))
    >>> model(td.zeros((3, 8, 8, 1))).shape, model.encode(td.zeros((3, 8, 8, 1))).shape
    ((3, 8, 8, 1), (3, 2))
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent: int = 16,
        filters: Sequence[int] = (32, 64),
        data_format: str | None = None,
    ) -> None:
        with images(data_format) as form:
            image = _checked(image_shape, filters, form, "Autoencoder")
            self.encoder = _encoder(filters, latent)
            self.decoder = _decoder(image, filters)

    def encode(self, x: Tensor) -> Tensor:
        """`[batch, latent]`."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Logits `[batch, *image_shape]`."""
        return self.decoder(z)

    def __call__(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Latent(NamedTuple):
    """What a `VAE` returns: logits of the image, and mean and log of the variance of its latent numbers."""

    logits: Tensor
    mean: Tensor
    log_variance: Tensor


class VAE(Module):
    """A variational autoencoder: an image becomes a normal distribution over `latent` numbers, near the standard one.

    While training the decoder gets a sample of it, else its mean. Train it with `loss=td.nn.models.negative_elbo` on
    pairs `(x, x)`; `decode(td.random.normal(key, (n, latent)))` makes new images.

    Shapes: x `[batch, *image_shape]` in 0..1 → `Latent`: `logits` `[batch, *image_shape]`, `mean` and `log_variance`
    `[batch, latent]`.

    Args:
        image_shape, latent, filters, data_format: as for `nn.models.Autoencoder`.
        seed: of the samples' random stream; None takes one from `td.random.default_stream()`.

    Source: Kingma, Welling, Auto-encoding variational Bayes (ICLR 2014).

    >>> model = td.nn.models.VAE((8, 8, 1), latent=2, filters=(4, 8))
    >>> out = model(td.zeros((3, 8, 8, 1)))
    >>> out.logits.shape, out.mean.shape
    ((3, 8, 8, 1), (3, 2))
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent: int = 16,
        filters: Sequence[int] = (32, 64),
        seed: int | None = None,
        data_format: str | None = None,
    ) -> None:
        with images(data_format) as form:
            image = _checked(image_shape, filters, form, "VAE")
            self.encoder = _encoder(filters, 2 * latent)
            self.decoder = _decoder(image, filters)
        self.stream = random.Stream(random.default_stream().next_seed() if seed is None else seed)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log of the variance, `[batch, latent]` each."""
        mean, log_variance = xp.split(self.encoder(x), 2, axis=-1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Logits `[batch, *image_shape]`; `td.sigmoid` makes pixels of them."""
        return self.decoder(z)

    def __call__(self, x: Tensor) -> Latent:
        mean, log_variance = self.encode(x)
        z = mean
        if is_training():
            z = mean + xp.exp(0.5 * log_variance) * self.stream.normal(mean.shape).astype(mean.dtype)
        return Latent(self.decode(z), mean, log_variance)


def negative_elbo(prediction: Latent, target: Any, *, beta: float = 1.0) -> Tensor:
    """The loss of a `VAE`, in nats: cross-entropy of the pixels, and beta times the divergence from a standard normal.

    `sum over pixels of crossentropy(logits, x) + beta * sum(mean² + variance - log(variance) - 1) / 2`, the mean over
    images. With beta = 1 it is an upper bound of -log p(x).

    Args:
        prediction: of a VAE.
        target: the images, in 0..1, of the logits' shape.
        beta: >= 0.

    Raises:
        ShapeError: the shapes differ.

    >>> zero = td.zeros((1, 2))
    >>> same = td.nn.models.Latent(td.zeros((1, 2, 2, 1)), zero, zero)
    >>> round(td.nn.models.negative_elbo(same, td.ones((1, 2, 2, 1))).item(), 4)  # 4 log 2
    2.7726

    Source: Kingma, Welling, appendix B; beta: Higgins et al., beta-VAE (ICLR 2017).
    """
    if not beta >= 0:
        raise ArgumentError(f"beta is the weight of the divergence, at least 0; got {beta!r}")
    logits, mean, log_variance = prediction
    pixels = binary_crossentropy(logits, target, from_logits=True, reduction="none")
    reconstruction = xp.sum(pixels, axis=tuple(range(1, pixels.ndim)))
    divergence = 0.5 * xp.sum(mean * mean + xp.exp(log_variance) - log_variance - 1, axis=-1)
    return xp.mean(reconstruction + beta * divergence)
