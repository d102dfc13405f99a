"""Linear recurrences `h[t] = a[t] h[t-1] + b[t]`, a and b from the input alone, for all steps at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from treadle import array as xp
from treadle.core import trees
from treadle.core.dims import Size
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import initializers
from treadle.nn.masking import sequence_mask
from treadle.nn.module import Module
from treadle.nn.recurrent.cells import Cell
from treadle.nn.spatial import per_axis
from treadle.ops.control import scan
from treadle.transforms import associative_scan

Complex = tuple[Tensor, Tensor]  # (real, imaginary)


def linear_recurrence(a: Any, b: Any, initial: Any, *, reverse: bool = False, parallel: bool = False) -> Any:
    """`h[t] = a[t] * h[t-1] + b[t]` for all t, along axis 1.

    Args:
        a, b: `[batch, time, …]`, or both pairs (real part, imaginary part) of complex numbers.
        initial: `[batch, …]` or a pair: h before the first step.
        reverse: from the last step to the first.
        parallel: in log2(time) rounds (`td.associative_scan`), which do several times the arithmetic: for devices with
            more lanes than there are numbers in b at one step. Else step by step.

    Returns: like b.

    Raises:
        ShapeError: parallel, and the number of steps is not known.

    >>> a, b = td.full((1, 4, 1), 0.5), td.ones((1, 4, 1))
    >>> td.nn.recurrent.linear_recurrence(a, b, td.zeros((1, 1)))[0, :, 0].tolist()
    [1.0, 1.5, 1.75, 1.875]
    """
    complex_ = isinstance(a, tuple)
    first = -1 if reverse else 0

    def times(p: Any, q: Any) -> Any:
        if not complex_:
            return p * q
        return p[0] * q[0] - p[1] * q[1], p[0] * q[1] + p[1] * q[0]

    def plus(p: Any, q: Any) -> Any:
        return trees.map(lambda x, y: x + y, p, q)

    if not parallel:

        def step(h: Any, item: Any) -> Any:
            h = plus(times(item[0], h), item[1])
            return h, h

        steps = trees.map(lambda x: xp.moveaxis(x, 1, 0), (a, b))
        _, made = scan(step, initial, steps, reverse=reverse)
        return trees.map(lambda x: xp.moveaxis(x, 0, 1), made)

    # The state before is part of the first step: a h + b there, and b elsewhere.
    begun = plus(times(trees.map(lambda x: x[:, first], a), initial), trees.map(lambda x: x[:, first], b))

    def joined(whole: Tensor, step: Tensor) -> Tensor:
        step = xp.expand_dims(step, axis=1)
        return xp.concat([whole[:, :-1], step] if reverse else [step, whole[:, 1:]], axis=1)

    def combined(p: Any, q: Any) -> Any:
        return times(q[0], p[0]), plus(times(q[0], p[1]), q[1])

    return associative_scan(combined, (a, trees.map(joined, b, begun)), axis=1, reverse=reverse)[1]


class LinearCell(Cell):
    """A cell whose step is linear in its state: `h' = a h + b`, `y = read(h', x)`, with a and b from x.

    Subclasses write `coefficients(x) → (a, b)` and `read(h, x)`, for x `[…, in]` with any axes in front, and
    `initial_state`. `nn.LinearRecurrent(cell)` computes a, b and y for all steps at once, `nn.Recurrent(cell)` step by
    step.
    """

    step_axes = 2

    @abstractmethod
    def coefficients(self, x: Tensor) -> tuple[Any, Any]:
        """(a, b) of the steps."""

    def read(self, h: Any, x: Tensor) -> Tensor:
        """The output of a state; the state itself unless written."""
        made: Tensor = h
        return made

    def __call__(self, state: Any, x: Tensor) -> tuple[Any, Tensor]:
        a, b = self.coefficients(xp.expand_dims(x, axis=1))
        new = trees.map(lambda h: h[:, 0], linear_recurrence(a, b, state))
        return new, self.read(new, x)


class LinearRecurrent(Module):
    """A `LinearCell` over x `[batch, time, in]`: a, b and y are computed for all steps at once, and h from them.

    Args:
        cell: an `nn.LinearCell`.
        return_sequences, return_state, go_backwards: as in `nn.Recurrent`.
        parallel: h in O(log time) rounds instead of step by step, see `nn.recurrent.linear_recurrence`; the number of
            steps must be known then. On CPUs step by step was faster wherever it was measured.

    Call: `layer(x, initial_state=None, mask=None, lengths=None)`, as `nn.Recurrent`.

    >>> layer = td.nn.LinearRecurrent(td.nn.MinGRUCell(4), return_sequences=True)
    >>> layer(td.ones((2, 100, 3)), lengths=td.asarray([100, 7])).shape
    (2, 100, 4)
    """

    def __init__(
        self,
        cell: LinearCell,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        parallel: bool = False,
    ) -> None:
        self.cell, self.parallel = cell, parallel
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        if not self.cell.is_built:
            self.cell._build((Tensor(x),))

    def __call__(
        self, x: Tensor, initial_state: Any = None, mask: Tensor | None = None, lengths: Tensor | None = None
    ) -> Any:
        if x.ndim != 3:
            raise ShapeError(f"a recurrent layer takes [batch, time, features], and got {show_shape(x.shape)}")
        real = sequence_mask(x, mask, lengths, time_axis=1)
        if real is not None:
            x = xp.where(xp.expand_dims(real, axis=2), x, 0)
        a, b = self.cell.coefficients(x)
        if real is not None:  # a step that is not real keeps the state: 1 h + 0
            a = trees.map(lambda one, a: _where(real, a, one), _one_like(a), a)
            b = trees.map(lambda b: _where(real, b, 0.0), b)
        if initial_state is None:
            initial_state = self.cell.initial_state(x.shape[0], trees.leaves(b)[0].dtype)
        h = linear_recurrence(a, b, initial_state, reverse=self.go_backwards, parallel=self.parallel)
        last = 0 if self.go_backwards else -1
        state = trees.map(lambda h: h[:, last], h)
        if not self.return_sequences:
            x_last = x[:, last] if real is None else _last_real(x, real, self.go_backwards)
            y = self.cell.read(state, x_last)
        else:
            y = self.cell.read(h, x)
            if real is not None:
                y = _where(real, y, 0.0)
            if self.go_backwards:
                y = xp.flip(y, axis=1)
        return (y, state) if self.return_state else y


def _where(real: Tensor, new: Tensor, other: Any) -> Tensor:
    return xp.where(xp.reshape(real, (*real.shape, *(1,) * (new.ndim - 2))), new, other)


def _one_like(a: Any) -> Any:
    return (xp.ones_like(a[0]), xp.zeros_like(a[1])) if isinstance(a, tuple) else xp.ones_like(a)


def _last_real(x: Tensor, real: Tensor, backwards: bool) -> Tensor:
    """The input of the last step that each sequence does: the first one when going backwards."""
    steps = xp.arange(x.shape[1])
    at = xp.argmax(xp.where(real, -steps if backwards else steps, -(10**9)), axis=1)
    picked = xp.take_along_axis(x, xp.broadcast_to(xp.reshape(at, (-1, 1, 1)), (x.shape[0], 1, x.shape[2])), axis=1)
    return picked[:, 0]


class _Gates(LinearCell):
    """Gates and a candidate, each an affine map of x."""

    gates: int
    kernel: Parameter
    bias: Parameter

    def __init__(self, units: int, *, input_size: int | None = None, dtype: Any = "float32") -> None:
        self.units, self.dtype = per_axis("units", units, 1)[0], as_dtype(dtype)
        if input_size is not None:
            self._build_for((1, input_size))

    def build(self, *inputs: Spec) -> None:
        wide = self.gates * self.units
        init = initializers.get("glorot_uniform")
        self.kernel = initializers.parameter(init, (inputs[-1].shape[-1], wide), self.dtype)
        self.bias = Parameter(xp.zeros((wide,), dtype=self.dtype))

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        return xp.zeros((batch, self.units), dtype=dtype)

    def output(self, state: Any) -> Tensor | None:
        made: Tensor = state
        return made


class MinGRUCell(_Gates):
    """A GRU whose gate and candidate do not see the state: `h' = (1 - z) h + z n`, z = sigmoid(x_z), n = x_n, where
    x_z, x_n = split(x @ kernel + bias).

    Attributes:
        kernel: `[in, 2 * units]`. bias: `[2 * units]`.

    Source: Feng et al., Were RNNs all we needed?, arXiv 2410.01201 (2024).

    >>> state, y = td.nn.MinGRUCell(3)(td.zeros((2, 3)), td.ones((2, 5)))
    >>> y.shape
    (2, 3)
    """

    gates = 2

    def coefficients(self, x: Tensor) -> tuple[Any, Any]:
        gate, candidate = xp.split(x @ self.kernel + self.bias, 2, axis=-1)
        z = xp.sigmoid(gate)
        return 1.0 - z, z * candidate


class MinLSTMCell(_Gates):
    """An LSTM whose gates and candidate do not see the state: `h' = (f h + i n) / (f + i)`, f = sigmoid(x_f), i =
    sigmoid(x_i), n = x_n, where x_f, x_i, x_n = split(x @ kernel + bias).

    Attributes:
        kernel: `[in, 3 * units]`. bias: `[3 * units]`.

    Source: as `nn.MinGRUCell`.
    """

    gates = 3

    def coefficients(self, x: Tensor) -> tuple[Any, Any]:
        f, i, candidate = xp.split(x @ self.kernel + self.bias, 3, axis=-1)
        # f / (f + i) from the logarithms: with both near 0 the quotient would be 0 / 0.
        share = xp.sigmoid(xp.softplus(-i) - xp.softplus(-f))
        return share, (1.0 - share) * candidate


class S4DCell(LinearCell):
    """A diagonal state-space model (S4D-Lin): for each feature a filter with `order` decaying oscillations.

        h'[n] = exp(Δ A[n]) h[n] + (exp(Δ A[n]) - 1) / A[n] x,   y = 2 Re(Σ_n C[n] h'[n]) + D x

    with A[n] = -exp(log_decay[n]) + i frequency[n], complex, for each feature by itself; Δ = exp(log_step). It begins
    with A[n] = -1/2 + iπn. State: (real, imaginary) `[batch, features, order]`; y has as many features as x.

    Args:
        order: oscillations per feature: half the N of the paper, which counts conjugates.
        step_range: Δ begins between these, log-uniform, in steps: the time scales that it can see.

    Source: Gu, Gupta, Goel, Ré, On the parameterization and initialization of diagonal state space models (2022).

    >>> td.nn.LinearRecurrent(td.nn.S4DCell(8), return_sequences=True)(td.ones((2, 50, 3))).shape
    (2, 50, 3)
    """

    log_step: Parameter
    log_decay: Parameter
    frequency: Parameter
    c_real: Parameter
    c_imaginary: Parameter
    skip: Parameter

    def __init__(
        self,
        order: int = 32,
        step_range: tuple[float, float] = (1e-3, 1e-1),
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.order, self.step_range, self.dtype = per_axis("order", order, 1)[0], step_range, as_dtype(dtype)
        if input_size is not None:
            self._build_for((1, input_size))

    def build(self, *inputs: Spec) -> None:
        features, n, dtype = inputs[-1].shape[-1], self.order, self.dtype
        low, high = np.log(self.step_range)

        def made(name: str, shape: tuple[Any, ...], scale: float = 1.0, shift: Any = 0.0) -> Parameter:
            value = initializers.parameter(initializers.get(name), shape, dtype)
            return Parameter(value * xp.asarray(scale, dtype=dtype) + xp.asarray(shift, dtype=dtype))

        # uniform between -0.05 and 0.05 → between the bounds
        self.log_step = made("random_uniform", (features,), (high - low) * 10, (low + high) / 2)
        self.log_decay = made("zeros", (features, n), shift=float(np.log(0.5)))
        self.frequency = made("zeros", (features, n), shift=np.pi * np.arange(n))
        deviation = 0.5**0.5 / 0.05  # a normal of variance 1/2 in both parts; the initialiser's deviation is 0.05
        self.c_real = made("random_normal", (features, n), deviation)
        self.c_imaginary = made("random_normal", (features, n), deviation)
        self.skip = made("ones", (features,))

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        zeros = xp.zeros((batch, self.skip.shape[0], self.order), dtype=dtype)
        return zeros, zeros

    def coefficients(self, x: Tensor) -> tuple[Any, Any]:
        step = xp.expand_dims(xp.exp(self.log_step), axis=1)
        real, imaginary = -xp.exp(self.log_decay), self.frequency
        size = xp.exp(step * real)
        a = size * xp.cos(step * imaginary), size * xp.sin(step * imaginary)
        # (a - 1) / A = (a - 1) conj(A) / |A|²
        square = real * real + imaginary * imaginary
        b = (
            ((a[0] - 1.0) * real + a[1] * imaginary) / square,
            (a[1] * real - (a[0] - 1.0) * imaginary) / square,
        )
        wide = xp.expand_dims(x, axis=-1)
        inputs = wide * b[0], wide * b[1]
        return tuple(xp.broadcast_to(p, inputs[0].shape) for p in a), inputs

    def read(self, h: Any, x: Tensor) -> Tensor:
        return 2.0 * xp.sum(self.c_real * h[0] - self.c_imaginary * h[1], axis=-1) + self.skip * x


class SelectiveCell(LinearCell):
    """A selective state-space model, the recurrence of Mamba: what it keeps depends on the input.

        Δ = softplus(x @ step_down @ step_up + step_bias)       [features]
        B, C = split(x @ projection)                            [order] each
        h' = exp(Δ A) h + Δ B x,   y = Σ_n C[n] h'[n] + skip x,   A = -exp(log_decay)

    State `[batch, features, order]`; y has as many features as x. Mamba's block around it (a gate, a short convolution,
    projections) is made of ordinary layers.

    Args:
        order: N, states per feature. rank: of the projection to Δ; features / 16 if None.

    Source: Gu and Dao, Mamba: linear-time sequence modeling with selective state spaces, arXiv 2312.00752, algorithm 2.

    >>> td.nn.LinearRecurrent(td.nn.SelectiveCell(4), return_sequences=True)(td.ones((2, 50, 3))).shape
    (2, 50, 3)
    """

    projection: Parameter
    step_down: Parameter
    step_up: Parameter
    step_bias: Parameter
    log_decay: Parameter
    skip: Parameter

    def __init__(
        self, order: int = 16, rank: int | None = None, *, input_size: int | None = None, dtype: Any = "float32"
    ) -> None:
        self.order, self.dtype = per_axis("order", order, 1)[0], as_dtype(dtype)
        self.rank = rank if rank is None else per_axis("rank", rank, 1)[0]
        if input_size is not None:
            self._build_for((1, input_size))

    def build(self, *inputs: Spec) -> None:
        features, n, dtype = inputs[-1].shape[-1], self.order, self.dtype
        init = initializers.get("glorot_uniform")
        rank = self.rank or max(1, -(-int(features) // 16))
        self.projection = initializers.parameter(init, (features, 2 * n), dtype)
        self.step_down = initializers.parameter(init, (features, rank), dtype)
        self.step_up = initializers.parameter(init, (rank, features), dtype)
        # Δ begins between 0.001 and 0.1: softplus⁻¹ of numbers spread over that, log-uniformly.
        steps = np.exp(np.linspace(np.log(1e-3), np.log(1e-1), int(features)))
        self.step_bias = Parameter(xp.asarray(np.log(np.expm1(steps))).astype(dtype))
        decay = np.tile(np.log(np.arange(1, n + 1)), (int(features), 1))
        self.log_decay = Parameter(xp.asarray(decay).astype(dtype))
        self.skip = Parameter(xp.ones((features,), dtype=dtype))

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        return xp.zeros((batch, self.skip.shape[0], self.order), dtype=dtype)

    def coefficients(self, x: Tensor) -> tuple[Any, Any]:
        step = xp.expand_dims(xp.softplus(x @ self.step_down @ self.step_up + self.step_bias), axis=-1)
        b = xp.expand_dims((x @ self.projection)[..., : self.order], axis=-2)
        return xp.exp(-step * xp.exp(self.log_decay)), step * b * xp.expand_dims(x, axis=-1)

    def read(self, h: Any, x: Tensor) -> Tensor:
        c = xp.expand_dims((x @ self.projection)[..., self.order :], axis=-2)
        return xp.sum(h * c, axis=-1) + self.skip * x
