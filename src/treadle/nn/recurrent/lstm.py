"""`LSTMCell`: long short-term memory, with peepholes or layer normalisation on request."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle import array as xp
from treadle.core.dims import Size
from treadle.core.dtypes import DType
from treadle.core.owned import Parameter
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.nn import activations, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.initializers import InitializerLike
from treadle.nn.normalization import LayerNormalization
from treadle.nn.recurrent.cells import GateCell, dropped


class LSTMCell(GateCell):
    """Long short-term memory. Gates in the order input, forget, candidate, output (Keras's and PyTorch's):

        i, f, g, o = split(x @ kernel + h @ recurrent_kernel + bias)
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    State: `(h, c)`, `[batch, units]` each; the output is h'. One bias: where PyTorch adds two, it is their sum.

    Args:
        units: size of h and c.
        activation: of g and of c'. recurrent_activation: of the gates.
        use_bias, kernel_initializer, recurrent_initializer, bias_initializer: as in `nn.SimpleRNNCell`.
        unit_forget_bias: add 1 to the forget gate's first bias (Jozefowicz et al. 2015).
        peephole: the gates see the memory: c enters i and f, and c' enters o, each by a weight per unit `peepholes`
            `[3, units]` (Gers and Schmidhuber 2000).
        layer_norm: normalise `x @ kernel`, `h @ recurrent_kernel` and c' (Ba et al. 2016).
        input_size: the features of x, to make the parameters at once.
        dtype: of the parameters.

    Source: Hochreiter and Schmidhuber, Long short-term memory, Neural Computation 9 (1997); with the forget gate of
    Gers et al. (2000).

    >>> cell = td.nn.LSTMCell(3, input_size=2)
    >>> (h, c), y = cell(cell.initial_state(5, td.float32), td.ones((5, 2)))
    >>> h.shape, c.shape, y is h
    ((5, 3), (5, 3), True)
    """

    gates = 4
    peepholes: Parameter | None

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        *,
        recurrent_activation: ActivationLike = "sigmoid",
        unit_forget_bias: bool = True,
        peephole: bool = False,
        layer_norm: bool = False,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias, self.peephole = unit_forget_bias, peephole
        self.norms = [LayerNormalization(dtype=dtype) for _ in range(3)] if layer_norm else []
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            input_size=input_size, dtype=dtype,
        )  # fmt: skip

    def build(self, *inputs: Spec) -> None:
        super().build(*inputs)
        u = self.units
        if self.bias is not None and self.unit_forget_bias:
            self.bias = remembering(self.bias)
        self.peepholes = initializers.parameter(self.bias_initializer, (3, u), self.dtype) if self.peephole else None
        for norm, size in zip(self.norms, (4 * u, 4 * u, u), strict=False):
            norm.init((1, size))

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        zeros = xp.zeros((batch, self.units), dtype=dtype)
        return zeros, zeros

    def output(self, state: Any) -> Tensor | None:
        made: Tensor = state[0]
        return made

    def __call__(
        self, state: tuple[Tensor, Tensor], x: Tensor, recurrent_mask: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        h, c = state
        recurrent = dropped(h, recurrent_mask) @ self.recurrent_kernel
        if self.norms:
            bias = 0.0 if self.bias is None else self.bias
            z = self.norms[0](self.project(x) - bias) + self.norms[1](recurrent) + bias
        else:
            z = self.project(x) + recurrent
        i, f, g, o = xp.split(z, 4, axis=-1)
        gate = self.recurrent_activation
        if self.peepholes is not None:
            i, f = i + self.peepholes[0] * c, f + self.peepholes[1] * c
        c = gate(f) * c + gate(i) * self.activation(g)
        if self.peepholes is not None:
            o = o + self.peepholes[2] * c
        h = gate(o) * self.activation(self.norms[2](c) if self.norms else c)
        return (h, c), h


def remembering(bias: Parameter) -> Parameter:
    """The bias of the four gates, with 1 added to that of the forget gate."""
    gate = np.arange(4).repeat(bias.shape[0] // 4)
    return Parameter(bias + xp.asarray(gate == 1).astype(bias.dtype))
