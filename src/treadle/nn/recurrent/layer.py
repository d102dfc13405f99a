"""`Recurrent`: a step function, or a cell, as a layer over sequences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from treadle import array as xp
from treadle import random
from treadle.core import trees
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import Parameter, State
from treadle.core.padded import Padded
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn.calls import is_training
from treadle.nn.masking import pad_sequences, sequence_mask
from treadle.nn.module import Module
from treadle.nn.precision import autocast
from treadle.nn.recurrent.cells import Cell, GateCell, StackedCells
from treadle.nn.recurrent.stepping import scan_of_blocks, unrolled
from treadle.ops.control import scan
from treadle.transforms import eval_shape

Step = Callable[[Any, Any], tuple[Any, Any]]


class Recurrent(Module):
    """A layer that runs `state, y = cell(state, x)` over the time axis of x `[batch, time, …]`.

    `cell` is an `nn.Cell`, any other module, or a plain function; states, x and y are trees of tensors, whose first
    axis is the batch (in x, the second is time).

    Sequences of different lengths come padded, with `lengths` `[batch]` (any integer dtype, any order, 0 allowed) or a
    `mask` `[batch, time]` (bool, True for what is real). A step that is not real leaves the state as it is, and its
    output is 0. So each sequence gives what it would give alone, and so do its gradients. Blocks of 16 steps in which
    no sequence is real cost nothing: a batch of short sequences, padded far, stops early.

    Args:
        cell: what one step computes.
        return_sequences: return the outputs of all steps, `[batch, time, …]`, instead of the last real one,
            `[batch, …]` (of an empty sequence: what the initial state stands for, or else 0).
        return_state: return `(y, state)`, the state after the last step.
        go_backwards: from the last step to the first; the outputs come in the order in which they are computed.
        stateful: the state after a call is the initial state of the next one; the batch keeps its size.
            `reset_states()` begins anew.
        unroll: write the steps out instead of a loop; for short sequences.
        dropout: of x, recurrent_dropout: of the state where it enters a product; each sequence keeps its choice for all
            steps (Gal and Ghahramani 2016). The second needs a cell with `recurrent_mask`.
        seed: of the dropouts' random stream.
        checkpoint: keep less for the derivative, of `td.scan`: True keeps the state of every √T-th step and runs the
            steps between again, √T at a time; an int, so many at a time.

    Call: `layer(x, initial_state=None, mask=None, lengths=None, **constants)`. x may also be a list of sequences
    `[length, …]`, or a `td.data.Padded`; then what `return_sequences` returns is a `Padded`, too. Constants are passed
    on to each step as they are: `cell(state, x, memory=…)`.

    Raises (at a call):
        ShapeError: x has no time axis; a mask, lengths or state of another shape.
        ArgumentError: a mask and lengths; no initial state where the cell has none of its own.

    >>> def running_mean(state, x):
    ...     total, count = state
    ...     total, count = total + x, count + 1.0
    ...     return (total, count), total / count
    >>> layer = td.nn.Recurrent(running_mean, return_sequences=True)
    >>> start = (td.zeros((1, 1)), td.zeros((1, 1)))
    >>> layer(td.asarray([[[1.], [3.], [8.]]]), start).tolist()
    [[[1.0], [2.0], [4.0]]]
    """

    def __init__(
        self,
        cell: Step,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        checkpoint: bool | int = False,
    ) -> None:
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
                raise ArgumentError(f"{name} is the probability to drop, from 0 to less than 1; got {rate!r}")
        if unroll and checkpoint:
            raise ArgumentError("unroll=True has no loop to checkpoint; leave one of the two out")
        self.cell = cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.checkpoint = checkpoint
        self.dropout, self.recurrent_dropout = float(dropout), float(recurrent_dropout)
        if isinstance(cell, GateCell) and cell.is_built and not stateful:
            self.__dict__["_built"] = True  # nothing is left to make at the first call
        if dropout or recurrent_dropout:
            self.stream = random.Stream(random.default_stream().next_seed() if seed is None else seed)

    def _build(self, args: tuple[Any, ...]) -> None:
        given = args[0] if args else None
        if isinstance(given, Padded):
            args = (xp.asarray(given.values),)
        elif isinstance(given, list) and given:
            args = (pad_sequences(given).values,)
        elif not isinstance(given, Tensor):
            args = tuple(trees.leaves(given)[:1])
        super()._build(args)

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        """The cell's parameters, and the kept state of a stateful layer."""
        self._check_rank(x)
        if not isinstance(self.cell, Cell):
            if self.stateful:
                raise ArgumentError("stateful=True needs an nn.Cell: it knows its initial state")
            return
        batch, step = x.shape[0], x.with_shape((x.shape[0], *x.shape[2:]))
        _build_cell(self.cell, step)
        if self.stateful:
            if not isinstance(batch, int):
                raise ArgumentError(f"a stateful layer needs a batch of known size, and x is {x}")
            dtype = xp.result_type(Tensor(Spec((batch,), x.dtype)), _dtype_of(self.cell))
            first = trees.leaves(self.cell.start(step, dtype))
            # An extra array for each: two that are one would stay one, which no step makes.
            self.kept = [State(xp.asarray(s.numpy().copy())) for s in first]
            self.began = [s.numpy() for s in first]

    def _check_rank(self, x: Spec) -> None:
        axes = self.cell.step_axes if isinstance(self.cell, Cell) else None
        if x.ndim < 2 if axes is None else x.ndim != axes + 1:
            rest = {None: "…", 2: "features"}.get(axes, f"and {axes} axes" if axes is None else f"{axes - 1} more axes")
            raise ShapeError(f"a recurrent layer takes [batch, time, {rest}], and got {show_shape(x.shape)}")

    def reset_states(self, where: Any = None, *, batch: int | None = None) -> None:
        """Let the next call of a stateful layer begin with the initial state.

        Args:
            where: bool `[batch]`: only the sequences for which it is True begin anew; all if None.
            batch: the size of the batches to come, where that changes; then all begin anew.
        """
        reset = None if where is None else xp.asarray(where)
        for k, old in enumerate(getattr(self, "kept", [])):
            first = self.began[k]
            if batch is not None and old.shape[0] != batch:
                self.began[k] = first = np.broadcast_to(first[:1], (batch, *first.shape[1:])).copy()
                self.kept[k] = State(xp.asarray(first))
            else:
                self.kept[k] = State(xp.asarray(first) if reset is None else _where(reset, xp.asarray(first), old))

    def __call__(
        self,
        x: Any,
        initial_state: Any = None,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        **constants: Any,
    ) -> Any:
        if isinstance(x, list | Padded):
            return self._ragged(x, initial_state, mask, lengths, constants)
        first = trees.leaves(x)[0]
        self._check_rank(first.spec)
        real = sequence_mask(first, mask, lengths, time_axis=1)
        if real is not None:  # whatever lies in the padding, NaN for instance, takes no part in any product
            x = trees.map(lambda a: _where(real, a, xp.zeros_like(a)), x)
        start = self._start(initial_state, x, first)
        x, recurrent_mask = self._dropouts(x, start, first)
        if recurrent_mask is not None:
            constants = {**constants, "recurrent_mask": recurrent_mask}
        step = (lambda s, a: self.cell(s, a, **constants)) if constants else self.cell
        with autocast("float32"):  # what is carried from step to step would lose digits at each
            state, y = self._run(step, start, x, real)
        if self.stateful:
            for k, new in enumerate(trees.leaves(state)):
                self.kept[k] = State(new)
        return (y, state) if self.return_state else y

    def _ragged(self, x: Any, initial_state: Any, mask: Any, lengths: Any, constants: dict[str, Any]) -> Any:
        """A list of sequences, or a `Padded`: the lengths come with it, and go on with the outputs of all steps."""
        if mask is not None or lengths is not None:
            raise ArgumentError(
                "a list of sequences or a Padded has its own lengths; give no mask or lengths beside it"
            )
        if self.go_backwards and self.return_sequences:
            raise ArgumentError(
                "go_backwards with return_sequences gives the outputs in the order in which they are computed, the "
                "padding first, and a Padded has it behind; pass the padded tensor and lengths="
            )
        padded = x if isinstance(x, Padded) else pad_sequences(x)
        out = self(xp.asarray(padded.values), initial_state, lengths=padded.lengths, **constants)
        if not self.return_sequences:
            return out
        y, state = out if self.return_state else (out, None)
        y = Padded(y, padded.lengths, padded.mask)
        return (y, state) if self.return_state else y

    def _dropouts(self, x: Any, start: Any, first: Tensor) -> tuple[Any, Any]:
        if not is_training() or not (self.dropout or self.recurrent_dropout):
            return x, None
        if self.dropout:
            keep = 1 - self.dropout

            def thinned(a: Tensor) -> Tensor:
                kept = self.stream.bernoulli(keep, (a.shape[0], 1, *a.shape[2:]))
                return xp.where(kept, a / keep, 0)

            x = trees.map(thinned, x)
        if not self.recurrent_dropout:
            return x, None
        parts = self.cell.dropped_parts(start) if isinstance(self.cell, Cell) else None
        if parts is None:
            raise ArgumentError("recurrent_dropout needs a cell that takes recurrent_mask=, as nn.LSTMCell does")
        keep = 1 - self.recurrent_dropout

        def mask(h: Tensor) -> Tensor:
            return xp.where(self.stream.bernoulli(keep, h.shape), xp.asarray(1 / keep, dtype=first.dtype), 0)

        return x, trees.map(mask, parts)

    def _start(self, given: Any, x: Any, first: Tensor) -> Any:
        if given is not None:
            return trees.map(lambda s: xp.asarray(s), given)
        if not isinstance(self.cell, Cell):
            raise ArgumentError(
                "this recurrent layer does not know its initial state: pass it, layer(x, initial_state), or make the "
                "cell an nn.Cell with initial_state(self, batch, dtype)"
            )
        step = trees.map(lambda a: a.spec.with_shape((a.shape[0], *a.shape[2:])), x)
        start = self.cell.start(step, xp.result_type(first, _dtype_of(self.cell)))
        if self.stateful:
            leaves, structure = trees.flatten(start)
            if any(a.shape != b.shape for a, b in zip(leaves, self.kept, strict=True)):
                raise ShapeError(
                    f"this stateful layer keeps the state of {self.kept[0].shape[0]} sequences, and got a batch of "
                    f"{first.shape[0]}; make a layer for each batch size"
                )
            start = trees.unflatten(structure, [Tensor(k._spec, k._value, k._trace, k._atom) for k in self.kept])
        return start

    def _run(self, step: Step, start: Any, x: Any, real: Tensor | None) -> tuple[Any, Any]:
        """(last state, what the layer returns beside it)"""
        known = isinstance(self.cell, Cell) and self.cell.output(start) is not None
        carry_last = not self.return_sequences and not known
        last = _zeros_of_output(step, start, x) if carry_last else None

        def body(carry: Any, item: Any) -> Any:
            (state, last), (a, here) = carry, item
            new, y = step(state, a)
            if here is not None:
                new = _where(here, new, state)
            if carry_last:
                last = y if here is None else _where(here, y, last)
            if not self.return_sequences:
                return (new, last), None
            return (new, last), y if here is None else _where(here, y, trees.map(xp.zeros_like, y))

        items = trees.map(lambda a: xp.moveaxis(a, 1, 0), x), None if real is None else xp.moveaxis(real, 1, 0)
        loop: Any = scan if real is None else scan_of_blocks
        run: Any = unrolled if self.unroll else partial(loop, checkpoint=self.checkpoint)
        (state, last), ys = run(body, (start, last), items, reverse=self.go_backwards)
        if not self.return_sequences:
            return state, last if carry_last else self.cell.output(state)  # type: ignore[attr-defined]
        ys = trees.map(lambda y: xp.moveaxis(y, 0, 1), ys)
        return state, trees.map(lambda y: xp.flip(y, axis=1), ys) if self.go_backwards else ys


def _build_cell(cell: Cell, step: Spec) -> None:
    """Make the parameters of a cell, and of the cells in a stack, for inputs at one step."""

    def run(x: Tensor) -> Any:
        return cell(cell.start(x, xp.result_type(x, _dtype_of(cell))), x)[1]

    if isinstance(cell, StackedCells) or not cell.is_built:
        eval_shape(run)(step)


def _dtype_of(cell: Cell) -> Any:
    """The dtype of a cell's parameters."""
    kernel = getattr(cell, "kernel", None) if cell.is_built else None
    if isinstance(kernel, Parameter):
        return kernel.dtype
    inner = [*getattr(cell, "cells", [])[:1], *([cell.cell] if isinstance(getattr(cell, "cell", None), Cell) else [])]
    return _dtype_of(inner[0]) if inner else getattr(cell, "dtype", "float32")


def _where(real: Tensor, new: Any, old: Any) -> Any:
    """Of two trees, the first where a sequence (or a step of it) is real."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return xp.where(xp.reshape(real, (*real.shape, *(1 for _ in a.shape[real.ndim :]))), a, b)

    return trees.map(choose, new, old)


def _zeros_of_output(step: Step, start: Any, x: Any) -> Any:
    """Zeros of the shape of one step's output."""
    first = trees.map(lambda a: a[:, 0], x)
    specs = eval_shape(lambda s, a: step(s, a)[1])(start, first)
    return trees.map(lambda s: xp.zeros(s.shape, dtype=s.dtype), specs)
