"""Pictures: decoded, and brought to a size while they are."""

from __future__ import annotations

import functools
import importlib
import io
import threading
import warnings
from typing import Any

import numpy as np

from treadle.core import registry
from treadle.data._columns import Array
from treadle.data._files import extra
from treadle.nn.resizing import resize_weights

Size = tuple[int, int]

_POINTS = 89_478_485  # above which Pillow warns: an attack, or a mistake
_KEPT = 16 << 20  # bytes of memory that each thread keeps to decode into


def decode_image(data: bytes, mode: str | None = None, size: Size | None = None, exact: bool = True) -> Array:
    """uint8 `[height, width, channels]` of an encoded picture; channels 1 for mode "L", 3 for "RGB"."""
    pixels = _decode_jpeg(data, size, exact) if mode == "RGB" else None
    if pixels is None:
        pixels = _decode(data, mode, size)
    return pixels if size is None or pixels.shape[:2] == size else resized(pixels, size)


def _decode(data: bytes, mode: str | None, size: Size | None) -> Array:
    """By Pillow; a JPEG at the smallest scale that is large enough for `size`."""
    image_of = extra("PIL.Image", "pictures")
    with warnings.catch_warnings():
        warnings.simplefilter("error", image_of.DecompressionBombWarning)  # it raises itself above twice the size
        with image_of.open(io.BytesIO(data)) as image:
            if size is not None:
                image.draft(mode, size[::-1])
            if mode is not None and image.mode != mode:
                image = image.convert(mode)
            elif mode is None and image.mode not in ("L", "RGB", "RGBA"):
                image = image.convert("RGB")
            array = np.array(image, np.uint8)
    return array if array.ndim == 3 else array[..., None]


def resized(picture: Array, size: Size) -> Array:
    """A uint8 picture at another size: bilinear and antialiased, as Pillow's `resize`, of which it is 1 off at most."""
    out = np.empty((*size, picture.shape[2]), np.uint8)
    channels = picture.shape[2]
    if channels in (1, 3):  # where there is an alpha channel, colours count by it: Pillow does that
        rows, columns = _rows(picture.shape[0], size[0]), _columns(picture.shape[1], size[1], channels)
        native = registry.resampling()
        if native.fits(rows, columns, channels):
            native.resample(np.ascontiguousarray(picture), out, rows, columns)
            return out
    image_of = extra("PIL.Image", "pictures")
    with image_of.fromarray(picture if channels > 1 else picture[..., 0]) as image:
        out[:] = np.asarray(image.resize(size[::-1], image_of.Resampling.BILINEAR)).reshape(out.shape)
    return out


@functools.lru_cache(maxsize=1024)
def _rows(old: int, new: int) -> Any:
    return registry.resampling().of_rows(resize_weights(old, new, antialias=True))


@functools.lru_cache(maxsize=1024)
def _columns(old: int, new: int, channels: int) -> Any:
    return registry.resampling().of_columns(resize_weights(old, new, antialias=True), channels)


def _decode_jpeg(data: bytes, size: Size | None, exact: bool) -> Array | None:
    """An ordinary JPEG picture by simplejpeg, which gives Pillow's values in less time; None for others.

    One that is to be resized lies in memory that this thread's next picture overwrites.
    """
    jpeg = simplejpeg() if data.startswith(b"\xff\xd8") else None
    if jpeg is None:
        return None
    try:
        height, width, space, _ = jpeg.decode_jpeg_header(data)
        if space != "YCbCr" or height * width > _POINTS:
            return None
        if size is None:
            return np.asarray(jpeg.decode_jpeg(data, "RGB", not exact, not exact))
        scale = next((k for k in (8, 4, 2) if height >= k * size[0] and width >= k * size[1]), 1)
        height, width = -(-height // scale), -(-width // scale)
        buffer = None if (height, width) == size else _memory(height * width * 3)
        return np.asarray(jpeg.decode_jpeg(data, "RGB", not exact, not exact, height, width, buffer=buffer))
    except (ValueError, RuntimeError, MemoryError):
        return None  # Pillow says what is wrong with it


@functools.cache
def simplejpeg() -> Any:
    """The package, or None."""
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None


_own = threading.local()


def _memory(count: int) -> Array:
    """So many bytes of this thread's own: the system has to clear what is new for every picture."""
    kept: Array | None = getattr(_own, "memory", None)
    if kept is None or len(kept) < count:
        kept = np.empty(count, np.uint8)
        if count <= _KEPT:
            _own.memory = kept
    return kept[:count]
