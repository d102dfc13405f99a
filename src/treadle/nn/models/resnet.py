"""Residual networks: `resnet18`, `resnet34`, `resnet50`, and `ResNet` of any depths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from treadle import array as xp
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.nn.dense import Dense
from treadle.nn.global_pooling import GlobalAveragePooling2D
from treadle.nn.models.blocks import ConvNorm, images
from treadle.nn.module import Module
from treadle.nn.pooling import MaxPooling2D


class BasicBlock(Module):
    """`relu(x + two 3×3 convolutions)`."""

    expansion: ClassVar[int] = 1

    def __init__(self, width: int, stride: int, project: bool) -> None:
        self.convs = [ConvNorm(width, 3, stride), ConvNorm(width, 3, activation=None)]
        self.shortcut = ConvNorm(width, 1, stride, activation=None) if project else None

    def __call__(self, x: Tensor) -> Tensor:
        return _residual(x, self.convs, self.shortcut)


class Bottleneck(Module):
    """`relu(x + 1×1, 3×3 and 1×1 convolutions)`, the inner one on a quarter of the channels."""

    expansion: ClassVar[int] = 4

    def __init__(self, width: int, stride: int, project: bool) -> None:
        wide = self.expansion * width
        self.convs = [ConvNorm(width, 1), ConvNorm(width, 3, stride), ConvNorm(wide, 1, activation=None)]
        self.shortcut = ConvNorm(wide, 1, stride, activation=None) if project else None

    def __call__(self, x: Tensor) -> Tensor:
        return _residual(x, self.convs, self.shortcut)


def _residual(x: Tensor, convs: Sequence[ConvNorm], shortcut: ConvNorm | None) -> Tensor:
    y = x
    for conv in convs:
        y = conv(y)
    return xp.relu(y + (x if shortcut is None else shortcut(x)))


class ResNet(Module):
    """A residual network: stages of blocks, each stage with half the height and width and twice the channels.

    Shapes: x `[batch, height, width, channels]` → logits `[batch, classes]`; without classes the features
    `[batch, height / 32, width / 32, 8 * width * expansion]`.

    Args:
        depths: blocks in each stage.
        classes: of the logits, or None for the features.
        bottleneck: blocks of three convolutions (ResNet-50 and deeper) instead of two.
        width: channels of the first stage.
        small: for small images (CIFAR, digits): begins with a 3×3 convolution, instead of a 7×7 one with strides of 2
            and a pooling; the features are then `[batch, height / 8, …]` with four stages.
        data_format: "channels_last" or "channels_first", `[batch, channels, height, width]`, with the same parameters.
            None is that of `nn.Conv2D`, which `nn.defaults` may change.

    Sources: He et al., Deep residual learning for image recognition (CVPR 2016). The strides of a bottleneck are in its
    3×3 convolution, as in torchvision ("ResNet v1.5").

    >>> model = td.nn.models.ResNet([1, 1], classes=10, width=8, small=True)
    >>> model(td.zeros((2, 8, 8, 1))).shape
    (2, 10)
    """

    torchvision = (
        (r"^conv1\.", "stem.conv."),
        (r"^bn1\.", "stem.norm."),
        (r"^layer(\d)\.(\d+)\.", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}."),
        (r"\.conv(\d)\.", lambda m: f".convs.{int(m[1]) - 1}.conv."),
        (r"\.bn(\d)\.", lambda m: f".convs.{int(m[1]) - 1}.norm."),
        (r"\.downsample\.0\.", ".shortcut.conv."),
        (r"\.downsample\.1\.", ".shortcut.norm."),
        (r"^fc\.", "head."),
    )

    def __init__(
        self,
        depths: Sequence[int],
        classes: int | None = 1000,
        *,
        bottleneck: bool = False,
        width: int = 64,
        small: bool = False,
        data_format: str | None = None,
    ) -> None:
        if not depths or any(not isinstance(n, int) or n < 1 for n in depths):
            raise ArgumentError(f"depths is the number of blocks in each stage, such as [2, 2, 2, 2]; got {depths!r}")
        block: Any = Bottleneck if bottleneck else BasicBlock
        with images(data_format):
            self.stem = ConvNorm(width, 3) if small else ConvNorm(width, 7, stride=2)
            self.pool = None if small else MaxPooling2D(3, strides=2, padding=1)
            self.stages: list[list[Module]] = []
            for stage, depth in enumerate(depths):
                stride = 1 if stage == 0 else 2
                project = stage > 0 or block.expansion > 1
                first = block(width << stage, stride, project)
                self.stages.append([first, *(block(width << stage, 1, False) for _ in range(depth - 1))])
            self.mean = GlobalAveragePooling2D()
        self.head = None if classes is None else Dense(classes)

    def __call__(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.pool is not None:
            x = self.pool(x)
        for stage in self.stages:
            for block in stage:
                x = block(x)
        return x if self.head is None else self.head(self.mean(x))


def resnet18(classes: int | None = 1000, **options: Any) -> ResNet:
    """ResNet-18: 11,689,512 parameters with 1000 classes. Options as `nn.models.ResNet`.

    >>> len(td.nn.models.resnet18(width=8).stages)
    4
    """
    return ResNet([2, 2, 2, 2], classes, **options)


def resnet34(classes: int | None = 1000, **options: Any) -> ResNet:
    """ResNet-34: 21,797,672 parameters with 1000 classes. Options as `nn.models.ResNet`.

    >>> [len(stage) for stage in td.nn.models.resnet34(width=8).stages]
    [3, 4, 6, 3]
    """
    return ResNet([3, 4, 6, 3], classes, **options)


def resnet50(classes: int | None = 1000, **options: Any) -> ResNet:
    """ResNet-50: 25,557,032 parameters with 1000 classes. Options as `nn.models.ResNet`.

    >>> [len(stage) for stage in td.nn.models.resnet50(width=8).stages]
    [3, 4, 6, 3]
    """
    return ResNet([3, 4, 6, 3], classes, bottleneck=True, **options)
