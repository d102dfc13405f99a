"""Logs loss k at step k, with pictures between, and then waits to be killed."""

from __future__ import annotations

import sys
import time

import numpy as np

import treadle as td


def main(folder: str) -> None:
    writer = td.board.Writer(folder)
    for step in range(300):
        writer.scalar("loss", step, step)
        writer.image("noise", np.random.default_rng(step).random((16, 16)), step)
        if step == 20:
            writer.flush()
            print("going", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
