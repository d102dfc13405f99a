"""The picture of docs/howto/step-debugger.md, taken from the debugger's screen: python docs/pictures/debugger.py

It steps through the gradient of a small recurrent network into the backward pass and exports what is seen.
"""

from __future__ import annotations

import asyncio
import linecache
import re
from pathlib import Path

import numpy as np

import treadle as td
from treadle.debug.stepper.engine import Engine
from treadle.debug.stepper.screen_app import DebuggerApp
from treadle.debug.stepper.session import Session

MODEL = """\
import treadle as td


def loss(w, xs):
    def step(h, x):
        with td.scope("cell"):
            h = td.tanh(h @ w + x)
        return h, None

    h, _ = td.scan(step, td.zeros(8), xs)
    with td.scope("head"):
        return (h * h).sum()
"""


def session() -> Session:
    """The gradient of MODEL's loss, before any node has run."""
    linecache.cache["model.py"] = (len(MODEL), None, MODEL.splitlines(keepends=True), "model.py")
    names: dict[str, object] = {}
    exec(compile(MODEL, "model.py", "exec"), names)  # noqa: S102, the text above
    w = (np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8) * np.eye(8, dtype=np.float32)[::-1]) + 0.1
    xs = np.sin(np.arange(80, dtype=np.float32)).reshape(10, 8)
    function = td.compile(td.value_and_grad(names["loss"]), backend="reference", name="loss")
    return Session(Engine(function.graph(w, xs), [w, xs]), "loss, call 1")


async def draw() -> str:
    """The screen as SVG."""
    app = DebuggerApp(session())
    async with app.run_test(size=(150, 42)) as pilot:
        for command in ("break iteration 3 backward", "continue", "next", "next"):
            app.action_run(command)
            await app.workers.wait_for_complete()
            await pilot.pause()
        app.query_one("#command").blur()
        svg = app.export_screenshot(title="treadle debug train.py", simplify=True)
    # textual names its styles after a random number; the fonts are a download that a page must not need
    number = re.search(r"terminal-(\d+)", svg)
    if number is not None:
        svg = svg.replace(f"terminal-{number[1]}", "terminal")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main() -> None:
    Path(__file__).with_name("debugger.svg").write_text(asyncio.run(draw()), encoding="utf-8")


if __name__ == "__main__":
    main()
