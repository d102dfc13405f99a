"""`VisionTransformer`: an image as a sequence of patches."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.dtypes import float32
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn import initializers
from treadle.nn.attention import TransformerEncoderLayer
from treadle.nn.convolution import Conv2D
from treadle.nn.dense import Dense
from treadle.nn.dropout import Dropout
from treadle.nn.models.blocks import images
from treadle.nn.module import Module
from treadle.nn.normalization import LayerNormalization
from treadle.nn.spatial import per_axis, split_shape


class VisionTransformer(Module):
    """A transformer encoder over the patches of an image and one more token, from which the logits come.

    Shapes: x `[batch, height, width, channels]` of `image_size` → logits `[batch, classes]`.

    Args:
        image_size, patch_size: an int or (height, width); patches divide images.
        classes: of the logits.
        width: of the tokens; a multiple of heads. The defaults are ViT-Ti/16, 5,717,416 parameters; ViT-B/16 has
            `width=768, heads=12` and 86,567,656.
        depth, heads: number of blocks, and of heads in each.
        hidden: units in each block's network; None is `4 * width`.
        dropout: rate behind attention and in that network.
        data_format: "channels_last" or "channels_first", `[batch, channels, height, width]`, with the same parameters.
            None is that of `nn.Conv2D`, which `nn.defaults` may change.

    Raises:
        ArgumentError: patches do not divide images, or heads the width.
        ShapeError (at a call): images of another size.

    Source: Dosovitskiy et al., An image is worth 16x16 words (ICLR 2021).

    >>> model = td.nn.models.VisionTransformer(8, 2, classes=10, width=16, depth=2, heads=2)
    >>> model(td.zeros((3, 8, 8, 1))).shape
    (3, 10)
    """

    torchvision = (
        (r"^conv_proj\.", "patches."),
        (r"^encoder\.pos_embedding$", "positions"),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
        (r"\.ln_(\d)\.", lambda m: f".norms.{int(m[1]) - 1}."),
        (r"\.self_attention\.", ".attention."),
        (r"\.mlp\.(?:0|linear_1)\.", ".feed_forward.up."),
        (r"\.mlp\.(?:3|linear_2)\.", ".feed_forward.down."),
        (r"^encoder\.ln\.", "norm."),
        (r"^heads\.head\.", "head."),
    )

    class_token: Parameter
    positions: Parameter

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 16,
        classes: int = 1000,
        *,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        hidden: int | None = None,
        dropout: float = 0.0,
        data_format: str | None = None,
    ) -> None:
        self.image_size = per_axis("image_size", image_size, 2)
        patch = per_axis("patch_size", patch_size, 2)
        if any(n % p for n, p in zip(self.image_size, patch, strict=True)):
            raise ArgumentError(f"patches of {patch} do not divide images of {self.image_size}")
        if width % heads:
            raise ArgumentError(
                f"width={width} does not divide into heads={heads}: {width} % {heads} = {width % heads}"
            )
        count = (self.image_size[0] // patch[0]) * (self.image_size[1] // patch[1])
        with images(data_format) as self.data_format:
            self.patches = Conv2D(width, patch, strides=patch, kernel_initializer="lecun_normal")
        self.class_token = initializers.parameter(initializers.zeros, (1, 1, width), float32)
        positions = initializers.RandomNormal(stddev=0.02)
        self.positions = initializers.parameter(positions, (1, count + 1, width), float32)
        self.dropout = Dropout(dropout)
        self.blocks = [
            TransformerEncoderLayer(heads, hidden or 4 * width, dropout, epsilon=1e-6, attention_dropout=0.0)
            for _ in range(depth)
        ]
        self.norm = LayerNormalization(epsilon=1e-6)
        self.head = Dense(classes)

    def __call__(self, x: Tensor) -> Tensor:
        self._check(x)
        tokens = self.patches(x)
        if self.data_format == "channels_first":
            tokens = xp.moveaxis(tokens, 1, -1)
        batch, _, _, width = tokens.shape
        tokens = xp.reshape(tokens, (batch, -1, width))
        first = xp.broadcast_to(self.class_token, (batch, 1, width)).astype(tokens.dtype)
        y = self.dropout(xp.concat([first, tokens], axis=1) + self.positions)
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y)[:, 0])

    def _check(self, x: Tensor) -> None:
        if x.ndim == 4 and split_shape(x.shape, self.data_format)[1] == self.image_size:
            return
        last = self.data_format == "channels_last"
        high, wide = self.image_size
        made = f"[batch, {high}, {wide}, channels]" if last else f"[batch, channels, {high}, {wide}]"
        more = "" if last else f', data_format="{self.data_format}"'
        raise ShapeError(
            f"VisionTransformer was made for {made}, and x is {show_shape(x.shape)}. "
            f"td.nn.resize(x, {self.image_size}{more}) makes images of that size"
        )
