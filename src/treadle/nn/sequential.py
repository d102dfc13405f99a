"""`Sequential`: modules one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.nn.module import Module

Layer = Callable[..., Any]


class Sequential(Module):
    """Layers one after the other: each gets what the one before returned.

    A layer is a module or any function, such as `td.relu`. The parameters' paths are `layers.0.kernel`, …

    Raises:
        ArgumentError: something that cannot be called, or a class in the place of a layer.

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

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


def _checked(layer: Any) -> Layer:
    if isinstance(layer, type):
        raise ArgumentError(f"Sequential takes layers, and {layer.__name__} is a class: write {layer.__name__}(…)")
    if not callable(layer):
        raise ArgumentError(f"Sequential takes layers, and {layer!r} cannot be called")
    return layer
