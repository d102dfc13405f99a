"""`Sequential`: modules one after the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from treadle import array as xp
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.padded import Padded
from treadle.core.spec import show_shape
from treadle.nn.masking import check_no_lengths, real_of, sequence_mask
from treadle.nn.module import Module

Layer = Callable[..., Any]


class Sequential(Module):
    """Layers one after the other: each gets what the one before returned.

    A layer is a module or any function, such as `td.relu`. The parameters' paths are `layers.0.kernel`, …

    Padded sequences: `model(x, lengths)`, `model(x, mask=mask)`, a `td.data.Padded`, or `model(*padded)`. Layers that
    take lengths get a mask; it goes on as long as outputs are `[batch, time, …]` with the same sizes. For a `Padded`,
    the result is one, too, as long as it is still a sequence.

    Raises:
        ArgumentError: something that cannot be called, or a class in the place of a layer.
        ShapeError (at a call): a layer needs the lengths, and one before it has changed the number of steps.

    >>> model = td.nn.Sequential([td.nn.Flatten(), td.nn.Dense(16), td.relu, td.nn.Dense(10)])
    >>> model(td.zeros((2, 4, 4))).shape
    (2, 10)
    """

    layers: list[Layer]

    def __init__(self, layers: Sequence[Layer] = ()) -> None:
        if not isinstance(layers, list | tuple):
            raise ArgumentError(f"Sequential takes a list of layers: Sequential([…]); got {layers!r}")
        self.layers = [_checked(layer) for layer in layers]

    def add(self, layer: Layer) -> None:
        """Append a layer."""
        self.layers.append(_checked(layer))

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        """A layer; for a slice a Sequential of the same layers (shared, not copied)."""
        return Sequential(self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __call__(self, x: Any, lengths: Any = None, mask: Any = None) -> Any:
        if isinstance(x, Padded):
            check_no_lengths(mask, lengths)
            y, real = self._masked(
                xp.asarray(x.values), sequence_mask(xp.asarray(x.values), None, x.lengths, time_axis=1)
            )
            return y if real is None else Padded(y, x.lengths, x.mask)
        if lengths is None and mask is None:
            for layer in self.layers:
                x = layer(x)
            return x
        return self._masked(x, real_of(x, lengths, mask))[0]

    def _masked(self, x: Any, real: Any) -> tuple[Any, Any]:
        """(output, the mask if it is still one of the output's)"""
        lost = ""
        for k, layer in enumerate(self.layers):
            takes = _takes_mask(layer)
            if takes and lost:
                raise ShapeError(
                    f"layers.{k} ({type(layer).__name__}) needs to know what is real, and {lost}, so the lengths "
                    "do not fit any more. Write the model as a module of its own, and say there what they are then"
                )
            before = x.shape
            x = layer(x, mask=real) if takes and real is not None else layer(x)
            shape = getattr(x, "shape", ())
            if real is not None and not (len(shape) > 2 and shape[:2] == real.shape):
                if not takes and len(shape) > 2:
                    lost = f"layers.{k} ({type(layer).__name__}) made {show_shape(shape)} of {show_shape(before)}"
                real = None
        return x, real


def _takes_mask(layer: Any) -> bool:
    if isinstance(layer, Module):
        return "mask" in inspect.signature(type(layer).__call__).parameters
    return False


def _checked(layer: Any) -> Layer:
    if isinstance(layer, type):
        raise ArgumentError(f"Sequential takes layers, and {layer.__name__} is a class: write {layer.__name__}(…)")
    if not callable(layer):
        raise ArgumentError(f"Sequential takes layers, and {layer!r} cannot be called")
    return layer
