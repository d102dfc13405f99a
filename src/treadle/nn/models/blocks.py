"""What the convolutional models are built of."""

from __future__ import annotations

from typing import Any

from treadle.core.tensor import Tensor
from treadle.nn import activations, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.batch_norm import BatchNormalization
from treadle.nn.convolution import Conv2D
from treadle.nn.depthwise import DepthwiseConv2D
from treadle.nn.module import Module

# He et al. (2015) for layers behind which relu follows, by the fan of the backward pass, as torchvision starts.
START = initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


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
