"""The training of digits_convnet.py with the loop written out: gradients, updates, batches and shuffling in the open.

Run: python examples/digits_by_hand.py
"""

from __future__ import annotations

import numpy as np

import treadle as td

nn = td.nn


def convnet() -> nn.Sequential:
    return nn.Sequential(
        [
            nn.Conv2D(16, 3, padding="same", activation="relu"),
            nn.Conv2D(32, 3, padding="same", activation="relu"),
            nn.MaxPooling2D(2),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Dense(10),
        ]
    )


def objective(model: nn.Module, images: td.Tensor, labels: td.Tensor) -> td.Tensor:
    return td.losses.sparse_categorical_crossentropy(model(images, training=True), labels)


@td.compile
def step(model: nn.Module, optimizer: td.optim.Optimizer, images: td.Tensor, labels: td.Tensor) -> td.Tensor:
    """One update. What it assigns (weights, moments, the dropout's random stream) is written back after each run."""
    loss, gradients = td.value_and_grad(objective)(model, images, labels)  # gradients: parameter's path → tensor
    optimizer.update(model, gradients)
    return loss


@td.compile
def count_right(model: nn.Module, images: td.Tensor, labels: td.Tensor) -> td.Tensor:
    return (td.argmax(model(images), axis=-1) == labels).sum()


def main(epochs: int = 20, batch_size: int = 32) -> float:
    td.random.set_seed(0)
    data = td.datasets.digits()
    model = convnet().init(data.x_train[:1])
    optimizer = td.optim.Adam(3e-3)
    rng = np.random.default_rng(0)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(data.x_train))
        order = order[: len(order) // batch_size * batch_size]  # full batches only: one shape, traced once
        batches = order.reshape(-1, batch_size)
        losses = [step(model, optimizer, data.x_train[b], data.y_train[b]).item() for b in batches]
        accuracy = count_right(model, data.x_test, data.y_test).item() / len(data.y_test)
        print(f"epoch {epoch:2}  loss {np.mean(losses):.4f}  held out {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
