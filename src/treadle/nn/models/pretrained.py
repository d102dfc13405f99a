"""Weights of torchvision's models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.core.source import place_text
from treadle.nn.models.mobilenet import MobileNetV2
from treadle.nn.models.resnet import ResNet
from treadle.nn.models.vit import VisionTransformer
from treadle.nn.torch_weights import from_torch


def from_torchvision(model: ResNet | MobileNetV2 | VisionTransformer, weights: Mapping[str, Any]) -> None:
    """Give a model the weights of the same model of torchvision.

    Args:
        model: one of the three, with its parameters: `model.init((1, 224, 224, 3))`.
        weights: the state dict, as `td.load("resnet50.safetensors")` reads it. Torchvision's images are RGB in 0..1,
            minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).

    Raises:
        ArgumentError: a model of another class; names that are missing or left over.
        ShapeError: another size, width or number of classes.
        BuildError: the model has no parameters yet.

    >>> model = td.nn.models.ResNet([1], classes=2, width=4).init((1, 32, 32, 3))
    >>> td.nn.models.from_torchvision(model, {"fc.weight": np.zeros((2, 4))})
    Traceback (most recent call last):
    treadle.core.errors.ArgumentError: from_torch: the names do not fit ResNet; nothing was assigned …
    """
    rules = getattr(type(model), "torchvision", None)
    if rules is None:
        raise ArgumentError(
            f"torchvision has no model of the build of {type(model).__name__}; nn.from_torch(model, weights, "
            "rename=…) takes the weights of any PyTorch model"
        ).at(place_text())
    from_torch(model, weights, rules)
