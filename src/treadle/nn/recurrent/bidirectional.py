"""`Bidirectional`: a recurrent layer forwards and another backwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle import array as xp
from treadle import random
from treadle.core import trees
from treadle.core.errors import ArgumentError
from treadle.core.padded import Padded
from treadle.core.stateful import copy_of
from treadle.core.tensor import Tensor
from treadle.nn.masking import check_no_lengths, pad_sequences
from treadle.nn.module import Module
from treadle.nn.recurrent.layer import Recurrent

_MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda a, b: xp.concat([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) * 0.5,
}


class Bidirectional(Module):
    """A recurrent layer over the sequence and one over it backwards; their outputs side by side, step by step.

    With `lengths` or a `mask` the second begins at each sequence's own end. The state is the pair of both.

    Args:
        layer: a recurrent layer that has not been called; `return_sequences` and `return_state` are its own.
        merge_mode: "concat" (along the last axis), "sum", "mul", "ave", or None for the pair of both.
        backward_layer: what runs backwards; a layer like `layer`, with parameters of its own, if None.

    Raises:
        ArgumentError: `layer` is no recurrent layer, or goes backwards already, or has parameters already.

    Source: Schuster and Paliwal, Bidirectional recurrent neural networks, IEEE Trans. Signal Processing 45 (1997).

    >>> td.nn.Bidirectional(td.nn.GRU(4, return_sequences=True))(td.ones((2, 7, 3))).shape
    (2, 7, 8)
    """

    def __init__(
        self, layer: Recurrent, merge_mode: str | None = "concat", backward_layer: Recurrent | None = None
    ) -> None:
        if not isinstance(layer, Recurrent) or layer.go_backwards:
            raise ArgumentError("Bidirectional takes a recurrent layer that goes forwards, as nn.LSTM(64)")
        if merge_mode is not None and merge_mode not in _MERGES:
            raise ArgumentError(f"merge_mode={merge_mode!r} is none of {', '.join(map(repr, _MERGES))} and None")
        if backward_layer is None:
            if layer.is_built:
                raise ArgumentError(
                    "Bidirectional copies the layer before it has parameters; this one has been called. Pass a new "
                    "layer, or give backward_layer="
                )
            backward_layer = copy_of(layer)
            assert backward_layer is not None
            backward_layer.go_backwards = True
            if hasattr(layer, "stream"):
                backward_layer.stream = random.Stream(random.default_stream().next_seed())
        if not backward_layer.go_backwards:
            raise ArgumentError("backward_layer needs go_backwards=True")
        if (
            backward_layer.return_sequences != layer.return_sequences
            or backward_layer.return_state != layer.return_state
        ):
            raise ArgumentError("both layers need the same return_sequences and return_state")
        self.forward_layer, self.backward_layer, self.merge_mode = layer, backward_layer, merge_mode

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
        first, second = (None, None) if initial_state is None else initial_state
        ahead = self.forward_layer(x, first, mask=mask, lengths=lengths, **constants)
        back = self.backward_layer(x, second, mask=mask, lengths=lengths, **constants)
        state = None
        if self.forward_layer.return_state:
            (ahead, one), (back, other) = ahead, back
            state = one, other
        if self.forward_layer.return_sequences:
            back = xp.flip(back, axis=1)
        y = (ahead, back) if self.merge_mode is None else _MERGES[self.merge_mode](ahead, back)
        return y if state is None else (y, state)

    def _ragged(self, x: Any, initial_state: Any, mask: Any, lengths: Any, constants: dict[str, Any]) -> Any:
        """A list of sequences, or a `Padded`, as in `nn.Recurrent`."""
        check_no_lengths(mask, lengths)
        padded = x if isinstance(x, Padded) else pad_sequences(x)
        out = self(xp.asarray(padded.values), initial_state, lengths=padded.lengths, **constants)
        if not self.forward_layer.return_sequences:
            return out
        return_state = self.forward_layer.return_state
        y, state = out if return_state else (out, None)
        y = trees.map(lambda y: Padded(y, padded.lengths, padded.mask), y)
        return (y, state) if return_state else y
