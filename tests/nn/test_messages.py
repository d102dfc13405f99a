"""What layers say when something does not fit: the place, both shapes with axis names, the arithmetic, the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import treadle as td
from treadle import nn


class Net(nn.Module):
    def __init__(self) -> None:
        self.encoder = nn.Sequential([nn.Conv2D(8, 3, 2, "same"), nn.MaxPooling2D(), nn.Conv2D(16, 7)])

    def __call__(self, x: td.Tensor) -> td.Tensor:
        return self.encoder(x)


def message(call: Callable[[], Any], error: type[Exception]) -> str:
    with pytest.raises(error) as e:
        call()
    return str(e.value)


@pytest.mark.parametrize("run", [lambda net, x: net(x), lambda net, x: td.compile(net)(x)], ids=["eager", "compiled"])
def test_kernel_that_does_not_fit(run: Any) -> None:
    text = message(lambda: run(Net(), td.zeros((32, 24, 24, 3))), td.errors.ShapeError)
    lines = text.splitlines()
    assert "encoder/layers.2 (Conv2D), test_messages.py:" in lines[0]
    assert lines[0].endswith("nothing is left of height")
    assert lines[1:] == [
        "    x        [batch=32, height=6, width=6, channels=8]",
        "    kernel   [7, 7, 8, 16]",
        "    height   valid: (6 - 7) // 1 + 1 = 0        ← the 7-wide kernel does not fit into height 6",
        "    width    valid: (6 - 7) // 1 + 1 = 0",
        (
            '  Use padding="same", or a kernel of at most 6. Height was 24 at the input; encoder/layers.0 and '
            "encoder/layers.1 made 6 of it."
        ),
    ]


def test_history_is_of_this_call() -> None:
    layer = nn.Conv2D(4, 7)
    Net().encoder.layers[0](td.zeros((1, 12, 12, 3)))
    text = message(lambda: layer(td.zeros((1, 6, 6, 8))), td.errors.ShapeError)
    assert "at the input" not in text


E = td.errors
CASES: list[tuple[str, Callable[[], Any], type[Exception], list[str]]] = [
    (
        "channels first data",
        lambda: nn.Conv2D(4, 3, input_size=3)(td.zeros((8, 3, 224, 220))),
        E.ShapeError,
        [
            "the kernel takes 3 channels, and x has 220",
            "[batch=8, height=3, width=224, channels=220]",
            "kernel   [3, 3, 3, 4]",
            "Axis 1 of x has 3: the data seems to be channels_first",
            'Conv2D(…, data_format="channels_first")',
            "td.moveaxis(x, 1, -1)",
        ],
    ),
    (
        "channels last data",
        lambda: nn.Conv2D(4, 3, input_size=3, data_format="channels_first")(td.zeros((8, 20, 20, 3))),
        E.ShapeError,
        ["[batch=8, channels=20, height=20, width=3]", "Axis 3", "channels_last", "td.moveaxis(x, -1, 1)"],
    ),
    (
        "other channels",
        lambda: nn.Conv2D(4, 3, input_size=3)(td.zeros((8, 9, 9, 1))),
        E.ShapeError,
        ["takes 3 channels, and x has 1", "Pass 3 channels"],
    ),
    (
        "no channels",
        lambda: nn.Conv2D(4, 3)(td.zeros((8, 28, 28))),
        E.ShapeError,
        ["3 axes", "x[..., None]", "x[None]"],
    ),
    ("no batch, rank 1", lambda: nn.Conv1D(4, 3)(td.zeros(8)), E.ShapeError, ["[batch, length, channels]"]),
    (
        "groups",
        lambda: nn.Conv1D(4, 3, groups=2)(td.zeros((1, 8, 3))),
        E.ShapeError,
        ["the 3 channels of x do not divide into 2 groups"],
    ),
    (
        "dilated kernel",
        lambda: nn.Conv1D(4, 3, dilation_rate=4)(td.zeros((1, 8, 3))),
        E.ShapeError,
        ["(8 - 9) // 1 + 1 = 0", "the kernel of 3 spans (3 - 1) * 4 + 1 = 9", "a smaller kernel or dilation_rate"],
    ),
    ("empty", lambda: nn.Conv1D(4, 3, padding="same")(td.zeros((1, 0, 3))), E.ShapeError, ["because x has none"]),
    (
        "images into Dense",
        lambda: nn.Dense(4, input_size=48)(td.zeros((8, 4, 4, 3))),
        E.ShapeError,
        [
            "takes 48 features, and the last axis of x has 3",
            "[8, 4, 4, 3]",
            "4 * 4 * 3 = 48: put nn.Flatten()",
            "x.reshape(8, 48)",
        ],
    ),
    (
        "features elsewhere",
        lambda: nn.Dense(4, input_size=48)(td.zeros((48, 9))),
        E.ShapeError,
        ["Axis 0 of x has 48", "td.moveaxis(x, 0, -1)"],
    ),
    ("other features", lambda: nn.Dense(4, input_size=48)(td.zeros((8, 9))), E.ShapeError, ["Pass 48 features"]),
    ("a list", lambda: nn.Dense(4)([[1.0]]), E.BuildError, ["tensors of its first call, x", "td.asarray"]),
    ("scalar", lambda: nn.Dense(4)(td.asarray(1.0)), E.ShapeError, ["scalar", "x[None, None]"]),
    ("integers", lambda: nn.Dense(4)(td.zeros((2, 3), dtype=td.int32)), E.DTypeError, ["int32", ".astype(td.float32)"]),
    ("floats", lambda: nn.Embedding(5, 3)(td.zeros(3)), E.DTypeError, ["0 to 4", "f32[3]", "x.astype(td.int32)"]),
    ("no tensor", lambda: nn.Embedding(5, 3)(3), E.ArgumentError, ["td.asarray"]),
    ("index", lambda: nn.Embedding(5, 3)(td.asarray([1, 5])), E.OutOfRangeError, ["index 5", "size 5"]),
    ("negative index", lambda: nn.Embedding(5, 3)(td.asarray([-1])), E.OutOfRangeError, ["index -1"]),
    (
        "channels of a norm",
        lambda: nn.BatchNormalization(input_size=3)(td.zeros((2, 3, 4, 4))),
        E.ShapeError,
        ["4 channels", "made for 3", "write axis=1"],
    ),
    (
        "layer norm",
        lambda: nn.LayerNormalization(input_size=3)(td.zeros((2, 4))),
        E.ShapeError,
        ["[3] on axis -1", "[2, 4]"],
    ),
    (
        "norm of integers",
        lambda: nn.RMSNorm()(td.zeros((2, 3), dtype=td.int32)),
        E.DTypeError,
        ["x.astype(td.float32)"],
    ),
    ("groups of a norm", lambda: nn.GroupNorm(5)(td.zeros((2, 12))), E.ShapeError, ["12 = 2 * 5 + 2"]),
    ("batch as channels", lambda: nn.GroupNorm(2, axis=0)(td.zeros((2, 12))), E.ShapeError, ["is the batch"]),
    (
        "mask of another shape",
        lambda: nn.BatchNorm()(td.zeros((2, 5, 3)), td.ones((2, 4), dtype=td.bool), training=True),
        E.ShapeError,
        ["[2, 5]", "bool[2,4]"],
    ),
    (
        "mask of numbers",
        lambda: nn.BatchNorm()(td.zeros((2, 3)), td.ones(2), training=True),
        E.DTypeError,
        ["mask.astype(td.bool)"],
    ),
    (
        "pooling",
        lambda: nn.MaxPooling2D(9)(td.zeros((2, 4, 20, 1))),
        E.ShapeError,
        ["(4 - 9) // 9 + 1 = 0", "9-wide window"],
    ),
    (
        "pooling's rank",
        lambda: nn.MaxPool2D()(td.zeros((2, 4, 20))),
        E.ShapeError,
        ["[batch, height, width, channels]"],
    ),
    ("pooling's border", lambda: nn.MaxPool1D(2, padding=2), E.ArgumentError, ["below pool_size 2"]),
    ("average of integers", lambda: nn.AvgPool1D()(td.zeros((2, 4, 1), dtype=td.int32)), E.DTypeError, ["averages"]),
    ("maximum of bools", lambda: nn.MaxPool1D()(td.zeros((2, 4, 1), dtype=td.bool)), E.DTypeError, ["needs numbers"]),
    (
        "global pooling's rank",
        lambda: nn.GlobalMaxPooling2D()(td.zeros((2, 4))),
        E.ShapeError,
        ["GlobalMaxPooling2D takes"],
    ),
    (
        "reshape",
        lambda: nn.Reshape((5, -1))(td.zeros((2, 4, 3))),
        E.ShapeError,
        ["12 elements", "[5, -1]", "12 % 5 = 2"],
    ),
    ("reshape to", lambda: nn.Reshape((-1, -1)), E.ArgumentError, ["at most one of them -1"]),
    ("flatten", lambda: nn.Flatten()(td.asarray(1.0)), E.ShapeError, ["x[None]"]),
    ("dropout's rate", lambda: nn.Dropout(1.5), E.ArgumentError, ["from 0 to 1; got 1.5"]),
    (
        "noise shape",
        lambda: nn.Dropout(0.5, noise_shape=(None, 2))(td.zeros((2, 3)), training=True),
        E.ShapeError,
        ["(None, 2)", "[2, 3]"],
    ),
    (
        "PReLU",
        lambda: nn.PReLU(input_size=3)(td.zeros((2, 4))),
        E.ShapeError,
        ["alpha [3]", "[2, 4]", "shared_axes=(1, 2)"],
    ),
    ("momentum", lambda: nn.BatchNorm(momentum=2), E.ArgumentError, ["from 0 to 1"]),
    ("epsilon", lambda: nn.LayerNorm(epsilon=0), E.ArgumentError, ["epsilon must be positive"]),
    ("activation", lambda: nn.Dense(3, "rleu"), E.ArgumentError, ["'rleu'", "did you mean 'relu'?"]),
    ("activation's type", lambda: nn.Dense(3, nn.ReLU), E.ArgumentError, ["function of a tensor"]),
    ("initialiser", lambda: nn.Dense(3, kernel_initializer="he"), E.ArgumentError, ["'he'", "he_"]),
    ("wrong argument", lambda: nn.Dense(unit=3), E.ArgumentError, ["no argument 'unit'", "Did you mean units?"]),
    ("PyTorch's argument", lambda: nn.Dense(3, out_features=3), E.ArgumentError, ["Did you mean units?"]),
    ("stride", lambda: nn.Conv2D(3, 3, stride=2), E.ArgumentError, ["Did you mean strides?", "dilation_rate"]),
    ("missing argument", lambda: nn.Dense(), E.ArgumentError, ["missing a required argument: 'units'", "Dense(units,"]),
    ("too many", lambda: nn.Flatten(None, 3), E.ArgumentError, ["too many positional arguments"]),
    ("training", lambda: nn.Flatten()(td.zeros((1, 1)), training=1), E.ArgumentError, ["training is True or False"]),
    ("a class in the list", lambda: nn.Sequential([nn.Flatten]), E.ArgumentError, ["write Flatten(…)"]),
    ("no list", lambda: nn.Sequential(nn.Flatten()), E.ArgumentError, ["Sequential([…])"]),
    ("no function", lambda: nn.Sequential([3]), E.ArgumentError, ["3 cannot be called"]),
]


@pytest.mark.parametrize(("call", "error", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_message(call: Callable[[], Any], error: type[Exception], words: list[str]) -> None:
    text = message(call, error)
    assert [w for w in words if w not in text] == []
    assert "test_messages.py:" in text.splitlines()[0]


def test_the_innermost_layer_is_named_once() -> None:
    outer = nn.Sequential([nn.Sequential([nn.Dense(4, input_size=3)])])
    text = message(lambda: outer(td.zeros((2, 5))), E.ShapeError)
    assert "layers.0/layers.0 (Dense), test_messages.py:" in text
    assert "Sequential" not in text


def test_errors_of_primitives_name_the_layer() -> None:
    class Sum(nn.Module):
        def __call__(self, x: td.Tensor) -> td.Tensor:
            return x + td.zeros(3)

    model = nn.Sequential([Sum()])
    text = message(lambda: model(td.zeros((2, 5))), E.ShapeError)
    assert "layers.0 (Sum), test_messages.py:" in text
