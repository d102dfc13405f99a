"""A model with a Python `if` on its own numbers: easy images leave early.

Run: python examples/python_if.py

Outside of td.compile everything runs at once, also under td.grad: tensors have numbers, so `if`, `while`, print and a
debugger work, and the derivative is that of the path that was taken. Here a small network answers when it is sure, and
asks a larger one when it is not.
"""

from __future__ import annotations

import numpy as np

import treadle as td

nn = td.nn


class Cascade(nn.Module):
    """One image `[8, 8, 1]` → logits `[1, 10]` of each network that was asked: one or two."""

    def __init__(self, sure: float = 0.7) -> None:
        self.sure = sure
        self.small = nn.Dense(10)
        self.large = nn.Sequential([nn.Dense(64, activation="relu"), nn.Dense(10)])

    def __call__(self, image: td.Tensor) -> list[td.Tensor]:
        pixels = image.reshape(1, 64)
        logits = self.small(pixels)
        if td.softmax(logits).max() > self.sure:  # a number, known here and now
            return [logits]
        return [logits, self.large(pixels)]


def objective(model: Cascade, image: td.Tensor, label: td.Tensor) -> tuple[td.Tensor, int]:
    """The losses of all that answered, and how many did."""
    answers = model(image)
    return sum(td.losses.sparse_categorical_crossentropy(logits, label[None]) for logits in answers), len(answers)


def evaluate(model: Cascade, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The share of right answers, and the share of images for which the large network was asked."""
    answers = [model(td.asarray(image)) for image in images]
    right = [int(td.argmax(logits[-1])) == label for logits, label in zip(answers, labels, strict=True)]
    return float(np.mean(right)), float(np.mean([len(logits) == 2 for logits in answers]))


def main(epochs: int = 2, examples: int | None = None) -> tuple[float, float]:
    td.random.set_seed(0)
    data = td.datasets.digits()
    model = Cascade()
    for part in (model.small, model.large):
        part.init((1, 64))  # one of them may not be called at first
    optimizer = td.optim.Adam(4e-3)
    gradient = td.value_and_grad(objective, has_aux=True)
    count = len(data.x_train) if examples is None else examples
    for epoch in range(1, epochs + 1):
        asked = 0
        for k in np.random.default_rng(epoch).permutation(count):
            (_, answers), gradients = gradient(model, td.asarray(data.x_train[k]), td.asarray(data.y_train[k]))
            optimizer.update(model, gradients)
            asked += answers == 2
        print(f"epoch {epoch}: the large network was asked for {asked / count:.0%} of the training images")
    accuracy, share = evaluate(model, data.x_test, data.y_test)
    print(f"held out: {accuracy:.1%} right, the large network asked for {share:.0%} of them")
    return accuracy, share


if __name__ == "__main__":
    main()
