"""Layers in which the channels of an image decide about each other: squeeze and excitation, response normalisation."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.core.dims import Size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import activations, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.batch_norm import check_channels, check_epsilon
from treadle.nn.dense import Dense
from treadle.nn.module import Module
from treadle.nn.precision import result_type
from treadle.nn.spatial import check_data_format, per_axis
from treadle.nn.widening import widened


def _places(x: Spec, data_format: str, name: str) -> tuple[int, tuple[int, ...]]:
    """The axis of the channels, and those of the places."""
    if x.ndim < 3:
        raise ShapeError(f"{name} takes [batch, *spatial, channels], and x is {show_shape(x.shape)}")
    return (x.ndim - 1, tuple(range(1, x.ndim - 1))) if data_format == "channels_last" else (1, tuple(range(2, x.ndim)))


class SqueezeExcitation(Module):
    """Each channel scaled by a number from 0 to 1 that a small network computes from the means of all channels.

    `y = x * gate(expand(activation(reduce(mean of x over places))))`.

    Shapes: x `[batch, *spatial, channels]` → the same; `reduce` is a `Dense` to `units`, `expand` one to the channels.

    Args:
        ratio: units are `channels // ratio`, at least 1.
        units: their number, instead of the ratio.
        activation, gate: names or functions. EfficientNet has "silu", MobileNetV3 gate="hard_sigmoid".
        data_format: "channels_last" (None) or "channels_first".
        dtype: of the parameters.

    Raises (at a call):
        ShapeError: no spatial axis, or other channels than at the first call.

    Source: Hu, Shen, Sun, Squeeze-and-excitation networks (CVPR 2018).

    >>> layer = td.nn.SqueezeExcitation(ratio=4)
    >>> layer(td.zeros((1, 8, 8, 16))).shape, layer.reduce.kernel.shape
    ((1, 8, 8, 16), (16, 4))
    """

    reduce: Dense
    expand: Dense

    def __init__(
        self,
        ratio: int = 16,
        units: int | None = None,
        activation: ActivationLike = "relu",
        gate: ActivationLike = "sigmoid",
        data_format: str | None = None,
        *,
        dtype: Any = "float32",
    ) -> None:
        self.ratio = per_axis("ratio", ratio, 1)[0]
        self.units = None if units is None else per_axis("units", units, 1)[0]
        self.activation = activations.get(activation)
        self.gate = activations.get(gate)
        self.data_format = check_data_format(data_format)
        self.dtype = as_dtype(dtype)

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        axis, _ = _places(x, self.data_format, "SqueezeExcitation")
        channels = x.shape[axis]
        if not isinstance(channels, int):
            raise ArgumentError(f"SqueezeExcitation makes its parameters from the channels, and x is {x}")
        units = max(1, channels // self.ratio) if self.units is None else self.units
        self.reduce = Dense(units, self.activation, input_size=channels, dtype=self.dtype)
        self.expand = Dense(channels, self.gate, input_size=units, dtype=self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        axis, places = _places(x.spec, self.data_format, "SqueezeExcitation")
        wide = widened(x)  # the mean of many would lose digits
        gates = self.expand(self.reduce(xp.mean(wide, axis=places).astype(x.dtype)))
        shape: tuple[Size, ...] = tuple(n if a in (0, axis) else 1 for a, n in enumerate(x.shape))
        return x * xp.reshape(gates, shape)


class GlobalResponseNormalization(Module):
    """Each channel scaled by how strongly it responds to the image, beside the other channels; plus x itself.

    With g the length (2-norm) of each channel over all places, `y = gamma * x * g / (mean of g + epsilon) + beta + x`,
    the mean over channels. It begins as the identity: gamma and beta are 0.

    Shapes: x `[batch, *spatial, channels]` floating point → the same; `gamma`, `beta` `[channels]`. Sums of 16-bit
    floats are made in float32.

    Args:
        epsilon: > 0.
        data_format: "channels_last" (None) or "channels_first".
        input_size: number of channels, to make the parameters at once.
        dtype: of the parameters.

    Raises (at a call):
        ShapeError: no spatial axis, or other channels than at the first call.
        DTypeError: integers.

    Source: Woo et al., ConvNeXt V2 (CVPR 2023).

    >>> layer = td.nn.GlobalResponseNormalization()
    >>> layer(td.asarray([[[3.0, 0.0], [4.0, 0.0]]])).tolist()
    [[[3.0, 0.0], [4.0, 0.0]]]
    """

    gamma: Parameter
    beta: Parameter

    def __init__(
        self,
        epsilon: float = 1e-6,
        data_format: str | None = None,
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.epsilon = check_epsilon(epsilon)
        self.data_format = check_data_format(data_format)
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            self._build_for((1, 1, input_size) if self.data_format == "channels_last" else (1, input_size, 1))

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        shape = (x.shape[_places(x, self.data_format, type(self).__name__)[0]],)
        self.gamma = initializers.parameter(initializers.get("zeros"), shape, self.dtype)
        self.beta = initializers.parameter(initializers.get("zeros"), shape, self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        axis, places = _places(x.spec, self.data_format, type(self).__name__)
        check_channels(x, axis, self.gamma.shape[0])
        wide = widened(x)
        power = xp.sum(wide * wide, axis=places, keepdims=True)
        # The root's slope at 0 is infinite, and a channel that is 0 everywhere has none: it stays 0.
        length = xp.where(power > 0, xp.sqrt(xp.where(power > 0, power, 1)), 0)
        response = length / (xp.mean(length, axis=axis, keepdims=True) + self.epsilon)
        shape = tuple(n if a == axis else 1 for a, n in enumerate(x.shape))
        y = xp.reshape(self.gamma, shape) * (wide * response) + xp.reshape(self.beta, shape) + wide
        return y.astype(result_type(x, self.gamma))
