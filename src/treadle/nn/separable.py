"""Separable convolutions: `SeparableConv1D`, `SeparableConv2D`, `SeparableConv3D`."""

from __future__ import annotations

from typing import Any, ClassVar

from treadle.core.tensor import Tensor
from treadle.nn.activations import ActivationLike
from treadle.nn.convolution import Conv1D, Conv2D, Conv3D
from treadle.nn.depthwise import DepthwiseConv1D, DepthwiseConv2D, DepthwiseConv3D
from treadle.nn.initializers import InitializerLike
from treadle.nn.module import Module
from treadle.nn.spatial import PaddingLike


class _SeparableConv(Module):
    """Two convolutions: one that sees places, one that sees channels."""

    depthwise_class: ClassVar[type[DepthwiseConv1D] | type[DepthwiseConv2D] | type[DepthwiseConv3D]]
    pointwise_class: ClassVar[type[Conv1D] | type[Conv2D] | type[Conv3D]]

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: PaddingLike = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        depth_multiplier: int = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        pointwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.depthwise = self.depthwise_class(
            kernel_size,
            strides,
            padding,
            depth_multiplier,
            data_format,
            dilation_rate,
            use_bias=False,
            depthwise_initializer=depthwise_initializer,
            input_size=input_size,
            dtype=dtype,
        )
        self.pointwise = self.pointwise_class(
            filters,
            1,
            data_format=data_format,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            input_size=None if input_size is None else input_size * depth_multiplier,
            dtype=dtype,
        )

    def __call__(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class SeparableConv1D(_SeparableConv):
    """Separable convolution of sequences, `[batch, length, channels]`. Else as `nn.SeparableConv2D`.

    >>> td.nn.SeparableConv1D(4, 3, padding="causal")(td.zeros((2, 10, 5))).shape
    (2, 10, 4)
    """

    depthwise_class, pointwise_class = DepthwiseConv1D, Conv1D


class SeparableConv2D(_SeparableConv):
    """A depthwise convolution and a 1×1 one behind it: `k k c m + c m f` weights instead of `k k c f`.

    Shapes: x `[batch, height, width, channels]` → `[batch, new height, new width, filters]`; `depthwise.kernel`
    `[kernel height, kernel width, channels, depth_multiplier]`; `pointwise.kernel`
    `[1, 1, channels * depth_multiplier, filters]`; `pointwise.bias` `[filters]`.

    Args:
        depth_multiplier: results of the depthwise convolution for each channel.
        depthwise_initializer, pointwise_initializer: of the two kernels.
        The others as for `nn.Conv2D`. There is no bias and no activation between the two.

    Raises (at a call):
        ShapeError: another rank, other channels than the kernels have, nothing left.

    Source: Chollet, Xception: Deep learning with depthwise separable convolutions (CVPR 2017).

    >>> layer = td.nn.SeparableConv2D(8, 3, strides=2, padding="same", depth_multiplier=2)
    >>> layer(td.zeros((1, 8, 8, 5))).shape, layer.depthwise.kernel.shape, layer.pointwise.kernel.shape
    ((1, 4, 4, 8), (3, 3, 5, 2), (1, 1, 10, 8))
    """

    depthwise_class, pointwise_class = DepthwiseConv2D, Conv2D


class SeparableConv3D(_SeparableConv):
    """Separable convolution of volumes, `[batch, depth, height, width, channels]`. Else as `nn.SeparableConv2D`.

    >>> td.nn.SeparableConv3D(4, 2)(td.zeros((2, 4, 4, 4, 3))).shape
    (2, 3, 3, 3, 4)
    """

    depthwise_class, pointwise_class = DepthwiseConv3D, Conv3D
