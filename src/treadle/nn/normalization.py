"""Normalisation within each example: `LayerNormalization`, `RMSNormalization`, `GroupNormalization`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treadle import array as xp
from treadle.core.dims import Size, same_size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, normalize_axes, normalize_axis, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import initializers
from treadle.nn.batch_norm import check_channels, check_epsilon
from treadle.nn.initializers import InitializerLike
from treadle.nn.masking import sequence_mask
from treadle.nn.module import Module
from treadle.nn.precision import result_type
from treadle.nn.spatial import per_axis
from treadle.nn.widening import widened


class _OverAxes(Module):
    """Parameters that have the sizes of the normalised axes."""

    gamma: Parameter | None
    beta: Parameter | None

    def _set(
        self,
        axis: int | Sequence[int],
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: InitializerLike,
        gamma_initializer: InitializerLike,
        input_size: int | tuple[int, ...] | None,
        dtype: Any,
    ) -> None:
        self.axis = axis if isinstance(axis, int) else tuple(axis)
        self.epsilon = check_epsilon(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            self._build_for(self._example(input_size))

    def _example(self, input_size: int | tuple[int, ...]) -> tuple[int, ...]:
        """A shape that has these sizes on the axes."""
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        sizes = per_axis("input_size", input_size, len(axes))
        # Axes counted from the front and from the end are different ones.
        rank = max([0, *(a + 1 for a in axes if a >= 0)]) + max([0, *(-a for a in axes if a < 0)])
        shape = [1] * rank
        for a, n in zip(axes, sizes, strict=True):
            shape[a] = n
        return tuple(shape)

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        shape = tuple(x.shape[a] for a in normalize_axes(self.axis, x.ndim))
        self.gamma = initializers.parameter(self.gamma_initializer, shape, self.dtype) if self.scale else None
        self.beta = initializers.parameter(self.beta_initializer, shape, self.dtype) if self.center else None

    def _prepare(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """x in the dtype that it is summed in, and the axes."""
        if not x.dtype.is_floating:
            raise DTypeError(f"x is {x.spec}, and normalising needs floating point; write x.astype(td.float32)")
        axes = normalize_axes(self.axis, x.ndim)
        known = self.gamma if self.gamma is not None else self.beta
        if known is not None and not all(same_size(x.shape[a], n) for a, n in zip(axes, known.shape, strict=True)):
            raise ShapeError(
                f"{type(self).__name__} was made for {show_shape(known.shape)} on axis {self.axis}, "
                f"and x is {show_shape(x.shape)}"
            )
        return widened(x), axes

    def _finish(self, y: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Scaled and shifted, in the dtype of x and the parameters."""
        shape = tuple(n if a in axes else 1 for a, n in enumerate(x.shape))
        out = x.dtype
        if self.gamma is not None:
            y, out = y * xp.reshape(self.gamma, shape), result_type(x, self.dtype)
        if self.beta is not None:
            y, out = y + xp.reshape(self.beta, shape), result_type(x, self.dtype)
        return y.astype(out)


class LayerNormalization(_OverAxes):
    """Each example with mean 0 and variance 1 over its last axis (or others), then scaled and shifted.

    `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`, mean and variance (divided by n) over `axis`.

    Shapes: x `[...]` floating point → the same; `gamma`, `beta` the sizes of `axis`. Sums of 16-bit floats are made in
    float32.

    Args:
        axis: one or several.
        epsilon: > 0, in units of the variance.
        center, scale: whether there are beta and gamma.
        beta_initializer, gamma_initializer: names or objects of `nn.initializers`.
        input_size: the sizes of `axis`, to make the parameters at once.
        dtype: of the parameters.

    Raises (at a call):
        ShapeError: the axes have other sizes than at the first call.
        DTypeError: integers.

    Source: Ba, Kiros, Hinton, Layer normalization, arXiv 1607.06450.

    >>> td.nn.LayerNormalization(epsilon=1e-12)(td.asarray([[1., 3.]])).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        *,
        input_size: int | tuple[int, ...] | None = None,
        dtype: Any = "float32",
    ) -> None:
        self._set(axis, epsilon, center, scale, beta_initializer, gamma_initializer, input_size, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        wide, axes = self._prepare(x)
        deviation = wide - xp.mean(wide, axis=axes, keepdims=True)
        variance = xp.mean(deviation * deviation, axis=axes, keepdims=True)
        return self._finish(deviation * xp.rsqrt(variance + self.epsilon), x, axes)


class RMSNormalization(_OverAxes):
    """Each example with mean square 1 over its last axis (or others): `gamma * x / sqrt(mean(x²) + epsilon)`.

    Args and errors as `nn.LayerNormalization`; there is no beta.

    Source: Zhang, Sennrich, Root mean square layer normalization (NeurIPS 2019).

    >>> td.nn.RMSNormalization(epsilon=1e-12)(td.asarray([[3., 3.]])).tolist()
    [[1.0, 1.0]]
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-6,
        scale: bool = True,
        gamma_initializer: InitializerLike = "ones",
        *,
        input_size: int | tuple[int, ...] | None = None,
        dtype: Any = "float32",
    ) -> None:
        self._set(axis, epsilon, False, scale, "zeros", gamma_initializer, input_size, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        wide, axes = self._prepare(x)
        power = xp.mean(wide * wide, axis=axes, keepdims=True)
        return self._finish(wide * xp.rsqrt(power + self.epsilon), x, axes)


class GroupNormalization(Module):
    """Each example's channels in groups, each group with mean 0 and variance 1 over its channels and all places.

    `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`, with one gamma and beta for each channel. With as many
    groups as channels it is instance normalisation.

    Shapes: x `[batch, ..., channels]` floating point → the same; `gamma`, `beta` `[channels]`.

    Args:
        groups: into how many the channels are split; -1 for one a channel.
        axis: the channels': -1, or 1 for images with channels first.
        The others as for `nn.LayerNormalization`.

    Call: `layer(x, mask=None, lengths=None)`. Of padded sequences `[batch, time, …]`, `lengths` `[batch]` or a bool
    `mask` `[batch, time]` say which steps count for mean and variance; the others give 0. (With channels first, time is
    axis 2.)

    Raises (at a call):
        ShapeError: channels that do not divide into the groups, others than at the first call, no batch axis.
        DTypeError: integers. ArgumentError: a mask and lengths.

    Source: Wu, He, Group normalization (ECCV 2018).

    >>> td.nn.GroupNormalization(2, epsilon=1e-12)(td.asarray([[1., 3., 10., 30.]])).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    gamma: Parameter | None
    beta: Parameter | None

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.groups = -1 if groups == -1 else per_axis("groups", groups, 1)[0]
        self.axis = axis
        self.epsilon = check_epsilon(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            rank = max(2, axis + 1 if axis >= 0 else -axis)
            self._build_for(tuple(input_size if a == axis % rank else 1 for a in range(rank)))

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        channels = x.shape[normalize_axis(self.axis, x.ndim)]
        self._check_groups(channels)
        self.gamma = initializers.parameter(self.gamma_initializer, (channels,), self.dtype) if self.scale else None
        self.beta = initializers.parameter(self.beta_initializer, (channels,), self.dtype) if self.center else None

    def _check_groups(self, channels: Size) -> None:
        if self.groups > 0 and channels % self.groups != 0:
            raise ShapeError(
                f"{channels} channels do not divide into {self.groups} groups: {channels} = "
                f"{channels // self.groups} * {self.groups} + {channels % self.groups}"
            )

    def __call__(self, x: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        if x.ndim < 2:
            raise ShapeError(f"GroupNormalization takes [batch, …, channels], and x is {show_shape(x.shape)}")
        axis = normalize_axis(self.axis, x.ndim)
        if axis == 0:
            raise ShapeError(f"axis 0 of x {show_shape(x.shape)} is the batch; the channels are on another axis")
        known = self.gamma if self.gamma is not None else self.beta
        check_channels(x, axis, x.shape[axis] if known is None else known.shape[0])
        channels = x.shape[axis]
        self._check_groups(channels)
        groups = channels if self.groups == -1 else self.groups
        time_axis = 2 if axis == 1 else 1
        if (mask is not None or lengths is not None) and (x.ndim < 3 or axis == time_axis):
            raise ShapeError(
                f"a mask or lengths are of sequences [batch, time, …, channels], and x is {show_shape(x.shape)}"
            )
        real = sequence_mask(x, mask, lengths, time_axis=time_axis)
        if real is not None:
            real = xp.reshape(real, tuple(n if a in (0, time_axis) else 1 for a, n in enumerate(x.shape)))

        def parted(t: Tensor) -> Tensor:
            split = (1, 1) if t.shape[axis] == 1 else (groups, channels // groups)
            return xp.reshape(t, (*t.shape[:axis], *split, *t.shape[axis + 1 :]))

        wide = parted(widened(x) if real is None else xp.where(real, widened(x), 0))
        here = None if real is None else parted(real)
        axes = tuple(a for a in range(1, wide.ndim) if a != axis)
        deviation = wide - _mean(wide, here, axes)
        if here is not None:
            deviation = xp.where(here, deviation, 0)
        variance = _mean(deviation * deviation, here, axes)
        y = xp.reshape(deviation * xp.rsqrt(variance + self.epsilon), x.shape)
        shape = tuple(n if a == axis else 1 for a, n in enumerate(x.shape))
        out = x.dtype
        if self.gamma is not None:
            y, out = y * xp.reshape(self.gamma, shape), result_type(x, self.dtype)
        if self.beta is not None:
            y, out = y + xp.reshape(self.beta, shape), result_type(x, self.dtype)
        if real is not None:
            y = xp.where(real, y, 0)
        return y.astype(out)


def _mean(x: Tensor, real: Tensor | None, axes: tuple[int, ...]) -> Tensor:
    """The mean over some axes of what is real; of nothing it is 0."""
    if real is None:
        return xp.mean(x, axis=axes, keepdims=True)
    count = xp.sum(xp.broadcast_to(real, x.shape).astype(x.dtype), axis=axes, keepdims=True)
    return xp.sum(x, axis=axes, keepdims=True) / xp.maximum(count, 1)
