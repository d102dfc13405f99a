"""From letters to sounds: an encoder reads a word, and a decoder that attends to it writes its pronunciation.

Run: python examples/pronunciation.py

Prints how many held-out words are right, with greedy decoding and with a beam, and draws where the decoder looked.
"""

from __future__ import annotations

import string

import numpy as np

import treadle as td

nn = td.nn
END = 0  # begins and ends a pronunciation, and pads it
LONGEST = 14

Pairs = list[tuple[str, tuple[str, ...]]]


class Speaker(nn.Module):
    """Letters `[batch, time]` (0 pads) → phonemes."""

    def __init__(self, sounds: int, units: int = 128) -> None:
        self.letters = nn.Embedding(27, 48)
        self.encoder = nn.Bidirectional(nn.GRU(units // 2, return_sequences=True))
        cell = nn.AttentionCell(nn.GRUCell(units), nn.BahdanauAttention(units), memory_size=units)
        self.decoder = nn.Decoder(nn.Embedding(sounds, 48), cell, nn.Dense(sounds))

    def read(self, word: td.Tensor) -> tuple:
        """(the decoder's first state, what it may look at)"""
        mask = word != 0
        memory = self.encoder(self.letters(word), mask=mask)
        return self.decoder.cell.initial_state(word.shape[0], td.float32), {"memory": memory, "memory_mask": mask}

    def __call__(self, word: td.Tensor, spoken: td.Tensor) -> td.Tensor:
        start, constants = self.read(word)
        return self.decoder(spoken, start, **constants)

    def speak(self, word: td.Tensor, beams: int) -> td.Tensor:
        start, constants = self.read(word)
        first = td.full((word.shape[0],), END, dtype=td.int32)
        options = {"max_steps": LONGEST, "end": END, "constants": constants}
        if beams == 1:
            return nn.decoding.greedy(self.decoder.step, start, first, **options).tokens
        return nn.decoding.beam_search(self.decoder.step, start, first, beams=beams, **options).tokens[:, 0]

    def looks(self, word: td.Tensor, spoken: td.Tensor) -> td.Tensor:
        """The weights of the letters at each step, `[batch, steps, letters]`."""
        start, constants = self.read(word)
        mine = self.decoder.cell
        cell = nn.AttentionCell(mine.cell, mine.attention, mine.memory_size, return_weights=True)
        embedded = self.decoder.embedding(spoken)
        return nn.Recurrent(cell, return_sequences=True)(embedded, start, **constants)[1]


def arrays(pairs: Pairs, sounds: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Letters, the phonemes that the decoder is told, and those that it shall write, each padded with 0."""
    words = np.zeros((len(pairs), 10), np.int32)
    told, said = (np.zeros((len(pairs), LONGEST), np.int32) for _ in range(2))
    for k, (word, phonemes) in enumerate(pairs):
        words[k, : len(word)] = [string.ascii_lowercase.index(c) + 1 for c in word]
        codes = [sounds.index(p) for p in phonemes][: LONGEST - 1]
        said[k, : len(codes)] = told[k, 1 : len(codes) + 1] = codes
    return words, told, said


def loss(prediction: td.Tensor, said: td.Tensor) -> td.Tensor:
    """Of the phonemes and the END behind them."""
    lengths = td.count_nonzero(said, axis=1) + 1
    return td.losses.sparse_categorical_crossentropy(prediction, said, lengths=lengths)


def main(epochs: int = 8, examples: int | None = None) -> tuple[float, float]:
    td.random.set_seed(0)
    data = td.datasets.pronunciations()
    sounds = ["", *sorted({p for _, phonemes in data.train for p in phonemes})]
    words, told, said = arrays(data.train[:examples], sounds)
    model = Speaker(len(sounds))
    td.fit(model, ((words, told), said), loss=loss, optimizer=td.optim.Adam(3e-3), epochs=epochs, batch_size=64)
    words, _, said = arrays(data.test[:examples], sounds)
    right = {}
    for beams in (1, 5):
        speak = td.compile(lambda model, words, beams=beams: model.speak(words, beams))
        right[beams] = float((speak(model, words).numpy() == said).all(axis=1).mean())
    print(f"held-out words spoken right: {right[1]:.1%} greedily, {right[5]:.1%} with 5 beams")
    draw(model, data.test[3], sounds)
    return right[1], right[5]


def draw(model: Speaker, pair: tuple[str, tuple[str, ...]], sounds: list[str]) -> None:
    """A row for each phoneme, darker where the decoder looks."""
    words, told, _ = arrays([pair], sounds)
    weights = model.looks(td.asarray(words), td.asarray(told)).numpy()[0]
    print("     " + " ".join(pair[0]))
    for phoneme, row in zip(pair[1], weights, strict=False):
        print(f"{phoneme:4} " + " ".join(" .:-=+*#%@"[min(int(w * 10), 9)] for w in row[: len(pair[0])]))


if __name__ == "__main__":
    main()
