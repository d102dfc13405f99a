"""Discrete distributions, and choices among positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle import array as xp
from treadle.array.convert import ArrayLike, as_shape, as_tensor, cast, check_floating, scalar_kind
from treadle.core.dims import Dim, Shape, Size
from treadle.core.dtypes import DType, as_dtype, default_int, float32, float64, int32, uint64
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.spec import normalize_axis, size_of
from treadle.core.tensor import Tensor, concrete
from treadle.random.draws import standard_gumbel, stretched_shape, unit
from treadle.random.keys import bits


def bernoulli(key: Tensor, p: ArrayLike = 0.5, shape: Any = None) -> Tensor:
    """True with probability p, up to 2**-24 (2**-53 for a float64 p); 0 and 1 are exact. `bool[*shape]`.

    Args:
        key: `u32[2]`.
        p: in [0, 1]; a number or a floating-point tensor that stretches to `shape`.
        shape: None for that of p.

    Raises:
        ArgumentError: p is a number outside of [0, 1].
        DTypeError: p is not floating point.

    >>> x = td.random.bernoulli(td.random.key(0), 0.25, (10000,))
    >>> abs(x.astype(td.float32).mean().item() - 0.25) < 0.01
    True
    """
    name = "td.random.bernoulli"
    if scalar_kind(p) is not None and not 0 <= p <= 1:  # type: ignore[operator]
        raise ArgumentError(f"{name}: p is a probability, from 0 to 1, and is {p}")
    t = as_tensor(p, name, float32)
    check_floating(name, t)
    dtype = float64 if t.dtype is float64 else float32
    return unit(key, stretched_shape(name, shape, {"p": t.shape}), dtype) < cast(t, dtype)


def categorical(key: Tensor, logits: ArrayLike, axis: int = -1, shape: Any = None) -> Tensor:
    """Indices along an axis with probabilities `softmax(logits)`. `int32[*shape]`.

    The logits need not be normalised; where one is -inf, its index never comes.

    Args:
        key: `u32[2]`.
        logits: floating point, the categories along `axis`, the other axes stretch to `shape`.
        shape: None for the other axes of logits; `(n, *those)` draws n times.

    Raises:
        ShapeError: there is no such axis, or it is empty, or the other axes do not stretch to `shape`.

    Source: the Gumbel-max trick; Maddison, Tarlow, Minka, A* sampling (2014), section 2.

    >>> td.random.categorical(td.random.key(0), td.asarray([0.0, -float("inf")]), shape=(4,)).tolist()
    [0, 0, 0, 0]
    """
    name = "td.random.categorical"
    t = as_tensor(logits, name)
    check_floating(name, t)
    t = cast(t, float64 if t.dtype is float64 else float32)
    t = xp.moveaxis(t, normalize_axis(axis, t.ndim), -1)
    out = stretched_shape(name, shape, {"logits without its axis of categories": t.shape[:-1]})
    return xp.argmax(t + standard_gumbel(key, (*out, t.shape[-1]), t.dtype), axis=-1)


def randint(key: Tensor, shape: Any = None, low: Any = 0, high: Any = None, *, dtype: Any = default_int) -> Tensor:
    """Integers in [low, high), each as likely up to a relative error of 2**-32. `[*shape]`.

    Args:
        key: `u32[2]`.
        shape: None for the common shape of low and high.
        low, high: integers or integer tensors that stretch to `shape`, low < high. `randint(key, shape, n)` gives
            0 to n - 1.
        dtype: any integer dtype.

    Raises:
        ArgumentError: low >= high (as far as they are known), or the dtype does not hold them.
        DTypeError: a dtype or bounds that are not integers.

    Source: multiplication of a random fraction by the range, as in Lemire, Fast random integer generation in an
    interval (2019), with 64 (for 64-bit dtypes 128) random bits in place of the rejection.

    >>> dice = td.random.randint(td.random.key(0), (1000,), 1, 7)
    >>> dice.min().item(), dice.max().item()
    (1, 6)
    """
    name = "td.random.randint"
    if high is None:
        low, high = 0, low
    kind = as_dtype(dtype)
    if not kind.is_integer:
        raise DTypeError(f"{name} gives integers, not {kind}; td.random.uniform gives floating point")
    _check_range(name, low, high, kind)
    bounds = {"low": _wide(name, low), "high": _wide(name, high)}
    out = stretched_shape(name, shape, {k: v.shape for k, v in bounds.items()})
    first, count = bounds["low"], bounds["high"] - bounds["low"]
    if kind.bits < 64:
        return cast(first + _high_product(bits(key, out, dtype=uint64), count), kind)
    fraction = bits(key, (*out, 2), dtype=uint64)
    top = fraction[..., 1]
    if isinstance(low, int) and isinstance(high, int) and high - low == 2**64:
        return cast(first + top, kind)
    middle = top * count
    carry = cast(middle + _high_product(fraction[..., 0], count) < middle, uint64)
    return cast(first + _high_product(top, count) + carry, kind)


def _check_range(name: str, low: Any, high: Any, dtype: DType) -> None:
    info = np.iinfo(dtype.numpy)
    for what, bound, last in (("low", low, info.max), ("high", high, info.max + 1)):
        if isinstance(bound, int) and not info.min <= bound <= last:
            raise ArgumentError(f"{name}: {what} is {bound}, and {dtype} holds {info.min} to {info.max}")
    known = [b.numpy() if isinstance(b, Tensor) and b.is_concrete else b for b in (low, high)]
    if not any(isinstance(b, Tensor | Dim) for b in known) and not np.all(np.less(*known)):
        raise ArgumentError(f"{name}: low must be below high; they are {known[0]} and {known[1]}")


def _wide(name: str, bound: Any) -> Tensor:
    """An integer modulo 2**64."""
    if isinstance(bound, int | np.integer) and not isinstance(bound, bool):
        return concrete(np.array(int(bound) % 2**64, np.uint64))
    x = as_tensor(bound, name)
    if not x.dtype.is_integer:
        raise DTypeError(f"{name}: low and high are integers, not {x.spec}")
    return cast(x, uint64)


def _high_product(a: Tensor, b: Tensor) -> Tensor:
    """The upper 64 bits of the 128-bit product of two uint64, by halves."""
    mask = 0xFFFFFFFF
    a0, a1, b0, b1 = a & mask, a >> 32, b & mask, b >> 32
    low, cross, other = a0 * b0, a0 * b1, a1 * b0
    middle = (low >> 32) + (cross & mask) + (other & mask)
    return a1 * b1 + (cross >> 32) + (other >> 32) + (middle >> 32)


def permutation(key: Tensor, x: Any, axis: int = 0) -> Tensor:
    """The numbers 0 to n - 1 in random order, `int32[n]`; or a tensor with its slices along `axis` in random order.

    Every order is as likely, up to the chance n**2 / 2**65 that two of the 64-bit numbers that are sorted for it agree.

    Args:
        key: `u32[2]`.
        x: n, or a tensor of at least one axis.

    Raises:
        ShapeError: there is no such axis.

    >>> sorted(td.random.permutation(td.random.key(0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    name = "td.random.permutation"
    if isinstance(x, Tensor | np.ndarray):
        t = as_tensor(x, name)
        a = normalize_axis(axis, t.ndim)
        return xp.take(t, _order(key, t.shape[a]), axis=a)
    (n,) = as_shape(name, x)
    return _order(key, n)


shuffle = permutation


def _order(key: Tensor, n: Size) -> Tensor:
    return cast(xp.argsort(bits(key, (n,), dtype=uint64)), int32)


def choice(
    key: Tensor,
    x: Any,
    shape: Any = (),
    *,
    replace: bool = True,
    p: ArrayLike | None = None,
    axis: int = 0,
) -> Tensor:
    """Random slices of a tensor along an axis, or random numbers of 0 to n - 1.

    Args:
        key: `u32[2]`.
        x: n, or a tensor `[a..., n, b...]`.
        shape: how many, in this arrangement.
        replace: whether one may be chosen more than once.
        p: `[n]`, floating point, the probability of each; None for equal ones. They need not add up to 1. Without
            replacement they are chosen one after the other, with the remaining probabilities.

    Returns: `[a..., *shape, b...]` of the tensor's dtype, or `int32[*shape]`.

    Raises:
        ArgumentError: more than there are, without replacement.
        ShapeError: p does not have the shape `[n]`.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006), for p without replacement.

    >>> sorted(td.random.choice(td.random.key(0), 3, (3,), replace=False).tolist())
    [0, 1, 2]
    """
    name = "td.random.choice"
    is_tensor = isinstance(x, Tensor | np.ndarray)
    t = as_tensor(x, name) if is_tensor else None
    a = normalize_axis(axis, t.ndim) if t is not None else 0
    n = t.shape[a] if t is not None else as_shape(name, x)[0]
    out = as_shape(name, shape)
    picked = _with_replacement(key, n, out, p) if replace else _without_replacement(key, n, out, p)
    return picked if t is None else xp.take(t, picked, axis=a)


def _with_replacement(key: Tensor, n: Size, shape: Shape, p: ArrayLike | None) -> Tensor:
    if p is None:
        return randint(key, shape, 0, n)
    return categorical(key, _log_weights(p, n), shape=shape)


def _without_replacement(key: Tensor, n: Size, shape: Shape, p: ArrayLike | None) -> Tensor:
    count = size_of(shape)
    if not count <= n:
        raise ArgumentError(f"td.random.choice: {count} of {n} cannot be chosen with replace=False")
    if p is None:
        order = _order(key, n)
    else:
        weights = _log_weights(p, n)
        order = cast(xp.argsort(weights + standard_gumbel(key, (n,), weights.dtype), descending=True), int32)
    return xp.reshape(order[:count], shape)


def _log_weights(p: ArrayLike, n: Size) -> Tensor:
    t = as_tensor(p, "td.random.choice")
    check_floating("td.random.choice", t)
    if t.shape != (n,):
        raise ShapeError(f"td.random.choice: p is {t.spec}, and needs one probability for each of {n}")
    return xp.log(cast(t, float64 if t.dtype is float64 else float32))
