"""A small convolutional network that reads handwritten digits.

Run: python examples/digits_convnet.py
"""

import treadle as td

nn = td.nn


def main(epochs: int = 20) -> float:
    td.random.set_seed(0)
    data = td.datasets.digits()
    model = nn.Sequential(
        [
            nn.Conv2D(16, 3, padding="same", activation="relu"),
            nn.Conv2D(32, 3, padding="same", activation="relu"),
            nn.MaxPooling2D(2),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Dense(10),
        ]
    )
    td.fit(
        model,
        data.train,
        loss=td.losses.sparse_categorical_crossentropy,
        optimizer=td.optim.Adam(3e-3),
        metrics=["accuracy"],
        validation_data=data.test,
        epochs=epochs,
    )
    right = td.argmax(model(data.x_test), axis=-1) == td.asarray(data.y_test)
    print(f"{int(right.sum())} of {len(data.y_test)} digits that it has never seen are read rightly")
    return float(right.astype(td.float32).mean())


if __name__ == "__main__":
    main()
