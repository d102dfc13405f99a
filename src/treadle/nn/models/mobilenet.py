"""`MobileNetV2`."""

from __future__ import annotations

from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.nn.dense import Dense
from treadle.nn.dropout import Dropout
from treadle.nn.global_pooling import GlobalAveragePooling2D
from treadle.nn.models.blocks import ConvNorm, images
from treadle.nn.module import Module

# Expansion, channels, blocks, stride of the first: table 2 of the paper.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(Module):
    """A 1×1 convolution to more channels, a depthwise one, and a 1×1 back to few; plus x where the shapes agree."""

    def __init__(self, filters: int, expanded: int | None, stride: int, residual: bool) -> None:
        widen = [] if expanded is None else [ConvNorm(expanded, 1, activation="relu6")]
        self.layers = [
            *widen,
            ConvNorm(None, 3, stride, activation="relu6"),
            ConvNorm(filters, 1, activation=None),
        ]
        self.residual = residual

    def __call__(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.layers:
            y = layer(y)
        return x + y if self.residual else y


class MobileNetV2(Module):
    """A network of few multiplications: 3,504,872 parameters with 1000 classes, 0.3 billion multiply-adds at 224×224.

    Shapes: x `[batch, height, width, channels]` → logits `[batch, classes]`; without classes the features
    `[batch, height / 32, width / 32, 1280]`.

    Args:
        classes: of the logits, or None for the features.
        width: factor of all numbers of channels, which are then rounded to multiples of 8.
        dropout: rate before the logits.
        data_format: "channels_last" or "channels_first", `[batch, channels, height, width]`, with the same parameters.
            None is that of `nn.Conv2D`, which `nn.defaults` may change.

    Source: Sandler et al., MobileNetV2: Inverted residuals and linear bottlenecks (CVPR 2018).

    >>> model = td.nn.models.MobileNetV2(10, width=0.25)
    >>> td.eval_shape(model)(td.Spec((2, 64, 64, 3), td.float32)).shape
    (2, 10)
    """

    torchvision = (
        # The last convolution and its norm stand side by side there; the others are in a sequence of their own.
        (r"^features\.1\.conv\.(\d)\.(?=[a-z])", lambda m: f"blocks.0.layers.1.{('', 'conv', 'norm')[int(m[1])]}."),
        (r"\.conv\.2\.(?=[a-z])", ".layers.2.conv."),
        (r"\.conv\.3\.(?=[a-z])", ".layers.2.norm."),
        (r"\.conv\.(\d)\.0\.", r".layers.\1.conv."),
        (r"\.conv\.(\d)\.1\.", r".layers.\1.norm."),
        (r"^features\.0\.0\.", "stem.conv."),
        (r"^features\.0\.1\.", "stem.norm."),
        (r"^features\.18\.0\.", "last.conv."),
        (r"^features\.18\.1\.", "last.norm."),
        (r"^features\.(\d+)\.", lambda m: f"blocks.{int(m[1]) - 1}."),
        (r"^classifier\.1\.", "head."),
    )

    def __init__(
        self, classes: int | None = 1000, width: float = 1.0, dropout: float = 0.2, data_format: str | None = None
    ) -> None:
        if not width > 0:
            raise ArgumentError(f"width is a factor of all channels, above 0; got {width!r}")
        channels = _rounded(32 * width)
        with images(data_format):
            self.stem = ConvNorm(channels, 3, 2, activation="relu6")
            self.blocks: list[InvertedResidual] = []
            for expansion, base, count, stride in _STAGES:
                filters = _rounded(base * width)
                for i in range(count):
                    first = i == 0
                    expanded = None if expansion == 1 else expansion * channels
                    residual = channels == filters and (not first or stride == 1)
                    self.blocks.append(InvertedResidual(filters, expanded, stride if first else 1, residual))
                    channels = filters
            self.last = ConvNorm(_rounded(1280 * max(width, 1.0)), 1, activation="relu6")
            self.mean = GlobalAveragePooling2D()
        self.dropout = Dropout(dropout)
        self.head = None if classes is None else Dense(classes)

    def __call__(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.last(x)
        return x if self.head is None else self.head(self.dropout(self.mean(x)))


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, not less than 90 % of the number."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near
