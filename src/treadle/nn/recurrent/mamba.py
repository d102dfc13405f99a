"""`MambaBlock`: a selective state-space model with what Mamba puts around it."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.core.dims import Size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ShapeError
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import activations
from treadle.nn.dense import Dense
from treadle.nn.depthwise import DepthwiseConv1D
from treadle.nn.masking import sequence_mask
from treadle.nn.module import Module
from treadle.nn.recurrent.linear import LinearRecurrent, SelectiveCell
from treadle.nn.spatial import per_axis


class MambaBlock(Module):
    """A gated selective state-space model: x `[batch, time, in]` → the same. Nothing sees what comes after it.

        h, gate = split(project(x))                              [expand * in] each
        h = selective scan(silu(short causal convolution(h)))    `nn.SelectiveCell`
        y = output(h * silu(gate))

    A residual connection and a normalisation stand around it: `x + block(norm(x))`.

    Args:
        order: states per feature. rank: of the projection to Δ; `expand * in / 16` if None.
        expand: how many times as many features are inside.
        kernel_size: of the convolution.
        use_bias: of the two projections.
        parallel: of `nn.LinearRecurrent`.
        input_size: `in`, to make the parameters at once.
        dtype: of the parameters.

    Call: `layer(x, mask=None, lengths=None)`: `lengths` `[batch]` or a bool `mask` `[batch, time]` say what is real.
    The rest counts as 0 for the convolution, leaves the state as it is, and gives 0.

    For generation `step` takes one place after the other, with a state that does not grow.

    Raises (at a call):
        ShapeError: x is not `[batch, time, in]`.

    Source: Gu and Dao, Mamba: linear-time sequence modeling with selective state spaces, arXiv 2312.00752, figure 3.

    >>> td.nn.MambaBlock(order=4)(td.ones((2, 50, 3)), lengths=td.asarray([50, 7])).shape
    (2, 50, 3)
    """

    project: Dense
    output: Dense
    convolution: DepthwiseConv1D
    scan: LinearRecurrent

    def __init__(
        self,
        order: int = 16,
        expand: int = 2,
        kernel_size: int = 4,
        rank: int | None = None,
        use_bias: bool = False,
        parallel: bool = False,
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.order, self.rank = per_axis("order", order, 1)[0], rank
        self.expand, self.kernel_size = per_axis("expand", expand, 1)[0], per_axis("kernel_size", kernel_size, 1)[0]
        self.use_bias, self.parallel, self.dtype = use_bias, parallel, as_dtype(dtype)
        if input_size is not None:
            self._build_for((1, 1, input_size))

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        self._check(x)
        width = int(x.shape[-1])
        inside = self.expand * width
        kind: dict[str, Any] = {"dtype": self.dtype}
        self.project = Dense(2 * inside, use_bias=self.use_bias, input_size=width, **kind)
        self.convolution = DepthwiseConv1D(
            self.kernel_size, padding="causal", data_format="channels_last", input_size=inside, **kind
        )
        cell = SelectiveCell(self.order, self.rank, input_size=inside, **kind)
        self.scan = LinearRecurrent(cell, return_sequences=True, parallel=self.parallel)
        self.output = Dense(width, use_bias=self.use_bias, input_size=inside, **kind)

    def __call__(self, x: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        self._check(x.spec)
        real = sequence_mask(x, mask, lengths, time_axis=1)

        def only(h: Tensor) -> Tensor:
            return h if real is None else xp.where(real[:, :, None], h, 0)

        h, gate = xp.split(self.project(only(x)), 2, axis=-1)
        h = self.scan(activations.silu(self.convolution(only(h))), mask=real)
        return only(self.output(h * activations.silu(gate)))

    def initial_state(self, batch: Size, dtype: Any = None) -> tuple[Tensor, Tensor]:
        """What `step` begins with: zeros of this dtype, the parameters' if None.

        Returns: what the convolution still sees `[batch, kernel_size - 1, expand * in]`, and the scan's state
        `[batch, expand * in, order]`.
        """
        kind = self.dtype if dtype is None else as_dtype(dtype)
        state: Tensor = self.scan.cell.initial_state(batch, kind)
        return xp.zeros((batch, self.kernel_size - 1, state.shape[1]), dtype=kind), state

    def step(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """One place: the state and x `[batch, in]` → the state behind it and y `[batch, in]`.

        The y of all places are those of a call with all at once. `td.scan(layer.step, layer.initial_state(batch), x)`
        with x `[time, batch, in]` reads a prompt and gives the state behind it.

        Raises:
            ShapeError: x is not `[batch, in]`.

        >>> layer = td.nn.MambaBlock(order=4, input_size=3)
        >>> state, y = layer.step(layer.initial_state(2), td.ones((2, 3)))
        >>> y.shape
        (2, 3)
        """
        if x.ndim != 2:
            raise ShapeError(f"a step of MambaBlock takes [batch, features], and got {show_shape(x.shape)}")
        seen, inner = state
        h, gate = xp.split(self.project(x), 2, axis=-1)
        window = xp.concat([seen, xp.expand_dims(h, axis=1)], axis=1)
        inner, y = self.scan.cell(inner, activations.silu(self.convolution(window)[:, -1]))
        return (window[:, 1:], inner), self.output(y * activations.silu(gate))

    def _check(self, x: Spec) -> None:
        if x.ndim != 3:
            raise ShapeError(f"MambaBlock takes [batch, time, features], and got {show_shape(x.shape)}")
