"""`Sequential`: modules one after the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from treadle import array as xp
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.padded import Padded
from treadle.core.spec import show_shape
from treadle.core.texts import prepared
from treadle.nn.masking import check_no_lengths, real_of, sequence_mask
from treadle.nn.module import Module
from treadle.nn.text_layer import TextLayer

Layer = Callable[..., Any]


class Sequential(Module):
    """Layers one after the other: each gets what the one before returned.

    A layer is a module or any function, such as `td.relu`. The parameters' paths are `layers.0.kernel`, …

    Padded sequences: `model(x, lengths)`, `model(x, mask=mask)`, a `td.data.Padded`, or `model(*padded)`. Layers that
    take lengths get a mask; it goes on as long as outputs are `[batch, time, …]` with the same sizes. For a `Padded`,
    the result is one, too, as long as it is still a sequence.

    Texts: a first layer that takes them (`td.data.TextVectorization`, `Vocabulary`, `BytePairs`) makes numbers of them
    in Python, in front of the graph (`prepare`). `model(texts)` is then as with a `Padded`. Numbers that are given
    instead are taken as that layer's, and go to the next one.

    Raises:
        ArgumentError: something that cannot be called, or a class in the place of a layer; a layer for texts that is
            not the first.
        ShapeError (at a call): a layer needs the lengths, and one before it has changed the number of steps.

    >>> model = td.nn.Sequential([td.nn.Flatten(), td.nn.Dense(16), td.relu, td.nn.Dense(10)])
    >>> model(td.zeros((2, 4, 4))).shape
    (2, 10)
    """

    layers: list[Layer]

    def __init__(self, layers: Sequence[Layer] = ()) -> None:
        if not isinstance(layers, list | tuple):
            raise ArgumentError(f"Sequential takes a list of layers: Sequential([…]); got {layers!r}")
        self.layers = []
        for layer in layers:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Append a layer."""
        if isinstance(layer, TextLayer) and self.layers:
            kind, first = type(layer).__name__, getattr(self.layers[0], "__name__", type(self.layers[0]).__name__)
            raise ArgumentError(
                f"layers.{len(self.layers)} is a {kind}, which takes texts and runs in Python, in front of the graph: "
                f"it must be the first layer, and that is {first}. What texts need before belongs into split= or "
                "ds.map(…)"
            )
        self.layers.append(_checked(layer))

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        """A layer; for a slice a Sequential of the same layers (shared, not copied)."""
        return Sequential(self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def prepare(self, *inputs: Any) -> Any:
        """The numbers of texts, by the first layer; what the others get."""
        if not self.layers:
            return inputs
        first, x = self.layers[0], inputs[0]
        if not isinstance(first, TextLayer):
            return prepared(first, inputs)
        if isinstance(x, str) or len(inputs) > 1:
            got = f"one: write model([{x[:40]!r}])" if isinstance(x, str) else "lengths beside, which it finds itself"
            raise ArgumentError(f"a model of texts takes a list of them, and got {got}")
        return first.batch(x)

    def _computing(self) -> Iterator[tuple[int, Layer]]:
        """The layers that compute with tensors, which is all but a first one for texts, and their places."""
        return ((k, layer) for k, layer in enumerate(self.layers) if not isinstance(layer, TextLayer))

    def __call__(self, x: Any, lengths: Any = None, mask: Any = None) -> Any:
        if isinstance(x, Padded):
            check_no_lengths(mask, lengths)
            y, real = self._masked(
                xp.asarray(x.values), sequence_mask(xp.asarray(x.values), None, x.lengths, time_axis=1)
            )
            return y if real is None else Padded(y, x.lengths, x.mask)
        if lengths is None and mask is None:
            for _, layer in self._computing():
                x = layer(x)
            return x
        return self._masked(x, real_of(x, lengths, mask))[0]

    def _masked(self, x: Any, real: Any) -> tuple[Any, Any]:
        """(output, the mask if it is still one of the output's)"""
        lost = ""
        for k, layer in self._computing():
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
