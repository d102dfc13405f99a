"""All elementwise primitives by name; each is defined, with its rules, in the file of its subject."""

from __future__ import annotations

from treadle.ops.arithmetic import (
    add,
    clamp,
    div,
    floor_divide,
    masked_div,
    masked_mul,
    maximum,
    minimum,
    mul,
    neg,
    remainder,
    sub,
)
from treadle.ops.casting import bitcast, cast, stop_gradient
from treadle.ops.elementwise_class import constant, elementwise, stretched, unbroadcast
from treadle.ops.logic import (
    and_,
    eq,
    ge,
    gt,
    is_finite,
    le,
    lt,
    ne,
    not_,
    or_,
    select,
    shift_left,
    shift_right,
    xor,
)
from treadle.ops.rounding import abs, ceil, copysign, floor, nextafter, round, sign, trunc
from treadle.ops.special import digamma, erf, erfinv, lgamma, polygamma, sigmoid
from treadle.ops.transcendental import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    exp,
    expm1,
    integer_power,
    log,
    log1p,
    logaddexp,
    power,
    rsqrt,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

__all__ = [
    "abs", "acos", "acosh", "add", "and_", "asin", "asinh", "atan", "atan2", "atanh", "bitcast", "cast", "ceil",
    "clamp", "constant", "copysign", "cos", "cosh", "digamma", "div", "elementwise", "eq", "erf", "erfinv", "exp",
    "expm1", "floor", "floor_divide", "ge", "gt", "integer_power", "is_finite", "le", "lgamma", "log", "log1p",
    "logaddexp", "lt", "masked_div", "masked_mul", "maximum", "minimum", "mul", "ne", "neg", "nextafter", "not_",
    "or_", "polygamma", "power", "remainder", "round", "rsqrt", "select", "shift_left", "shift_right", "sigmoid",
    "sign", "sin", "sinh", "sqrt", "stop_gradient", "stretched", "sub", "tan", "tanh", "trunc", "unbroadcast", "xor",
]  # fmt: skip
