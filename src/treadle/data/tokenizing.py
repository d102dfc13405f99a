"""Texts into sequences of numbers: by words or characters with a learned vocabulary, or by byte pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, Union

import numpy as np

from treadle import array as xp
from treadle.core.errors import ArgumentError, BuildError, MissingExtraError, ShapeError
from treadle.core.owned import State
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.data._adapting import chunks_of
from treadle.data._columns import Array
from treadle.data._padding import Padded, in_steps, pad_column
from treadle.data.texts import PAD, Vocabulary, texts_of
from treadle.nn.text_layer import TextLayer

Splitter: TypeAlias = Callable[[str], Sequence[str]]
SplitLike: TypeAlias = Union[str, Splitter]
_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]", re.UNICODE)


def words(text: str) -> list[str]:
    """Words (with an apostrophe inside) and single marks, as they are written."""
    return _WORDS.findall(text)


_SPLITS: dict[str, tuple[Splitter, str]] = {
    "words": (words, " "),
    "whitespace": (str.split, " "),
    "characters": (list, ""),
}


class TextVectorization(TextLayer):
    """A text as the numbers of its words or characters: 0 is padding, 1 an unknown one, the rest by frequency.

    A call takes a text and gives NumPy's int32 `[tokens]`, for `ds.map(layer)` and `padded_batch`; or a list of texts,
    and gives `td.data.Padded`: values int32 `[texts, longest]`, lengths, mask. The vocabulary is saved with the model.

    Args:
        split: "words" (marks are words of their own), "whitespace", "characters", or a function text → tokens.
        lower: whether texts are made lower case before.
        limit, at_least: of the vocabulary, as in `td.data.Vocabulary`.
        max_tokens: what is longer is cut.
        tokens: the vocabulary's list, instead of `adapt`.

    Raises (at a call):
        BuildError: there is no vocabulary yet.
        ArgumentError: what is no text.

    >>> layer = td.data.TextVectorization().adapt(["To be, or not to be.", "Be!"])
    >>> layer.vocabulary.tokens[:3], layer("to be nothing").tolist()
    (('be', 'to', '!'), [3, 2, 1])
    >>> layer(["be", "not to be"]).values.tolist()
    [[2, 0, 0], [7, 3, 2]]
    """

    def __init__(
        self,
        split: SplitLike = "words",
        *,
        lower: bool = True,
        limit: int | None = None,
        at_least: int = 1,
        max_tokens: int | None = None,
        tokens: Iterable[str] | None = None,
    ) -> None:
        if not callable(split) and split not in _SPLITS:
            raise ArgumentError(f"split is one of {', '.join(map(repr, _SPLITS))} or a function; got {split!r}")
        if max_tokens is not None and max_tokens < 1:
            raise ArgumentError(f"max_tokens is at least 1; got {max_tokens}")
        self.split, self.lower, self.max_tokens = split, lower, max_tokens
        self.vocabulary = Vocabulary(tokens, limit=limit, at_least=at_least)

    def tokens(self, text: str) -> list[str]:
        """The words or characters of a text, cut at `max_tokens`."""
        if not isinstance(text, str):
            raise ArgumentError(f"TextVectorization takes texts, and there is {text!r}")
        split = _SPLITS[self.split][0] if isinstance(self.split, str) else self.split
        return list(split(text.lower() if self.lower else text))[: self.max_tokens]

    def adapt(self, data: Any, path: str | int | None = None) -> TextVectorization:
        """Learn the vocabulary from the texts of a dataset, a list or an array.

        Args:
            path: the leaf of the elements, where they have several.

        Returns: the layer itself.
        """
        chunks = chunks_of(data, path, "TextVectorization")
        self.vocabulary.learn(token for chunk in chunks for text in texts_of(chunk) for token in self.tokens(text))
        return self

    def __len__(self) -> int:
        """How many numbers there are, for `Embedding(len(layer), …)`."""
        return len(self.vocabulary)

    def batch(self, texts: Any) -> Padded:
        """The numbers of a list of texts, padded to 8, 16, 32, … steps, or to `max_tokens`: what models work with."""
        return _batch(self, texts)

    def __call__(self, texts: Any) -> Any:
        self._check_texts(texts)
        if isinstance(texts, str):
            return self.vocabulary(np.array(self.tokens(texts), object))
        return _padded([self(text) for text in texts_of(texts)], "TextVectorization")

    def decode(self, numbers: Any) -> str:
        """A text of numbers `[tokens]`, padding left out, with "?" for unknown ones; spaces are not what they were."""
        joint = _SPLITS[self.split][1] if isinstance(self.split, str) else " "
        return joint.join(t for t in self.vocabulary.decode(numbers).ravel().tolist() if t)


class BytePairs(TextLayer):
    """A text as the numbers of byte pairs: frequent words are one, others several; no text is unknown.

    `pip install "treadle[text]"`, which brings the package tokenizers. A call takes and gives what
    `td.data.TextVectorization` does; 0 is padding. The tokenizer is saved with the model.

    Args:
        size: how many numbers there shall be at most, 257 at least: padding and the bytes.
        max_tokens: what is longer is cut.
        json: a `tokenizer.json` of Hugging Face's packages, its text, instead of `adapt`.

    Raises:
        MissingExtraError: tokenizers is not installed.
        BuildError (at a call): there is no tokenizer yet.

    Source: Sennrich, Haddow, Birch, Neural machine translation of rare words with subword units (ACL 2016); on bytes as
    in Radford et al., Language models are unsupervised multitask learners (2019).

    >>> layer = td.data.BytePairs(size=270).adapt(["low lower lowest", "low low"])
    >>> len(layer("low")), layer.decode(layer("low ✓"))
    (1, 'low ✓')
    """

    text: State

    def __init__(self, size: int = 8000, *, max_tokens: int | None = None, json: str | None = None) -> None:
        if size < 257 or (max_tokens is not None and max_tokens < 1):
            raise ArgumentError(f"BytePairs(size={size}, max_tokens={max_tokens}): size >= 257, max_tokens >= 1")
        self.size, self.max_tokens = size, max_tokens
        self._known: _Known | None = None
        if json is not None:
            _tokenizers().Tokenizer.from_str(json)  # raises what is wrong with it
            self._keep(json)

    def build(self, *inputs: Spec) -> None:
        """The place for a saved tokenizer of so many bytes. A call has no tensors: it comes too early."""
        if not inputs:
            raise BuildError("BytePairs has no tokenizer yet: call adapt(ds) before, pass json=, or load its weights")
        self.text = State(xp.zeros(inputs[0].shape[-1:], dtype="uint8"))

    def adapt(self, data: Any, path: str | int | None = None) -> BytePairs:
        """Learn the pairs from the texts of a dataset, a list or an array.

        Args:
            path: the leaf of the elements, where they have several.

        Returns: the layer itself.
        """
        package = _tokenizers()
        made = package.Tokenizer(package.models.BPE())
        made.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = package.decoders.ByteLevel()
        trainer = package.trainers.BpeTrainer(
            vocab_size=self.size,
            special_tokens=["<pad>"],
            initial_alphabet=sorted(package.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        texts = (t for chunk in chunks_of(data, path, "BytePairs") for t in texts_of(chunk))
        made.train_from_iterator(texts, trainer)
        self._keep(made.to_str())
        return self

    def _keep(self, json: str) -> None:
        self.text = State(xp.asarray(np.frombuffer(json.encode(), np.uint8)))
        self.__dict__["_built"] = True

    def _tokenizer(self) -> Any:
        """Made anew when `td.load` has put another text there."""
        text = self.__dict__.get("text")
        self._check_concrete(text)
        if not isinstance(text, Tensor) or not text.is_concrete or not text.numpy().any():
            raise BuildError("BytePairs has no tokenizer yet: call adapt(ds) before, pass json=, or load its weights")
        if self._known is None or self._known.text is not text:
            self.__dict__["_known"] = _Known(text)
        return self.__dict__["_known"].tokenizer

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}

    def __len__(self) -> int:
        """How many numbers there are, for `Embedding(len(layer), …)`."""
        return int(self._tokenizer().get_vocab_size())

    def batch(self, texts: Any) -> Padded:
        """The numbers of a list of texts, padded to 8, 16, 32, … steps, or to `max_tokens`: what models work with."""
        return _batch(self, texts)

    def __call__(self, texts: Any) -> Any:
        self._check_texts(texts)
        made = self._tokenizer()
        if isinstance(texts, str):
            return np.array(made.encode(texts, add_special_tokens=False).ids[: self.max_tokens], np.int32)
        encoded = made.encode_batch(list(texts_of(texts)), add_special_tokens=False)
        return _padded([np.array(e.ids[: self.max_tokens], np.int32) for e in encoded], "BytePairs")

    def decode(self, numbers: Any) -> str:
        """The text of numbers `[tokens]`; bytes that are no character are "�"."""
        made: str = self._tokenizer().decode([int(n) for n in np.asarray(numbers).ravel()], skip_special_tokens=True)
        return made


class _Known:
    """The tokenizer that a tensor of bytes holds."""

    def __init__(self, text: Tensor) -> None:
        self.text = text
        self.tokenizer = _tokenizers().Tokenizer.from_str(text.numpy().tobytes().decode())


def _batch(layer: TextVectorization | BytePairs, texts: Any) -> Padded:
    name = type(layer).__name__
    if np.ndim(texts) != 1:
        raise ShapeError(f"{name} takes texts [batch], one for each example, and got {show_shape(np.shape(texts))}")
    values, lengths, _ = layer(texts)
    rows = np.empty(len(lengths), object)
    rows[:] = [row[:n] for row, n in zip(values, lengths, strict=True)]
    return in_steps(rows, PAD, layer.max_tokens, name)


def _padded(rows: list[Array], name: str) -> Padded:
    column = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        column[i] = row
    if not rows:
        return Padded(np.zeros((0, 0), np.int32), np.zeros(0, np.int32), np.zeros((0, 0), bool))
    return pad_column(column, PAD, None, None, name)


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as e:
        raise MissingExtraError('BytePairs needs tokenizers: pip install "treadle[text]"') from e
    return tokenizers
