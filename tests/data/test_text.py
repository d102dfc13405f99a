"""Texts into sequences of numbers, and pretrained vectors: chains, saving, files of each format, damage."""

from __future__ import annotations

import gzip
import pickle
import re
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from treadle.core.errors import ArgumentError, BuildError, DataError

TEXTS = ["The cat sat.", "the dog, the CAT!", "", "it's naïve – don't"]


def test_words_characters_and_splits_of_ones_own():
    layer = td.data.TextVectorization().adapt(TEXTS)
    assert layer.tokens("It's naïve – don't!") == ["it's", "naïve", "–", "don't", "!"]
    assert layer.vocabulary.tokens[:2] == ("the", "cat")
    assert layer("The unseen cat").tolist() == [2, 1, 3]
    assert layer("").tolist() == []
    assert layer.decode(layer("the  CAT sat")) == "the cat sat"
    characters = td.data.TextVectorization("characters", lower=False).adapt(TEXTS)
    text = "The dog, naïve"
    assert characters.decode(characters(text)) == text
    assert len(characters) == len(set("".join(TEXTS))) + 2
    pairs = td.data.TextVectorization(lambda t: t.split(", "), lower=False, tokens=["the CAT!"], max_tokens=3)
    assert pairs("a, the CAT!, b, c").tolist() == [1, 2, 1]
    assert td.data.TextVectorization("whitespace").adapt(["a b  a."])("a. b").tolist() == [3, 4]


@given(st.lists(st.text("ab c", max_size=8), min_size=1, max_size=6), st.integers(1, 3), st.integers(1, 4))
def test_the_vocabulary_is_the_most_frequent_words(texts, limit, at_least):
    counts = Counter(w for t in texts for w in t.lower().split())
    kept = sorted((w for w, n in counts.items() if n >= at_least), key=lambda w: (-counts[w], w))[:limit]
    layer = td.data.TextVectorization(limit=limit, at_least=at_least)
    if not kept:
        with pytest.raises(ArgumentError, match="there are none"):
            layer.adapt(texts)
        return
    assert list(layer.adapt(texts).vocabulary.tokens) == kept
    batch = layer(texts)
    for text, row, n in zip(texts, batch.values, batch.lengths, strict=True):
        assert row[:n].tolist() == [kept.index(w) + 2 if w in kept else 1 for w in text.split()]
        assert not row[n:].any()
    assert batch.mask.sum() == batch.lengths.sum()


@pytest.mark.parametrize("make", [td.data.TextVectorization, lambda **k: td.data.BytePairs(300, **k)])
def test_in_chains_and_files(make, tmp_path: Path):
    if make is not td.data.TextVectorization:
        pytest.importorskip("tokenizers")
    ds = td.data.from_arrays({"text": TEXTS, "label": [0, 1, 0, 1]})
    layer = make(max_tokens=6).adapt(ds, path="text")
    batch = ds.map(lambda e: {**e, "text": layer(e["text"])}).padded_batch(4)[0]
    assert batch["text"].values.tolist() == layer(TEXTS).values.tolist()
    assert batch["text"].lengths.max() <= 6
    with pytest.raises(BuildError, match="yet: call adapt"):
        make()("the")
    for again in (pickle.loads(pickle.dumps(layer)),):
        assert again(TEXTS).values.tolist() == layer(TEXTS).values.tolist()
    td.save(layer, tmp_path / "text.safetensors")
    fresh = make(max_tokens=6)
    td.load(tmp_path / "text.safetensors", fresh)
    assert len(fresh) == len(layer)
    assert fresh(TEXTS).values.tolist() == layer(TEXTS).values.tolist()
    assert fresh([]).values.shape == (0, 0)


@settings(max_examples=30)
@given(st.text(max_size=30))
def test_byte_pairs_know_every_text(text):
    pytest.importorskip("tokenizers")
    numbers = BYTES(text)
    assert BYTES.decode(numbers) == text
    assert not numbers.size or (numbers.min() > 0 and numbers.max() < len(BYTES))
    assert numbers.dtype == np.int32


class _Lazy:
    def __getattr__(self, name):
        return getattr(self._made(), name)

    def __call__(self, *args):
        return self._made()(*args)

    def __len__(self):
        return len(self._made())

    def _made(self):
        if "made" not in self.__dict__:
            self.made = td.data.BytePairs(280).adapt(["low lower lowest, slow and slower"] * 3)
        return self.made


BYTES = _Lazy()


def test_byte_pairs_join_what_is_frequent_and_take_files_of_others():
    package = pytest.importorskip("tokenizers")
    assert len(BYTES("lower")) < 5
    assert len(BYTES("zzzzz")) == 5
    made = package.Tokenizer(package.models.BPE({"<pad>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")]))
    layer = td.data.BytePairs(json=made.to_str())
    assert layer("abab").tolist() == [3, 3]


def test_without_the_package_the_extra_is_named():
    code = (
        "import sys; sys.modules['tokenizers'] = None\nimport treadle as td\n"
        "try: td.data.BytePairs().adapt(['a'])\nexcept td.errors.MissingExtraError as e: print(e)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "treadle[text]"' in run.stdout


def test_errors_of_layers():
    for call, words in (
        (lambda: td.data.TextVectorization("lines"), "'words', 'whitespace', 'characters' or a function; got 'lines'"),
        (lambda: td.data.TextVectorization(max_tokens=0), "max_tokens is at least 1"),
        (lambda: td.data.TextVectorization(tokens=["a"])([3]), "takes texts, and there is 3"),
        (lambda: td.data.BytePairs(100), "size >= 257"),
    ):
        with pytest.raises(ArgumentError, match=words):
            call()


# vectors

WORDS, TABLE = ["the", "cat", "naïve"], np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -3.0], [1e-3, 7.0, 0.0]], np.float32)


def write(path: Path, kind: str) -> Path:
    rows = ["{} {}".format(w, " ".join(map(str, v.tolist()))) for w, v in zip(WORDS, TABLE, strict=True)]
    if kind == "word2vec binary":
        body = b"".join(w.encode() + b" " + struct.pack("<3f", *v) + b"\n" for w, v in zip(WORDS, TABLE, strict=True))
        path.write_bytes(b"3 3\n" + body)
    else:
        path.write_text("\n".join([*(["3 3"] if kind == "word2vec text" else []), *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["word2vec text", "word2vec binary", "glove"])
@pytest.mark.parametrize("told", [True, False])
def test_files_of_each_format(kind, told, tmp_path):
    path = write(tmp_path / "vectors.bin", kind)
    found = td.data.read_vectors(path, format=kind if told else None)
    assert found.words == tuple(WORDS)
    np.testing.assert_array_equal(found.vectors, TABLE)
    (tmp_path / "vectors.gz").write_bytes(gzip.compress(path.read_bytes()))
    few = td.data.read_vectors(tmp_path / "vectors.gz", only={"naïve", "dog"})
    assert few.words == ("naïve",)
    np.testing.assert_array_equal(few["naïve"], TABLE[2])


def test_words_with_spaces_inside(tmp_path):
    (tmp_path / "v").write_text("a 1 2\n. . 3 4\n")
    assert td.data.read_vectors(tmp_path / "v").words == ("a", ". .")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"2 2\na 1 2\nb 1\n", {}, "line 3: a word and 2 numbers are expected, not b'b 1'"),
        (b"a 1 2\nb 1 x\n", {}, "line 2: a word and 2 numbers"),
        (b"hello\n", {}, "line 1: a word and numbers"),
        (b"a 1 2\n", {"format": "word2vec text"}, "begins with the numbers of words and features"),
        (b"a 1 2\n", {"format": "word2vec binary"}, "begins with the numbers of words and features"),
        (b"2 3\nab " + b"\x00\x01\x80\xff" * 2, {}, "vector of word 1 of 2 is cut off"),
        (b"2 1\nab \x00\x01\x80\xff", {"format": "word2vec binary"}, "word 2 of 2 is cut off or damaged"),
        (b"999999999 9999999\nx", {}, "more than can be"),
    ],
)
def test_damaged_files_are_told_with_their_place(content, options, words, tmp_path):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(words)):
        td.data.read_vectors(tmp_path / "v", **options)


def test_embeddings_of_vectors():
    vectors = td.data.WordVectors(WORDS, TABLE, "vectors.txt")
    layer = td.data.TextVectorization(tokens=["cat", "unicorn", "the", "yeti"])
    assert vectors.missing(layer) == ["unicorn", "yeti"]
    with pytest.warns(
        UserWarning, match="2 of 4 words have no vector in vectors.txt: 'unicorn', 'yeti'. They get random"
    ):
        embedding = vectors.embedding(layer)
    assert embedding.embeddings.shape == (6, 3)
    np.testing.assert_array_equal(embedding(td.asarray(layer("the cat"))).numpy(), TABLE[[0, 1]])
    assert np.abs(embedding(td.asarray(layer("yeti"))).numpy()).min() > 0
    zeros = vectors.embedding(layer.vocabulary, missing="zeros", trainable=False)
    assert not zeros(td.asarray(layer("yeti x"))).numpy().any()
    assert not zeros.parameters()
    assert zeros.mask(td.asarray([[2, 0]])).tolist() == [[True, False]]
    assert not zeros(td.asarray([0])).numpy().any()
    for call, words in (
        (lambda: vectors.embedding(layer, missing="error"), "2 of 4 words have no vector .* With missing="),
        (lambda: vectors.embedding(td.data.Vocabulary(["The", "CAT"])), "2 of 2 .* same case"),
        (lambda: vectors.embedding(layer, missing="none"), '"random", "zeros", "error" or None'),
        (lambda: td.data.WordVectors(["a"], np.zeros((2, 3))), r"1 words need vectors \[1, n\], not \(2, 3\)"),
        (lambda: td.data.read_vectors("v", format="fasttext"), "'word2vec text', 'word2vec binary', 'glove' or None"),
    ):
        with pytest.raises(ArgumentError, match=words):
            call()
    with pytest.raises(KeyError, match="there is no vector of 'dog'"):
        vectors["dog"]
    with pytest.raises(DataError, match=r"there is no file nowhere.txt"):
        td.data.read_vectors("nowhere.txt")


def test_nothing_asked_for_is_there(tmp_path):
    (tmp_path / "v").write_text("a 1 2\n")
    with pytest.raises(ArgumentError, match="no vector of a word that is asked for"):
        td.data.read_vectors(tmp_path / "v", only=["b"])


def test_a_mask_needs_mask_zero():
    with pytest.raises(ArgumentError, match="only with mask_zero=True"):
        td.nn.Embedding(3, 2).mask(td.asarray([1]))
    layer = td.nn.Embedding(3, 2, mask_zero=True)
    y = layer(td.asarray([[2, 0, 1]]))
    assert y[0, 1].tolist() == [0.0, 0.0]
    lstm = td.nn.GRU(4)
    np.testing.assert_array_equal(
        lstm(y[:, :1], mask=layer.mask(td.asarray([[2]]))).numpy(),
        lstm(layer(td.asarray([[2, 0]])), mask=layer.mask(td.asarray([[2, 0]]))).numpy(),
    )
