"""What the golden transcript steps through: a recurrent loss and its gradient. Its line numbers count."""

from __future__ import annotations

from typing import Any

import numpy as np

import treadle as td


def loss(w: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        with td.scope("cell"):
            h = td.tanh(h @ w + x)
        return h, None

    h, _ = td.scan(step, td.zeros(2), xs)
    with td.scope("head"):
        return (h * h).sum()


# Small and tame: the four to six digits that are shown do not depend on how a BLAS adds or a libm rounds.
ARGUMENTS = (
    np.array([[0.5, -0.25], [1.0, 0.5]], np.float32),
    np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], np.float32),
)
COMMANDS = """\
list 2
next
step
where
args
break iteration 2
b op masked_mul backward
b
c
p %_0
w
up
p w @ w
down
next
set %0 = [0.0, 1.0]
next
values
out
c
forward
made %99
back line
back stop
clear 1
clear
until %5
uses %2
backward %2
stat w
hist w
image w
back stop
back stop
back stop
unset
back start
s
s
# a remark
nonsense
set %0
back
c
"""
