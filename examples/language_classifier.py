"""Which language is it? A bidirectional GRU reads short texts of different lengths, character by character.

Run: python examples/language_classifier.py

Texts of similar lengths are batched together and padded; what is padding takes part in nothing.
"""

from __future__ import annotations

import numpy as np

import treadle as td

nn = td.nn


def dataset(pairs: list[tuple[str, int]], alphabet: str) -> td.data.Dataset:
    """Batches of character numbers, padded to the bounds of their buckets; 0 is what the alphabet lacks."""
    number = {c: k + 1 for k, c in enumerate(alphabet)}
    items = [{"x": np.array([number.get(c, 0) for c in text], np.int32), "y": np.int32(y)} for text, y in pairs]
    return td.data.from_items(items).shuffle(seed=0).bucket_by_length([24, 48, 80, 128], 32, length="x", ragged=("x",))


def main(epochs: int = 10, examples: int | None = None) -> float:
    td.random.set_seed(0)
    data = td.datasets.languages()
    alphabet = "".join(sorted({c for text, _ in data.train for c in text}))
    train, test = dataset(data.train[:examples], alphabet), dataset(data.test[:examples], alphabet)
    model = nn.Sequential(
        [
            nn.Embedding(len(alphabet) + 1, 32),
            nn.Bidirectional(nn.GRU(64, return_sequences=True)),
            nn.GlobalMaxPooling1D(),
            nn.Dropout(0.3),
            nn.Dense(len(data.classes)),
        ]
    )
    history = td.fit(
        model,
        train,
        loss="sparse_categorical_crossentropy",
        optimizer=td.optim.Adam(5e-3),
        epochs=epochs,
        metrics=["accuracy"],
        validation_data=test,
    )
    accuracy = history.rows[-1]["val_accuracy"]
    print(f"held out: {accuracy:.1%} right of {len(data.classes)} languages")
    for text in ("oggi fa bel tempo", "das Wetter ist schön", "het weer is mooi", "pogoda jest ładna", "hava güzel"):
        codes = td.asarray([[alphabet.find(c) + 1 for c in text]], dtype=td.int32)
        print(f"  {text:24} {data.classes[int(td.argmax(model(codes)[0]))]}")
    return accuracy


if __name__ == "__main__":
    main()
