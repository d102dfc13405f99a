"""Pretrained word vectors from files of word2vec and GloVe, and embeddings that begin with them."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator, Sequence
from os import PathLike, fspath
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from treadle import array as xp
from treadle import random
from treadle.core.errors import ArgumentError, DataError
from treadle.data._columns import Array
from treadle.data._files import find, open_bytes

if TYPE_CHECKING:
    from treadle.data.texts import Vocabulary
    from treadle.data.tokenizing import TextVectorization
    from treadle.nn.embedding import Embedding

_FORMATS = ("word2vec text", "word2vec binary", "glove")
_LARGEST = 1 << 34  # bytes of a table: more is a damaged header


class WordVectors:
    """A vector for each word.

    Attributes:
        words: in the file's order. vectors: float32 `[words, features]`. source: where they come from.

    >>> found = td.data.WordVectors(["cat", "dog"], np.eye(2, dtype=np.float32))
    >>> found["dog"].tolist(), "cow" in found, len(found)
    ([0.0, 1.0], False, 2)
    >>> vocabulary = td.data.Vocabulary(["cow", "cat"])
    >>> found.missing(vocabulary)
    ['cow']
    >>> found.embedding(vocabulary, missing="zeros")(td.asarray(vocabulary(["cat", "cow"]))).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, words: Sequence[str], vectors: Any, source: str = "the word vectors") -> None:
        self.words, self.vectors, self.source = tuple(words), np.asarray(vectors, np.float32), source
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.words):
            raise ArgumentError(
                f"{len(self.words)} words need vectors [{len(self.words)}, n], not {self.vectors.shape}"
            )
        self._places = {w: i for i, w in reversed(list(enumerate(self.words)))}  # of two the first

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._places

    def __getitem__(self, word: str) -> Array:
        """The vector of a word.

        Raises:
            KeyError: it has none.
        """
        if word not in self._places:
            raise KeyError(f"{self.source}: there is no vector of {word!r}")
        row: Array = self.vectors[self._places[word]]
        return row

    def missing(self, vocabulary: Vocabulary | TextVectorization) -> list[str]:
        """The words of a vocabulary that have no vector."""
        return [w for w in _tokens(vocabulary) if w not in self._places]

    def embedding(
        self,
        vocabulary: Vocabulary | TextVectorization,
        *,
        missing: str | None = None,
        trainable: bool = True,
        dtype: Any = "float32",
    ) -> Embedding:
        """An `nn.Embedding` for the vocabulary's numbers, whose rows are these vectors; padding (0) is masked.

        Args:
            missing: what words without a vector get: "random" numbers with the spread of those that have one, "zeros",
                or an "error". None is "random" with a warning that names them.
            trainable: whether training changes the vectors.

        Raises:
            ArgumentError: no word has a vector; or one has none, with "error".
        """
        from treadle.nn.embedding import Embedding

        if missing not in (None, "random", "zeros", "error"):
            raise ArgumentError(f'missing is "random", "zeros", "error" or None; got {missing!r}')
        words, absent = _tokens(vocabulary), self.missing(vocabulary)
        first = ", ".join(map(repr, absent[:5])) + (", …" if len(absent) > 5 else "")
        said = f"{len(absent)} of {len(words)} words have no vector in {self.source}: {first}"
        if len(absent) == len(words):
            raise ArgumentError(f"{said}. Are they written in the same case, of the same language?")
        if absent and missing == "error":
            raise ArgumentError(f'{said}. With missing="random" or "zeros" they get such vectors')
        if absent and missing is None:
            warnings.warn(f'{said}. They get random ones (missing="random" says that this is meant)', stacklevel=2)
        known = np.array([w in self._places for w in words])
        rows = self.vectors[[self._places[w] for w in words if w in self._places]]
        table = np.zeros((len(words) + 2, self.vectors.shape[1]), np.float32)
        if missing != "zeros":
            table[1:] = np.asarray(random.default_stream().normal(table[1:].shape)) * (rows.std() or 1.0)
        table[2:][known] = rows
        return Embedding(
            *table.shape,
            lambda key, shape, kind: xp.asarray(table, dtype=kind),
            mask_zero=True,
            trainable=trainable,
            dtype=dtype,
        )


def read_vectors(
    path: str | PathLike[str], *, only: Container[str] | None = None, format: str | None = None
) -> WordVectors:
    """Read a file of word2vec (text or binary) or GloVe, plain or compressed (.gz, .bz2, .xz).

    Args:
        only: keep the words in this set (`set(vocabulary.tokens)`): large files then need little memory.
        format: "word2vec text", "word2vec binary" or "glove"; seen from the file's beginning if None.

    Raises:
        DataError: no such file; a line or a header that is damaged, with its place.
        ArgumentError: no such format; none of the words in `only` is there.

    Sources: Mikolov et al., Distributed representations of words and phrases (NeurIPS 2013), whose tool writes the
    first two; Pennington, Socher, Manning, GloVe (EMNLP 2014).

    >>> with open("vectors.txt", "w") as file:
    ...     _ = file.write("the 0.5 1\\ncat -1 2\\n")
    >>> td.data.read_vectors("vectors.txt")["cat"].tolist()
    [-1.0, 2.0]
    """
    if format is not None and format not in _FORMATS:
        raise ArgumentError(f"format is one of {', '.join(map(repr, _FORMATS))} or None; got {format!r}")
    name = find(fspath(path), "read_vectors")[0]
    with open_bytes(name) as file:
        pairs = _rows(file, name, format)
        kept = [(w, v) for w, v in pairs if only is None or w in only]
    if not kept:
        raise ArgumentError(f"read_vectors: {name} has no vector of a word that is asked for")
    return WordVectors([w for w, _ in kept], np.stack([v for _, v in kept]), name)


def _rows(file: IO[bytes], name: str, format: str | None) -> Iterator[tuple[str, Array]]:
    """(word, vector) of each entry."""
    line = file.readline()
    head = line.split()
    counted = len(head) == 2 and all(part.isdigit() for part in head)
    if format in ("word2vec text", "word2vec binary") or (format is None and counted):
        if not counted:
            raise DataError(
                f"{name}: a word2vec file begins with the numbers of words and features, and this with {line[:40]!r}"
            )
        count, size = map(int, head)
        if size < 1 or count * size * 4 > _LARGEST:
            raise DataError(f"{name}: the header says {count} words of {size} features, more than can be")
        start = file.read(64 + 4 * size)
        rest = _Ahead(start, file)
        binary = format == "word2vec binary" or (format is None and not _is_text(start, size))
        yield from _binary(rest, name, count, size) if binary else _lines(rest.lines(), name, size, 2)
        return
    yield from _lines(iter([line]), name, None, 1)
    yield from _lines(iter(file.readline, b""), name, len(line.rstrip().split(b" ")) - 1, 2)


class _Ahead:
    """A file of which some bytes have been read already."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self.start, self.file = start, file

    def read(self, n: int) -> bytes:
        taken, self.start = self.start[:n], self.start[n:]
        return taken + self.file.read(n - len(taken)) if len(taken) < n else taken

    def lines(self) -> Iterator[bytes]:
        *whole, last = self.start.split(b"\n")
        yield from whole
        yield last + self.file.readline()
        yield from iter(self.file.readline, b"")


def _is_text(start: bytes, size: int) -> bool:
    """Whether a word2vec file goes on with a word and numbers as text."""
    parts = start.split(b"\n")[0].split(b" ")
    try:
        [float(p) for p in parts[1 : min(size + 1, 4)]]
    except ValueError:
        return False
    return len(parts) > 1


def _lines(lines: Iterator[bytes], name: str, size: int | None, first: int) -> Iterator[tuple[str, Array]]:
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        parts = line.rstrip().split(b" ")
        wanted = len(parts) - 1 if size is None else size
        try:
            # From the end: a few words of GloVe's largest files have spaces inside.
            vector = np.array([float(p) for p in parts[len(parts) - wanted :]], np.float32)
            if len(parts) <= wanted or not vector.size:
                raise ValueError
        except ValueError:
            raise DataError(
                f"{name}, line {number}: a word and {'numbers' if size is None else f'{size} numbers'} are expected, "
                f"not {line[:60]!r}"
            ) from None
        yield b" ".join(parts[: len(parts) - wanted]).decode(errors="replace"), vector


def _binary(file: _Ahead, name: str, count: int, size: int) -> Iterator[tuple[str, Array]]:
    for k in range(count):
        word = bytearray()
        while (byte := file.read(1)) != b" ":
            if not byte or len(word) > 10_000:
                raise DataError(f"{name}: word {k + 1} of {count} is cut off or damaged")
            word += byte
        data = file.read(4 * size)
        if len(data) < 4 * size:
            raise DataError(f"{name}: the vector of word {k + 1} of {count} is cut off")
        yield bytes(word).lstrip(b"\n").decode(errors="replace"), np.frombuffer(data, "<f4")


def _tokens(vocabulary: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(vocabulary, "vocabulary", vocabulary).tokens
    return found
