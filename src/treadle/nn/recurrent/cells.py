"""`Cell`: one step of a recurrence as a module; the simplest one, and cells on top of each other."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from treadle import array as xp
from treadle.core import trees
from treadle.core.dims import Size
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import activations, initializers
from treadle.nn.activations import ActivationLike
from treadle.nn.initializers import InitializerLike
from treadle.nn.module import Module
from treadle.nn.spatial import per_axis
from treadle.transforms import eval_shape


class Cell(Module):
    """One step of a recurrence: `state, y = cell(state, x)`, for a batch.

    Subclasses write `__call__(self, state, x, recurrent_mask=None)` and `initial_state`; `nn.Recurrent(cell)` is the
    layer. States are trees of tensors `[batch, …]`, x is `[batch, in]`, y `[batch, out]`. `recurrent_mask`
    (the shape of h) multiplies the state where it enters a product (recurrent dropout).

    Attributes:
        step_axes: how many axes x has at one step, the batch counted; None where that does not matter.
    """

    step_axes: int | None = None

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        """The state before the first step, if nobody gives one.

        Raises:
            ArgumentError: the subclass has not written it.
        """
        raise ArgumentError(
            f"{type(self).__name__} has no initial_state(self, batch, dtype): write one, or pass initial_state= to the "
            "call"
        )

    def start(self, x: Any, dtype: DType) -> Any:
        """`initial_state` for inputs whose first step is x (tensors or specs); of cells whose state has more sizes of x
        than the batch."""
        return self.initial_state(trees.leaves(x)[0].shape[0], dtype)

    def output(self, state: Any) -> Tensor | None:
        """The output that a state stands for, or None where that is not part of the state."""
        return None

    def dropped_parts(self, state: Any) -> Any:
        """What of the state `recurrent_mask` multiplies, of its structure; None: the cell does not take one."""
        takes = "recurrent_mask" in inspect.signature(type(self).__call__).parameters
        return self.output(state) if takes else None


class GateCell(Cell):
    """What cells with `units` outputs and one or more gates share: a kernel, a recurrent kernel and biases.

    Attributes:
        kernel: `[in, gates * units]`. recurrent_kernel: `[units, gates * units]`. bias: `[gates * units]`.
    """

    gates = 1
    step_axes = 2
    kernel: Parameter
    recurrent_kernel: Parameter
    bias: Parameter | None

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        *,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.units = per_axis("units", units, 1)[0]
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            self._build_for((1, input_size))

    def build(self, *inputs: Spec) -> None:
        wide = self.gates * self.units
        shapes = (inputs[-1].shape[-1], wide), (self.units, wide)
        self.kernel = initializers.parameter(self.kernel_initializer, shapes[0], self.dtype)
        self.recurrent_kernel = initializers.parameter(self.recurrent_initializer, shapes[1], self.dtype)
        self.bias = initializers.parameter(self.bias_initializer, (wide,), self.dtype) if self.use_bias else None

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        return xp.zeros((batch, self.units), dtype=dtype)

    def output(self, state: Any) -> Tensor | None:
        made: Tensor = state
        return made

    def project(self, x: Tensor) -> Tensor:
        """`x @ kernel + bias`, `[batch, gates * units]`.

        Raises:
            ShapeError: x has another size than the kernel takes.
        """
        if x.ndim != 2 or x.shape[-1] != self.kernel.shape[0]:
            raise ShapeError(
                f"{type(self).__name__} takes [batch, {self.kernel.shape[0]}] at each step, and got "
                f"{show_shape(x.shape)}"
            )
        y = x @ self.kernel
        return y if self.bias is None else y + self.bias


def dropped(h: Tensor, mask: Tensor | None) -> Tensor:
    return h if mask is None else h * mask


class SimpleRNNCell(GateCell):
    """A fully connected recurrence: `h' = activation(x @ kernel + h @ recurrent_kernel + bias)`; the output is h'.

    State: h `[batch, units]`. Elman, Finding structure in time, Cognitive Science 14 (1990).

    Args:
        units: size of h.
        activation: a name or a function.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: names or objects of `nn.initializers`.
        input_size: the features of x, to make the parameters at once.
        dtype: of the parameters.

    >>> cell = td.nn.SimpleRNNCell(2, kernel_initializer="ones", recurrent_initializer="zeros", activation=None)
    >>> state, y = cell(td.zeros((1, 2)), td.asarray([[1., 2., 3.]]))
    >>> y.tolist()
    [[6.0, 6.0]]
    """

    def __call__(self, state: Tensor, x: Tensor, recurrent_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = self.activation(self.project(x) + dropped(state, recurrent_mask) @ self.recurrent_kernel)
        return h, h


class StackedCells(Cell):
    """Cells on top of each other: each gets the output of the one below. The state is the tuple of theirs, and so is
    `recurrent_mask`.

    >>> stack = td.nn.StackedCells([td.nn.LSTMCell(4), td.nn.GRUCell(3)])
    >>> td.nn.Recurrent(stack)(td.ones((2, 5, 6))).shape
    (2, 3)
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        if not cells:
            raise ArgumentError("StackedCells needs at least one cell")
        self.cells = list(cells)

    @property
    def step_axes(self) -> int | None:  # type: ignore[override]  # the lowest cell's
        return self.cells[0].step_axes

    def start(self, x: Any, dtype: DType) -> Any:
        states = []
        for cell in self.cells:
            states.append(cell.start(x, dtype))
            if cell is not self.cells[-1]:
                x = eval_shape(lambda state, x, cell=cell: cell(state, x)[1])(states[-1], x)
        return tuple(states)

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        return tuple(cell.initial_state(batch, dtype) for cell in self.cells)

    def output(self, state: Any) -> Tensor | None:
        return self.cells[-1].output(state[-1])

    def dropped_parts(self, state: Any) -> Any:
        parts = tuple(cell.dropped_parts(s) for cell, s in zip(self.cells, state, strict=True))
        return None if any(p is None for p in parts) else parts

    def __call__(self, state: Any, x: Tensor, recurrent_mask: Any = None) -> tuple[Any, Tensor]:
        if len(state) != len(self.cells):
            raise ArgumentError(f"StackedCells has {len(self.cells)} cells, and the state has {len(state)} parts")
        new = []
        masks = [{} for _ in self.cells] if recurrent_mask is None else [{"recurrent_mask": m} for m in recurrent_mask]
        for cell, old, mask in zip(self.cells, state, masks, strict=True):
            after, x = cell(old, x, **mask)
            new.append(after)
        return tuple(new), x
