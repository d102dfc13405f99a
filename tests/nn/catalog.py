"""One list of all layers: how to make each, and an input. General properties run over it (test_all_layers.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import treadle as td
from treadle import nn


@dataclass(frozen=True)
class Entry:
    """A layer to be tried.

    Attributes:
        make: the constructor's call; takes further keyword arguments.
        shape: of an input, channels last.
        formats: it has `data_format=`.
        dtype: it has `dtype=`.
        integers: upper bound of its inputs, where they are integers.
        unit: its inputs are pixels in 0.3..0.7.
        smooth: the input may be moved a little; not for maxima, whose inputs are kept apart instead.
    """

    name: str
    make: Callable[..., nn.Module]
    shape: tuple[int, ...]
    formats: bool = False
    dtype: bool = True
    integers: int | None = None
    unit: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def unbuilt(self, dtype: Any = "float32", **more: Any) -> nn.Module:
        return self.make(**({"dtype": dtype} if self.dtype else {}), **more)

    def layer(self, dtype: Any = "float32", data_format: str = "channels_last") -> nn.Module:
        """With its parameters: the same numbers each time."""
        td.random.set_seed(1)
        layer = self.unbuilt(dtype, **({"data_format": data_format} if self.formats else {}))
        x = self.input(dtype)
        return layer.init(td.moveaxis(x, -1, 1) if data_format == "channels_first" else x)

    def input(self, dtype: Any = "float32", batch: int | None = None, seed: int = 0) -> td.Tensor:
        rng = np.random.default_rng(seed)
        shape = self.shape if batch is None else (batch, *self.shape)
        if self.integers is not None:
            return td.asarray(rng.integers(0, self.integers, shape).astype(np.int32))
        count = int(np.prod(shape))
        # All at least 0.02 apart and away from 0: no ties for maxima, no kinks.
        x = (rng.permutation(count) - count / 2 + 0.4) * 0.05
        if self.unit:
            x = 0.5 + 0.4 * x / (count * 0.05)
        return td.asarray(x.reshape(shape)).astype(dtype)

    def __str__(self) -> str:
        return self.name


def _entries() -> list[Entry]:
    sequence, image, volume = (2, 7, 4), (2, 6, 7, 4), (1, 4, 5, 4, 2)
    out = [
        Entry("Dense", lambda **k: nn.Dense(3, "tanh", bias_initializer="random_normal", **k), (2, 5)),
        Entry("Dense, 3 axes", lambda **k: nn.Dense(3, use_bias=False, **k), (2, 4, 5)),
        Entry("Embedding", lambda **k: nn.Embedding(7, 3, **k), (2, 4), integers=7),
        Entry("Flatten", lambda **k: nn.Flatten(**k), image, formats=True, dtype=False),
        Entry("Reshape", lambda **k: nn.Reshape((7, -1), **k), image, dtype=False),
        Entry("Dropout", lambda **k: nn.Dropout(0.5, seed=0, **k), (2, 5), dtype=False),
        Entry("Activation", lambda **k: nn.Activation("gelu", **k), (2, 5), dtype=False),
        Entry("ReLU", lambda **k: nn.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.05, **k), (2, 5), dtype=False),
        Entry("LeakyReLU", lambda **k: nn.LeakyReLU(**k), (2, 5), dtype=False),
        Entry("PReLU", lambda **k: nn.PReLU("random_normal", shared_axes=(1,), **k), (2, 5, 3)),
        Entry("Softmax", lambda **k: nn.Softmax(**k), (2, 5), dtype=False),
        Entry("BatchNormalization", lambda **k: nn.BatchNormalization(gamma_initializer="random_normal", **k), image),
        Entry("LayerNormalization", lambda **k: nn.LayerNormalization(beta_initializer="random_normal", **k), (3, 5)),
        Entry("LayerNormalization, 2 axes", lambda **k: nn.LayerNormalization(axis=(1, -1), **k), (3, 5, 2)),
        Entry("RMSNormalization", lambda **k: nn.RMSNormalization(gamma_initializer="random_normal", **k), (3, 5)),
        Entry("GroupNormalization", lambda **k: nn.GroupNormalization(2, **k), image),
        Entry("Sequential", lambda **k: nn.Sequential([nn.Dense(4, td.tanh, **k), td.sin, nn.Dense(2, **k)]), (2, 3)),
    ]
    out += _recurrent()
    out += _attention()
    out += _images(sequence, image, volume)
    out += _augmentations()
    for rank, shape in ((1, sequence), (2, image), (3, volume)):
        for kind in ("Max", "Average"):
            for options in ({}, {"pool_size": 3, "strides": 2, "padding": "same"}, {"pool_size": 3, "padding": 1}):
                cls = getattr(nn, f"{kind}Pooling{rank}D")
                name = ", ".join([cls.__name__, *map(str, options.values())])
                out.append(Entry(name, lambda c=cls, o=options, **k: c(**o, **k), shape, formats=True, dtype=False))
            cls = getattr(nn, f"Global{kind}Pooling{rank}D")
            out.append(Entry(cls.__name__, lambda c=cls, **k: c(**k), shape, formats=True, dtype=False))
        convolutions: list[dict[str, Any]] = [
            {"padding": "same", "strides": 2, "activation": "tanh"},
            {"dilation_rate": 2 if rank < 3 else 1, "use_bias": False, "groups": 2},
            {"padding": [(1, 2)] * rank, "bias_initializer": "random_normal"},
        ]
        for options in convolutions:
            for suffix in ("", "Transpose"):
                cls = getattr(nn, f"Conv{rank}D{suffix}")
                name = ", ".join([cls.__name__, *map(str, options.values())])
                out.append(Entry(name, lambda c=cls, o=options, **k: c(6, 3, **o, **k), shape, formats=True))
    out.append(Entry("Conv1D, causal", lambda **k: nn.Conv1D(3, 3, padding="causal", **k), sequence, formats=True))
    for rank, shape in ((1, sequence), (2, image), (3, volume)):
        cls = getattr(nn, f"DepthwiseConv{rank}D")
        out.append(
            Entry(cls.__name__, lambda c=cls, **k: c(3, 2, "same", depth_multiplier=2, **k), shape, formats=True)
        )
    return out


class Reading(nn.Module):
    """A recurrence that attends to its own input."""

    def __init__(self, query: str, attention: nn.Module, **k: Any) -> None:
        self.layer = nn.Recurrent(nn.AttentionCell(nn.GRUCell(4, **k), attention, memory_size=3, query=query))

    def __call__(self, x: td.Tensor) -> td.Tensor:
        return self.layer(x, memory=x)


class Writing(nn.Module):
    """A decoder that begins with zeros."""

    def __init__(self, **k: Any) -> None:
        self.decoder = nn.Decoder(nn.Embedding(7, 4, **k), nn.GRUCell(3, **k), nn.Dense(7, **k), 0.5, seed=0)
        self.dtype = k.get("dtype", "float32")
        self.decoder.sampling_rate = nn.State(td.asarray(0.5, dtype=self.dtype))  # as all floats of the layers here

    def __call__(self, tokens: td.Tensor) -> td.Tensor:
        return self.decoder(tokens, td.zeros((tokens.shape[0], 3), dtype=self.dtype))


def _images(*shapes: tuple[int, ...]) -> list[Entry]:
    """What changes the size of images, what their channels do to each other, and layers with other weights."""
    sequence, image, volume = shapes
    out = []
    for rank, shape in ((1, sequence), (2, image), (3, volume)):
        for name, options in (("ZeroPadding", {}), ("Cropping", {}), ("UpSampling", {})):
            cls = getattr(nn, f"{name}{rank}D")
            out.append(Entry(cls.__name__, lambda c=cls, o=options, **k: c(**o, **k), shape, formats=True, dtype=False))
        up = getattr(nn, f"UpSampling{rank}D")
        out.append(
            Entry(
                f"{up.__name__}, bilinear",
                lambda c=up, **k: c(3, interpolation="bilinear", **k),
                shape,
                formats=True,
                dtype=False,
            )
        )
    for rank, shape in ((1, sequence), (2, image), (3, volume)):
        cls = getattr(nn, f"SeparableConv{rank}D")
        out.append(
            Entry(
                cls.__name__,
                lambda c=cls, **k: c(5, 3, 2, "same", depth_multiplier=2, bias_initializer="random_normal", **k),
                shape,
                formats=True,
            )
        )

    def response(**k: Any) -> nn.Module:
        layer = nn.GlobalResponseNormalization(input_size=4, **k)
        rng = np.random.default_rng(0)
        layer.assign({n: td.asarray(rng.standard_normal(4)).astype(layer.dtype) for n in ("gamma", "beta")})
        return layer

    def kernel_of(layer: Any) -> Any:
        return lambda **k: nn.WeightNormalization(layer(**k))

    return [
        *out,
        Entry("SqueezeExcitation", lambda **k: nn.SqueezeExcitation(2, activation="tanh", **k), image, formats=True),
        Entry("GlobalResponseNormalization", response, image, formats=True),
        Entry("WeightNormalization", kernel_of(lambda **k: nn.Dense(3, "tanh", **k)), (2, 5)),
        Entry(
            "WeightNormalization, grouped", kernel_of(lambda **k: nn.Conv2D(6, 3, groups=2, **k)), image, formats=True
        ),
        Entry("WeightNormalization, transposed", kernel_of(lambda **k: nn.Conv1DTranspose(6, 3, 2, **k)), sequence),
        Entry("WeightNormalization, depthwise", kernel_of(lambda **k: nn.DepthwiseConv2D(3, **k)), image),
        Entry(
            "WeightNormalization, recurrent",
            lambda **k: nn.WeightNormalization(nn.GRU(4, return_sequences=True, **k), "cell.recurrent_kernel"),
            (2, 5, 3),
        ),
        # Derivatives take the vectors as constants, which is exact where they have converged: hence 40 iterations.
        Entry("SpectralNormalization", lambda **k: nn.SpectralNormalization(nn.Dense(2, **k), 40), (2, 5)),
        Entry("SpectralNormalization, conv", lambda **k: nn.SpectralNormalization(nn.Conv1D(2, 3, **k), 40), sequence),
    ]


class _WithTargets(nn.Module):
    """MixUp and CutMix take targets beside images: here, the images' means."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def __call__(self, x: td.Tensor) -> td.Tensor:
        images, targets = self.layer(x, td.mean(x, axis=(1, 2)))
        return images + targets[:, None, None, :]


def _augmentations() -> list[Entry]:
    shape = (3, 6, 5, 3)
    layers: list[tuple[Any, dict[str, Any]]] = [
        (nn.RandomFlip, {"direction": "both"}),
        (nn.RandomCrop, {"size": 4, "padding": 1}),
        (nn.RandomAffine, {"degrees": 30, "translate": 0.1, "scale": (0.8, 1.2), "shear": 10, "fill": 0.5}),
        (nn.ColorJitter, {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1}),
        (nn.RandomErasing, {"p": 0.8, "area": (0.1, 0.3)}),
    ]
    return [
        *(
            Entry(c.__name__, lambda c=c, o=o, **k: c(seed=0, **o, **k), shape, formats=True, dtype=False, unit=True)
            for c, o in layers
        ),
        Entry("MixUp", lambda **k: _WithTargets(nn.MixUp(seed=0)), shape, dtype=False),
        Entry("CutMix", lambda **k: _WithTargets(nn.CutMix(seed=0)), shape, dtype=False),
    ]


def _recurrent() -> list[Entry]:
    """Over sequences; the cells are tried inside of the layers."""
    sequence = (2, 5, 3)

    def layer(cls: Any, *args: Any, **options: Any) -> Callable[..., nn.Module]:
        return lambda **k: cls(*args, bias_initializer="random_normal", **options, **k)

    def stack(**k: Any) -> nn.Module:
        return nn.Recurrent(nn.StackedCells([nn.LSTMCell(4, **k), nn.GRUCell(3, **k)]), return_sequences=True)

    def feedback(**k: Any) -> nn.Module:
        return nn.Recurrent(nn.ResidualCell(nn.FeedbackCell(nn.LSTMCell(4, **k), 3, nn.Dense(3, **k))))

    def clocks(**k: Any) -> nn.Module:
        return nn.Recurrent(nn.ClockedCells([nn.GRUCell(2, **k), nn.SimpleRNNCell(3, **k)], [1, 2]))

    return [
        Entry("Bahdanau", lambda **k: Reading("before", nn.BahdanauAttention(5, **k), **k), sequence),
        Entry("Luong", lambda **k: Reading("after", nn.LuongAttention(**k), **k), sequence),
        Entry("Decoder", Writing, (2, 4), integers=7),
        Entry("MinGRU", lambda **k: nn.LinearRecurrent(nn.MinGRUCell(4, **k), return_sequences=True), sequence),
        Entry(
            "MinLSTM",
            lambda **k: nn.LinearRecurrent(nn.MinLSTMCell(4, **k), go_backwards=True, parallel=True),
            sequence,
        ),
        Entry("S4D", lambda **k: nn.LinearRecurrent(nn.S4DCell(2, **k), return_sequences=True), sequence),
        Entry("Selective", lambda **k: nn.LinearRecurrent(nn.SelectiveCell(2, **k), return_sequences=True), sequence),
        Entry("MambaBlock", lambda **k: nn.MambaBlock(2, **k), sequence),
        Entry("SimpleRNN", layer(nn.SimpleRNN, 4, return_sequences=True), sequence),
        Entry("LSTM", layer(nn.LSTM, 4, return_sequences=True), sequence),
        Entry("LSTM, last, backwards", layer(nn.LSTM, 4, go_backwards=True, unroll=True), sequence),
        Entry("LSTM, peephole", layer(nn.LSTM, 4, peephole=True), sequence),
        Entry("LSTM, normalised", layer(nn.LSTM, 4, layer_norm=True, use_bias=False), sequence),
        Entry("LSTM, dropout", layer(nn.LSTM, 4, dropout=0.3, recurrent_dropout=0.4, seed=0), sequence),
        Entry("GRU", layer(nn.GRU, 4, return_sequences=True), sequence),
        Entry("GRU, reset before", layer(nn.GRU, 4, reset_after=False), sequence),
        Entry("Recurrent", stack, sequence),
        Entry("ConvLSTM1D", layer(nn.ConvLSTM1D, 3, 2, padding="same", dilation_rate=2), (2, 4, 5, 2)),
        Entry("ConvLSTM2D", layer(nn.ConvLSTM2D, 2, 3, 2, "same", return_sequences=True), (2, 3, 4, 5, 2)),
        Entry("ConvLSTM2D, backwards", layer(nn.ConvLSTM2D, 2, (2, 3), go_backwards=True), (2, 3, 4, 5, 2)),
        Entry("ConvLSTM3D", layer(nn.ConvLSTM3D, 2, 2, use_bias=False), (1, 2, 3, 3, 4, 2)),
        Entry("Recurrent, feedback", feedback, sequence),
        Entry("Recurrent, clocks", clocks, sequence),
        Entry("Bidirectional", lambda **k: nn.Bidirectional(nn.GRU(4, return_sequences=True, **k)), sequence),
    ]


def _attention() -> list[Entry]:
    sequence = (2, 5, 4)

    def heads(**options: Any) -> Callable[..., nn.Module]:
        return lambda **k: nn.MultiHeadAttention(2, bias_initializer="random_normal", **options, **k)

    def with_relative_bias(**k: Any) -> nn.Module:
        return nn.MultiHeadAttention(2, positions=nn.RelativePositionBias(2, 8, 16, **k), **k)

    def decoder(**k: Any) -> nn.Module:
        return _WithItself(nn.TransformerDecoderLayer(2, 6, **k))

    return [
        Entry("MultiHeadAttention", heads(), sequence),
        Entry("MultiHeadAttention, blocks", heads(method="blocks"), sequence),
        Entry("MultiHeadAttention, shared", heads(key_heads=1, key_dim=4, value_dim=3, output_dim=5), sequence),
        Entry("MultiHeadAttention, rotary", heads(positions="rotary", use_bias=False), sequence),
        Entry("MultiHeadAttention, alibi", heads(positions="alibi"), sequence),
        Entry("MultiHeadAttention, relative", with_relative_bias, sequence),
        Entry("MultiHeadAttention, dropout", heads(dropout=0.3, seed=0), sequence),
        Entry("FeedForward", lambda **k: nn.FeedForward(6, **k), sequence),
        Entry("FeedForward, gated", lambda **k: nn.FeedForward(6, "silu", gated=True, **k), sequence),
        Entry("TransformerEncoderLayer", lambda **k: nn.TransformerEncoderLayer(2, 6, **k), sequence),
        Entry(
            "TransformerEncoderLayer, norm last",
            lambda **k: nn.TransformerEncoderLayer(2, 6, 0.2, "tanh", False, norm="rms", **k),
            sequence,
        ),
        Entry("TransformerDecoderLayer", decoder, sequence),
        Entry("SinusoidalPositions", lambda **k: nn.SinusoidalPositions(**k), sequence, dtype=False),
        Entry("LearnedPositions", lambda **k: nn.LearnedPositions(9, **k), sequence),
    ]


class _WithItself(nn.Module):
    """A decoder layer whose memory is its input."""

    def __init__(self, layer: nn.TransformerDecoderLayer) -> None:
        self.layer = layer

    def __call__(self, x: td.Tensor) -> td.Tensor:
        return self.layer(x, x)


LAYERS = _entries()
