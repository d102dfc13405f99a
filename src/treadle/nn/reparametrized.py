"""Wrappers that compute a layer's weight from other numbers: `WeightNormalization`, `SpectralNormalization`."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from treadle import array as xp
from treadle.array.convert import stop_gradient
from treadle.core.errors import ArgumentError
from treadle.core.owned import Parameter, State
from treadle.core.spec import Spec, normalize_axes
from treadle.core.tensor import Tensor
from treadle.nn import initializers
from treadle.nn.batch_norm import check_epsilon
from treadle.nn.calls import is_training
from treadle.nn.conv_transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from treadle.nn.depthwise import DepthwiseConv1D, DepthwiseConv2D
from treadle.nn.module import Module
from treadle.nn.spatial import per_axis
from treadle.nn.widening import widened
from treadle.ops.control import scan

_FIRST_ITERATIONS = 15  # as PyTorch: the first step already divides by about the right number


class _Reparametrized(Module):
    """A layer that is called with another weight than it owns."""

    layer: Module

    def _set(self, layer: Any, weight: str, axis: int | Sequence[int] | None) -> None:
        name = type(self).__name__
        if not isinstance(layer, Module):
            raise ArgumentError(f"{name} wraps a layer, such as {name}(nn.Dense(8)); got {layer!r}")
        self.layer = layer
        self.weight = weight
        self.axis = axis

    def _build_layer(self, x: Spec) -> Tensor:
        """The weight that is wrapped, once the layer has it."""
        if all(m is self.layer for m in self.layer.modules().values()):
            self.layer._build((Tensor(x),))  # from the shape alone: it need not be one that can be computed with
        else:
            self.layer.init(x)
        container, key = self._place()
        weight = container[key]
        if not isinstance(weight, Parameter):
            raise ArgumentError(
                f"{type(self).__name__}: {self.weight!r} of {type(self.layer).__name__} is no parameter; it has "
                f"{', '.join(self.layer.parameters())}"
            )
        if weight.ndim < 2:
            raise ArgumentError(
                f"{type(self).__name__} takes a weight of two axes or more, and {self.weight} is {weight.spec}"
            )
        return weight

    def _place(self) -> tuple[Any, Any]:
        """The container that holds the weight, and its key there."""
        *way, key = self.weight.split(".")
        holder: Any = self.layer
        try:
            for step in way:
                holder = holder[int(step)] if isinstance(holder, list) else _inside(holder)[step]
            container = holder if isinstance(holder, list) else _inside(holder)
            last: Any = int(key) if isinstance(holder, list) else key
            container[last]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ArgumentError(
                f"{type(self).__name__}: {type(self.layer).__name__} has no {self.weight!r}; it has "
                f"{', '.join(self.layer.parameters())}: write weight=…"
            ) from None
        return container, last

    def _output_axes(self, weight: Tensor) -> tuple[int, ...]:
        """The axes along which units lie: each has a vector of its own over the other axes."""
        if self.axis is not None:
            return normalize_axes(self.axis if isinstance(self.axis, int) else tuple(self.axis), weight.ndim)
        if isinstance(self.layer, Conv1DTranspose | Conv2DTranspose | Conv3DTranspose):
            return (weight.ndim - 2,)
        if isinstance(self.layer, DepthwiseConv1D | DepthwiseConv2D):
            return weight.ndim - 2, weight.ndim - 1
        return (weight.ndim - 1,)

    @contextmanager
    def _with(self, weight: Tensor) -> Iterator[None]:
        """The layer's weight is another tensor for a while. Past `__setattr__`: nothing is assigned to the module."""
        container, key = self._place()
        own = container[key]
        container[key] = weight
        try:
            yield
        finally:
            container[key] = own

    @abstractmethod
    def _computed(self, weight: Tensor) -> Tensor:
        """The weight that the layer computes with."""

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        container, key = self._place()
        with self._with(self._computed(container[key])):
            return self.layer(x, *args, **kwargs)


def _inside(holder: Any) -> dict[str, Any]:
    return holder if isinstance(holder, dict) else holder.__dict__


class WeightNormalization(_Reparametrized):
    """A layer whose weight is `magnitude * v / |v|`: length and direction are trained apart.

    `v` is the layer's own weight (`layer.kernel`), `|v|` the length of each unit's vector in it, and `magnitude`
    another parameter of the wrapper, one number for each unit. It begins as `|v|`: the wrapped layer computes the same
    as before. (The paper also proposes a first value from data, which is not done here.)

    Args:
        layer: any layer.
        weight: which of its parameters, by path: "kernel", "cell.recurrent_kernel", "embeddings".
        axis: the axes along which the units lie; None is the output's: the last axis, for transposed and depthwise
            convolutions those of their results. PyTorch's `dim` is this axis.

    Raises:
        ArgumentError: no layer, or (at the first call) it has no such weight.

    Source: Salimans, Kingma, Weight normalization (NIPS 2016).

    >>> layer = td.nn.WeightNormalization(td.nn.Dense(3, kernel_initializer="ones"))
    >>> layer(td.ones((1, 4))).tolist(), layer.magnitude.tolist()
    ([[4.0, 4.0, 4.0]], [2.0, 2.0, 2.0])
    """

    magnitude: Parameter

    def __init__(self, layer: Module, weight: str = "kernel", axis: int | Sequence[int] | None = None) -> None:
        self._set(layer, weight, axis)

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        weight = self._build_layer(x)
        kept = self._output_axes(weight)
        lengths = self._lengths(weight)
        self.magnitude = Parameter(xp.reshape(lengths, tuple(weight.shape[a] for a in kept)).astype(weight.dtype))

    def _lengths(self, weight: Tensor) -> Tensor:
        """|v| of each unit, with 1 on the other axes."""
        kept = self._output_axes(weight)
        wide = widened(weight)
        return xp.sqrt(xp.sum(wide * wide, axis=tuple(a for a in range(weight.ndim) if a not in kept), keepdims=True))

    def _computed(self, weight: Tensor) -> Tensor:
        lengths = self._lengths(weight)
        scale = xp.reshape(widened(self.magnitude), lengths.shape) / lengths
        return (widened(weight) * scale).astype(weight.dtype)


class SpectralNormalization(_Reparametrized):
    """A layer whose weight is divided by its largest singular value, so that it stretches no vector.

    The weight counts as a matrix `[others, units]`. Its singular value is `left @ matrix @ right`, where the two
    vectors are states that each call in training improves by power iteration; derivatives take them as constants.

    Args:
        layer: any layer.
        power_iterations: how many a call in training does; 1 is enough where weights move slowly.
        weight, axis: as for `nn.WeightNormalization`.
        epsilon: > 0, below which the vectors' lengths are not divided by.

    Raises:
        ArgumentError: no layer, or (at the first call) it has no such weight.

    Source: Miyato et al., Spectral normalization for generative adversarial networks (ICLR 2018).

    >>> layer = td.nn.SpectralNormalization(td.nn.Dense(2, kernel_initializer="ones"))
    >>> [round(y, 4) for y in layer(td.ones((1, 2)))[0].tolist()]  # the singular value of [[1, 1], [1, 1]] is 2
    [1.0, 1.0]
    """

    left: State
    right: State

    def __init__(
        self,
        layer: Module,
        power_iterations: int = 1,
        weight: str = "kernel",
        axis: int | Sequence[int] | None = None,
        epsilon: float = 1e-12,
    ) -> None:
        self._set(layer, weight, axis)
        self.power_iterations = per_axis("power_iterations", power_iterations, 1)[0]
        self.epsilon = check_epsilon(epsilon)

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        weight = self._build_layer(x)
        matrix = self._matrix(weight)
        normal = initializers.get("random_normal")
        right = widened(initializers.parameter(normal, (matrix.shape[1],), weight.dtype))
        left, right = self._iterated(matrix, xp.zeros(matrix.shape[:1], dtype=matrix.dtype), right, _FIRST_ITERATIONS)
        self.left, self.right = State(left.astype(weight.dtype)), State(right.astype(weight.dtype))

    def _matrix(self, weight: Tensor) -> Tensor:
        """`[others, units]`."""
        kept = self._output_axes(weight)
        others = tuple(a for a in range(weight.ndim) if a not in kept)
        units = math.prod(weight.shape[a] for a in kept)
        return xp.reshape(xp.permute_dims(widened(weight), (*others, *kept)), (-1, units))

    def _iterated(self, matrix: Tensor, left: Tensor, right: Tensor, times: int) -> tuple[Tensor, Tensor]:
        def iterate(vectors: tuple[Tensor, Tensor], _: None) -> tuple[tuple[Tensor, Tensor], None]:
            better = self._unit(matrix @ vectors[1])
            return (better, self._unit(better @ matrix)), None

        if times == 1:
            return iterate((left, right), None)[0]
        vectors: tuple[Tensor, Tensor] = scan(iterate, (left, right), None, length=times)[0]
        return vectors

    def _unit(self, x: Tensor) -> Tensor:
        return x / xp.maximum(xp.sqrt(xp.sum(x * x)), self.epsilon)

    def _computed(self, weight: Tensor) -> Tensor:
        matrix = self._matrix(weight)
        left, right = widened(self.left), widened(self.right)
        if is_training():
            left, right = self._iterated(stop_gradient(matrix), left, right, self.power_iterations)
            self.left, self.right = State(left.astype(weight.dtype)), State(right.astype(weight.dtype))
        largest = xp.sum(stop_gradient(left) * (matrix @ stop_gradient(right)))
        return (widened(weight) / largest).astype(weight.dtype)
