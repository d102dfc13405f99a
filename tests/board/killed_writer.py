"""Logs until it is killed: loss k at step k, with pictures between. Its parent reads meanwhile."""

from __future__ import annotations

import sys

import numpy as np

import treadle as td

writer = td.board.Writer(sys.argv[1])
for step in range(10**9):
    writer.scalar("loss", step, step)
    writer.image("noise", np.random.default_rng(step).random((16, 16)), step)
    if step == 20:
        writer.flush()
        print("going", flush=True)
