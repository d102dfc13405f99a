"""Convolutions: `Conv1D`, `Conv2D`, `Conv3D`."""

from __future__ import annotations

import math
from typing import Any

from treadle.core.dims import Size
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.nn.activations import ActivationLike
from treadle.nn.conv_arithmetic import ConvShape
from treadle.nn.conv_base import Convolution, run_conv
from treadle.nn.initializers import InitializerLike
from treadle.nn.spatial import PaddingLike, check_groups, per_axis, split_shape


class _Conv(Convolution):
    """Cross-correlation of images with a kernel, as all neural-network toolkits mean by convolution."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: PaddingLike = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        groups: int = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.filters = per_axis("filters", filters, 1)[0]
        self.groups = per_axis("groups", groups, 1)[0]
        self._set(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, kernel_initializer,
            bias_initializer, dtype, causal=self.rank == 1,
        )  # fmt: skip
        self._build_now(input_size)

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        self._check_rank(x)
        channels = split_shape(x.shape, self.data_format)[2]
        check_groups(channels, self.filters, self.groups)
        window = math.prod(self.kernel_size)
        each = channels // self.groups
        shape = (*self.kernel_size, each, self.filters)
        self._make(shape, self.filters, window * each, window * (self.filters // self.groups))

    @property
    def _channels(self) -> Size:
        return self.kernel.shape[-2] * self.groups

    def _explain(self, x: Spec) -> ConvShape:
        each = split_shape(x.shape, self.data_format)[2] // self.groups
        return self._explain_forward(x, self.filters, (*self.kernel_size, each, self.filters))

    def _convolve(self, x: Tensor, kernel: Tensor, shape: ConvShape) -> Tensor:
        return run_conv(x, kernel, self.strides, shape, (1,) * self.rank, self.dilation_rate, self.groups)


class Conv1D(_Conv):
    """Convolution of sequences: `[batch, length, channels]` → `[batch, new length, filters]`.

    Arguments, parameters and errors as `nn.Conv2D`, whose kernel here is `[width, channels / groups, filters]`.
    `padding="causal"` pads before only, so that no result sees what comes later.

    >>> td.nn.Conv1D(4, 3, padding="causal")(td.zeros((2, 10, 5))).shape
    (2, 10, 4)
    """

    rank = 1


class Conv2D(_Conv):
    """Convolution of images: `y[n, i, j, f] = sum_{abc} x[n, i s + a d, j s + b d, c] kernel[a, b, c, f] + bias[f]`.

    Shapes: x `[batch, height, width, channels]` → `[batch, new height, new width, filters]`; `kernel`
    `[kernel height, kernel width, channels / groups, filters]`; `bias` `[filters]`. `nn.conv_shape` has the new sizes.

    Args:
        filters: number of channels of the result.
        kernel_size, strides, dilation_rate: an int, or one for each spatial axis.
        padding: "valid" (none), "same" (the size divided by the strides, rounded up), an int, or for each spatial axis
            an int or a pair (before, after).
        data_format: "channels_last" (None) or "channels_first", `[batch, channels, height, width]`.
        groups: channels and filters are split into as many groups, which do not see each other.
        activation: a name ("relu") or a function.
        kernel_initializer, bias_initializer: names or objects of `nn.initializers`.
        input_size: number of channels, to make the parameters at once instead of at the first call.
        dtype: of the parameters; a call promotes as `x * kernel` does.

    Raises (at a call):
        ShapeError: another rank, other channels than the kernel has, groups that do not divide, nothing left.

    >>> layer = td.nn.Conv2D(8, 3, strides=2, padding="same", activation="relu")
    >>> layer(td.zeros((32, 28, 28, 1))).shape, layer.kernel.shape
    ((32, 14, 14, 8), (3, 3, 1, 8))
    """

    rank = 2


class Conv3D(_Conv):
    """Convolution of volumes: `[batch, depth, height, width, channels]`. Else as `nn.Conv2D`.

    >>> td.nn.Conv3D(4, (1, 3, 3))(td.zeros((2, 5, 8, 8, 1))).shape
    (2, 5, 6, 6, 4)
    """

    rank = 3
