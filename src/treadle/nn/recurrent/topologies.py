"""Cells around other cells: a residual connection, output fed back, slower clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from treadle import array as xp
from treadle.core import trees
from treadle.core.dims import Size
from treadle.core.dtypes import DType, int32
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.recurrent.cells import Cell


class ResidualCell(Cell):
    """`y = x + cell's y`: what a deep stack of recurrences trains better with (He et al. 2016; Wu et al. 2016).

    The state is the cell's; its output needs the size of x.

    >>> deep = td.nn.StackedCells([td.nn.GRUCell(8), *(td.nn.ResidualCell(td.nn.GRUCell(8)) for _ in range(3))])
    >>> td.nn.Recurrent(deep, return_sequences=True)(td.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    @property
    def step_axes(self) -> int | None:  # type: ignore[override]  # the inner cell's
        return self.cell.step_axes

    def start(self, x: Any, dtype: DType) -> Any:
        return self.cell.start(x, dtype)

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        return self.cell.initial_state(batch, dtype)

    def __call__(self, state: Any, x: Tensor, **constants: Any) -> tuple[Any, Tensor]:
        state, y = self.cell(state, x, **constants)
        if y.shape != x.shape:
            raise ShapeError(
                f"a residual connection adds x {show_shape(x.shape)} to the cell's output {show_shape(y.shape)}, which "
                "must be the same size"
            )
        return state, x + y


class FeedbackCell(Cell):
    """Output feedback: `y[t-1]` enters beside `x[t]`: `y = readout(cell(concat(x, y before)))`.

    The state is (cell's state, last y `[batch, outputs]`); y is 0 before the first step.

    Args:
        cell: the recurrence. outputs: the size of y.
        readout: a layer or function from the cell's output to y; None: the cell's output is y.

    Source: Jordan, Serial order: a parallel distributed processing approach (1986).

    >>> cell = td.nn.FeedbackCell(td.nn.LSTMCell(8), 2, td.nn.Dense(2))
    >>> td.nn.Recurrent(cell, return_sequences=True)(td.ones((4, 5, 3))).shape
    (4, 5, 2)
    """

    step_axes = 2

    def __init__(self, cell: Cell, outputs: int, readout: Callable[[Tensor], Tensor] | None = None) -> None:
        self.cell, self.outputs, self.readout = cell, outputs, readout

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        return self.cell.initial_state(batch, dtype), xp.zeros((batch, self.outputs), dtype=dtype)

    def output(self, state: Any) -> Tensor | None:
        made: Tensor = state[1]
        return made

    def __call__(self, state: Any, x: Tensor, **constants: Any) -> tuple[Any, Tensor]:
        inner, y = state
        inner, h = self.cell(inner, xp.concat([x, y], axis=-1), **constants)
        new = h if self.readout is None else self.readout(h)
        if new.shape != y.shape:
            raise ShapeError(f"FeedbackCell(outputs={self.outputs}): the readout gives {show_shape(new.shape)}")
        return (inner, new), new


class ClockedCells(Cell):
    """Cells side by side, each on a clock of its own: cell k steps when the step's number is a multiple of `periods[k]`
    and keeps its state and output in between. y are the outputs side by side.

    All cells see x and the outputs of the slower ones, as in a clockwork RNN. The state is (step's number of each
    sequence, states, outputs).

    Args:
        cells: with `units`. periods: as many integers of at least 1.

    Source: Koutník et al., A clockwork RNN (ICML 2014).

    >>> cell = td.nn.ClockedCells([td.nn.GRUCell(4), td.nn.GRUCell(4)], periods=[1, 8])
    >>> td.nn.Recurrent(cell)(td.ones((2, 20, 3))).shape
    (2, 8)
    """

    step_axes = 2

    def __init__(self, cells: Sequence[Cell], periods: Sequence[int]) -> None:
        if not cells or len(cells) != len(periods) or any(not isinstance(p, int) or p < 1 for p in periods):
            raise ArgumentError(f"ClockedCells takes cells and as many periods of at least 1; got {list(periods)!r}")
        # The slowest first: the others see its output of the same step.
        order = sorted(range(len(cells)), key=lambda k: -periods[k])
        self.cells, self.periods, self.order = list(cells), list(periods), order

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        states = tuple(cell.initial_state(batch, dtype) for cell in self.cells)
        sizes = [cell.units for cell in self.cells]
        return xp.zeros((batch,), dtype=int32), states, tuple(xp.zeros((batch, n), dtype=dtype) for n in sizes)

    def output(self, state: Any) -> Tensor | None:
        return xp.concat(list(state[2]), axis=-1)

    def __call__(self, state: Any, x: Tensor) -> tuple[Any, Tensor]:
        count, states, outputs = state
        states, outputs = list(states), list(outputs)
        slower: list[Tensor] = []
        for k in self.order:
            due = count % self.periods[k] == 0
            new, y = self.cells[k](states[k], xp.concat([x, *slower], axis=-1))
            states[k] = trees.map(lambda a, b, due=due: xp.where(xp.expand_dims(due, axis=1), a, b), new, states[k])
            outputs[k] = xp.where(xp.expand_dims(due, axis=1), y, outputs[k])
            slower.append(outputs[k])
        return (count + 1, tuple(states), tuple(outputs)), xp.concat(outputs, axis=-1)
