"""A small training program for the tests of the debuggers: every kind of user's function, a line to stop at in each."""

from __future__ import annotations

import numpy as np

import treadle as td


class Model(td.nn.Module):
    def __init__(self):
        self.dense = td.nn.Dense(3)

    def __call__(self, x):
        def body(h, step):
            h = td.tanh(h + step)  # stop: scan
            return h, h

        def larger(h):
            return h * 2.0  # stop: cond

        h, _ = td.scan(body, self.dense(x), td.asarray([0.1, 0.2]))
        h = td.cond(h.sum() > -1e9, larger, lambda h: h, h)
        return td.vmap(per_example)(h)


def per_example(h):
    return h * td.asarray(0.5)  # stop: vmap


def loss(prediction, target):
    error = prediction - target  # stop: loss
    return (error * error).mean()


def metric(prediction, target):
    return td.abs(prediction - target).mean()  # stop: metric


def callback(context):
    context.tell(f"epoch {context.epoch}")  # stop: callback


def prepare(row):
    x, y = row  # stop: map
    return x * np.float32(2.0), y


def main():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 4)).astype(np.float32), rng.normal(size=(16, 3)).astype(np.float32)
    data = td.data.from_arrays((x, y)).map(prepare).parallel(2).batch(8)
    model = Model()
    td.random.set_seed(0)
    history = td.fit(
        model,
        data,
        loss=loss,
        optimizer=td.optim.Adam(0.01),
        metrics=[metric],
        callbacks=[callback],
        epochs=2,
        verbose=False,
    )
    return model, history


if __name__ == "__main__":
    main()
