"""Train a small convolutional network on handwritten digits, and look at what it learned.

1,198 images of 8×8 pixels to learn from, 599 others to be judged by; all of it comes with treadle. Weights, pictures
and figures go into a folder. The same seed gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from treadle.datasets import Dataset
    from treadle.nn import Module

FILES = ("digits.safetensors", "curves.png", "confusion.png", "hardest.png", "metrics.json")
HARDEST = 15  # images in that picture
BATCH = 32


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for the results (default: demo)")
    parser.add_argument("--epochs", type=int, default=25, help="passes over the training images (default: 25)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order and the dropout (default: 0)")


def run(options: argparse.Namespace) -> int:
    if options.epochs < 1:
        print(f"--epochs must be at least 1, and is {options.epochs}")
        return 2
    if not _can_draw():
        print('The demo draws its results with matplotlib: pip install "treadle[plot]"')
        return 1
    import treadle as td

    options.output.mkdir(parents=True, exist_ok=True)
    data = td.datasets.digits()
    started = time.perf_counter()
    model, history = _train(data, options.epochs, options.seed)
    seconds = time.perf_counter() - started
    logits = td.predict(model, data.x_test)
    figures = _write(options.output, model, history, data, td.softmax(td.asarray(logits)).numpy(), options)
    print("\n".join(_summary(options.output, figures, seconds)))
    return 0


def _can_draw() -> bool:
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def convnet() -> Module:
    """Two convolutions, a pooling, two dense layers."""
    from treadle import nn

    return nn.Sequential(
        [
            nn.Conv2D(16, 3, padding="same", activation="relu"),
            nn.Conv2D(32, 3, padding="same", activation="relu"),
            nn.MaxPooling2D(2),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Dense(64, activation="relu"),
            nn.Dropout(0.4),
            nn.Dense(10),
        ]
    )


def load_model(path: str | Path) -> Module:
    """The trained network, from the weights that the demo wrote."""
    import treadle as td

    model = convnet()
    td.load(path, into=model, example=td.datasets.digits().x_test[:1])
    return model


def _train(data: Dataset, epochs: int, seed: int) -> tuple[Module, Any]:
    import treadle as td

    td.random.set_seed(seed)
    model = convnet()
    steps = epochs * -(-len(data.x_train) // BATCH)
    history = td.fit(
        model,
        data.train,
        loss=td.losses.sparse_categorical_crossentropy,
        optimizer=td.optim.Adam(td.optim.schedules.cosine(3e-3, steps=steps)),
        metrics=["accuracy"],
        validation_data=data.test,
        batch_size=BATCH,
        epochs=epochs,
        seed=seed,
    )
    return model, history


def _write(
    folder: Path, model: Module, history: Any, data: Dataset, chances: np.ndarray[Any, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """The five files. Returns what metrics.json holds."""
    import numpy as np

    import treadle as td
    from treadle.cli import _demo_pictures as pictures

    weights, curves, confusion, hardest, metrics = (folder / name for name in FILES)
    td.save(model, weights)
    answers, labels = chances.argmax(axis=1), data.y_test
    counts = np.zeros((len(data.classes),) * 2, np.int64)
    np.add.at(counts, (labels, answers), 1)
    pictures.learning_curves(curves, _curve(history, ""), _curve(history, "val_"))
    pictures.confusion_matrix(confusion, counts, data.classes)
    worst = np.argsort(chances[np.arange(len(labels)), labels], kind="stable")[:HARDEST]
    pictures.worst_digits(hardest, data.x_test[worst, ..., 0], labels[worst], chances[worst], data.classes)
    figures = {
        "seed": options.seed,
        "epochs": options.epochs,
        "parameters": sum(int(p.size) for p in model.parameters().values()),
        "right": int((answers == labels).sum()),
        "of": len(labels),
        "accuracy": float((answers == labels).mean()),
        "confusion": counts.tolist(),
        "history": {name: [float(v) for v in history[name]] for name in _MEASURES},
    }
    metrics.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


_MEASURES = ("loss", "accuracy", "val_loss", "val_accuracy")


def _curve(history: Any, prefix: str) -> np.ndarray[Any, Any]:
    """Loss and accuracy, `[epochs, 2]`."""
    import numpy as np

    return np.stack([history[prefix + "loss"], history[prefix + "accuracy"]], axis=1)


def _summary(folder: Path, figures: dict[str, Any], seconds: float) -> list[str]:
    """Five lines: what was done, and what to try next."""
    weights, curves, confusion, hardest, metrics = (folder / name for name in FILES)
    share = f"{figures['right']} of {figures['of']} digits that it had never seen ({figures['accuracy']:.1%})"
    return [
        f"Trained {figures['parameters']:,} weights in {seconds:.0f} s. The network reads {share} rightly.",
        f"Pictures: {curves}, {confusion}, and {hardest}, the digits that gave it most trouble.",
        f"Files:    {weights} (weights), {metrics} (all figures).",
        f"Load it:  from treadle.cli.demo import load_model; model = load_model({str(weights)!r})",
        "Try next: treadle demo --seed 1 --output other; and examples/digits_by_hand.py, the same loop written out.",
    ]
