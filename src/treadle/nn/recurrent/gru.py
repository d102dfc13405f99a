"""`GRUCell`: the gated recurrent unit, with either convention of the reset gate."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.core.owned import Parameter
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.nn import activations, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.initializers import InitializerLike
from treadle.nn.recurrent.cells import GateCell, dropped


class GRUCell(GateCell):
    """Gated recurrent unit. Gates in the order update, reset, candidate (Keras's):

        z = sigmoid(x_z + h @ U_z),  r = sigmoid(x_r + h @ U_r)        where x_z, x_r, x_n = split(x @ kernel + bias)
        n = tanh(x_n + r * (h @ U_n + recurrent_bias_n))               reset_after=True: cuDNN's, PyTorch's, Keras's
        n = tanh(x_n + (r * h) @ U_n)                                  reset_after=False: the paper's
        h' = z * h + (1 - z) * n

    State: h `[batch, units]`; the output is h'. With `reset_after` there is a second bias, `recurrent_bias`
    `[3 * units]`, added to `h @ recurrent_kernel`.

    Args:
        units: size of h.
        activation: of n. recurrent_activation: of the gates.
        use_bias, kernel_initializer, recurrent_initializer, bias_initializer: as in `nn.SimpleRNNCell`.
        reset_after: whether the reset gate acts after the product with the state, or before.
        input_size: the features of x, to make the parameters at once.
        dtype: of the parameters.

    Source: Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014.

    >>> cell = td.nn.GRUCell(3, input_size=2)
    >>> state, y = cell(cell.initial_state(5, td.float32), td.ones((5, 2)))
    >>> y.shape
    (5, 3)
    """

    gates = 3
    recurrent_bias: Parameter | None

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
        reset_after: bool = True,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            input_size=input_size, dtype=dtype,
        )  # fmt: skip

    def build(self, *inputs: Spec) -> None:
        super().build(*inputs)
        second = self.use_bias and self.reset_after
        size = (3 * self.units,)
        self.recurrent_bias = initializers.parameter(self.bias_initializer, size, self.dtype) if second else None

    def __call__(self, state: Tensor, x: Tensor, recurrent_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, gate = self.units, self.recurrent_activation
        projected, h = self.project(x), dropped(state, recurrent_mask)
        if self.reset_after:
            recurrent = h @ self.recurrent_kernel
            if self.recurrent_bias is not None:
                recurrent = recurrent + self.recurrent_bias
            z = gate(projected[:, :u] + recurrent[:, :u])
            r = gate(projected[:, u : 2 * u] + recurrent[:, u : 2 * u])
            n = self.activation(projected[:, 2 * u :] + r * recurrent[:, 2 * u :])
        else:
            z, r = xp.split(gate(projected[:, : 2 * u] + h @ self.recurrent_kernel[:, : 2 * u]), 2, axis=-1)
            n = self.activation(projected[:, 2 * u :] + (r * h) @ self.recurrent_kernel[:, 2 * u :])
        new = z * state + (1.0 - z) * n
        return new, new
