"""What losses take: dtypes and shapes checked, and messages that name the loss and the user's line."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.array.convert import as_tensor, cast
from treadle.core.dims import Shape
from treadle.core.dtypes import DType, float32, int32
from treadle.core.errors import ArgumentError, DTypeError, ShapeError, TreadleError
from treadle.core.source import place_text, scope
from treadle.core.spec import broadcast_shapes, normalize_axis, same_shape, show_shape, size_of
from treadle.core.tensor import Tensor


class Named:
    """A scope for a loss's nodes; errors raised inside say its name and the user's line."""

    def __init__(self, name: str) -> None:
        self._scope = scope(name)

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, TreadleError):
            error.at(place_text())
        self._scope.__exit__(None, None, None)


def as_prediction(x: Any) -> Tensor:
    """The prediction as a tensor of at least float32."""
    out = as_tensor(x, "prediction", float32)
    if not out.dtype.is_floating:
        raise DTypeError(f"the prediction is {out.spec}, and has no derivative: prediction.astype(td.float32)")
    return cast(out, float32) if out.dtype.bits < 32 else out


def as_target(x: Any, dtype: DType) -> Tensor:
    """Targets as numbers of the prediction's dtype; integers and bool are the numbers that they are."""
    return cast(as_tensor(x, "target", dtype), dtype)


def pair(prediction: Any, target: Any) -> tuple[Tensor, Tensor]:
    """A prediction and as many targets, of one dtype.

    Raises:
        ShapeError: the shapes differ.
        DTypeError: the prediction is not floating point.
    """
    p = as_prediction(prediction)
    t = as_target(target, p.dtype)
    check_same_shape(p.shape, t.shape)
    return p, t


def check_same_shape(prediction: Shape, target: Shape) -> None:
    """Raise unless two shapes are the same: losses never broadcast."""
    if not same_shape(prediction, target):
        shapes = f"prediction {show_shape(prediction)} and target {show_shape(target)}"
        raise ShapeError(f"{shapes} {_what_broadcasting_would_do(prediction, target)}. {_fix(prediction, target)}.")


def _what_broadcasting_would_do(p: Shape, t: Shape) -> str:
    try:
        wide = broadcast_shapes(p, t)
    except ShapeError:
        return "do not fit together: they must be the same"
    text = f"would broadcast to {show_shape(wide)}"
    n, of_p, of_t = size_of(wide), size_of(p), size_of(t)
    if not (isinstance(n, int) and isinstance(of_p, int) and isinstance(of_t, int)) or not n:
        return text
    if n == of_p:
        return f"{text}, each target used {n // of_t} times"
    if n == of_t:
        return f"{text}, each prediction used {n // of_p} times"
    return f"{text}, {n} pairs instead of {max(of_p, of_t)}"


def _is_column_of(long: Shape, short: Shape) -> bool:
    """Whether the first is the second with an axis of size 1 behind."""
    return len(long) == len(short) + 1 and long[:-1] == short and isinstance(long[-1], int) and long[-1] == 1


def _fix(p: Shape, t: Shape) -> str:
    before = ":" if min(len(p), len(t)) == 1 else "..."
    if _is_column_of(p, t):
        return f"Write target[{before}, None], or let the model return prediction[{before}, 0]"
    if _is_column_of(t, p):
        return f"Write target[{before}, 0], or let the model return prediction[{before}, None]"
    if size_of(p) == size_of(t):
        return "If their elements have the same order, write target.reshape(prediction.shape)"
    return "Each prediction needs one target"


# classes


def classes_last(p: Tensor, axis: int) -> Tensor:
    """The prediction with its axis of classes behind.

    Raises:
        ShapeError: there is no such axis.
    """
    if p.ndim == 0:
        raise ShapeError("the prediction is a scalar, and needs an axis of classes: [batch, classes]")
    return xp.moveaxis(p, normalize_axis(axis, p.ndim), -1)


def class_numbers(target: Any, prediction: Shape) -> Tensor:
    """Integer targets, one for each place of the prediction (whose classes are on the last axis).

    Raises:
        DTypeError: they are not integers.
        ShapeError: the shapes do not fit.
    """
    t = as_tensor(target, "target")
    if not t.dtype.is_integer:
        say = f"targets are {t.dtype}"
        if t.dtype.is_bool:
            raise DTypeError(f"{say}; use binary_crossentropy for yes or no, or .astype(td.int32) for classes 0 and 1")
        raise DTypeError(f"{say}; use categorical_crossentropy for probabilities, or .astype(td.int32)")
    expected = prediction[:-1]
    if len(t.shape) == len(prediction) and t.shape == prediction:
        raise ShapeError(
            f"targets {show_shape(t.shape)} have the prediction's shape; class numbers have the shape "
            f"{show_shape(expected)}. One-hot targets go to categorical_crossentropy, as .astype(td.float32)"
        )
    if not same_shape(expected, t.shape):
        before = ":" if len(expected) == 1 else "..."
        fix = f" Write target[{before}, 0]." if _is_column_of(t.shape, expected) else ""
        raise ShapeError(
            f"prediction {show_shape(prediction)}, with {prediction[-1]} classes, needs targets "
            f"{show_shape(expected)}, one class number each; they are {show_shape(t.shape)}.{fix}"
        )
    return t if t.dtype.bits >= 32 else cast(t, int32)


def class_weights_of(target: Any, p: Tensor, axis: int) -> Tensor:
    """Target probabilities, in the prediction's dtype and shape, classes last.

    Raises:
        DTypeError: they are class numbers.
        ShapeError: the shapes differ.
    """
    t = as_tensor(target, "target", p.dtype)
    if not t.dtype.is_floating:
        raise DTypeError(
            f"targets are {t.dtype}; use sparse_categorical_crossentropy for class numbers, "
            "or .astype(td.float32) for one-hot rows"
        )
    check_same_shape(p.shape, t.shape)
    return classes_last(cast(t, p.dtype), axis)


def check_fraction(name: str, value: float) -> None:
    """Raise unless 0 <= value < 1.

    Raises:
        ArgumentError: it lies outside.
    """
    if not 0 <= value < 1:
        raise ArgumentError(f"{name} lies in [0, 1); got {value}")


def check_positive(name: str, value: float) -> None:
    """Raise unless value > 0.

    Raises:
        ArgumentError: it is not.
    """
    if not value > 0:
        raise ArgumentError(f"{name} must be > 0; got {value}")
