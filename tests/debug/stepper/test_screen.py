"""The screen, driven by textual's pilot: keys, mouse, the command line, resizing."""

from __future__ import annotations

import asyncio
import contextlib
import runpy
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.debug.stepper.graphs import CASES
from tests.debug.stepper.test_engine import engine_of
from treadle.core.errors import MissingExtraError
from treadle.debug.stepper.screen import screen_mode
from treadle.debug.stepper.session import Session

pytest.importorskip("textual", reason="an extra")

from textual.widgets import Input, OptionList, RichLog, Static
from textual.worker import WorkerCancelled

from treadle.debug.stepper.screen_app import DebuggerApp, Divider

LINE = CASES["chain"][0].__code__.co_firstlineno


def drive(name: str, play: Callable[[DebuggerApp, Any], Awaitable[None]], size: tuple[int, int] = (120, 40)) -> Session:
    """A session on a screen of that size, with `play` at the keys."""
    session = Session(engine_of(name)[0], name)

    async def run() -> None:
        app = DebuggerApp(session)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await play(app, pilot)

    asyncio.run(run())
    return session


async def press(app: DebuggerApp, pilot: Any, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        with contextlib.suppress(WorkerCancelled):  # the command ended the session, and with it the app
            await app.workers.wait_for_complete()
        await pilot.pause()


def text_of(app: DebuggerApp, what: str) -> str:
    widget = app.query_one(what)
    if isinstance(widget, RichLog):
        return "\n".join(strip.text for strip in widget.lines)
    if isinstance(widget, OptionList):
        return "\n".join(str(widget.get_option_at_index(k).prompt) for k in range(widget.option_count))
    assert isinstance(widget, Static)
    return str(widget.content)


def test_keys_move_and_all_panes_follow() -> None:
    async def play(app: DebuggerApp, pilot: Any) -> None:
        assert "-> %0 = contract %x %w" in text_of(app, "#graph")
        assert "> chain  step 0  dense" in text_of(app, "#place")
        await press(app, pilot, "n", "n")
        assert app.session.engine.number == 2
        assert "-> %2 = sub %1 1.0" in text_of(app, "#graph")
        assert "-> %0" not in text_of(app, "#graph")
        assert "%1  f32[5,3]" in text_of(app, "#value")
        assert "█" in text_of(app, "#value")
        source = app.query_one("#source", OptionList)
        assert source.highlighted == LINE + 2
        assert "return (h - 1.0) ** 2, h.sum()" in str(source.get_option_at_index(source.highlighted).prompt)
        await press(app, pilot, "b")
        assert app.session.engine.number == 1
        await press(app, pilot, "c")
        assert app.session.state == "returned"

    session = drive("chain", play)
    np.testing.assert_array_equal(session.engine.results[0], engine_of("chain")[1][0])


def test_bodies_are_entered_and_left() -> None:
    async def play(app: DebuggerApp, pilot: Any) -> None:
        await press(app, pilot, "n", "s", "n")
        assert "body (iteration 0 of 5)" in text_of(app, "#place")
        assert "-> %1 = add %0" in text_of(app, "#graph")
        await press(app, pilot, "o")
        assert "iteration" not in text_of(app, "#place")
        await press(app, pilot, "z")
        assert "iteration 0" in text_of(app, "#place")

    drive("scan", play)


def test_the_command_line_takes_every_command() -> None:
    async def play(app: DebuggerApp, pilot: Any) -> None:
        await press(app, pilot, "colon")
        assert app.query_one(Input).has_focus
        app.query_one(Input).value = "p 6 * 7"
        await press(app, pilot, "enter")
        assert text_of(app, "#answers").endswith("(treadle) p 6 * 7\n42")
        app.query_one(Input).value = "break op tanh"
        await press(app, pilot, "enter", "escape")
        assert not app.query_one(Input).has_focus
        await press(app, pilot, "c")
        assert "*** breakpoint 1 (op tanh)" in text_of(app, "#answers")

    drive("chain", play)


def test_a_click_on_a_node_shows_its_value_and_on_a_line_sets_a_breakpoint() -> None:
    async def play(app: DebuggerApp, pilot: Any) -> None:
        await press(app, pilot, "n", "n", "n")
        await pilot.click("#graph", offset=(5, 1))
        await pilot.pause()
        assert text_of(app, "#value").startswith("%1 = tanh %0")
        assert "used by\n%2 = sub %1 1.0" in text_of(app, "#value")
        source = app.query_one("#source", OptionList)
        row = LINE + 2 - int(source.scroll_offset.y)
        await pilot.click("#source", offset=(5, row))
        await pilot.pause()
        assert [str(p) for p in app.session.engine.breakpoints] == [f"graphs.py:{LINE + 3}"]
        assert f"●{LINE + 3}" in text_of(app, "#source").replace(" ", "")
        await pilot.click("#source", offset=(5, LINE + 2 - int(source.scroll_offset.y)))
        await pilot.pause()
        assert app.session.engine.breakpoints == []

    drive("chain", play)


def test_keys_on_a_chosen_node() -> None:
    async def play(app: DebuggerApp, pilot: Any) -> None:
        graph = app.query_one("#graph", OptionList)
        await press(app, pilot, "down", "down")
        await press(app, pilot, "t")
        assert [str(p) for p in app.session.engine.breakpoints] == ["%2 of loss"]
        assert "●  %2" in text_of(app, "#graph")
        graph.highlighted = 5
        await press(app, pilot, "g")
        assert app.session.engine.number == 2  # the breakpoint is on the way
        graph.highlighted = len(app.session.engine.graph.nodes) - 1
        await press(app, pilot, "f")
        assert "contract %x %w" in text_of(app, "#answers").rpartition("(treadle) forward")[2]

    drive("grad", play)


@pytest.mark.parametrize("size", [(60, 20), (200, 60)])
def test_any_size_shows_all_panes(size: tuple[int, int]) -> None:
    async def play(app: DebuggerApp, pilot: Any) -> None:
        for pane in ("#source", "#graph", "#values", "#answers", "#command"):
            assert app.query_one(pane).size.area > 0, pane
        await pilot.resize_terminal(100, 30)
        assert sum(p.size.width for p in app.query(".pane")) <= 100

    drive("chain", play, size)


def test_dividers_are_moved_by_keys_and_mouse() -> None:
    async def play(app: DebuggerApp, pilot: Any) -> None:
        widths = [p.size.width for p in app.query(".pane")]
        await press(app, pilot, "greater_than_sign")
        await pilot.pause()
        after = [p.size.width for p in app.query(".pane")]
        assert after[1] == widths[1] + 4
        assert after[2] == widths[2] - 4
        divider = app.query(Divider).first()
        x, y = divider.region.x, divider.region.y + 3
        await pilot.mouse_down(offset=(x, y))
        await pilot.hover(offset=(x - 6, y))
        await pilot.mouse_up(offset=(x - 6, y))
        await pilot.pause()
        assert next(iter(app.query(".pane"))).size.width == after[0] - 6
        divider.move(-500)
        await pilot.pause()
        assert next(iter(app.query(".pane"))).size.width >= 11

    drive("chain", play)


def test_escape_interrupts_a_long_movement() -> None:
    def forever(x: Any) -> Any:
        return td.while_loop(lambda v: v > 0, lambda v: v + 1.0, x)

    from treadle.debug.stepper.engine import Engine

    x = np.float32(1.0)
    session = Session(Engine(td.graph(forever)(x), [x], memory=10_000))

    async def run() -> None:
        app = DebuggerApp(session)
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.press("c")
            await pilot.pause()
            assert app.busy
            await pilot.press("n")  # refused meanwhile
            await pilot.press("escape")
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert not app.busy
            assert "*** interrupted" in text_of(app, "#answers")
            assert "still running; escape interrupts" in text_of(app, "#answers")

    asyncio.run(run())
    assert session.state == "open"
    assert session.engine.depth == 1


def test_what_the_program_prints_appears_below() -> None:
    def said(x: Any) -> Any:
        print("hello from the host")
        return x

    from treadle.debug.stepper.engine import Engine

    x = np.float32(1.0)
    session = Session(Engine(td.graph(lambda v: td.host(said, v, result_shape=v) * 2.0)(x), [x]))

    async def run() -> None:
        app = DebuggerApp(session)
        async with app.run_test(size=(100, 30)) as pilot:
            await press(app, pilot, "n")
            assert text_of(app, "#answers").count("hello from the host") == 1

    asyncio.run(run())


def test_without_textual_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "textual", None)
    with pytest.raises(MissingExtraError, match=r'pip install "treadle\[debug\]"'):
        screen_mode()


def test_the_picture_of_the_page_is_made_by_its_script() -> None:
    """Not byte by byte: textual's colours and widths change between its versions."""
    folder = Path(__file__).resolve().parents[3] / "docs" / "pictures"
    drawn = asyncio.run(runpy.run_path(str(folder / "debugger.py"))["draw"]())
    stored = (folder / "debugger.svg").read_text(encoding="utf-8")
    for words in ("h&#160;=&#160;td.tanh(h&#160;@&#160;w", "iteration&#160;3&#160;of&#160;10", "masked_mul"):
        assert words in drawn
        assert words in stored
