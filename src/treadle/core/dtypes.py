"""Element types: one interned `DType` each, and the promotion lattice of the Python array API standard."""

from __future__ import annotations

from typing import Any, Final

import ml_dtypes
import numpy as np

from treadle.core.errors import DTypeError


class DType:
    """An element type. Compares equal to NumPy's dtype of the same name.

    >>> import treadle as td
    >>> td.float32, td.float32.itemsize, td.float32 == np.dtype("float32")
    (treadle.float32, 4, True)
    """

    __slots__ = ("bits", "is_floating", "is_integer", "itemsize", "kind", "name", "numpy", "short")

    def __init__(self, name: str, short: str, numpy: Any) -> None:
        self.name: Final[str] = name
        self.short: Final[str] = short
        self.numpy: Final[np.dtype[Any]] = np.dtype(numpy)
        self.kind: Final[str] = "b" if name == "bool" else {"f": "f", "b": "f", "i": "i", "u": "u"}[name[0]]
        self.itemsize: Final[int] = self.numpy.itemsize
        self.bits: Final[int] = 8 * self.itemsize
        self.is_floating: Final[bool] = self.kind == "f"
        self.is_integer: Final[bool] = self.kind in "iu"

    def __repr__(self) -> str:
        return f"treadle.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self is other
        if isinstance(other, np.dtype) or (isinstance(other, type) and issubclass(other, np.generic)):
            return self.numpy == np.dtype(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return as_dtype, (self.name,)

    @property
    def is_bool(self) -> bool:
        return self.kind == "b"

    @property
    def is_signed(self) -> bool:
        return self.kind in "if"


bool_ = DType("bool", "bool", np.bool_)
int8 = DType("int8", "i8", np.int8)
int16 = DType("int16", "i16", np.int16)
int32 = DType("int32", "i32", np.int32)
int64 = DType("int64", "i64", np.int64)
uint8 = DType("uint8", "u8", np.uint8)
uint16 = DType("uint16", "u16", np.uint16)
uint32 = DType("uint32", "u32", np.uint32)
uint64 = DType("uint64", "u64", np.uint64)
bfloat16 = DType("bfloat16", "bf16", ml_dtypes.bfloat16)
float16 = DType("float16", "f16", np.float16)
float32 = DType("float32", "f32", np.float32)
float64 = DType("float64", "f64", np.float64)

BOOL: Final = (bool_,)
SIGNED: Final = (int8, int16, int32, int64)
UNSIGNED: Final = (uint8, uint16, uint32, uint64)
INTEGER: Final = SIGNED + UNSIGNED
# What is asked for most stands first: `dtype in NUMERIC` then ends at the first comparison.
FLOATING: Final = (float32, float64, float16, bfloat16)
NUMERIC: Final = FLOATING + INTEGER
ALL: Final = BOOL + NUMERIC

default_float: Final = float32
default_int: Final = int32

_BY_NAME: Final = {d.name: d for d in ALL} | {d.short: d for d in ALL}
_BY_NUMPY: Final = {d.numpy: d for d in ALL}
_PYTHON: Final[dict[Any, DType]] = {bool: bool_, int: default_int, float: default_float}


def as_dtype(what: Any) -> DType:
    """The DType named by a DType, a NumPy dtype, a name ("float32", "f32") or a Python type.

    Raises:
        DTypeError: treadle has no such element type.
    """
    if isinstance(what, DType):
        return what
    if isinstance(what, str) and what in _BY_NAME:
        return _BY_NAME[what]
    if isinstance(what, type) and what in _PYTHON:
        return _PYTHON[what]
    try:
        return _BY_NUMPY[np.dtype(what)]
    except (TypeError, KeyError):
        known = ", ".join(d.name for d in ALL)
        raise DTypeError(f"{what!r} is not an element type of treadle; it has {known}") from None


def promote(a: DType, b: DType) -> DType:
    """The dtype of `x + y` for x of dtype `a` and y of dtype `b` (array API standard, type promotion rules).

    Raises:
        DTypeError: the standard leaves the mix undefined (integer with floating point, bool with a number).
    """
    if a is b:
        return a
    if a.kind == b.kind:
        if {a, b} == {bfloat16, float16}:
            return float32  # neither holds the other
        return a if a.bits > b.bits else b
    if a.is_integer and b.is_integer:
        signed, unsigned = (a, b) if a.kind == "i" else (b, a)
        if signed.bits > unsigned.bits:
            return signed
        if unsigned.bits < 64:
            return _BY_NAME[f"int{2 * unsigned.bits}"]
    low, high = sorted((a, b), key=lambda d: "biuf".index(d.kind))
    raise DTypeError(
        f"{a} and {b} do not mix: the result's dtype would be a guess. "
        f"Convert the {low} one, for instance with .astype(td.{(high if high.is_floating else default_int).name})"
    )


def result_type(*dtypes: DType) -> DType:
    """Promotion of several dtypes, left to right.

    Raises:
        DTypeError: two of them do not mix.
    """
    out = dtypes[0]
    for dtype in dtypes[1:]:
        out = promote(out, dtype)
    return out
