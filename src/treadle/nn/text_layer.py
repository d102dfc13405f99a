"""`TextLayer`: the base of layers that make numbers of texts."""

from __future__ import annotations

from typing import Any

from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.nn.module import Module


class TextLayer(Module):
    """A layer that takes texts: the first of a `Sequential`, or called in a module's `prepare`."""

    def batch(self, texts: Any) -> Any:
        """The numbers of a list or array of texts as a model takes them: an array, or a `Padded`. For subclasses."""
        return self(texts)

    def _check_texts(self, texts: Any) -> None:
        """Raise for what can only come from a layer before.

        Raises:
            ArgumentError
        """
        if isinstance(texts, Tensor):
            raise ArgumentError(
                f"{type(self).__name__} takes texts, and got the tensor {texts.spec}. It runs in Python, in front of "
                "the graph: make it the first layer of a Sequential, call it in the prepare() of a module of your own, "
                "or in ds.map(…)"
            )

    def _check_concrete(self, text: Any) -> None:
        """Raise where the layer is called inside of a graph.

        Raises:
            ArgumentError
        """
        if isinstance(text, Tensor) and not text.is_concrete:
            raise ArgumentError(
                f"{type(self).__name__} was called while a graph is traced, and texts cannot be in a graph. Call "
                "x = model.prepare(texts) before, and pass x; td.fit, td.evaluate, td.predict and td.compile(model) do"
            )
