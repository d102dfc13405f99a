"""Images changed at random, each by itself: functions of a key; `nn.RandomFlip` and the like are the same as layers.

They are ordinary functions of tensors: they run inside of compiled steps, under vmap, and through derivatives. Images
are `[batch, height, width, channels]`. Element n of a batch is changed by numbers that depend on the key and n alone.
"""

from __future__ import annotations

from treadle.nn.augment.color import color_jitter
from treadle.nn.augment.geometry import affine, random_affine, random_crop, random_flip
from treadle.nn.augment.mixing import cutmix, mixup, random_erasing

__all__ = ["affine", "color_jitter", "cutmix", "mixup", "random_affine", "random_crop", "random_erasing", "random_flip"]
