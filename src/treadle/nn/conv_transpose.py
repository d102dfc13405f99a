"""Transposed convolutions: `Conv1DTranspose`, `Conv2DTranspose`, `Conv3DTranspose`."""

from __future__ import annotations

import math
from typing import Any

from treadle import array as xp
from treadle.core.dims import Size
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.nn import conv_arithmetic
from treadle.nn.activations import ActivationLike
from treadle.nn.conv_arithmetic import ConvShape
from treadle.nn.conv_base import Convolution, run_conv
from treadle.nn.initializers import InitializerLike
from treadle.nn.spatial import PaddingLike, check_groups, check_output_padding, per_axis, split_shape
from treadle.ops import shape as shape_ops


class _ConvTranspose(Convolution):
    """The adjoint of a convolution: maps what `_Conv` with the same arguments makes back to the size it came from."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: PaddingLike = "valid",
        output_padding: int | tuple[int, ...] | None = None,
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
            bias_initializer, dtype, causal=False,
        )  # fmt: skip
        self.output_padding = check_output_padding(output_padding, self.strides)
        self._build_now(input_size)

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        self._check_rank(x)
        channels = split_shape(x.shape, self.data_format)[2]
        check_groups(channels, self.filters, self.groups)
        window = math.prod(self.kernel_size)
        each = self.filters // self.groups
        self._make((*self.kernel_size, each, channels), self.filters, window * (channels // self.groups), window * each)

    @property
    def _channels(self) -> Size:
        return self.kernel.shape[-1]

    def _explain(self, x: Spec) -> ConvShape:
        _, sizes, channels = split_shape(x.shape, self.data_format)
        axes = conv_arithmetic.transposed_axes(
            sizes, self.kernel_size, self.strides, self.dilation_rate, self.padding, self.output_padding
        )
        kernel = (*self.kernel_size, self.filters // self.groups, channels)
        return conv_arithmetic.explain(self._title(), x.shape, self.filters, kernel, axes, self.data_format)

    def _convolve(self, x: Tensor, kernel: Tensor, shape: ConvShape) -> Tensor:
        *window, each, channels = kernel.shape
        spatial = tuple(range(self.rank))
        flipped = shape_ops.reverse(kernel, axes=spatial)
        parted = xp.reshape(flipped, (*window, each, self.groups, channels // self.groups))
        swapped = xp.permute_dims(parted, (*spatial, self.rank + 2, self.rank + 1, self.rank))
        exchanged = xp.reshape(swapped, (*window, channels // self.groups, self.groups * each))
        return run_conv(x, exchanged, (1,) * self.rank, shape, self.strides, self.dilation_rate, self.groups)


class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution of sequences, `[batch, length, channels]`. Else as `nn.Conv2DTranspose`.

    >>> td.nn.Conv1DTranspose(4, 3, strides=2, padding="same")(td.zeros((2, 10, 5))).shape
    (2, 20, 4)
    """

    rank = 1


class Conv2DTranspose(_ConvTranspose):
    """Transposed convolution of images, the adjoint of `Conv2D(channels, kernel_size, strides, padding)`.

    It undoes the shapes of a convolution (not its numbers), as decoders need: with strides s and padding "same" an
    image becomes s times as high and wide.

    Shapes: x `[batch, height, width, channels]` → `[batch, new height, new width, filters]`; `kernel`
    `[kernel height, kernel width, filters / groups, channels]`, which is the kernel of the convolution it is the
    adjoint of: both may share one. `nn.conv_shape(…, transposed=True)` tells the new sizes.

    Args:
        output_padding: a number below the strides for each spatial axis, or None. Several input sizes of a convolution
            give the same output size; this chooses among them, as in Keras: with "same" padding the result has
            `(n - 1) * s + k - 2 * (k // 2) + output_padding` elements, else it is added.
        The others as for `nn.Conv2D`; padding is that of the convolution it is the adjoint of.

    Raises (at a call):
        ShapeError: another rank, other channels than the kernel has, groups that do not divide, nothing left.

    Source: Dumoulin, Visin, A guide to convolution arithmetic for deep learning, arXiv 1603.07285.

    >>> layer = td.nn.Conv2DTranspose(3, 5, strides=2, padding="same")
    >>> layer(td.zeros((1, 7, 7, 8))).shape, layer.kernel.shape
    ((1, 14, 14, 3), (5, 5, 3, 8))
    """

    rank = 2


class Conv3DTranspose(_ConvTranspose):
    """Transposed convolution of volumes, `[batch, depth, height, width, channels]`. Else as `nn.Conv2DTranspose`.

    >>> td.nn.Conv3DTranspose(2, 2, strides=2)(td.zeros((1, 2, 3, 4, 5))).shape
    (1, 4, 6, 8, 2)
    """

    rank = 3
