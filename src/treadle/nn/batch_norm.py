"""`BatchNormalization`."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.core.dims import same_size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.owned import Parameter, State
from treadle.core.spec import Spec, normalize_axis, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import initializers
from treadle.nn.calls import is_training
from treadle.nn.initializers import InitializerLike
from treadle.nn.masking import sequence_mask
from treadle.nn.module import Module
from treadle.nn.precision import result_type
from treadle.nn.widening import widened


class BatchNormalization(Module):
    """Each channel with mean 0 and variance 1, over the batch while training, over what was seen else.

    `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`. While training, mean and variance are those of the batch
    and all places (the variance divided by n, not n - 1), and the running ones move on, as in Keras:
    `moving = momentum * moving + (1 - momentum) * batch's`. (PyTorch's momentum is 1 minus this one, and it keeps the
    unbiased variance.) Else they are `moving_mean` and `moving_variance`.

    Shapes: x `[..., channels]` floating point → the same; `gamma`, `beta`, `moving_mean`, `moving_variance`
    `[channels]`. Sums of 16-bit floats are made in float32.

    Args:
        axis: the channels': -1, or 1 for images with channels first.
        momentum: 0 <= momentum <= 1.
        epsilon: > 0, in units of the variance.
        center, scale: whether there are beta and gamma.
        beta_initializer, …: names or objects of `nn.initializers`.
        input_size: number of channels, to make the parameters at once.
        dtype: of all four.

    A call takes `mask` (bool, the shape of x without the channels, or its first axes): what is False does not count; or
    `lengths` (integers `[batch]`) of padded sequences `[batch, time, …]`.

    Raises (at a call):
        ShapeError: other channels than at the first call, a mask of another shape.
        DTypeError: integers.

    Source: Ioffe, Szegedy, Batch normalization (ICML 2015).

    >>> layer = td.nn.BatchNormalization(momentum=0.5, epsilon=1e-12)
    >>> layer(td.asarray([[1.], [3.]]), training=True).tolist()
    [[-1.0], [1.0]]
    >>> layer.moving_mean.tolist(), layer.moving_variance.tolist()
    ([1.0], [1.0])
    """

    gamma: Parameter | None
    beta: Parameter | None
    moving_mean: State
    moving_variance: State

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        moving_mean_initializer: InitializerLike = "zeros",
        moving_variance_initializer: InitializerLike = "ones",
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ArgumentError(f"momentum is the weight of the past, from 0 to 1; got {momentum!r}")
        self.axis = axis
        self.momentum = momentum
        self.epsilon = check_epsilon(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            rank = max(2, axis + 1 if axis >= 0 else -axis)
            self._build_for(tuple(input_size if a == axis % rank else 1 for a in range(rank)))

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        shape = (x.shape[normalize_axis(self.axis, x.ndim)],)
        self.gamma = initializers.parameter(self.gamma_initializer, shape, self.dtype) if self.scale else None
        self.beta = initializers.parameter(self.beta_initializer, shape, self.dtype) if self.center else None
        self.moving_mean = State(initializers.parameter(self.moving_mean_initializer, shape, self.dtype))
        self.moving_variance = State(initializers.parameter(self.moving_variance_initializer, shape, self.dtype))

    def __call__(self, x: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        axis = normalize_axis(self.axis, x.ndim)
        if lengths is not None:
            mask = sequence_mask(x, mask, lengths, time_axis=2 if axis == 1 else 1)
        check_channels(x, axis, self.moving_mean.shape[0])
        shape = tuple(self.moving_mean.shape[0] if a == axis else 1 for a in range(x.ndim))
        wide = widened(x)
        if is_training():
            mean, variance = self._statistics(wide, axis, mask)
            self._move(mean, variance)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        factor = xp.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * self.gamma
        y = (wide - xp.reshape(mean, shape)) * xp.reshape(factor, shape)
        if self.beta is not None:
            y = y + xp.reshape(self.beta, shape)
        return y.astype(result_type(x, self.moving_mean))

    def _statistics(self, x: Tensor, axis: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and variance of the channels, `[channels]` each."""
        others = tuple(a for a in range(x.ndim) if a != axis)
        if mask is None:
            return xp.mean(x, axis=others), xp.var(x, axis=others)
        real = _stretched(mask, x, axis)
        weights = xp.broadcast_to(real, tuple(1 if a == axis else n for a, n in enumerate(x.shape)))
        count = xp.maximum(xp.count_nonzero(weights), 1).astype(x.dtype)
        mean = xp.sum(xp.where(real, x, 0), axis=others, keepdims=True) / count
        deviation = xp.where(real, x - mean, 0)
        return xp.reshape(mean, (-1,)), xp.sum(deviation * deviation, axis=others) / count

    def _move(self, mean: Tensor, variance: Tensor) -> None:
        rest = 1 - self.momentum
        self.moving_mean = (self.moving_mean * self.momentum + mean * rest).astype(self.dtype)
        self.moving_variance = (self.moving_variance * self.momentum + variance * rest).astype(self.dtype)


def _stretched(mask: Tensor, x: Tensor, axis: int) -> Tensor:
    """The mask with size 1 at the channels and at the axes that it does not name."""
    if not mask.dtype.is_bool:
        raise DTypeError(f"the mask is bool, True for what is real, and got {mask.spec}; write mask.astype(td.bool)")
    places = [(a, n) for a, n in enumerate(x.shape) if a != axis]
    if mask.ndim > len(places) or not all(same_size(m, n) for m, (_, n) in zip(mask.shape, places, strict=False)):
        wanted = show_shape(tuple(n for _, n in places))
        raise ShapeError(
            f"the mask must be {wanted} (or its first axes) for x {show_shape(x.shape)}, and is {mask.spec}"
        )
    sizes = {a: m for (a, _), m in zip(places, mask.shape, strict=False)}
    return xp.reshape(mask, tuple(sizes.get(a, 1) for a in range(x.ndim)))


def check_epsilon(epsilon: float) -> float:
    """A positive number.

    Raises:
        ArgumentError: it is not.
    """
    if not epsilon > 0:
        raise ArgumentError(
            f"epsilon must be positive: it keeps constant inputs from dividing by zero; got {epsilon!r}"
        )
    return float(epsilon)


def check_channels(x: Tensor, axis: int, expected: Any) -> None:
    """Raise where x is no floating point, or has other channels than the parameters.

    Raises:
        ShapeError, DTypeError: so.
    """
    if not x.dtype.is_floating:
        raise DTypeError(f"x is {x.spec}, and normalising needs floating point; write x.astype(td.float32)")
    if not same_size(x.shape[axis], expected):
        have = f"axis {axis} of x {show_shape(x.shape)} has {x.shape[axis]} channels"
        message = f"{have}, and the layer was made for {expected}"
        fits = [a for a, n in enumerate(x.shape) if n == expected and a]
        if fits:
            message += f". Axis {fits[0]} has {expected}: if those are the channels, write axis={fits[0]}"
        raise ShapeError(message)
