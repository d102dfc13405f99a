"""Models, each a short file to be read, copied and changed."""

from __future__ import annotations

from treadle.nn.models.autoencoder import VAE, Autoencoder, Latent, negative_elbo
from treadle.nn.models.gpt import GPT
from treadle.nn.models.mobilenet import MobileNetV2
from treadle.nn.models.pretrained import from_torchvision
from treadle.nn.models.resnet import ResNet, resnet18, resnet34, resnet50
from treadle.nn.models.text_cnn import TextCNN
from treadle.nn.models.unet import UNet
from treadle.nn.models.vit import VisionTransformer

__all__ = [
    "Autoencoder",
    "GPT",
    "Latent",
    "MobileNetV2",
    "ResNet",
    "TextCNN",
    "UNet",
    "VAE",
    "VisionTransformer",
    "from_torchvision",
    "negative_elbo",
    "resnet18",
    "resnet34",
    "resnet50",
]
