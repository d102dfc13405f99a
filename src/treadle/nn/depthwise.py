"""Depthwise convolutions: `DepthwiseConv1D`, `DepthwiseConv2D`, `DepthwiseConv3D`."""

from __future__ import annotations

import math
from typing import Any

from treadle import array as xp
from treadle.core.dims import Size
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.nn.activations import ActivationLike
from treadle.nn.conv_arithmetic import ConvShape
from treadle.nn.conv_base import Convolution, run_conv
from treadle.nn.initializers import InitializerLike
from treadle.nn.spatial import PaddingLike, per_axis, split_shape


class _DepthwiseConv(Convolution):
    """Each channel is convolved with `depth_multiplier` kernels of its own."""

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: PaddingLike = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.depth_multiplier = per_axis("depth_multiplier", depth_multiplier, 1)[0]
        self._set(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, depthwise_initializer,
            bias_initializer, dtype, causal=self.rank == 1,
        )  # fmt: skip
        self._build_now(input_size)

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        self._check_rank(x)
        channels = split_shape(x.shape, self.data_format)[2]
        window = math.prod(self.kernel_size)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self._make(shape, channels * self.depth_multiplier, window, window * self.depth_multiplier)

    @property
    def _channels(self) -> Size:
        return self.kernel.shape[-2]

    def _explain(self, x: Spec) -> ConvShape:
        channels, each = split_shape(x.shape, self.data_format)[2], self.depth_multiplier
        return self._explain_forward(x, channels * each, (*self.kernel_size, channels, each))

    def _convolve(self, x: Tensor, kernel: Tensor, shape: ConvShape) -> Tensor:
        *window, channels, times = kernel.shape
        grouped = xp.reshape(kernel, (*window, 1, channels * times))
        return run_conv(x, grouped, self.strides, shape, (1,) * self.rank, self.dilation_rate, channels)


class DepthwiseConv1D(_DepthwiseConv):
    """Convolution of sequences, each channel with kernels of its own. Else as `nn.DepthwiseConv2D`.

    >>> td.nn.DepthwiseConv1D(3, depth_multiplier=2)(td.zeros((2, 10, 5))).shape
    (2, 8, 10)
    """

    rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Convolution of images, each channel with `depth_multiplier` kernels of its own.

    Shapes: x `[batch, height, width, channels]` → `[batch, new height, new width, channels * depth_multiplier]`, the
    results of a channel side by side; `kernel` `[kernel height, kernel width, channels, depth_multiplier]`.

    The initialiser gets the fans of one channel (`kernel height * kernel width`), on which each result really depends;
    Keras counts all channels and starts with smaller numbers.

    Args and errors as `nn.Conv2D`, but for filters and groups.

    >>> td.nn.DepthwiseConv2D(3, padding="same")(td.zeros((2, 8, 8, 5))).shape
    (2, 8, 8, 5)
    """

    rank = 2


class DepthwiseConv3D(_DepthwiseConv):
    """Convolution of volumes, each channel with kernels of its own. Else as `nn.DepthwiseConv2D`.

    >>> td.nn.DepthwiseConv3D(2, depth_multiplier=2)(td.zeros((2, 4, 4, 4, 3))).shape
    (2, 3, 3, 3, 6)
    """

    rank = 3
