"""What all convolution layers share: arguments, checks with their messages, data formats, bias and activation."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from treadle import array as xp
from treadle.array.convert import operands
from treadle.core.dims import Size, same_size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import activations, calls, conv_arithmetic, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.conv_arithmetic import ConvShape
from treadle.nn.initializers import InitializerLike
from treadle.nn.module import Module, as_spec
from treadle.nn.precision import lowered, plus
from treadle.nn.spatial import (
    PaddingLike,
    axis_names,
    check_data_format,
    check_padding,
    named_shape,
    per_axis,
    split_shape,
)
from treadle.ops.conv import conv


class Convolution(Module):
    """What all convolutions share: a kernel, a bias, an activation, and images in one of two formats."""

    rank: ClassVar[int]
    kernel: Parameter
    bias: Parameter | None

    def _set(
        self,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...],
        padding: PaddingLike,
        data_format: str | None,
        dilation_rate: int | tuple[int, ...],
        activation: ActivationLike,
        use_bias: bool,
        kernel_initializer: InitializerLike,
        bias_initializer: InitializerLike,
        dtype: Any,
        *,
        causal: bool,
    ) -> None:
        rank = self.rank
        self.kernel_size = per_axis("kernel_size", kernel_size, rank)
        self.strides = per_axis("strides", strides, rank)
        self.padding = check_padding(padding, rank, causal=causal)
        self.data_format = check_data_format(data_format)
        self.dilation_rate = per_axis("dilation_rate", dilation_rate, rank)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.dtype = as_dtype(dtype)

    def _build_now(self, input_size: int | None) -> None:
        """Build in the constructor, where the number of input channels is given."""
        if input_size is not None:
            sizes = (1,) * self.rank
            last = self.data_format == "channels_last"
            self._build_for((1, *sizes, input_size) if last else (1, input_size, *sizes))

    def _make(self, shape: tuple[Size, ...], outputs: Size, fan_in: Size, fan_out: Size) -> None:
        self.kernel = initializers.parameter(
            self.kernel_initializer,
            shape,
            self.dtype,
            fans=(fan_in, fan_out),  # type: ignore[arg-type]  # checked there
        )
        self.bias = initializers.parameter(self.bias_initializer, (outputs,), self.dtype) if self.use_bias else None

    def _explain_forward(self, x: Spec, made: Size, kernel: tuple[Size, ...]) -> ConvShape:
        """`_explain` of those that are no adjoint, with `made` channels by a kernel of this shape."""
        _, sizes, _ = split_shape(x.shape, self.data_format)
        axes = conv_arithmetic.forward_axes(sizes, self.kernel_size, self.strides, self.dilation_rate, self.padding)
        return conv_arithmetic.explain(
            self._title(), x.shape, made, kernel, axes, self.data_format, history=lambda a: calls.shrinking(x, a)
        )

    @property
    @abstractmethod
    def _channels(self) -> Size:
        """How many channels x must have."""

    @abstractmethod
    def _explain(self, x: Spec) -> ConvShape:
        """The shape of the result, with its arithmetic."""

    @abstractmethod
    def _convolve(self, x: Tensor, kernel: Tensor, shape: ConvShape) -> Tensor:
        """Without bias; channels last."""

    def conv_shape(self, x: Any) -> ConvShape:
        """The shape of the result for an input of this spec or shape, and how it comes about: print it."""
        spec: Spec = as_spec(x)
        self._check_rank(spec)
        return self._explain(spec)

    def __call__(self, x: Tensor) -> Tensor:
        self._check_rank(x.spec)
        self._check_channels(x.spec)
        made = self._explain(x.spec)
        x, kernel = operands(type(self).__name__, lowered(x), lowered(self.kernel))
        last = self.data_format == "channels_last"
        y = self._convolve(x if last else xp.moveaxis(x, 1, -1), kernel, made)
        if self.bias is not None:
            y = plus(y, self.bias)
        y = self.activation(y)
        return y if last else xp.moveaxis(y, -1, 1)

    def _names(self) -> tuple[str, ...]:
        return axis_names(self.rank, self.data_format)

    def _check_rank(self, x: Spec) -> None:
        if x.ndim == self.rank + 2:
            return
        names = self._names()
        message = f"x {show_shape(x.shape)} has {x.ndim} axes, and {type(self).__name__} takes [{', '.join(names)}]"
        if x.ndim == self.rank + 1:
            new = "x[..., None]" if self.data_format == "channels_last" else "x[:, None]"
            message += f". Write {new} when the channels are missing (gray images), x[None] when the batch is"
        raise ShapeError(message)

    def _check_channels(self, x: Spec) -> None:
        channels = split_shape(x.shape, self.data_format)[2]
        expected = self._channels
        if same_size(channels, expected):
            return
        lines = [
            f"the kernel takes {expected} channels, and x has {channels}",
            f"    x        {named_shape(x.shape, self._names())}",
            f"    kernel   {show_shape(self.kernel.shape)}",
        ]
        other = "channels_first" if self.data_format == "channels_last" else "channels_last"
        if split_shape(x.shape, other)[2] == expected:
            axis, move = (
                (1, "td.moveaxis(x, 1, -1)") if other == "channels_first" else (x.ndim - 1, "td.moveaxis(x, -1, 1)")
            )
            lines.append(
                f"  Axis {axis} of x has {expected}: the data seems to be {other}. "
                f'Write {type(self).__name__}(…, data_format="{other}"), or pass {move}.'
            )
        else:
            lines.append(f"  Pass {expected} channels, or make the layer anew: its kernel was made for {expected}.")
        raise ShapeError("\n".join(lines))

    def _title(self) -> str:
        return type(self).__name__ if self.data_format == "channels_last" else f"{type(self).__name__}, channels_first"


def run_conv(
    x: Tensor,
    kernel: Tensor,
    strides: tuple[int, ...],
    shape: ConvShape,
    x_dilation: tuple[int, ...],
    kernel_dilation: tuple[int, ...],
    groups: Size,
) -> Tensor:
    """The primitive, with the padding that `shape` worked out."""
    out: Tensor = conv(
        x,
        kernel,
        strides=strides,
        padding=shape.padding,
        x_dilation=x_dilation,
        kernel_dilation=kernel_dilation,
        groups=groups,
    )
    return out
