"""The gradient of each example by itself, all at once: `vmap` of `grad`.

Run: python examples/per_example_gradients.py

Training uses the mean of the gradients. Their sizes one by one tell more: the largest belong to examples that the model
finds surprising (hard, or wrongly labelled), and clipping each of them is how training is made private.
"""

from __future__ import annotations

import numpy as np

import treadle as td


def loss(model: td.nn.Module, image: td.Tensor, label: td.Tensor) -> td.Tensor:
    """Of one image `[8, 8, 1]`: nothing here knows of batches."""
    logits = model(image.reshape(1, 64))
    return td.losses.sparse_categorical_crossentropy(logits, label.reshape(1))


def trained_model(data: td.datasets.Dataset, epochs: int, seed: int = 0) -> td.nn.Module:
    """A perceptron with one hidden layer."""
    td.random.set_seed(seed)
    model = td.nn.Sequential([td.nn.Flatten(), td.nn.Dense(32, activation="relu"), td.nn.Dense(10)])
    td.fit(
        model,
        data.train,
        loss=td.losses.sparse_categorical_crossentropy,
        optimizer=td.optim.Adam(3e-3),
        epochs=epochs,
        seed=seed,
    )
    return model


def gradient_norms(gradients: dict[str, td.Tensor]) -> td.Tensor:
    """The length of each example's gradient, over all parameters together, `[n]`."""
    squares = [(g**2).sum(axis=tuple(range(1, g.ndim))) for g in gradients.values()]
    return td.sqrt(sum(squares[1:], squares[0]))


def main(epochs: int = 10) -> tuple[td.nn.Module, dict[str, td.Tensor]]:
    data = td.datasets.digits()
    model = trained_model(data, epochs)
    per_example = td.compile(td.vmap(td.grad(loss), in_axes=(None, 0, 0)))
    gradients = per_example(model, data.x_train, data.y_train)
    for path, gradient in gradients.items():
        print(f"{path:18} {gradient.shape}")
    norms = np.asarray(gradient_norms(gradients))
    hardest = np.argsort(norms)[::-1][:5]
    print(f"median length of a gradient: {np.median(norms):.4f}")
    for k in hardest:
        print(f"image {k:4}, a {data.y_train[k]}: {norms[k]:.2f}")
    return model, gradients


if __name__ == "__main__":
    main()
