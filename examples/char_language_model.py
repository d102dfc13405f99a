"""A language model of characters: an LSTM reads Python's reference manual, beside an n-gram model of the same text.

Run: python examples/char_language_model.py

The manual comes with Python (pydoc's topics, PSF licence). The text is cut into 32 streams; each step of training
reads 64 characters of all of them, and the state goes on to the next (truncated back-propagation).
"""

from __future__ import annotations

import functools
import pydoc_data.topics

import numpy as np

import treadle as td

nn = td.nn
STREAMS, STEPS = 32, 64


def text() -> str:
    topics = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics))


def streams(codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Characters and the ones that follow, `[count, time]` each."""
    time = (len(codes) - 1) // count
    cut = codes[: count * time + 1]
    return cut[:-1].reshape(count, time), cut[1:].reshape(count, time)


def ngram_bits(train: np.ndarray, held_out: np.ndarray, vocabulary: int, order: int = 5) -> float:
    """Bits per character of a model of up to `order` characters, smoothed as Witten and Bell (1991) do."""
    p = np.full(len(held_out), 1 / vocabulary)
    for n in range(order):
        counts: dict[bytes, dict[int, int]] = {}
        for i in range(n, len(train)):
            seen = counts.setdefault(train[i - n : i].tobytes(), {})
            seen[train[i]] = seen.get(train[i], 0) + 1
        for i in range(n, len(held_out)):
            seen = counts.get(held_out[i - n : i].tobytes())
            if seen is not None:
                total, kinds = sum(seen.values()), len(seen)
                p[i] = (seen.get(held_out[i], 0) + kinds * p[i]) / (total + kinds)
    return float(-np.log2(p).mean())


def one_step(model: nn.Sequential, state: tuple, token: td.Tensor) -> tuple:
    """The model's step as td.nn.decoding wants it: (state, logits of the next character)."""
    embedding, lstm, head = model.layers
    state, h = lstm.cell(state, embedding(token))
    return state, head(h)


def write(model: nn.Sequential, begin: np.ndarray, count: int, seed: int) -> np.ndarray:
    state = model.layers[1].cell.initial_state(1, td.float32)
    for token in begin[:-1]:
        state, _ = one_step(model, state, td.asarray([token]))

    @td.compile
    def run(model: nn.Sequential, state: tuple, first: td.Tensor) -> td.Tensor:
        options = {"max_steps": count, "temperature": 0.7, "key": td.random.key(seed)}
        return nn.decoding.sample(functools.partial(one_step, model), state, first, **options).tokens[0]

    return run(model, state, td.asarray(begin[-1:])).numpy()


def main(epochs: int = 9, units: int = 256, characters: int | None = None) -> tuple[float, float]:
    td.random.set_seed(0)
    whole = text()[:characters]
    alphabet = sorted(set(whole))
    codes = np.array([alphabet.index(c) for c in whole], np.int32)
    split = len(codes) * 9 // 10
    train, held_out = codes[:split], codes[split:]
    print(f"{len(codes):,} characters, {len(alphabet)} different ones; the last tenth is held out")
    model = nn.Sequential(
        [nn.Embedding(len(alphabet), 64), nn.LSTM(units, return_sequences=True, stateful=True), nn.Dense(len(alphabet))]
    )
    rate = td.optim.schedules.cosine(4e-3, steps=epochs * (split // STREAMS // STEPS))
    td.fit(
        model,
        streams(train, STREAMS),
        loss="sparse_categorical_crossentropy",
        optimizer=td.optim.Adam(rate, clip=td.optim.clip_by_global_norm(1.0)),
        batch_size=STREAMS,
        epochs=epochs,
        tbptt=STEPS,
    )
    found = td.evaluate(model, streams(held_out, 1), loss="sparse_categorical_crossentropy", tbptt=256)
    bits, baseline = found["loss"] / np.log(2), ngram_bits(train, held_out, len(alphabet))
    print(f"held out: LSTM {bits:.3f} bits per character, 5-gram {baseline:.3f}")
    begin = np.array([alphabet.index(c) for c in "The "], np.int32)
    for seed in range(2):
        print(f"--- sample {seed + 1}\nThe " + "".join(alphabet[c] for c in write(model, begin, 200, seed)))
    return bits, baseline


if __name__ == "__main__":
    main()
