"""The commands, by a golden transcript and one by one.

`UPDATE_GOLDEN=1 make pytest FILES=tests/debug/stepper/test_session.py` writes the transcript anew.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

import treadle as td
from tests.debug.stepper import program
from tests.debug.stepper.test_engine import engine_of
from treadle.debug.stepper.session import ALIASES, GROUPS, Session

GOLDEN = Path(__file__).with_name("transcript.txt")


def transcript() -> str:
    out = io.StringIO()
    result = td.debug(td.value_and_grad(program.loss), commands=program.COMMANDS.splitlines(), output=out)(
        *program.ARGUMENTS
    )
    return out.getvalue() + f"{[np.round(x.numpy().astype(float), 4).tolist() for x in result]}\n"


def test_the_transcript_is_golden() -> None:
    """Nothing is normalised: places are base names, and numbers are short enough to be the same anywhere.

    The results alone are rounded to four digits, as an order of addition shows in the seventh.
    """
    found = transcript()
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def session_of(name: str = "grad") -> Session:
    return Session(engine_of(name)[0], name)


def test_every_command_is_in_the_help() -> None:
    names = {n.removeprefix("do_") for n in dir(Session) if n.startswith("do_")}
    assert names == {n for group in GROUPS.values() for n in group}
    assert set(ALIASES.values()) <= names
    text = session_of().execute("help")
    for name in names:
        assert session_of().execute(f"help {name}").splitlines()[0].partition(": ")[2] in text


def test_an_empty_line_repeats_a_movement_and_nothing_else() -> None:
    session = session_of()
    session.execute("n")
    session.execute("")
    assert session.engine.number == 2
    session.execute("p 1 + 1")
    assert session.execute("") == ""
    assert session.engine.number == 2


def test_what_is_no_command_is_an_expression() -> None:
    session = session_of()
    assert session.execute("np.abs(-3)") == "3"
    assert session.execute("x.shape") == "(5, 3)"
    assert session.execute("%w.max() > 0") == "True"
    assert session.execute("xx").startswith("*** there is no command 'xx'; h lists them")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("back", "*** this is the beginning"),
        ("next x", "*** 'x' is no count: write a number from 1 up"),
        ("up", "*** this is the outermost graph"),
        ("down", "*** this is the innermost graph"),
        ("until x", "*** until takes a value (%7) or the number of a step (120)"),
        ("p", "*** p what? Such as p %3, p np.abs(model.kernel).max()"),
        ("stat", "*** stat what? Such as stat %3, stat model.kernel[0]"),
        ("set %0", "*** write set %3 = EXPRESSION"),
        ("clear 3", "*** there is no breakpoint 3"),
        ("clear x", "*** clear takes numbers of breakpoints, not 'x'"),
        ("save", "*** save takes the name of one file"),
        ("help xyz", "*** there is no command 'xyz'"),
        ("made %x", "an input of loss"),
        ("unset", "nothing was changed here or later"),
        ("values", "nothing yet"),
        ("break", "no breakpoints"),
        ("forward", "it is no node of a backward pass"),
    ],
)
def test_answers_of_one_line(command: str, words: str) -> None:
    assert session_of().execute(command) == words


def test_mistakes_leave_everything_as_it_was() -> None:
    session = session_of()
    session.execute("n")
    for wrong in ("p %50", "set %7 = 1", "break op nothing", "back nowhere", "image %0[0, 0, 0]", "p 1 +"):
        assert session.execute(wrong).startswith("*** ")
    assert session.engine.number == 1
    assert session.state == "open"


def test_movements_at_the_end_return_the_call() -> None:
    for command in ("next", "return", "continue", "step", "line"):
        session = session_of("chain")
        session.engine.run()
        assert session.execute(command) == "chain returns f32[5,3], f32[]"
        assert session.state == "returned"


def test_leaving_early() -> None:
    session = session_of()
    session.execute("quit")
    assert session.state == "left"
    session = session_of()
    assert session.execute("detach") == "the program goes on without the debugger"
    assert (session.state, session.wishes.detached) == ("returned", True)
    session = session_of()
    session.execute("pass")
    assert (session.state, session.wishes.passed) == ("returned", {"loss"})


def test_source_lines_stand_beside_their_nodes() -> None:
    lines = session_of("chain").execute("list").splitlines()
    row = next(k for k, line in enumerate(lines) if line.startswith("->"))
    assert "h = td.tanh(x @ w)" in lines[row]
    assert "-> %0 = contract %x %w" in lines[row]
    assert lines[row + 1].strip().startswith("%1 = tanh %0")


def test_a_graph_of_unknown_lines_is_listed_alone() -> None:
    from treadle.debug.stepper.engine import Engine

    graph = td.Graph.parse("graph f(x: f32[2]) -> f32[2]\n  %0 = exp %x : f32[2]\n  return %0")
    session = Session(Engine(graph, [np.zeros(2, np.float32)]))
    assert session.execute("list") == "-> %0 = exp %x : f32[2]\n   return %0"
    assert session.execute("n") == "  %0: f32[2]  all 1\n> f  step 1\n  return %0"
