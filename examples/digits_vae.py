"""A variational autoencoder of handwritten digits: what it makes of digits that it has not seen, and new ones.

Run: python examples/digits_vae.py
Writes digits_vae.png, if matplotlib is there: pip install "treadle[plot]"
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

import treadle as td

models = td.nn.models


def draw(rows: list[td.Tensor], path: Path) -> None:
    """Rows of images in one picture, which appears under its name when it is complete."""
    from matplotlib.image import imsave

    picture = np.concatenate(
        [np.concatenate(list(np.pad(r.numpy()[..., 0], ((0, 0), (1, 1), (1, 1)))), 1) for r in rows]
    )
    unfinished = path.with_suffix(".part.png")
    imsave(unfinished, np.kron(1 - picture, np.ones((6, 6))), cmap="gray", vmin=0, vmax=1)
    unfinished.rename(path)


def main(epochs: int = 60, folder: str = ".") -> tuple[models.VAE, float]:
    td.random.set_seed(0)
    data = td.datasets.digits()
    model = models.VAE((8, 8, 1), latent=8, filters=(32, 64))
    td.fit(
        model,
        (data.x_train, data.x_train),
        loss=models.negative_elbo,
        optimizer=td.optim.Adam(2e-3),
        validation_data=(data.x_test, data.x_test),
        epochs=epochs,
    )
    seen = td.asarray(data.x_test[:16])
    again = td.sigmoid(model(seen).logits)
    new = td.sigmoid(model.decode(td.random.normal(td.random.key(0), (16, 8))))
    error = float(td.mean((td.sigmoid(td.predict(model, data.x_test).logits) - td.asarray(data.x_test)) ** 2))
    print(f"8 numbers stand for 64 pixels; those of 599 unseen digits come back with an error of {error**0.5:.3f}")
    if find_spec("matplotlib") is not None:
        draw([seen, again, new], Path(folder) / "digits_vae.png")
        print("digits_vae.png: unseen digits, what comes back of them, and new ones")
    return model, error


if __name__ == "__main__":
    main()
