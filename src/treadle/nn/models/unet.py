"""`UNet`: images to images."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.conv_transpose import Conv2DTranspose
from treadle.nn.convolution import Conv2D
from treadle.nn.models.blocks import ConvNorm, images
from treadle.nn.module import Module
from treadle.nn.pooling import MaxPooling2D
from treadle.nn.resizing import UpSampling2D
from treadle.nn.sequential import Sequential
from treadle.nn.spatial import axis_names, split_shape


class UNet(Module):
    """An encoder that halves the image `depth` times, a decoder that doubles it as often, and a bridge at each size.

    Shapes: x `[batch, height, width, channels]`, height and width multiples of `2**depth` → logits
    `[batch, height, width, classes]`.

    Args:
        classes: channels of the result: classes to segment into, or those of an image.
        width: channels at full size; doubled with each halving.
        depth: how often the image is halved.
        upsampling: "transposed" (a 2×2 transposed convolution), or "bilinear" and "nearest" (`nn.UpSampling2D` and a
            1×1 convolution), which leave no checkerboard.
        data_format: "channels_last" or "channels_first", `[batch, channels, height, width]`, with the same parameters.
            None is that of `nn.Conv2D`, which `nn.defaults` may change.

    Raises (at a call):
        ShapeError: height or width is no multiple of `2**depth`.

    Source: Ronneberger, Fischer, Brox, U-Net (MICCAI 2015); with batch normalisation, and padding that keeps sizes.

    >>> model = td.nn.models.UNet(2, width=4, depth=2)
    >>> model(td.zeros((1, 16, 24, 3))).shape
    (1, 16, 24, 2)
    """

    def __init__(
        self,
        classes: int,
        width: int = 64,
        depth: int = 4,
        upsampling: str = "transposed",
        data_format: str | None = None,
    ) -> None:
        if upsampling not in ("transposed", "bilinear", "nearest"):
            raise ArgumentError(f'upsampling is "transposed", "bilinear" or "nearest"; got {upsampling!r}')
        if depth < 1:
            raise ArgumentError(f"depth is how often the image is halved, at least once; got {depth!r}")
        self.depth = depth
        with images(data_format) as self.data_format:
            self.down = [_twice(width << i) for i in range(depth)]
            self.pool = MaxPooling2D(2)
            self.middle = _twice(width << depth)
            self.grow = [_growing(width << i, upsampling) for i in reversed(range(depth))]
            self.up = [_twice(width << i) for i in reversed(range(depth))]
            self.head = Conv2D(classes, 1)

    def __call__(self, x: Tensor) -> Tensor:
        self._check(x)
        bridges = []
        channels = 3 if self.data_format == "channels_last" else 1
        for layer in self.down:
            x = layer(x)
            bridges.append(x)
            x = self.pool(x)
        x = self.middle(x)
        for grow, layer, bridge in zip(self.grow, self.up, reversed(bridges), strict=True):
            x = layer(xp.concat([bridge, grow(x)], axis=channels))
        return self.head(x)

    def _check(self, x: Tensor) -> None:
        if x.ndim != 4:
            names = ", ".join(axis_names(2, self.data_format))
            raise ShapeError(f"UNet takes [{names}], and x is {show_shape(x.shape)}")
        step = 1 << self.depth
        for name, n in zip(("height", "width"), split_shape(x.shape, self.data_format)[1], strict=True):
            if isinstance(n, int) and n % step:
                raise ShapeError(
                    f"UNet halves the image {self.depth} times, so its {name} is a multiple of 2**{self.depth} = "
                    f"{step}, and x {show_shape(x.shape)} has {n}. Pad it to {n + -n % step} (nn.ZeroPadding2D), or "
                    "choose a smaller depth"
                )


def _twice(filters: int) -> Sequential:
    return Sequential([ConvNorm(filters, 3), ConvNorm(filters, 3)])


def _growing(filters: int, upsampling: str) -> Module:
    if upsampling == "transposed":
        return Conv2DTranspose(filters, 2, strides=2)
    return Sequential([UpSampling2D(2, interpolation=upsampling), Conv2D(filters, 1)])
