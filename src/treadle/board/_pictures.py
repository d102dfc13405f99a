"""Arrays as pictures: value ranges, enlargement, masks, boxes, captions, grids; encoded as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.board._extra import pillow
from treadle.core.errors import ArgumentError, ShapeError

Array = np.ndarray[Any, Any]

# Okabe and Ito's palette (Color Universal Design, 2008), which colour-blind people can tell apart; class 0 of a mask is
# the background and stays as it is.
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
READABLE = 64  # the shorter side of a picture on which something is written, at least
LINE = 11  # pixels of a caption


def as_rgb(tag: str, images: Any, value_range: tuple[float, float] | None, data_format: str) -> Array:
    """`[n, height, width, 3 or 4]` of uint8.

    Raises:
        ShapeError: not `[h, w]`, `[h, w, c]` or `[n, h, w, c]` with c 1, 3 or 4.
        ArgumentError: values outside of the range.
    """
    array = np.asarray(images)
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentError(f'data_format={data_format!r}: "channels_last" or "channels_first"')
    given = array.shape
    if array.ndim == 2:
        array = array[..., None]
    elif data_format == "channels_first" and array.ndim in (3, 4):
        array = np.moveaxis(array, -3, -1)
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        hint = ""
        if data_format == "channels_last" and len(given) > 2 and given[-3] in (1, 3, 4):
            hint = '. Are its channels first? data_format="channels_first"'
        elif len(given) == 3:
            hint = f". Is it {given[0]} grey pictures? images[..., None]"
        raise ShapeError(
            f"image({tag!r}) takes [height, width], [height, width, channels] or [n, height, width, channels] with "
            f"1, 3 or 4 channels, not {given}{hint}"
        )
    array = _bytes(tag, array, value_range)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def _bytes(tag: str, array: Array, value_range: tuple[float, float] | None) -> Array:
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint8 and value_range is None:
        return array
    whole = np.issubdtype(array.dtype, np.integer)
    low, high = value_range or ((0, 255) if whole else (0.0, 1.0))
    if not high > low:
        raise ArgumentError(f"image({tag!r}, value_range={value_range}): the first is black, the second, larger, white")
    wide = array.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (low, high)
    if value_range is None and (least < low - 1e-6 or most > high + 1e-6):
        kind = "integers lie between 0 and 255" if whole else "floats lie between 0 (black) and 1 (white)"
        raise ArgumentError(
            f"image({tag!r}): {kind}, and these between {least:.4g} and {most:.4g}. "
            f"Say what is black and white: value_range=({least:.4g}, {most:.4g})"
        )
    scaled = np.clip((wide - low) / (high - low), 0.0, 1.0)
    return np.round(np.nan_to_num(scaled) * 255).astype(np.uint8)


def overlay(tag: str, pictures: Array, masks: Any, alpha: float = 0.5) -> Array:
    """Colour the pixels of each class but 0.

    Raises:
        ShapeError: a mask is not `[n, h, w]` like the pictures.
    """
    array = np.asarray(masks)
    if array.ndim == 2:
        array = array[None]
    if array.shape != pictures.shape[:3]:
        raise ShapeError(f"image({tag!r}): masks {array.shape} do not fit pictures {pictures.shape[:3]}")
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_) or array.min() < 0:
        raise ArgumentError(f"image({tag!r}): masks are classes (integers from 0 up, 0 the background) or bools")
    colours = np.array(PALETTE, np.float64)[(array.astype(np.int64) - 1) % len(PALETTE)]
    out = pictures.copy()
    blended = np.round((1 - alpha) * pictures[..., :3] + alpha * colours).astype(np.uint8)
    out[..., :3] = np.where((array > 0)[..., None], blended, pictures[..., :3])
    return out


def enlarged(pictures: Array, zoom: int) -> Array:
    """Each pixel as a square of zoom × zoom."""
    return np.repeat(np.repeat(pictures, zoom, axis=1), zoom, axis=2) if zoom > 1 else pictures


def readable_zoom(height: int, width: int) -> int:
    """The least enlargement at which something can be written on a picture."""
    return max(1, math.ceil(READABLE / min(height, width)))


def boxes_of(tag: str, boxes: Any, count: int) -> list[Array]:
    """For each picture `[k, 4]`: x0, y0, x1, y1 in pixels of the picture.

    Raises:
        ShapeError: not one group of boxes for each picture, or not four numbers a box.
    """
    groups = [boxes] if count == 1 and np.ndim(boxes) == 2 else list(boxes)
    if len(groups) != count:
        raise ShapeError(f"image({tag!r}): {len(groups)} groups of boxes for {count} pictures")
    out = []
    for group in groups:
        array = np.asarray(group, np.float64).reshape(-1, 4) if np.size(group) == 0 else np.asarray(group, np.float64)
        if array.ndim != 2 or array.shape[1] != 4:
            raise ShapeError(f"image({tag!r}): the boxes of a picture are [k, 4]: x0, y0, x1, y1, not {array.shape}")
        if (array[:, :2] > array[:, 2:]).any():
            raise ArgumentError(
                f"image({tag!r}): a box is x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, not {array.tolist()}"
            )
        out.append(array)
    return out


def draw_boxes(pictures: Array, boxes: Sequence[Array], labels: Sequence[Sequence[str]] | None, zoom: int) -> Array:
    """Outlines in the palette's colours, by the order of their labels, with these written at their upper left."""
    names = sorted({name for group in labels or () for name in group})
    out = []
    for n, (picture, group) in enumerate(zip(pictures, boxes, strict=True)):
        image = pillow("Image").fromarray(picture)
        pen = pillow("ImageDraw").Draw(image)
        for k, (x0, y0, x1, y1) in enumerate(group * zoom):
            label = labels[n][k] if labels else ""
            colour = PALETTE[(names.index(label) if label else k) % len(PALETTE)]
            pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=2 if zoom > 1 else 1)
            if label:
                pen.text((x0 + 3, y0 + 1), label, fill=colour)
        out.append(np.asarray(image))
    return np.stack(out)


def captioned(pictures: Array, captions: Sequence[str]) -> Array:
    """Each picture with a line of text below it, black on white."""
    n, _, width, channels = pictures.shape
    strip = np.full((n, LINE + 2, width, channels), 255, np.uint8)
    for k, text in enumerate(captions):
        image = pillow("Image").fromarray(strip[k])
        pillow("ImageDraw").Draw(image).text((2, 0), str(text), fill=(0, 0, 0, 255)[:channels])
        strip[k] = np.asarray(image)
    return np.concatenate([pictures, strip], axis=1)


def grid_of(pictures: Array, columns: int | None) -> Array:
    """One picture of all, row by row, with white lines between them."""
    n, height, width, channels = pictures.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    out = np.full((1, rows * (height + 2) - 2, columns * (width + 2) - 2, channels), 255, np.uint8)
    for k, picture in enumerate(pictures):
        y, x = k // columns * (height + 2), k % columns * (width + 2)
        out[0, y : y + height, x : x + width] = picture
    return out


def png(picture: Array) -> bytes:
    out = io.BytesIO()
    pillow("Image").fromarray(picture).save(out, format="PNG", optimize=False)
    return out.getvalue()


def from_png(data: bytes) -> Array:
    """The pixels of an encoded picture."""
    return np.asarray(pillow("Image").open(io.BytesIO(data)))
