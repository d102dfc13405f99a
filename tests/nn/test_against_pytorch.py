"""Every layer that PyTorch has, too, against it: what it computes, and the gradients, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.nn.test_all_layers import exported_layers
from treadle import nn

torch = pytest.importorskip("torch")

Array = np.ndarray
FIRST: dict[str, Any] = {"data_format": "channels_first", "dtype": "float64"}
PLACES: dict[str, Any] = {"data_format": "channels_first"}
WIDE: dict[str, Any] = {"dtype": "float64"}


def same(w: Array) -> Array:
    return w


def turned(w: Array) -> Array:
    """out, in, *spatial → *spatial, in, out; for a dense layer out, in → in, out."""
    return np.moveaxis(w, (0, 1), (-1, -2))


def depthwise(channels: int) -> Callable[[Array], Array]:
    """channels * multiplier, 1, *spatial → *spatial, channels, multiplier."""

    def to_ours(w: Array) -> Array:
        moved = np.moveaxis(w[:, 0], 0, -1)
        return moved.reshape(*moved.shape[:-1], channels, -1)

    return to_ours


@dataclass
class Case:
    """A layer of ours, the same of theirs, and our weights in theirs: path → (their name, their layout → ours)."""

    name: str
    ours: Callable[[], nn.Module]
    theirs: Callable[[], Any]
    shape: tuple[int, ...]
    weights: dict[str, tuple[str, Callable[[Array], Array]]] = field(default_factory=dict)
    training: bool = False
    classes: int | None = None
    rtol: float = 1e-9

    def __str__(self) -> str:
        return self.name


class Function(torch.nn.Module):
    """A function as a module of theirs."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


class Call(nn.Module):
    """A function as a module of ours."""

    def __init__(self, function: Callable[[td.Tensor], td.Tensor]) -> None:
        self.function = function

    def __call__(self, x: td.Tensor) -> td.Tensor:
        return self.function(x)


KERNEL = {"kernel": ("weight", turned), "bias": ("bias", same)}
SCALE = {"gamma": ("weight", same), "beta": ("bias", same)}
SIZES = {1: (9,), 2: (7, 8), 3: (4, 5, 6)}


def _convolutions() -> list[Case]:
    cases = []
    options: list[dict[str, Any]] = [
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": 2, "groups": 2},
        {"groups": 4, "stride": 3},
    ]
    for rank, sizes in SIZES.items():
        for o in options:
            renamed = {"stride": "strides", "dilation": "dilation_rate"}
            ours = {renamed.get(k, k): v for k, v in o.items()}
            cases.append(
                Case(
                    f"Conv{rank}D {o}",
                    lambda r=rank, o=ours: getattr(nn, f"Conv{r}D")(8, 3, **o, **FIRST),
                    lambda r=rank, o=o: getattr(torch.nn, f"Conv{r}d")(4, 8, 3, **o),
                    (2, 4, *sizes),
                    KERNEL,
                )
            )
            more = {"output_padding": 1} if o.get("stride", 1) > 1 else {}
            cases.append(
                Case(
                    f"Conv{rank}DTranspose {o | more}",
                    lambda r=rank, o=ours | more: getattr(nn, f"Conv{r}DTranspose")(8, 3, **o, **FIRST),
                    lambda r=rank, o=o | more: getattr(torch.nn, f"ConvTranspose{r}d")(4, 8, 3, **o),
                    (2, 4, *sizes),
                    KERNEL,
                )
            )
        cases.append(
            Case(
                f"DepthwiseConv{rank}D",
                lambda r=rank: getattr(nn, f"DepthwiseConv{r}D")(3, 2, 1, depth_multiplier=2, **FIRST),
                lambda r=rank: getattr(torch.nn, f"Conv{r}d")(4, 8, 3, 2, 1, groups=4),
                (2, 4, *sizes),
                {"kernel": ("weight", depthwise(4)), "bias": ("bias", same)},
            )
        )
        cases.append(
            Case(
                f"SeparableConv{rank}D",
                lambda r=rank: getattr(nn, f"SeparableConv{r}D")(5, 3, padding=1, depth_multiplier=2, **FIRST),
                lambda r=rank: torch.nn.Sequential(
                    getattr(torch.nn, f"Conv{r}d")(4, 8, 3, padding=1, groups=4, bias=False),
                    getattr(torch.nn, f"Conv{r}d")(8, 5, 1),
                ),
                (2, 4, *sizes),
                {
                    "depthwise.kernel": ("0.weight", depthwise(4)),
                    "pointwise.kernel": ("1.weight", turned),
                    "pointwise.bias": ("1.bias", same),
                },
            )
        )
    return cases


def _poolings() -> list[Case]:
    cases = []
    for rank, sizes in SIZES.items():
        for kind, short in (("Max", "Max"), ("Average", "Avg")):
            for window, stride, padding in ((2, None, 0), (3, 2, 1)):
                not_counted = {"count_include_pad": False} if kind == "Average" else {}
                cases.append(
                    Case(
                        f"{kind}Pooling{rank}D {window} {padding}",
                        lambda r=rank, k=kind, a=(window, stride, padding or "valid"): getattr(nn, f"{k}Pooling{r}D")(
                            *a, **PLACES
                        ),
                        lambda r=rank, k=short, a=(window, stride, padding), o=not_counted: getattr(
                            torch.nn, f"{k}Pool{r}d"
                        )(*a, **o),
                        (2, 3, *sizes),
                    )
                )
            cases.append(
                Case(
                    f"Global{kind}Pooling{rank}D",
                    lambda r=rank, k=kind: getattr(nn, f"Global{k}Pooling{r}D")(keepdims=True, **PLACES),
                    lambda r=rank, k=short: getattr(torch.nn, f"Adaptive{k}Pool{r}d")(1),
                    (2, 3, *sizes),
                )
            )
    return cases


def _borders_and_sizes() -> list[Case]:
    cases = []
    for rank, sizes in SIZES.items():
        pairs = [(1, 2), (0, 3), (2, 1)][:rank]
        flat = [n for pair in reversed(pairs) for n in pair]  # theirs begins with the last axis
        shape = (2, 3, *sizes)
        cases.append(
            Case(
                f"ZeroPadding{rank}D",
                lambda r=rank, p=pairs: getattr(nn, f"ZeroPadding{r}D")(p, **PLACES),
                lambda r=rank, p=tuple(flat): getattr(torch.nn, f"ConstantPad{r}d")(p, 0.0),
                shape,
            )
        )
        cases.append(
            Case(
                f"Cropping{rank}D",
                lambda r=rank, p=pairs: getattr(nn, f"Cropping{r}D")(p, **PLACES),
                lambda r=rank, p=tuple(-n for n in flat): getattr(torch.nn, f"ConstantPad{r}d")(p, 0.0),
                shape,
            )
        )
        linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
        for method, mode in (("nearest", "nearest"), ("bilinear", linear)):
            cases.append(
                Case(
                    f"UpSampling{rank}D {method}",
                    lambda r=rank, m=method: getattr(nn, f"UpSampling{r}D")((2, 3, 4)[:r], interpolation=m, **PLACES),
                    lambda r=rank, m=mode: torch.nn.Upsample(scale_factor=(2.0, 3.0, 4.0)[:r], mode=m),
                    shape,
                )
            )
        for size in ((3, 11, 6)[:rank], (18, 4, 5)[:rank]):
            for method, mode in (("nearest", "nearest-exact"), ("bilinear", linear)):
                cases.append(
                    Case(
                        f"resize {size} {method}",
                        lambda s=size, m=method: Call(lambda x: nn.resize(x, s, method=m, **PLACES)),
                        lambda s=size, m=mode: Function(lambda x: torch.nn.functional.interpolate(x, s, mode=m)),
                        shape,
                    )
                )
    cases += [
        Case(
            f"resize {size} antialias",
            lambda s=size: Call(lambda x: nn.resize(x, s, antialias=True, **PLACES)),
            lambda s=size: Function(lambda x: torch.nn.functional.interpolate(x, s, mode="bilinear", antialias=True)),
            (2, 3, 7, 8),
        )
        for size in ((3, 11), (2, 2))
    ]
    return cases


def _normalisations() -> list[Case]:
    running = {**SCALE, "moving_mean": ("running_mean", same), "moving_variance": ("running_var", same)}
    batch = [
        Case(
            f"BatchNormalization, training={training}",
            lambda: nn.BatchNormalization(1, momentum=0.9, epsilon=1e-5, **WIDE),
            lambda: torch.nn.BatchNorm2d(3, eps=1e-5, momentum=0.1),
            (4, 3, 5, 6),
            running,
            training=training,
        )
        for training in (False, True)
    ]
    weight_norm = torch.nn.utils.parametrizations.weight_norm
    spectral_norm = torch.nn.utils.parametrizations.spectral_norm
    original = "parametrizations.weight.original"
    vectors = {
        "layer.kernel": (original, turned),
        "layer.bias": ("bias", same),
        "right": ("parametrizations.weight.0._u", same),  # theirs is the transposed matrix
    }
    return [
        *batch,
        Case(
            "LayerNormalization",
            lambda: nn.LayerNormalization(epsilon=1e-5, **WIDE),
            lambda: torch.nn.LayerNorm(5),
            (2, 3, 5),
            SCALE,
        ),
        Case(
            "LayerNormalization, 2 axes",
            lambda: nn.LayerNormalization((-2, -1), epsilon=1e-5, **WIDE),
            lambda: torch.nn.LayerNorm((3, 5)),
            (2, 3, 5),
            SCALE,
        ),
        Case(
            "RMSNormalization",
            lambda: nn.RMSNormalization(epsilon=1e-6, **WIDE),
            lambda: torch.nn.RMSNorm(5, eps=1e-6),
            (2, 3, 5),
            {"gamma": ("weight", same)},
        ),
        Case(
            "GroupNormalization",
            lambda: nn.GroupNormalization(2, 1, epsilon=1e-5, **WIDE),
            lambda: torch.nn.GroupNorm(2, 6),
            (2, 6, 4, 5),
            SCALE,
        ),
        Case(
            "GroupNormalization, each channel",
            lambda: nn.GroupNormalization(-1, 1, epsilon=1e-5, **WIDE),
            lambda: torch.nn.InstanceNorm2d(6, affine=True),
            (2, 6, 4, 5),
            SCALE,
        ),
        Case(
            "WeightNormalization",
            lambda: nn.WeightNormalization(nn.Conv2D(4, 3, **FIRST)),
            lambda: weight_norm(torch.nn.Conv2d(3, 4, 3)),
            (2, 3, 5, 6),
            {
                "magnitude": (f"{original}0", np.ravel),
                "layer.kernel": (f"{original}1", turned),
                "layer.bias": ("bias", same),
            },
        ),
        Case(
            "SpectralNormalization",
            lambda: nn.SpectralNormalization(nn.Dense(4, **WIDE)),
            lambda: spectral_norm(torch.nn.Linear(5, 4)),
            (3, 5),
            vectors | {"left": ("parametrizations.weight.0._v", same)},
        ),
        Case(
            "SpectralNormalization, training",
            lambda: nn.SpectralNormalization(nn.Dense(4, **WIDE)),
            # Theirs begins an iteration with the other vector; after many the two are the singular ones.
            lambda: spectral_norm(torch.nn.Linear(5, 4), n_power_iterations=300),
            (3, 5),
            vectors | {"left": ("parametrizations.weight.0._v", same)},
            training=True,
        ),
    ]


def _activations() -> list[Case]:
    f = torch.nn.functional
    table: dict[str, Callable[[Any], Any]] = {
        "elu": f.elu,
        "gelu": f.gelu,
        "hard_sigmoid": f.hardsigmoid,
        "hard_silu": f.hardswish,
        "hard_swish": f.hardswish,
        "leaky_relu": lambda x: f.leaky_relu(x, 0.2),
        "linear": lambda x: x * 1.0,
        "log_softmax": lambda x: f.log_softmax(x, dim=-1),
        "mish": f.mish,
        "relu": f.relu,
        "relu6": f.relu6,
        "selu": f.selu,
        "sigmoid": torch.sigmoid,
        "silu": f.silu,
        "softmax": lambda x: f.softmax(x, dim=-1),
        "softplus": f.softplus,
        "softsign": f.softsign,
        "swish": f.silu,
        "tanh": torch.tanh,
    }
    assert set(table) == set(nn.activations.NAMES)
    # The slope of their hardsigmoid is 1/6 rounded to float32, whatever the dtype.
    rtol = {"hard_sigmoid": 1e-7}
    cases = [
        Case(
            f"Activation {name}",
            lambda n=name: nn.Activation(n),
            lambda t=theirs: Function(t),
            (4, 6),
            rtol=rtol.get(name, 1e-9),
        )
        for name, theirs in table.items()
    ]
    return [
        *cases,
        Case("ReLU", lambda: nn.ReLU(max_value=6.0), torch.nn.ReLU6, (4, 6)),
        Case("LeakyReLU", lambda: nn.LeakyReLU(0.1), lambda: torch.nn.LeakyReLU(0.1), (4, 6)),
        Case("Softmax", lambda: nn.Softmax(axis=1), lambda: torch.nn.Softmax(dim=1), (2, 4, 6)),
        Case(
            "PReLU",
            lambda: nn.PReLU(shared_axes=(2, 3), **WIDE),
            lambda: torch.nn.PReLU(3),
            (2, 3, 4, 5),
            {"alpha": ("weight", lambda w: w.reshape(3, 1, 1))},
        ),
    ]


def _excitation() -> Any:
    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Conv2d(6, 2, 1), torch.nn.Conv2d(2, 6, 1)

        def forward(self, x: Any) -> Any:
            means = torch.nn.functional.adaptive_avg_pool2d(x, 1)
            return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(means))))

    return Block()


def _others() -> list[Case]:
    flat = lambda w: w[:, :, 0, 0].T  # noqa: E731  # a 1×1 convolution of one pixel is a dense layer
    return [
        Case("Dense", lambda: nn.Dense(3, **WIDE), lambda: torch.nn.Linear(5, 3), (2, 4, 5), KERNEL),
        Case(
            "Dense, no bias",
            lambda: nn.Dense(3, use_bias=False, **WIDE),
            lambda: torch.nn.Linear(5, 3, bias=False),
            (2, 5),
            {"kernel": KERNEL["kernel"]},
        ),
        Case(
            "Embedding",
            lambda: nn.Embedding(7, 3, **WIDE),
            lambda: torch.nn.Embedding(7, 3),
            (2, 4),
            {"embeddings": ("weight", same)},
            classes=7,
        ),
        Case("Flatten", nn.Flatten, torch.nn.Flatten, (2, 3, 4)),
        Case("Reshape", lambda: nn.Reshape((4, -1)), lambda: Function(lambda x: x.reshape(2, 4, 3)), (2, 3, 4)),
        Case("Dropout", lambda: nn.Dropout(0.5), lambda: torch.nn.Dropout(0.5), (2, 3)),  # not training
        Case(
            "Sequential",
            lambda: nn.Sequential([nn.Dense(4, **WIDE), td.tanh]),
            lambda: torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh()),
            (2, 5),
            {"layers.0.kernel": ("0.weight", turned), "layers.0.bias": ("0.bias", same)},
        ),
        Case(
            "SqueezeExcitation",
            lambda: nn.SqueezeExcitation(3, **FIRST),
            _excitation,
            (2, 6, 4, 5),
            {
                "reduce.kernel": ("fc1.weight", flat),
                "reduce.bias": ("fc1.bias", same),
                "expand.kernel": ("fc2.weight", flat),
                "expand.bias": ("fc2.bias", same),
            },
        ),
    ]


CASES = [
    *_others(),
    *_convolutions(),
    *_poolings(),
    *_borders_and_sizes(),
    *_normalisations(),
    *_activations(),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer_and_its_gradients(case: Case) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    theirs = case.theirs().double().train(case.training)
    ours = case.ours()
    if case.classes is None:
        x = td.asarray(rng.standard_normal(case.shape) * 2)
        their_x = torch.tensor(x.numpy(), requires_grad=True)
    else:
        x = td.asarray(rng.integers(0, case.classes, case.shape).astype(np.int32))
        their_x = torch.tensor(x.numpy())
    ours.init(x)
    named = dict(theirs.named_parameters()) | dict(theirs.named_buffers())
    with torch.no_grad():
        for name, value in theirs.named_parameters():  # away from the ones and zeros that norms begin with
            value.copy_(torch.tensor(rng.standard_normal(value.shape) + 0.2))
            assert value.dtype == torch.float64, name
    if isinstance(theirs, torch.nn.Module) and any("_u" in n for n in named):
        theirs.train()
        theirs(their_x)  # its vectors are those of the weights just given
        theirs.train(case.training)
    assert set(ours.variables()) - {"stream.key", "stream.counter"} == set(case.weights)
    ours.assign({path: layout(named[name].detach().numpy().copy()) for path, (name, layout) in case.weights.items()})

    y = theirs(their_x)
    weights = rng.standard_normal(y.shape)
    (y * torch.tensor(weights)).sum().backward()

    def loss(model: nn.Module, x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
        out = model(x, training=case.training)
        return td.sum(out * td.asarray(weights)), out

    argnums = (0, 1) if case.classes is None else (0,)
    (_, out), gradients = td.value_and_grad(loss, argnums=argnums, has_aux=True)(ours, x)
    close = {"rtol": case.rtol, "atol": 1e-10}
    np.testing.assert_allclose(out.numpy(), y.detach().numpy(), **close)
    if case.classes is None:
        np.testing.assert_allclose(gradients[1].numpy(), their_x.grad.numpy(), **close)
    for path, gradient in gradients[0].items():
        name, layout = case.weights[path]
        np.testing.assert_allclose(gradient.numpy(), layout(named[name].grad.numpy()), err_msg=path, **close)


# What is compared with PyTorch in the files of its subject, forward and gradient; cells inside of their layers.
ELSEWHERE = {
    "test_recurrent.py": {"SimpleRNN", "LSTM", "GRU", "SimpleRNNCell", "LSTMCell", "GRUCell", "Bidirectional"},
    "test_multi_head.py": {
        "MultiHeadAttention",
        "TransformerEncoderLayer",
        "TransformerDecoderLayer",
        "FeedForward",  # inside of the two
    },
}
# What PyTorch does not have: other tests compare it with formulas, loops in NumPy, or Keras.
NOT_THEIRS = {
    "AttentionCell", "BahdanauAttention", "ClockedCells", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "ConvLSTMCell",
    "CutMix", "ColorJitter", "Decoder", "FeedbackCell", "GlobalResponseNormalization", "LearnedPositions",
    "LinearRecurrent", "LuongAttention", "MambaBlock",
    "MinGRUCell", "MinLSTMCell", "MixUp", "RandomAffine", "RandomCrop",
    "RandomErasing", "RandomFlip", "Recurrent", "RelativePositionBias", "ResidualCell", "S4DCell", "SelectiveCell",
    "SinusoidalPositions", "StackedCells",
}  # fmt: skip


def test_every_layer_is_compared() -> None:
    elsewhere = set().union(*ELSEWHERE.values())
    compared = {type(m).__name__ for c in CASES for m in c.ours().modules().values()} - {"Call"}
    assert compared.isdisjoint(elsewhere | NOT_THEIRS)
    assert compared | elsewhere | NOT_THEIRS == exported_layers()
