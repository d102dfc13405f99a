"""From texts to numbers: vocabularies and hashes. Texts are no tensors: these run where data is prepared."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from treadle import array as xp
from treadle.core.errors import ArgumentError, BuildError
from treadle.core.owned import State
from treadle.core.padded import Padded
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.data._adapting import chunks_of
from treadle.data._columns import Array, as_column
from treadle.data._padding import in_steps
from treadle.nn.module import Module
from treadle.nn.text_layer import TextLayer

PAD, UNKNOWN = 0, 1
_NO_LIST = "Vocabulary has no list yet: call adapt(ds) before, pass tokens, or load its weights"


class Vocabulary(TextLayer):
    """Texts as numbers, by a list of those in the data: 0 for "" (padding), 1 for unknown ones, the rest by frequency.

    A call takes a text, or lists and NumPy arrays of texts, and gives NumPy's int32 of the same shape; so it is a
    function for `ds.map`. The list is a `State` (its UTF-8 bytes), which is saved with the model.

    Args:
        tokens: the list, instead of `adapt`.
        limit: keep so many of the most frequent; None: all.
        at_least: leave out what occurs less often.

    Raises (at a call):
        BuildError: there is no list yet.

    >>> vocabulary = td.data.Vocabulary().adapt(td.data.from_arrays([["a", "b"], ["a", "c", "a", "b"]]))
    >>> vocabulary.tokens, vocabulary(["b", "a", "x", ""]).tolist(), len(vocabulary)
    (('a', 'b', 'c'), [3, 2, 1, 0], 5)
    >>> vocabulary.decode([3, 2, 1]).tolist()
    ['b', 'a', '?']
    """

    text: State

    def __init__(self, tokens: Iterable[str] | None = None, *, limit: int | None = None, at_least: int = 1) -> None:
        if (limit is not None and limit < 1) or at_least < 1:
            raise ArgumentError(f"Vocabulary(limit={limit}, at_least={at_least}): at least 1")
        self.limit, self.at_least = limit, at_least
        self._known: _Known | None = None
        if tokens is not None:
            self._keep(list(tokens))

    def build(self, *inputs: Spec) -> None:
        """The place for a saved list of so many bytes. A call has no tensors: it comes too early."""
        if not inputs:
            raise BuildError(_NO_LIST)
        self.text = State(xp.zeros(inputs[0].shape[-1:], dtype="uint8"))

    def adapt(self, data: Any, path: str | int | None = None) -> Vocabulary:
        """Learn the list from the texts, or arrays of texts, of a dataset, or from an array.

        Args:
            path: the leaf of the elements ("words", 0), where they have several.

        Returns: the layer itself.
        """
        self.learn(text for chunk in chunks_of(data, path, "Vocabulary") for text in texts_of(chunk))
        return self

    def learn(self, tokens: Iterable[str]) -> None:
        """Learn the list from tokens, one after the other."""
        counts = Counter(tokens)
        counts.pop("", None)
        # Of equal frequency, in the order of the alphabet: the list does not depend on the data's order.
        kept = sorted((t for t, n in counts.items() if n >= self.at_least), key=lambda t: (-counts[t], t))
        self._keep(kept[: self.limit])

    def _keep(self, tokens: list[str]) -> None:
        bad = next((t for t in tokens if not isinstance(t, str) or "\0" in t or t == ""), None)
        if bad is not None or len(set(tokens)) < len(tokens) or not tokens:
            why = "there are none" if not tokens else "one occurs twice" if bad is None else f"{bad!r} cannot be one"
            raise ArgumentError(f"Vocabulary: a list of different texts is needed, and {why}")
        self.text = State(xp.asarray(np.frombuffer("\0".join(tokens).encode(), np.uint8)))
        self.__dict__["_built"] = True

    def _lookup(self) -> tuple[tuple[str, ...], dict[str, int]]:
        """The list, and its places; found anew when `td.load` has put another text there."""
        text = self.__dict__.get("text")
        self._check_concrete(text)
        if not isinstance(text, Tensor) or not text.is_concrete:
            raise BuildError(_NO_LIST)
        if self._known is None or self._known.text is not text:
            self.__dict__["_known"] = _Known(text)
        known = self.__dict__["_known"]
        return known.tokens, known.places

    @property
    def tokens(self) -> tuple[str, ...]:
        """The list; token i has the number i + 2."""
        return self._lookup()[0]

    def __len__(self) -> int:
        """How many numbers there are, for `Embedding(len(vocabulary), …)`."""
        return len(self.tokens) + 2

    def __call__(self, texts: Any) -> Array:
        self._check_texts(texts)
        places = self._lookup()[1]
        return _over(texts, lambda t: places.get(t, UNKNOWN), np.int32)

    def batch(self, texts: Any) -> Array | Padded:
        """The numbers of texts `[batch, …]`, of the same shape; of lists of different lengths, a `Padded`."""
        column = as_column(texts)
        numbers = self(column)
        return in_steps(numbers, PAD, None, "Vocabulary") if numbers.dtype == object else numbers

    def decode(self, numbers: Any) -> Array:
        """The texts of numbers, as NumPy's objects: "" for padding, "?" for unknown ones.

        Raises:
            ArgumentError: a number beyond the list.
        """
        tokens = ("", "?", *self.tokens)
        given = np.asarray(numbers)
        if given.size and not (given.min() >= 0 and given.max() < len(tokens)):
            raise ArgumentError(f"Vocabulary.decode: numbers from 0 to {len(tokens) - 1}, not {given.max()}")
        out = np.empty(given.shape, object)
        out[...] = np.array(tokens, object)[given]
        return out


class _Known:
    """The list that a tensor of bytes holds."""

    def __init__(self, text: Tensor) -> None:
        joined = text.numpy().tobytes().decode()
        if not joined.strip("\0"):
            raise BuildError(_NO_LIST)
        self.text = text
        self.tokens = tuple(joined.split("\0"))
        self.places = {"": PAD} | {t: i + 2 for i, t in enumerate(self.tokens)}


class Hashing(Module):
    """Texts or integers as numbers from 0 to bins - 1, without a list: the same for ever, collisions as chance has it.

    A call takes texts as `Vocabulary` does, or integers, and gives NumPy's int32 of the same shape.

    Args:
        bins: how many numbers.
        seed: another seed makes other collisions.

    Source: BLAKE2b (RFC 7693), of 8 bytes, with the seed as key.

    >>> layer = td.data.Hashing(1000)
    >>> layer(["a", "b", "a"]).tolist() == [int(layer("a")), int(layer("b")), int(layer("a"))]
    True
    """

    def __init__(self, bins: int, seed: int = 0) -> None:
        if bins < 1:
            raise ArgumentError(f"Hashing({bins}): at least one bin")
        self.bins, self.seed = bins, seed

    def __call__(self, values: Any) -> Array:
        key = self.seed.to_bytes(16, "little", signed=True)

        def number(value: Any) -> int:
            data = value if isinstance(value, bytes) else str(value).encode()
            return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=key).digest(), "little") % self.bins

        return _over(values.numpy() if isinstance(values, Tensor) else values, number, np.int32)


def _over(values: Any, function: Any, dtype: Any) -> Array:
    """A function of each value, of a list or array of any shape."""
    if isinstance(values, str | bytes):
        return np.asarray(function(values), dtype)
    array = values if isinstance(values, np.ndarray) else np.array(values, object)
    if array.dtype == object and array.size and isinstance(array.flat[0], np.ndarray | list):
        out = np.empty(array.shape, object)  # ragged: an array of arrays
        for i, v in np.ndenumerate(array):
            out[i] = _over(v, function, dtype)
        return out
    return np.array([function(v) for v in array.ravel().tolist()], dtype).reshape(array.shape)


def texts_of(values: Any) -> Iterable[str]:
    """All texts of nested lists and arrays."""
    for value in [values] if isinstance(values, str) else np.asarray(values, object).ravel():
        if isinstance(value, str):
            yield value
        elif isinstance(value, np.ndarray | list):
            yield from texts_of(value)
        else:
            raise ArgumentError(f"Vocabulary takes texts, and there is {value!r}")
