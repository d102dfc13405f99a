"""From what a caller passes to tensors of one dtype: conversion, promotion, and the checks that functions share.

A Python number takes the dtype of the tensors that it meets; its kind must fit (array API standard, "mixing arrays with
Python scalars"). NumPy's float64 and int64 scalars count as Python numbers, because they are what Python's become when
NumPy touches them: `x / np.sqrt(2)` keeps float32. Other NumPy scalars, and all NumPy arrays, bring their own dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias, Union

import ml_dtypes
import numpy as np

from treadle.core import dtypes
from treadle.core.dims import Dim, Size
from treadle.core.dtypes import DType, as_dtype, promote
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.primitive import Primitive
from treadle.core.tensor import Tensor, concrete
from treadle.core.tracing import bind
from treadle.ops import elementwise as ew
from treadle.ops import shape as shape_ops

Scalar: TypeAlias = Union[bool, int, float, Dim]
ArrayLike: TypeAlias = Union[Tensor, np.ndarray[Any, Any], np.generic, Scalar]
Axes: TypeAlias = Union[int, tuple[int, ...], None]

_KINDS = {"b": "bool", "i": "int", "f": "float"}
_DEFAULTS = {"b": dtypes.bool_, "i": dtypes.default_int, "f": dtypes.default_float}


def apply(primitive: Primitive, *inputs: Tensor, **params: Any) -> Tensor:
    """Bind a primitive with one output."""
    out: Tensor = bind(primitive, *inputs, **params)
    return out


def cast(x: Tensor, dtype: DType) -> Tensor:
    """`x` as `dtype`; itself when it has it."""
    return x if x.dtype is dtype else apply(ew.cast, x, dtype=dtype)


def constant(value: Any, dtype: DType) -> Tensor:
    """A scalar tensor of our own making."""
    with np.errstate(over="ignore"):
        return concrete(np.asarray(value, dtype.numpy))


def like(value: float, x: Tensor) -> Tensor:
    """A scalar tensor of x's dtype."""
    return constant(value, x.dtype)


def stop_gradient(x: Tensor) -> Tensor:
    """The identity; its derivative is zero."""
    return apply(ew.stop_gradient, x)


def scalar_kind(x: Any) -> str | None:
    """ "b", "i" or "f" for what counts as a Python number, None for all else."""
    if isinstance(x, bool | np.bool_):
        return "b"
    if isinstance(x, int | np.int64 | Dim):
        return "i"
    return "f" if isinstance(x, float) else None  # np.float64 is a float


def as_tensor(x: Any, name: str, dtype: DType | None = None) -> Tensor:
    """A tensor, array or number as a tensor; numbers get `dtype`, or the default of their kind.

    Raises:
        DTypeError: it is none of these, or an array whose element type treadle does not have.
    """
    if isinstance(x, Tensor):
        return x
    kind = scalar_kind(x)
    if kind is not None:
        return from_scalar(x, dtype or _DEFAULTS[kind], name)
    if isinstance(x, np.ndarray | np.generic):
        return from_numpy(x, name)
    raise DTypeError(f"{name}: {_describe(x)} is neither a tensor nor a number; td.asarray(…) makes a tensor of it")


def _describe(x: Any) -> str:
    if isinstance(x, list | tuple):
        return f"a {type(x).__name__}"
    text = repr(x)
    return f"{text if len(text) < 40 else type(x).__name__} ({type(x).__name__})"


def from_scalar(x: Any, dtype: DType, name: str) -> Tensor:
    """A Python number or a Dim as a scalar tensor.

    Raises:
        DTypeError: an integer that `dtype` does not hold.
    """
    if isinstance(x, Dim):
        return cast(apply(shape_ops.size, size=x), dtype)
    if type(x) in (int, float) and x:
        return _remembered(type(x).__name__, x, dtype, name)
    return _new_scalar(x, dtype, name)  # 0.0 and -0.0 are equal, so no key tells them apart


@lru_cache(maxsize=1024)
def _remembered(kind: str, x: Any, dtype: DType, name: str) -> Tensor:
    """The literals of a program are few, and met in every step of a loop that runs at once."""
    return _new_scalar(x, dtype, name)


def _new_scalar(x: Any, dtype: DType, name: str) -> Tensor:
    try:
        with np.errstate(over="ignore"):  # a float that is too large is infinite, as IEEE 754 rounds it
            return concrete(np.asarray(x, dtype.numpy))
    except OverflowError:
        limits = f"{np.iinfo(dtype.numpy).min} to {np.iinfo(dtype.numpy).max}" if dtype.is_integer else "a finite range"
        raise DTypeError(
            f"{name}: {x} does not fit into {dtype}, which holds {limits}; use a wider dtype, for instance "
            f"td.asarray({x}, dtype=td.{'uint64' if x > 2**63 - 1 else 'int64'})"
        ) from None


def from_numpy(x: Any, name: str, *, copy: bool = True) -> Tensor:
    """A NumPy array as a tensor. Memory that somebody may write to is copied unless `copy` is False."""
    array = np.asarray(x)
    dtype = _numpy_dtype(array, name)
    if array.dtype != dtype.numpy or not array.dtype.isnative:
        return concrete(array.astype(dtype.numpy))
    return concrete(array.copy() if copy and not _is_frozen(array) else array.view(np.ndarray))


def _numpy_dtype(array: np.ndarray[Any, Any], name: str) -> DType:
    try:
        return as_dtype(array.dtype.newbyteorder("="))
    except (DTypeError, TypeError):
        known = ", ".join(d.name for d in dtypes.ALL)
        words = f"{name}: NumPy's dtype {array.dtype} has no counterpart here; treadle has {known}"
        if array.dtype.kind in "US" or (array.size and isinstance(array.flat[0], str | bytes)):
            words += (
                ". Texts become numbers before the graph: by the first layer of a td.nn.Sequential, such as "
                "td.data.TextVectorization().adapt(ds), by the prepare() of a module of your own, or in ds.map(layer)"
            )
        raise DTypeError(words) from None


def _is_frozen(array: np.ndarray[Any, Any]) -> bool:
    """Whether nobody can write to the array's memory: it and all that it is a view of are read-only."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None or isinstance(base, bytes)


def common_dtype(name: str, xs: Sequence[Any]) -> DType:
    """The dtype that tensors, arrays and Python numbers meet in.

    Raises:
        DTypeError: two of them do not mix; the message gives the ways out.
    """
    known = [x for x in xs if isinstance(x, Tensor | np.ndarray | np.generic) and scalar_kind(x) is None]
    kinds = [kind for x in xs if (kind := scalar_kind(x))]
    if not known:
        return _DEFAULTS[max(kinds or ["f"], key="bif".index)]
    out: DType | None = None
    for x in known:
        dtype = x.dtype if isinstance(x, Tensor) else _numpy_dtype(np.asarray(x), name)
        try:
            out = dtype if out is None else promote(out, dtype)
        except DTypeError as e:
            raise DTypeError(f"{name}: {e.message}") from None
    assert out is not None
    for x in xs:
        _check_scalar(name, x, out)
    return out


def _check_scalar(name: str, x: Any, dtype: DType) -> None:
    kind = scalar_kind(x)
    if kind is None or kind == dtype.kind or (kind == "i" and dtype.kind in "uf"):
        return
    text, other = f"the Python {_KINDS[kind]} {x}", f"a tensor of {dtype}"
    if kind == "b":
        fix = f"write {int(x)} for {x}, or x.astype(td.bool) for the tensor"
    elif dtype.is_bool:
        fix = f"write x.astype(td.{_DEFAULTS[kind]}) for the tensor" + (
            f", or {bool(x)} for {x}" if not isinstance(x, Dim) and x in (0, 1) else ""
        )
    else:
        whole = f"{int(x)}" if np.isfinite(x) else "a whole number"
        fix = f"write x.astype(td.{_DEFAULTS['f']}) for the tensor, or {whole} for {x}"
    raise DTypeError(f"{name}: {text} does not mix with {other}: the result's dtype would be a guess; {fix}")


def operands(name: str, *xs: Any) -> tuple[Tensor, ...]:
    """The arguments as tensors of their common dtype.

    Raises:
        DTypeError: they do not mix.
    """
    first = xs[0]
    if isinstance(first, Tensor) and all(isinstance(x, Tensor) and x.dtype is first.dtype for x in xs):
        return xs
    if len(xs) == 2:
        fast = _tensor_and_number(name, *xs) or _tensor_and_number(name, *xs[::-1])[::-1]
        if fast:
            return fast
    for x in xs:
        if not isinstance(x, Tensor | np.ndarray | np.generic) and scalar_kind(x) is None:
            as_tensor(x, name)  # raises, naming it
    dtype = common_dtype(name, xs)
    return tuple(cast(as_tensor(x, name, dtype), dtype) for x in xs)


def _tensor_and_number(name: str, x: Any, y: Any) -> tuple[Tensor, ...]:
    """The commonest mix, `x * 2`, or nothing when it is another."""
    if isinstance(x, Tensor) and (type(y) is float or type(y) is int):
        kind = x.dtype.kind
        if kind == "f" or (kind != "b" and type(y) is int):
            return x, from_scalar(y, x.dtype, name)
    return ()


def into(x: Tensor, value: Any, name: str) -> Tensor:
    """`value` as a tensor of x's dtype, whose kind it must have.

    Raises:
        DTypeError: a value of another kind.
    """
    common_dtype(name, (x, value))
    return cast(as_tensor(value, name, x.dtype), x.dtype)


# checks of one tensor


def numeric(name: str, x: Any) -> Tensor:
    """A tensor that is not bool."""
    out = as_tensor(x, name)
    if out.dtype.is_bool:
        raise DTypeError(f"{name}: x is {out.spec}, and {name} needs numbers: x.astype(td.int32)")
    return out


def floating(name: str, x: Any) -> Tensor:
    """A floating-point tensor; a Python number becomes one."""
    out = as_tensor(x, name, dtypes.default_float if scalar_kind(x) in ("i", "f") else None)
    check_floating(name, out)
    return out


def check_floating(name: str, *xs: Tensor) -> None:
    """Raise for a tensor that is not floating-point."""
    for x in xs:
        if not x.dtype.is_floating:
            raise DTypeError(f"{name}: x is {x.spec}, and {name} needs floating point: x.astype(td.float32)")


def check_numeric(name: str, *xs: Tensor) -> None:
    """Raise for a bool tensor."""
    for x in xs:
        numeric(name, x)


def integer(name: str, x: Any, what: str) -> Tensor:
    """A tensor of integers."""
    out = as_tensor(x, name)
    if not out.dtype.is_integer:
        raise DTypeError(f"{name}: {what} must hold integers, not {out.spec}: {what}.astype(td.int32)")
    return out


def check_device(name: str, device: Any) -> None:
    """Raise for a device other than "cpu".

    Raises:
        ArgumentError: there is no such device.
    """
    if device not in (None, "cpu"):
        raise ArgumentError(f'{name}: there is no device {device!r} here; the only one is "cpu"')


def as_shape(name: str, shape: Any) -> tuple[Size, ...]:
    """A size or a sequence of sizes as a shape.

    Raises:
        ShapeError: a negative size.
        DTypeError: something that is not a size.
    """
    given = shape if isinstance(shape, list | tuple) else (shape,)
    return tuple(as_size(name, n) for n in given)


def as_size(name: str, n: Any, *, low: int = 0) -> Size:
    """One size: an int >= low, or a Dim."""
    if isinstance(n, Dim):
        return n
    size = static_int(name, n, "a size")
    if size < low:
        raise ShapeError(f"{name}: a size is not negative; got {n}")
    return size


def static_int(name: str, n: Any, what: str) -> int:
    """A number that must be known while tracing.

    Raises:
        DTypeError: it is not an integer.
    """
    if isinstance(n, Tensor) and n.ndim:
        raise DTypeError(f"{name}: {what} is an int; got a tensor {n.spec}")
    try:
        return int(n.__index__())
    except (AttributeError, TypeError) as e:
        if isinstance(e, DTypeError) or hasattr(e, "message"):
            raise
        raise DTypeError(f"{name}: {what} is an int; got {_describe(n)}") from None


def is_zero(n: Size) -> bool:
    """Whether a size is the number 0; a Dim is not."""
    return isinstance(n, int) and n == 0


def limits(dtype: DType) -> Any:
    """NumPy's finfo of a floating-point dtype, bfloat16 included."""
    finfo: Any = ml_dtypes.finfo  # it has no type information
    return finfo(dtype.numpy)


def eps(dtype: DType) -> float:
    """The distance from 1 to the next larger number."""
    return float(limits(dtype).eps)
