"""ConvLSTM: an LSTM whose products are convolutions, over sequences of images."""

from __future__ import annotations

from typing import Any, ClassVar

from treadle import array as xp
from treadle.array.convert import operands
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import activations, conv_arithmetic, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.conv_base import run_conv
from treadle.nn.initializers import InitializerLike
from treadle.nn.recurrent.cells import Cell, dropped
from treadle.nn.recurrent.layer import Recurrent
from treadle.nn.recurrent.layers import divided
from treadle.nn.recurrent.lstm import remembering
from treadle.nn.spatial import (
    PaddingLike,
    axis_names,
    check_data_format,
    check_padding,
    join_shape,
    per_axis,
    split_shape,
)


class ConvLSTMCell(Cell):
    """One step of a ConvLSTM. Gates in the order input, forget, candidate, output (Keras's), `*` being a convolution:

        i, f, g, o = split(x * kernel + h * recurrent_kernel + bias)
        c' = sigmoid(f) c + sigmoid(i) tanh(g)
        h' = sigmoid(o) tanh(c')

    x `[batch, height, width, channels]`, as many spatial axes as `rank`; state `(h, c)`
    `[batch, new height, new width, filters]`, the output is h'. The convolution of x has the strides, padding and
    dilation given; that of h keeps its size (strides 1, padding "same", no dilation), as in Keras.

    Attributes:
        kernel: `[*kernel_size, channels, 4 * filters]`. recurrent_kernel: `[*kernel_size, filters, 4 * filters]`.
        bias: `[4 * filters]`.

    Args:
        rank: how many spatial axes: 1, 2 or 3.
        filters: channels of h and c.
        kernel_size, strides, padding, data_format, dilation_rate: as in `nn.Conv2D`.
        activation: of g and c'. recurrent_activation: of the gates.
        use_bias, kernel_initializer, recurrent_initializer, bias_initializer, unit_forget_bias: as in `nn.LSTMCell`.
        input_size: the channels of x, to make the parameters at once.
        dtype: of the parameters.

    Source: Shi et al., Convolutional LSTM network (NeurIPS 2015), without its peepholes, as in Keras.

    >>> cell = td.nn.ConvLSTMCell(2, 5, 3, padding="same")
    >>> td.nn.Recurrent(cell)(td.ones((2, 4, 8, 8, 3))).shape
    (2, 8, 8, 5)
    """

    kernel: Parameter
    recurrent_kernel: Parameter
    bias: Parameter | None

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: PaddingLike = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True,
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        if rank not in (1, 2, 3):
            raise ArgumentError(f"rank is the number of spatial axes, 1 to 3; got {rank!r}")
        self.rank = rank
        self.filters = per_axis("filters", filters, 1)[0]
        self.kernel_size = per_axis("kernel_size", kernel_size, rank)
        self.strides = per_axis("strides", strides, rank)
        self.padding = check_padding(padding, rank)
        self.data_format = check_data_format(data_format)
        self.dilation_rate = per_axis("dilation_rate", dilation_rate, rank)
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.use_bias, self.unit_forget_bias = use_bias, unit_forget_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            ones = (1,) * rank
            last = self.data_format == "channels_last"
            self._build_for((1, *ones, input_size) if last else (1, input_size, *ones))

    @property
    def step_axes(self) -> int:  # type: ignore[override]
        return self.rank + 2

    def build(self, *inputs: Spec) -> None:
        channels = split_shape(inputs[-1].shape, self.data_format)[2]
        f = self.filters
        shapes = (*self.kernel_size, channels, 4 * f), (*self.kernel_size, f, 4 * f)
        self.kernel = initializers.parameter(self.kernel_initializer, shapes[0], self.dtype)
        self.recurrent_kernel = initializers.parameter(self.recurrent_initializer, shapes[1], self.dtype)
        self.bias = initializers.parameter(self.bias_initializer, (4 * f,), self.dtype) if self.use_bias else None
        if self.bias is not None and self.unit_forget_bias:
            self.bias = remembering(self.bias)

    def start(self, x: Any, dtype: DType) -> Any:
        batch, _, channels = split_shape(x.shape, self.data_format)
        made = self._explain(x.shape, channels, self.strides, self.dilation_rate, self.padding)
        _, new, _ = split_shape(made.shape, self.data_format)
        zeros = xp.zeros(join_shape(batch, new, self.filters, self.data_format), dtype=dtype)
        return zeros, zeros

    def output(self, state: Any) -> Tensor | None:
        made: Tensor = state[0]
        return made

    def __call__(
        self, state: tuple[Tensor, Tensor], x: Tensor, recurrent_mask: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        h, c = state
        ones = (1,) * self.rank
        z = self._convolve(x, self.kernel, self.strides, self.dilation_rate, self.padding)
        z = z + self._convolve(dropped(h, recurrent_mask), self.recurrent_kernel, ones, ones, "same")
        if self.bias is not None:
            z = z + self.bias
        last = self.data_format == "channels_last"
        i, f, g, o = xp.split(z if last else xp.moveaxis(z, -1, 1), 4, axis=-1 if last else 1)
        gate = self.recurrent_activation
        c = gate(f) * c + gate(i) * self.activation(g)
        h = gate(o) * self.activation(c)
        return (h, c), h

    def _convolve(self, x: Tensor, kernel: Tensor, strides: Any, dilation: Any, padding: Any) -> Tensor:
        """Channels last."""
        _, _, channels = split_shape(x.shape, self.data_format)
        if x.ndim != self.rank + 2 or channels != kernel.shape[-2]:
            names = ", ".join(axis_names(self.rank, self.data_format)).replace(
                "channels", f"{kernel.shape[-2]} channels"
            )
            raise ShapeError(f"ConvLSTMCell takes [{names}] at each step, and got {show_shape(x.shape)}")
        shape = self._explain(x.shape, channels, strides, dilation, padding)
        x, kernel = operands("ConvLSTMCell", x, kernel)
        x = x if self.data_format == "channels_last" else xp.moveaxis(x, 1, -1)
        return run_conv(x, kernel, strides, shape, (1,) * self.rank, dilation, 1)

    def _explain(self, shape: Any, channels: Any, strides: Any, dilation: Any, padding: Any) -> Any:
        _, sizes, _ = split_shape(shape, self.data_format)
        axes = conv_arithmetic.forward_axes(sizes, self.kernel_size, strides, dilation, padding)
        kernel = (*self.kernel_size, channels, 4 * self.filters)
        return conv_arithmetic.explain(
            f"ConvLSTM{self.rank}D",
            shape,
            4 * self.filters,
            kernel,
            axes,
            self.data_format,
        )


class _ConvLSTM(Recurrent):
    """A ConvLSTM of one rank."""

    rank: ClassVar[int]

    def __init__(self, filters: int, kernel_size: int | tuple[int, ...], *positional: Any, **options: Any) -> None:
        own, of_cell = divided(options)
        super().__init__(ConvLSTMCell(self.rank, filters, kernel_size, *positional, **of_cell), **own)


class ConvLSTM1D(_ConvLSTM):
    """A ConvLSTM over sequences of sequences: x `[batch, time, length, channels]`. Else as `nn.ConvLSTM2D`.

    >>> td.nn.ConvLSTM1D(4, 3, padding="same")(td.ones((2, 5, 8, 3))).shape
    (2, 8, 4)
    """

    rank = 1


class ConvLSTM2D(_ConvLSTM):
    """`nn.Recurrent(nn.ConvLSTMCell(2, filters, kernel_size, …), …)`, a ConvLSTM over sequences of images: x
    `[batch, time, height, width, channels]` → y `[batch, new height, new width, filters]`, or with `return_sequences`
    `[batch, time, new height, new width, filters]`. The state is `(h, c)`.

    Args:
        filters: channels of the state and the output. kernel_size: an int, or one for each spatial axis.
        positional, options: those of `nn.ConvLSTMCell` after these, in its order, and of `nn.Recurrent`, by name.

    >>> td.nn.ConvLSTM2D(4, 3, padding="same", return_sequences=True)(td.ones((2, 5, 8, 8, 3))).shape
    (2, 5, 8, 8, 4)
    """

    rank = 2


class ConvLSTM3D(_ConvLSTM):
    """A ConvLSTM over sequences of volumes: x `[batch, time, depth, height, width, channels]`. Else as `nn.ConvLSTM2D`.

    >>> td.nn.ConvLSTM3D(2, 2, padding="same")(td.ones((1, 2, 3, 4, 4, 1))).shape
    (1, 3, 4, 4, 2)
    """

    rank = 3
