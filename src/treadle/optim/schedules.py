"""Learning rates that change with the number of updates: `td.optim.Adam(td.optim.schedules.cosine(1e-3, steps=1000))`.

A schedule is any function of an int32 scalar, the number of updates made so far (0 at first), that gives a scalar.
Those here give float64, and take Python integers too: `[schedule(n).item() for n in range(100)]` is a plot of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, Union

from treadle import array as xp
from treadle.core.dtypes import float64
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.optim.checks import at_least_zero, fractions, positive


class Schedule:
    """A function of the step, made by the functions of this module."""

    __slots__ = ("_formula", "_text")

    def __init__(self, text: str, formula: Callable[[Tensor], Tensor]) -> None:
        self._text = text
        self._formula = formula

    def __call__(self, step: Any) -> Tensor:
        """The learning rate, float64 scalar, of the update that follows `step` others."""
        return self._formula(xp.asarray(step).astype(float64))

    def __repr__(self) -> str:
        return self._text


Rate: TypeAlias = Union[float, Callable[[Any], Tensor]]


def _number(value: float) -> Tensor:
    return xp.asarray(float(value), dtype=float64)


def _progress(t: Tensor, steps: float) -> Tensor:
    """0 at the first update, 1 from `steps` on."""
    return xp.clip(t / float(steps), 0.0, 1.0)


def _half_cosine(start: float, end: float, progress: Tensor) -> Tensor:
    return end + (start - end) * 0.5 * (1.0 + xp.cos(math.pi * progress))


def constant(rate: float) -> Schedule:
    """The same at each update.

    >>> import treadle as td
    >>> td.optim.schedules.constant(0.1)(7).item()
    0.1
    """
    at_least_zero(rate=rate)
    return Schedule(f"constant({rate})", lambda t: _number(rate))


def piecewise_constant(boundaries: Sequence[int], rates: Sequence[float]) -> Schedule:
    """`rates[0]` before the update number `boundaries[0]`, `rates[1]` from there to `boundaries[1]`, and so on.

    Raises:
        ArgumentError: not one rate more than boundaries, or boundaries that do not increase.

    >>> import treadle as td
    >>> schedule = td.optim.schedules.piecewise_constant([10, 20], [1.0, 0.1, 0.01])
    >>> [schedule(n).item() for n in (0, 9, 10, 19, 20)]
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """
    edges, values = tuple(boundaries), tuple(rates)
    if len(values) != len(edges) + 1:
        raise ArgumentError(
            f"piecewise_constant: {len(edges)} boundaries need {len(edges) + 1} rates; got {len(values)}"
        )
    if any(a >= b for a, b in pairwise(edges)):
        raise ArgumentError(f"piecewise_constant: boundaries increase; got {list(edges)}")
    for rate in values:
        at_least_zero(rate=rate)

    def formula(t: Tensor) -> Tensor:
        out = _number(values[0])
        for edge, rate in zip(edges, values[1:], strict=True):
            out = xp.where(t >= float(edge), _number(rate), out)
        return out

    return Schedule(f"piecewise_constant({list(edges)}, {list(values)})", formula)


def step_decay(rate: float, *, every: int, factor: float = 0.1) -> Schedule:
    """`rate * factor**(t // every)`: multiplied by `factor` after each `every` updates.

    >>> import treadle as td
    >>> schedule = td.optim.schedules.step_decay(1.0, every=10, factor=0.5)
    >>> [schedule(n).item() for n in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """
    return exponential(rate, steps=every, factor=factor, staircase=True)


def exponential(rate: float, *, steps: int, factor: float, staircase: bool = False) -> Schedule:
    """`rate * factor**(t / steps)`: multiplied by `factor` in the course of each `steps` updates.

    Args:
        staircase: all at once after each `steps` updates, instead of steadily.

    >>> import treadle as td
    >>> schedule = td.optim.schedules.exponential(1.0, steps=10, factor=0.25)
    >>> [schedule(n).item() for n in (0, 5, 10)]
    [1.0, 0.5, 0.25]
    """
    at_least_zero(rate=rate)
    positive(steps=steps, factor=factor)

    def formula(t: Tensor) -> Tensor:
        periods = t / float(steps)
        return rate * xp.pow(_number(factor), xp.floor(periods) if staircase else periods)

    return Schedule(f"exponential({rate}, steps={steps}, factor={factor}, staircase={staircase})", formula)


def polynomial(start: float, end: float = 0.0, *, steps: int, power: float = 1.0) -> Schedule:
    """`end + (start - end) * (1 - t / steps)**power` until update `steps`, then `end`.

    >>> import treadle as td
    >>> schedule = td.optim.schedules.polynomial(1.0, steps=10, power=2.0)
    >>> [schedule(n).item() for n in (0, 5, 10, 11)]
    [1.0, 0.25, 0.0, 0.0]
    """
    at_least_zero(start=start, end=end)
    positive(steps=steps, power=power)

    def formula(t: Tensor) -> Tensor:
        left = 1.0 - _progress(t, steps)
        return end + (start - end) * (left if power == 1 else xp.pow(left, float(power)))

    return Schedule(f"polynomial({start}, {end}, steps={steps}, power={power})", formula)


def linear(start: float, end: float = 0.0, *, steps: int) -> Schedule:
    """A straight line from `start` to `end` at update `steps`, then `end`.

    >>> import treadle as td
    >>> schedule = td.optim.schedules.linear(1.0, 0.5, steps=10)
    >>> [schedule(n).item() for n in (0, 5, 10, 11)]
    [1.0, 0.75, 0.5, 0.5]
    """
    return polynomial(start, end, steps=steps)


def cosine(start: float, end: float = 0.0, *, steps: int) -> Schedule:
    """Half a period of a cosine from `start` to `end` at update `steps`, then `end`.

    `end + (start - end) * (1 + cos(π * t / steps)) / 2`

    >>> import treadle as td
    >>> schedule = td.optim.schedules.cosine(1.0, steps=10)
    >>> [round(schedule(n).item(), 4) for n in (0, 5, 10, 11)]
    [1.0, 0.5, 0.0, 0.0]

    Source: Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts (ICLR 2017), equation 5.
    """
    at_least_zero(start=start, end=end)
    positive(steps=steps)
    return Schedule(f"cosine({start}, {end}, steps={steps})", lambda t: _half_cosine(start, end, _progress(t, steps)))


def cosine_restarts(start: float, end: float = 0.0, *, steps: int, growth: int = 1, shrink: float = 1.0) -> Schedule:
    """`cosine` again and again: each period `growth` times as long as the one before, and `shrink` times as high.

    Args:
        steps: length of the first period.
        growth: a whole number >= 1, the paper's T_mult.
        shrink: > 0, multiplies the height of `start` over `end` at each restart.

    >>> import treadle as td
    >>> schedule = td.optim.schedules.cosine_restarts(1.0, steps=10, growth=2)
    >>> [round(schedule(n).item(), 4) for n in (0, 5, 10, 20, 30)]  # periods begin at 0, 10, 30, 70, …
    [1.0, 0.5, 1.0, 0.5, 1.0]

    Source: Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts (ICLR 2017), section 3.
    """
    at_least_zero(start=start, end=end)
    positive(steps=steps, shrink=shrink)
    if not (isinstance(growth, int) and growth >= 1):
        raise ArgumentError(f"growth is a whole number >= 1; got {growth}")

    def period(t: Tensor) -> tuple[Tensor, Tensor]:
        """How many periods are over, and how much of this one."""
        if growth == 1:
            done = xp.floor(t / float(steps))
            return done, t / float(steps) - done
        # Counted, not solved by a logarithm, whose rounding would misplace restarts. A step has 31 bits, so there are
        # few of them.
        starts = [steps * (growth**k - 1) // (growth - 1) for k in range(1, 33)]
        done, begin, length = _number(0), _number(0), _number(steps)
        for k, first in enumerate((s for s in starts if s < 2**31), 1):
            over = t >= float(first)
            done, begin = xp.where(over, float(k), done), xp.where(over, float(first), begin)
            length = xp.where(over, float(steps * growth**k), length)
        return done, (t - begin) / length

    def formula(t: Tensor) -> Tensor:
        done, progress = period(t)
        height = 1.0 if shrink == 1 else xp.pow(_number(shrink), done)
        return end + (_half_cosine(start, end, progress) - end) * height

    return Schedule(f"cosine_restarts({start}, {end}, steps={steps}, growth={growth}, shrink={shrink})", formula)


def warmup(after: Rate, *, steps: int, start: float = 0.0) -> Schedule:
    """A straight line from `start` to where `after` begins, for `steps` updates; then `after`, from its own beginning.

    Args:
        after: a number, or a schedule.

    >>> import treadle as td
    >>> s = td.optim.schedules
    >>> schedule = s.warmup(s.linear(1.0, steps=10), steps=4)
    >>> [schedule(n).item() for n in (0, 1, 4, 9, 14)]
    [0.0, 0.25, 1.0, 0.5, 0.0]
    """
    positive(steps=steps)
    at_least_zero(start=start)
    then = after if callable(after) else constant(after)

    def formula(t: Tensor) -> Tensor:
        rising = start + (_value(then, xp.zeros_like(t)) - start) * _progress(t, steps)
        return xp.where(t < float(steps), rising, _value(then, xp.maximum(t - float(steps), 0.0)))

    return Schedule(f"warmup({after!r}, steps={steps}, start={start})", formula)


def _value(schedule: Callable[[Any], Any], t: Tensor) -> Tensor:
    """A schedule at a float64 step, which is a whole number; users' own get what optimisers give, int32."""
    return xp.asarray(schedule(t if isinstance(schedule, Schedule) else t.astype(xp.int32)), dtype=float64)


def one_cycle(
    peak: float, *, steps: int, warmup: float = 0.3, start_divisor: float = 25.0, end_divisor: float = 1e4
) -> Schedule:
    """Up to `peak` and down again, each along half a cosine, in `steps` updates.

    From `peak / start_divisor` up to `peak` at update `warmup * steps`, and down to
    `peak / start_divisor / end_divisor` at update `steps`, where it stays.

    Args:
        warmup: in (0, 1): the part of the updates on the way up.

    >>> import treadle as td
    >>> schedule = td.optim.schedules.one_cycle(1.0, steps=100, warmup=0.25, start_divisor=10.0)
    >>> [round(schedule(n).item(), 4) for n in (0, 25, 100)]
    [0.1, 1.0, 0.0]

    Source: Smith and Topin, Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates (2018).
    """
    at_least_zero(peak=peak)
    positive(steps=steps, warmup=warmup, start_divisor=start_divisor, end_divisor=end_divisor)
    fractions(warmup=warmup)
    top = warmup * steps
    low, last = peak / start_divisor, peak / start_divisor / end_divisor

    def formula(t: Tensor) -> Tensor:
        up = _half_cosine(low, peak, _progress(t, top))
        down = _half_cosine(peak, last, _progress(t - top, steps - top))
        return xp.where(t < top, up, down)

    return Schedule(
        f"one_cycle({peak}, steps={steps}, warmup={warmup}, start_divisor={start_divisor}, end_divisor={end_divisor})",
        formula,
    )


__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "linear",
    "one_cycle",
    "piecewise_constant",
    "polynomial",
    "step_decay",
    "warmup",
]
