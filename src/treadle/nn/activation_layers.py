"""Activations as layers: `Activation`, `ReLU`, `LeakyReLU`, `PReLU`, `Softmax`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treadle import array as xp
from treadle.core.dims import Size, same_size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, normalize_axis, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import activations, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.initializers import InitializerLike
from treadle.nn.module import Module


class Activation(Module):
    """A function as a layer.

    Args:
        activation: a name ("gelu") or a function of a tensor.

    >>> td.nn.Activation("relu")(td.asarray([-1., 2.])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, activation: ActivationLike) -> None:
        self.activation = activations.get(activation)

    def __call__(self, x: Tensor) -> Tensor:
        return self.activation(x)


class ReLU(Module):
    """`x` above the threshold, `negative_slope * (x - threshold)` below, at most `max_value`. `[...]` → the same.

    Args:
        max_value: >= 0, or None for no limit.
        negative_slope, threshold: numbers >= 0.

    >>> td.nn.ReLU(max_value=6.0)(td.asarray([-1., 2., 9.])).tolist()
    [0.0, 2.0, 6.0]
    """

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0) -> None:
        for name, value in (("max_value", max_value), ("negative_slope", negative_slope), ("threshold", threshold)):
            if value is not None and not value >= 0:
                raise ArgumentError(f"{name} is not negative; got {value!r}")
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def __call__(self, x: Tensor) -> Tensor:
        if self.threshold == 0 and self.negative_slope == 0:
            y = xp.relu(x)
        else:
            below = self.negative_slope * (x - self.threshold)
            y = xp.where(x > self.threshold, x, below)
        return y if self.max_value is None else xp.minimum(y, self.max_value)


class LeakyReLU(Module):
    """`x` above 0, `negative_slope * x` below. `[...]` → the same.

    >>> td.nn.LeakyReLU(0.5)(td.asarray([-1., 2.])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, negative_slope: float = 0.3) -> None:
        self.negative_slope = negative_slope

    def __call__(self, x: Tensor) -> Tensor:
        return activations.leaky_relu(x, self.negative_slope)


class PReLU(Module):
    """`x` above 0, `alpha * x` below, with a trained alpha for each place in an example. `[batch, ...]` → the same.

    Args:
        alpha_initializer: a name or an object of `nn.initializers`.
        shared_axes: axes (1 is the first after the batch) along which alpha is the same: `(1, 2)` gives images one for
            each channel. `alpha` has the shape of an example, with 1 there.
        input_size: shape of an example (an int for one axis), to make the parameter at once.
        dtype: of alpha.

    Source: He et al., Delving deep into rectifiers (ICCV 2015).

    >>> layer = td.nn.PReLU(alpha_initializer=td.nn.initializers.Constant(0.25), shared_axes=(1, 2))
    >>> layer(-td.ones((1, 4, 4, 3)))[0, 0, 0].tolist(), layer.alpha.shape
    ([-0.25, -0.25, -0.25], (1, 1, 3))
    """

    alpha: Parameter

    def __init__(
        self,
        alpha_initializer: InitializerLike = "zeros",
        shared_axes: Sequence[int] | None = None,
        *,
        input_size: int | tuple[int, ...] | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.shared_axes = tuple(shared_axes or ())
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            self._build_for((1, input_size) if isinstance(input_size, int) else (1, *input_size))

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        if x.ndim < 2:
            raise ShapeError(f"PReLU takes [batch, …], and x is {show_shape(x.shape)}")
        shared = {normalize_axis(a, x.ndim, "PReLU: shared axis") for a in self.shared_axes}
        shape: tuple[Size, ...] = tuple(1 if a in shared else n for a, n in enumerate(x.shape) if a)
        self.alpha = initializers.parameter(self.alpha_initializer, shape, self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        fits = x.ndim == self.alpha.ndim + 1 and all(
            a == 1 or same_size(a, n) for a, n in zip(self.alpha.shape, x.shape[1:], strict=True)
        )
        if not fits:
            raise ShapeError(
                f"PReLU was made for examples that fit alpha {show_shape(self.alpha.shape)}, and x is "
                f"{show_shape(x.shape)}. For images of any size share alpha over them: PReLU(shared_axes=(1, 2))"
            )
        return xp.where(x > 0, x, self.alpha * x)


class Softmax(Module):
    """`exp(x) / sum(exp(x))` along an axis (or several). `[...]` → the same.

    With a mask (bool, stretching to x), the elements where it is False get 0 and the others sum to 1; where there are
    no others, all get 0.

    >>> td.nn.Softmax()(td.zeros(3), mask=td.asarray([True, True, False])).tolist()
    [0.5, 0.5, 0.0]
    """

    def __init__(self, axis: int | tuple[int, ...] = -1) -> None:
        self.axis = axis

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return xp.softmax(x, axis=self.axis)
        return xp.where(mask, xp.softmax(xp.where(mask, x, -float("inf")), axis=self.axis), 0)
