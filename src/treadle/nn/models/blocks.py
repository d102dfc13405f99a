"""What the convolutional models are built of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from treadle.core.tensor import Tensor
from treadle.nn import activations, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.batch_norm import BatchNormalization
from treadle.nn.conv_transpose import Conv2DTranspose
from treadle.nn.convolution import Conv2D
from treadle.nn.defaults import defaults
from treadle.nn.depthwise import DepthwiseConv2D
from treadle.nn.global_pooling import GlobalAveragePooling2D
from treadle.nn.module import Module
from treadle.nn.pooling import MaxPooling2D
from treadle.nn.resizing import UpSampling2D
from treadle.nn.shaping import Flatten, Reshape
from treadle.nn.spatial import check_data_format

# He et al. (2015) for layers behind which relu follows, by the fan of the backward pass, as torchvision starts.
START = initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")

_OF_IMAGES = (
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    MaxPooling2D,
    GlobalAveragePooling2D,
    UpSampling2D,
    Flatten,
    Reshape,
)


@contextmanager
def images(data_format: str | None) -> Iterator[str]:
    """All layers made inside of the `with` take images of this format, which it gives; None: of that of `Conv2D`."""
    form = Conv2D(1, 1).data_format if data_format is None else check_data_format(data_format)
    of_layers: dict[type, dict[str, Any]] = {layer: {"data_format": form} for layer in _OF_IMAGES}
    with defaults({**of_layers, BatchNormalization: {"axis": -1 if form == "channels_last" else 1}}):
        yield form


class ConvNorm(Module):
    """A convolution without bias, batch normalisation, and an activation. An odd kernel keeps sizes (with stride 1).

    `filters=None` is a depthwise convolution.
    """

    def __init__(
        self, filters: int | None, kernel_size: int, stride: int = 1, activation: ActivationLike = "relu"
    ) -> None:
        options: dict[str, Any] = {"strides": stride, "padding": kernel_size // 2, "use_bias": False}
        self.conv: Conv2D | DepthwiseConv2D = (
            DepthwiseConv2D(kernel_size, depthwise_initializer=START, **options)
            if filters is None
            else Conv2D(filters, kernel_size, kernel_initializer=START, **options)
        )
        self.norm = BatchNormalization(momentum=0.9, epsilon=1e-5)
        self.activation = activations.get(activation)

    def __call__(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))
