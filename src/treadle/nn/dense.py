"""`Dense`: an affine map of the last axis."""

from __future__ import annotations

import math
from typing import Any

from treadle.array.convert import operands
from treadle.core.dims import Dim, same_size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import activations, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.initializers import InitializerLike
from treadle.nn.module import Module
from treadle.nn.precision import lowered, plus
from treadle.nn.spatial import per_axis
from treadle.ops.contract import contract


class Dense(Module):
    """Affine map of the last axis: `y = activation(x @ kernel + bias)`.

    Shapes: x `[..., in]` → y `[..., units]`; `kernel` `[in, units]`; `bias` `[units]`.

    Args:
        units: size of the result's last axis.
        activation: a name ("relu") or a function.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: names or objects of `nn.initializers`.
        input_size: `in`, to make the parameters at once instead of at the first call.
        dtype: of the parameters; a call promotes as `x @ kernel` does.

    Raises (at a call):
        ShapeError: the last axis has another size than the kernel takes, or x is a scalar.
        DTypeError: x is of integers or bools.

    >>> layer = td.nn.Dense(3, kernel_initializer="ones")
    >>> layer(td.asarray([[1., 2.]])).tolist(), layer.kernel.shape
    ([[3.0, 3.0, 3.0]], (2, 3))
    """

    kernel: Parameter
    bias: Parameter | None

    def __init__(
        self,
        units: int,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.units = per_axis("units", units, 1)[0]
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            self._build_for((1, input_size))

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        _check_rank(x)
        self.kernel = initializers.parameter(self.kernel_initializer, (x.shape[-1], self.units), self.dtype)
        self.bias = initializers.parameter(self.bias_initializer, (self.units,), self.dtype) if self.use_bias else None

    def __call__(self, x: Tensor) -> Tensor:
        _check_rank(x.spec)
        if not same_size(x.shape[-1], self.kernel.shape[0]):
            raise ShapeError(_mismatch(x.spec, self.kernel.spec))
        x, kernel = operands("Dense", lowered(x), lowered(self.kernel))
        y: Tensor = contract(x, kernel, batch=((), ()), axes=((x.ndim - 1,), (0,)))
        return self.activation(y if self.bias is None else plus(y, self.bias))


def _check_rank(x: Spec) -> None:
    if x.ndim == 0:
        raise ShapeError(
            "x is a scalar, and Dense takes [..., features]. Write x[None, None] for one example of one feature"
        )


def _mismatch(x: Spec, kernel: Spec) -> str:
    takes, units = kernel.shape
    lines = [
        f"the kernel takes {takes} features, and the last axis of x has {x.shape[-1]}",
        f"    x        {show_shape(x.shape)}",
        f"    kernel   [{takes}, {units}]",
    ]
    sizes = [n for n in x.shape[1:] if not isinstance(n, Dim)]
    if x.ndim > 2 and len(sizes) == x.ndim - 1 and math.prod(sizes) == takes:
        product = " * ".join(map(str, sizes))
        lines.append(
            f"  {product} = {takes}: put nn.Flatten() before this layer, or pass x.reshape({x.shape[0]}, {takes})."
        )
    elif any(n == takes for n in x.shape[:-1]):
        axis = next(a for a, n in enumerate(x.shape) if n == takes)
        lines.append(f"  Axis {axis} of x has {takes}: if those are the features, pass td.moveaxis(x, {axis}, -1).")
    else:
        lines.append(f"  Pass {takes} features, or make the layer anew: its kernel was made for {takes}.")
    return "\n".join(lines)
