"""Points for the Projector: tensors, metadata, sprites and their index, in the run's own folder.

TensorBoard without TensorFlow reads no checkpoints, but it reads these files: `projector_config.pbtxt` beside the event
files, and what that names, inside of the same folder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from treadle.board import _pictures
from treadle.board._extra import tensorboard
from treadle.board._summaries import numbers
from treadle.core.errors import ArgumentError, SaveError, ShapeError
from treadle.nn.calls import observed
from treadle.nn.embedding import Embedding
from treadle.nn.module import Module
from treadle.train._files import write_whole

Array = np.ndarray[Any, Any]
CONFIG = "projector_config.pbtxt"
LARGEST = 8192  # pixels of a sprite's side that browsers take


def write(folder: Path, tag: str, vectors: Any, metadata: Any, images: Any, value_range: Any) -> None:
    """Write one set of points; see `Writer.embedding`."""
    points = _points(tag, vectors)
    columns = _columns(tag, metadata, len(points))
    place = f"projector/{re.sub(r'[^A-Za-z0-9_.-]', '_', tag) or 'points'}"
    sprite = None if images is None else _sprite(tag, images, value_range, len(points))
    proto = tensorboard("plugins.projector.projector_config_pb2")
    info = proto.EmbeddingInfo(tensor_name=tag, tensor_shape=points.shape)
    files: dict[str, bytes] = {}
    ending, data = _encoded(points)
    info.tensor_path = f"{place}/tensor.{ending}"
    files[info.tensor_path] = data
    if columns is not None:
        info.metadata_path = f"{place}/metadata.tsv"
        files[info.metadata_path] = columns.encode()
    if sprite is not None:
        info.sprite.image_path = f"{place}/sprite.png"
        files[info.sprite.image_path], (height, width) = sprite
        info.sprite.single_image_dim.extend([width, height])
    for name, data in files.items():
        write_whole(folder / name, data)
    _register(folder / CONFIG, proto, info)


def _points(tag: str, vectors: Any) -> Array:
    points = numbers(vectors).astype(np.float32)
    if points.ndim != 2 or 0 in points.shape:
        raise ShapeError(f"embedding({tag!r}) takes [n, d], a row for each point, not {points.shape}")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise ArgumentError(f"embedding({tag!r}): {bad.size} rows are not finite, row {bad[0]} the first of them")
    return points


def _encoded(points: Array) -> tuple[str, bytes]:
    """Bytes, if their reader will take them for such: it first tries to read any file as text."""
    data = points.astype("<f4").tobytes()
    try:
        data[: 1 << 20].decode("utf-8")
    except UnicodeDecodeError as e:
        if e.reason != "unexpected end of data":
            return "bytes", data
    rows = ("\t".join(repr(float(v)) for v in row) for row in points)
    return "tsv", ("\n".join(rows) + "\n").encode()


def _columns(tag: str, metadata: Any, count: int) -> str | None:
    """The text of metadata.tsv. One column has no header, several have: the Projector wants it so."""
    if metadata is None:
        return None
    columns = metadata if isinstance(metadata, Mapping) else {"": metadata}
    if not columns:
        raise ArgumentError(f"embedding({tag!r}): metadata has no columns")
    cells = []
    for name, values in columns.items():
        if len(values) != count:
            where = f"the column {name!r} of metadata" if name else "metadata"
            raise ShapeError(f"embedding({tag!r}): {where} has {len(values)} values for {count} points")
        cells.append([_cell(v) for v in np.asarray(values, dtype=object)])
    rows = ["\t".join(row) for row in zip(*cells, strict=True)]
    if len(columns) > 1:
        rows.insert(0, "\t".join(_cell(name) for name in columns))
    return "\n".join(rows) + "\n"


def _cell(value: Any) -> str:
    # An empty line would be left out by the reader, and all names after it would belong to the wrong points.
    return re.sub(r"[\t\r\n]", " ", str(value)).strip() or "-"


def _sprite(tag: str, images: Any, value_range: Any, count: int) -> tuple[bytes, tuple[int, int]]:
    """One square picture of all, row by row from the upper left, as the Projector cuts it up."""
    array = np.asarray(images)
    pictures = _pictures.as_rgb(tag, array[..., None] if array.ndim == 3 else array, value_range, "channels_last")
    if len(pictures) != count:
        raise ShapeError(f"embedding({tag!r}): {len(pictures)} images for {count} points")
    _, height, width, channels = pictures.shape
    side = math.ceil(math.sqrt(count))
    if side * max(height, width) > LARGEST:
        raise ArgumentError(
            f"embedding({tag!r}): {count} images of {height} x {width} make a sprite of {side * height} x "
            f"{side * width} pixels, and browsers take {LARGEST}. Use smaller images or fewer points"
        )
    out = np.zeros((side, side, height, width, channels), np.uint8)
    out.reshape(-1, height, width, channels)[:count] = pictures
    whole = out.transpose(0, 2, 1, 3, 4).reshape(side * height, side * width, channels)
    return _pictures.png(whole), (height, width)


def _register(path: Path, proto: Any, info: Any) -> None:
    """Put the points into the index, in place of those of the same name."""
    from google.protobuf import text_format

    config = proto.ProjectorConfig()
    if path.exists():
        try:
            text_format.Parse(path.read_text(encoding="utf-8"), config)
        except (text_format.ParseError, UnicodeDecodeError) as e:
            raise SaveError(f"{path} is no projector configuration: {e}. Move it away") from e
    kept = [e for e in config.embeddings if e.tensor_name != info.tensor_name]
    del config.embeddings[:]
    config.embeddings.extend([*kept, info])
    write_whole(path, text_format.MessageToString(config).encode())


def layer_output(model: Any, x: Any, layer: str, batch_size: int) -> Array:
    """What a layer gives for each row, `[n, d]`; without rows, an embedding's table. See `Writer.layer_embedding`."""
    if not isinstance(model, Module):
        raise ArgumentError(f"layer_embedding takes a td.nn.Module, not {type(model).__name__}")
    if x is None:
        return _table(model, layer)
    if len(x) == 0:
        raise ArgumentError("layer_embedding: x has no rows")
    rows: list[Array] = []
    for begin in range(0, len(x), batch_size):
        seen: dict[str, Any] = {}
        with observed(_noted(seen)):
            model(x[begin : begin + batch_size], training=False)
        if layer not in seen:
            raise ArgumentError(f"the model calls no layer {layer!r}. There are {', '.join(n for n in seen if n)}")
        out = np.asarray(seen[layer])
        rows.append(out.reshape(len(out), -1))
    return np.concatenate(rows)


def _noted(seen: dict[str, Any]) -> Callable[[Module, str, Any], None]:
    def note(module: Module, scope: str, output: Any) -> None:
        seen.setdefault(scope, output)

    return note


def _table(model: Any, layer: str) -> Array:
    modules = model.modules()
    found = modules.get(layer.replace("/", "."))
    if not isinstance(found, Embedding):
        names = [n for n, m in modules.items() if isinstance(m, Embedding)]
        raise ArgumentError(
            f"without x, layer_embedding takes the table of an Embedding, and {layer!r} is none. "
            + (f"There are {', '.join(names)}" if names else "The model has none: pass x")
        )
    (table,) = found.parameters().values()
    return np.asarray(table)
