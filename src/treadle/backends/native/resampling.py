"""Pictures of 8-bit numbers at another size, one picture a call, without the interpreter's lock.

The method is Pillow's (Resample.c): weights of few neighbours, rows before columns here since then the first pass runs
over whole rows, in integers throughout, so that every processor gives the same. Between the passes a number has 7 bits
behind the point; columns are added up two at a time, by the instruction that multiplies and adds pairs.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from treadle.backends.native.assembly import Function, Value, integer
from treadle.backends.native.engine import Library, load
from treadle.backends.native.target import Target, host

Array = np.ndarray[Any, Any]

FRACTION = 7  # bits behind the point of what lies between the passes: 255 and these are 15, the most of a signed word
ROWS, COLUMNS = 15, 14  # bits behind the point of the weights
TAPS = (2, 4, 6, 8, 12, 16, 24, 32, 48)  # how many old points a new one may be made of, along an axis
PAIR = 8  # 16-bit numbers in a register of 128 bits: two points of up to four channels


@dataclass(frozen=True)
class Band:
    """The weights of one axis as the machine code reads them: which old points each new one is made of.

    Attributes:
        old, new: how many points there are.
        taps: of how many a new one is made, the same for all: one of `TAPS`, or 0 if these are too few.
        starts: int64 `[new]`, where the first of them lies.
        weights: of rows uint16 `[new, taps]`; of columns int16 `[new, taps / 2, 4, 2]`, for each channel side by side.
    """

    old: int
    new: int
    taps: int
    starts: Array
    weights: Array


def of_rows(dense: Array) -> Band:
    """Rows by their weights `[new, old]`, each row of which adds up to 1."""
    return _band(dense, ROWS)


def of_columns(dense: Array, channels: int) -> Band:
    """Columns of points of up to four channels, by their weights `[new, old]`."""
    band = _band(dense, COLUMNS)
    pairs = np.zeros((band.new, band.taps // 2, PAIR // 2, 2), np.int16)
    pairs[:, :, :channels] = band.weights.reshape(band.new, -1, 1, 2)
    return replace(band, starts=band.starts * channels, weights=pairs)


def _band(dense: Array, bits: int) -> Band:
    new, old = dense.shape
    some = dense > 0
    widest = int(some.sum(axis=1).max())
    taps = next((t for t in TAPS if t >= widest), 0)
    starts = np.clip(some.argmax(axis=1), 0, max(0, old - taps)).astype(np.int64)
    places = np.minimum(starts[:, None] + np.arange(taps), old - 1)
    weights = np.rint(np.take_along_axis(dense, places, axis=1) * (1 << bits)).astype(np.int64)
    if taps:  # rounded, they still add up to 1
        weights[np.arange(new), weights.argmax(axis=1)] += (1 << bits) - weights.sum(axis=1)
    return Band(old, new, taps, starts, weights.astype(np.uint16))


def fits(rows: Band, columns: Band, channels: int) -> bool:
    """Whether `resample` can do it: not with pictures of a few points, nor with very many for each new one."""
    few = any(not 0 < b.taps <= b.old for b in (rows, columns))
    return not few and columns.old * channels >= host().vector


def resample(picture: Array, out: Array, rows: Band, columns: Band) -> None:
    """Write `picture`, uint8 `[rows.old, columns.old, channels]`, into `out`; both without gaps."""
    channels = picture.shape[2]
    length = columns.old * channels
    between = np.empty(length + PAIR, np.int16)  # a last pair of points may be read beyond the end
    _function(channels, rows.taps, columns.taps // 2)[0](
        picture.ctypes.data, out.ctypes.data, between.ctypes.data, rows.new, columns.new, length,
        rows.starts.ctypes.data, rows.weights.ctypes.data, columns.starts.ctypes.data, columns.weights.ctypes.data,
    )  # fmt: skip


@functools.cache
def _function(channels: int, taps: int, pairs: int) -> tuple[Any, Library]:
    name = f"td_resample_{channels}_{taps}_{pairs}"
    address, library = load({name: lambda: _write(name, channels, taps, pairs, host())})[name]
    return ctypes.CFUNCTYPE(None, *[ctypes.c_size_t] * 10)(address), library


def _write(name: str, channels: int, taps: int, pairs: int, target: Target) -> Function:
    order = ("picture", "out", "between", "height", "width", "length", "row_starts", "down", "column_starts", "across")
    f = Function(name, [("i64" if p in ("height", "width", "length") else "ptr", p) for p in order])
    at = dict(zip(order, f.parameters, strict=True))
    with f.loop(integer(0), at["height"], 1) as row:
        _down(f, at, row.counter, taps, target.vector)
        _across(f, at, row.counter, channels, pairs, target)
    f.do("ret void")
    return f


def _down(f: Function, at: dict[str, Value], row: Value, taps: int, lanes: int) -> None:
    """One new row, of all old columns: blocks of it, the last one overlapping the one before."""
    length = at["length"]
    start = f.load("i64", f.pointer(at["row_starts"], row, "i64"))
    top = f.pointer(at["picture"], f.binary("mul", start, length), "i8")
    table = f.pointer(at["down"], f.binary("mul", row, integer(taps)), "i16")
    weights = [f.splat(f.load("i16", f.pointer(table, integer(k), "i16")), lanes) for k in range(taps)]
    last = f.binary("sub", length, integer(lanes))
    with f.loop(integer(0), length, lanes) as block:
        place = f.select(f.compare("icmp slt", block.counter, last), block.counter, last)
        source = f.pointer(top, place, "i8")
        total = f.splat(integer(taps // 2, "i16"), lanes)  # each product is cut off, by half on average
        for k, weight in enumerate(weights):
            points = f.convert("zext", f.load("i8", source, lanes), "i16")
            # The upper half of a product: written this way, and in one block, LLVM takes it for one instruction.
            wide = [f.convert("zext", x, "i32") for x in (f.binary("shl", points, integer(8, "i16")), weight)]
            high = f.binary("lshr", f.binary("mul", *wide), integer(16, "i32"))
            total = f.binary("add", total, f.convert("trunc", high, "i16"))
            if k < taps - 1:
                source = f.pointer(source, length, "i8")
        f.store(total, f.pointer(at["between"], place, "i16"))


def _across(f: Function, at: dict[str, Value], row: Value, channels: int, pairs: int, target: Target) -> None:
    """The points of one new row. All but the last are stored with a byte too many, which the next one overwrites."""
    width = at["width"]
    line = f.pointer(at["out"], f.binary("mul", row, f.binary("mul", width, integer(channels))), "i8")
    last = f.binary("sub", width, integer(1))
    with f.loop(integer(0), last, 1) as column:
        done = _point(f, at, column.counter, channels, pairs, target)
        place = f.pointer(line, f.binary("mul", column.counter, integer(channels)), "i8")
        if channels == 1:
            f.store(f.emit("i8", 0, f"extractelement {done}, i64 0"), place)
        else:
            f.store(done, place)
    done = _point(f, at, last, channels, pairs, target)
    place = f.pointer(line, f.binary("mul", last, integer(channels)), "i8")
    for c in range(channels):
        f.store(f.emit("i8", 0, f"extractelement {done}, i64 {c}"), f.pointer(place, integer(c), "i8"))


def _point(f: Function, at: dict[str, Value], column: Value, channels: int, pairs: int, target: Target) -> Value:
    """The channels of one new point, as the first of four bytes."""
    start = f.load("i64", f.pointer(at["column_starts"], column, "i64"))
    source = f.pointer(at["between"], start, "i16")
    table = f.pointer(at["across"], f.binary("mul", column, integer(pairs * PAIR)), "i16")
    total = f.splat(integer(1 << (FRACTION + COLUMNS - 1), "i32"), PAIR // 2)
    for k in range(pairs):
        points = f.load("i16", f.pointer(source, integer(k * 2 * channels), "i16"), PAIR)
        weights = f.load("i16", f.pointer(table, integer(k * PAIR), "i16"), PAIR)
        total = f.binary("add", total, _pairs_product(f, _interleaved(f, points, channels), weights, target))
    return f.convert("trunc", f.binary("lshr", total, integer(FRACTION + COLUMNS, "i32")), "i8")


def _interleaved(f: Function, points: Value, channels: int) -> Value:
    """Of two points one behind the other: channel by channel, those of both side by side."""
    order = [c + p * channels if c < channels else 0 for c in range(PAIR // 2) for p in (0, 1)]
    return _shuffled(f, points, order)


def _pairs_product(f: Function, x: Value, y: Value, target: Target) -> Value:
    """`[x0 y0 + x1 y1, x2 y2 + x3 y3, …]` in 32 bits."""
    if target.is_x86:
        return f.call("llvm.x86.sse2.pmadd.wd", "i32", PAIR // 2, x, y)
    product = f.binary("mul", f.convert("sext", x, "i32"), f.convert("sext", y, "i32"))
    return f.binary("add", *(_shuffled(f, product, list(range(k, PAIR, 2))) for k in (0, 1)))


def _shuffled(f: Function, x: Value, order: list[int]) -> Value:
    mask = ", ".join(f"i32 {k}" for k in order)
    return f.emit(x.kind, len(order), f"shufflevector {x}, {x.type} poison, <{len(order)} x i32> <{mask}>")
