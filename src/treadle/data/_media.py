"""Files that are one element each: pictures, and what sound has in common with them."""

from __future__ import annotations

import importlib
import io
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np

from treadle.core.errors import MissingExtraError
from treadle.data._columns import Array
from treadle.data._files import extra, read_bytes
from treadle.data._nodes import Indexed

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def decode_image(data: bytes, mode: str | None = None, size: tuple[int, int] | None = None) -> Array:
    """uint8 `[height, width, channels]` of an encoded picture; channels 1 for mode "L", 3 for "RGB"."""
    image_of = extra("PIL.Image", "pictures")
    if mode == "RGB" and (pixels := _decode_jpeg(data, size)) is not None:
        if size is None or pixels.shape[:2] == size:
            return pixels
        with image_of.fromarray(pixels) as image:
            return np.array(image.resize((size[1], size[0]), image_of.Resampling.BILINEAR), np.uint8)
    with warnings.catch_warnings():
        # Pillow warns of pictures above 89 million points, and raises above twice that: an attack, or a mistake.
        warnings.simplefilter("error", image_of.DecompressionBombWarning)
        with image_of.open(io.BytesIO(data)) as image:
            if size is not None:
                image.draft(mode, (size[1], size[0]))  # a JPEG is decoded at the smallest scale that is large enough
            if mode is not None and image.mode != mode:
                image = image.convert(mode)
            elif mode is None and image.mode not in ("L", "RGB", "RGBA"):
                image = image.convert("RGB")
            if size is not None and image.size != (size[1], size[0]):
                image = image.resize((size[1], size[0]), image_of.Resampling.BILINEAR)
            array = np.array(image, np.uint8)
    return array if array.ndim == 3 else array[..., None]


_POINTS = 89_478_485  # above which Pillow warns
_JPEG: list[Any] = []  # simplejpeg, or None where it is not installed; empty before it was looked for


def _decode_jpeg(data: bytes, size: tuple[int, int] | None) -> Array | None:
    """An ordinary JPEG picture by simplejpeg, which gives Pillow's values in less time; None for others."""
    if not data.startswith(b"\xff\xd8"):
        return None
    if not _JPEG:
        try:
            _JPEG.append(importlib.import_module("simplejpeg"))
        except ImportError:
            _JPEG.append(None)
    if _JPEG[0] is None:
        return None
    try:
        height, width, space, _ = _JPEG[0].decode_jpeg_header(data)
        if space != "YCbCr" or height * width > _POINTS:
            return None
        if size is not None and (height >= 2 * size[0] and width >= 2 * size[1]):
            return None  # Pillow decodes it at half its size
        return np.asarray(_JPEG[0].decode_jpeg(data, "RGB"))
    except (ValueError, RuntimeError, MemoryError):
        return None  # Pillow says what is wrong with it


class Media(Indexed):
    """Files, each decoded to one element, with a label if there are any."""

    def __init__(self, files: list[str], labels: Any, shown: str) -> None:
        self.files, self.labels, self.shown = files, labels, shown

    @property
    def length(self) -> int:
        return len(self.files)

    def describe(self) -> str:
        return f"{self.shown}({len(self.files):,} files)"

    @abstractmethod
    def decode(self, data: bytes) -> Any:
        """What the bytes of a file are."""

    def get(self, i: int, epoch: int) -> Any:
        try:
            made = self.decode(read_bytes(self.files[i]))
        except MissingExtraError as e:  # says nothing against the file: it is never left out for this
            raise MissingExtraError(f"{self.where(i, epoch)}: {e.message}") from e
        except Exception as e:
            raise self.failed(e, self.where(i, epoch)) from e
        return made if self.labels is None else (made, self.labels[i])

    def where(self, i: int, epoch: int) -> str:
        return self.files[i]


class ImageFiles(Media):
    """Pictures as uint8 `[height, width, channels]`."""

    def __init__(self, files: list[str], labels: Any, mode: str, size: tuple[int, int] | None) -> None:
        super().__init__(files, labels, "from_images")
        self.mode, self.size = mode, size

    def decode(self, data: bytes) -> Any:
        return decode_image(data, self.mode, self.size)
