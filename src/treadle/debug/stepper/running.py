"""Calls in the step debugger: which of them stop, in which front they are shown, and how they go on."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import wraps
from os import PathLike
from types import FrameType
from typing import Any, Protocol, TextIO

from treadle.core.errors import ArgumentError
from treadle.core.graph import Graph
from treadle.core.tensor import concrete
from treadle.debug.stepper.breakpoints import Breakpoint, parse_breakpoint
from treadle.debug.stepper.engine import MEMORY, Engine
from treadle.debug.stepper.frames import Array
from treadle.debug.stepper.saving import load_session
from treadle.debug.stepper.session import Session, Wishes
from treadle.transforms.arguments import function_name
from treadle.transforms.compiling import Compiled, run_instead

PROMPT = "(treadle) "

# A context variable, as the screen runs commands in a thread of its own, which has a copy of the caller's context.
_at_prompt: ContextVar[bool] = ContextVar("at_prompt", default=False)


class DebuggerQuit(Exception):  # noqa: N818, a request, not an error
    """The user ended the program from the debugger (`quit`)."""


class Front(Protocol):
    """What shows a session to the user and has its commands run, until its state is no longer "open"."""

    def __call__(self, session: Session, /) -> None: ...


class LineMode:
    """Commands from lines, answers as text.

    Args:
        commands: lines; None reads them from standard input, with a prompt. When they are over, the program goes on
            without stopping.
        output: where answers go; standard output if None.
        echo: write each command behind the prompt, as a transcript has it.
    """

    def __init__(
        self, commands: Iterable[str] | None = None, output: TextIO | None = None, *, echo: bool | None = None
    ) -> None:
        self._commands = iter(commands) if commands is not None else None
        self._output = output
        self._echo = commands is not None if echo is None else echo
        self._over = False

    def __call__(self, session: Session) -> None:
        if self._over:
            session.finish()
            return
        self._write(session.greeting())
        while session.state == "open":
            command = self._next()
            if command is None:
                self._over = True
                session.finish()
                return
            with _interruptible(session.engine):
                self._write(session.execute(command))

    def _next(self) -> str | None:
        if self._commands is None:
            try:
                return input(PROMPT)
            except EOFError:
                return None
        command = next(self._commands, None)
        if command is not None and self._echo:
            self._write(PROMPT + command)
        return command

    def _write(self, text: str) -> None:
        if text:
            print(text, file=self._output or sys.stdout, flush=True)


@contextlib.contextmanager
def _interruptible(engine: Engine) -> Iterator[None]:
    """Ctrl-C ends a movement, not the program. Signals reach the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        engine.interrupt.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Debugger:
    """Runs compiled functions' calls in the debugger, one after another. Breakpoints stay from call to call.

    Args:
        only: the one function that stops; None: any.
        function: its name, instead.
        memory: see `Engine`.

    Attributes:
        stopped: how many calls have stopped.
        called: names of the compiled functions that were called.
    """

    def __init__(
        self, front: Front, *, only: Compiled | None = None, function: str | None = None, memory: int = MEMORY
    ) -> None:
        self.front = front
        self.only = only
        self.function = function
        self.memory = memory
        self.wishes = Wishes()
        self.stopped = 0
        self.called: set[str] = set()
        self._breakpoints: list[Breakpoint] = []
        self._absent: list[Breakpoint] = []  # those that the graph at hand has no place for
        self._last_number = 0
        self._calls: dict[str, int] = {}
        self._busy = threading.RLock()

    def __call__(self, compiled: Compiled, graph: Graph, arrays: Sequence[Array]) -> Sequence[Array] | None:
        """The outputs of a call, from the debugger; None if it is none that stops."""
        self.called.add(compiled.name)
        is_ours = self.only is None or compiled is self.only
        if self.wishes.detached or not is_ours or self.function not in (None, compiled.name, graph.name):
            return None
        if _at_prompt.get():  # what the user evaluates there
            return None
        with self._busy:  # calls from other threads wait their turn
            token = _at_prompt.set(True)
            try:
                return self._run(graph, arrays)
            finally:
                _at_prompt.reset(token)

    def _run(self, graph: Graph, arrays: Sequence[Array]) -> Sequence[Array]:
        count = self._calls[graph.name] = self._calls.get(graph.name, 0) + 1
        engine = Engine(graph, arrays, memory=self.memory)
        self._carry_to(engine)
        session = Session(engine, f"{graph.name}, call {count}", self.wishes)
        self.stopped += 1
        if graph.name in self.wishes.passed:
            session.execute("continue")
        if session.state == "open":
            self.front(session)
        self._carry_from(engine)
        if session.state == "left":
            raise DebuggerQuit("ended from the debugger")
        if session.state == "failed":
            assert session.failure is not None
            raise session.failure
        return engine.results

    def _carry_to(self, engine: Engine) -> None:
        """The breakpoints of earlier calls, where this graph has their places."""
        engine.last_number = self._last_number
        for point in self._breakpoints:
            with contextlib.suppress(ArgumentError):
                parse_breakpoint(str(point), engine.graph)
                engine.keep_breakpoint(point)
        self._absent = [p for p in self._breakpoints if p not in engine.breakpoints]

    def _carry_from(self, engine: Engine) -> None:
        self._last_number = engine.last_number
        self._breakpoints = sorted([*self._absent, *engine.breakpoints], key=lambda p: p.number)


def _front(commands: Iterable[str] | None, output: TextIO | None, screen: bool) -> Front:
    if not screen:
        return LineMode(commands, output)
    if commands is not None or output is not None:
        raise ArgumentError("td.debug: screen=True shows the textual screen; commands= and output= are the line mode's")
    from treadle.debug.stepper.screen import screen_mode

    return screen_mode()


def step(
    function: Callable[..., Any],
    *,
    commands: Iterable[str] | None = None,
    output: TextIO | None = None,
    screen: bool = False,
    memory: int = MEMORY,
) -> Callable[..., Any]:
    """A function that runs in the step debugger and returns what `function` returns. `td.debug(f)` is the same.

    The function is traced as `td.compile` does it, and its graph run node by node in NumPy: each line of the graph
    keeps the source line and layer that it comes from, in the backward pass of a derivative too. What it assigns to
    modules is assigned. `h` at the prompt lists the commands.

    Args:
        function: any function that `td.compile` takes; a compiled one; `td.grad(f)`; or `td.fit` and others of
            `td.train`, whose compiled steps then stop one after another.
        commands: instead of a prompt, for tests and notebooks. When they are over, it runs to the end.
        output: where the answers go; standard output if None.
        screen: the textual screen instead of lines (`pip install "treadle[debug]"`).
        memory: bytes that may be kept for going back and looking at old values; what is not kept is computed again.

    Raises:
        TraceError: the function asks for numbers (`if x > 0`), and so has no graph.
        DebuggerQuit: the user ended the program with `quit`.

    >>> def f(x):
    ...     return td.exp(x) * 2.0
    >>> y = td.debug(f, commands=["next", "p %0", "set %0 = 5.0"])(td.zeros(2))  # doctest: +ELLIPSIS
    f, call 1: 2 nodes; h lists the commands
    > f  step 0
      ...
      -> %0 = exp %x : f32[2]
    (treadle) next
      %0: f32[2]  all 1
    > f  step 1
      ...
      -> %1 = mul %0 2.0 : f32[2]
    (treadle) p %0
    [1., 1.]
    (treadle) set %0 = 5.0
    %0: f32[2]  all 5
    >>> y.tolist()
    [10.0, 10.0]
    """
    front = _front(commands, output, screen)
    name = function_name(function)

    @wraps(function, updated=())
    def debugged(*args: Any, **kwargs: Any) -> Any:
        if str(getattr(function, "__module__", "")).startswith("treadle.train"):
            with run_instead(Debugger(front, memory=memory)):
                return function(*args, **kwargs)
        compiled, called = _compiled(function, name)
        debugger = Debugger(front, only=compiled, memory=memory)
        with run_instead(debugger):
            return called(*args, **kwargs)

    return debugged


def _compiled(function: Callable[..., Any], name: str) -> tuple[Compiled, Callable[..., Any]]:
    """The compiled function whose call stops, and what to call."""
    bound = getattr(function, "compiled", None)  # a compiled method
    if isinstance(bound, Compiled):
        return bound, function
    made = function if isinstance(function, Compiled) else Compiled(function, None, "reference", name, closes_over=True)
    return made, made


@contextlib.contextmanager
def stepping(
    function: str | None = None,
    *,
    commands: Iterable[str] | None = None,
    output: TextIO | None = None,
    screen: bool = False,
    memory: int = MEMORY,
) -> Iterator[Debugger]:
    """Inside of this `with`, each call of a compiled function stops in the step debugger.

    Args:
        function: only calls of the function of this name.
        commands, output, screen, memory: as in `td.debug(f)`.

    >>> double = td.compile(lambda x: x * 2.0, name="double")
    >>> with td.debug.stepping(commands=["c"]):  # doctest: +ELLIPSIS
    ...     y = double(td.ones(2))
    double, call 1: 1 node; h lists the commands
    > double  step 0
      ...
      -> %0 = mul %x 2.0 : f32[2]
    (treadle) c
    double, call 1 returns f32[2]
    """
    debugger = Debugger(_front(commands, output, screen), function=function, memory=memory)
    with run_instead(debugger):
        yield debugger


def load(
    path: str | PathLike[str],
    *,
    commands: Iterable[str] | None = None,
    output: TextIO | None = None,
    screen: bool = False,
    memory: int = MEMORY,
) -> tuple[Any, ...]:
    """Open a session that `save FILE` wrote, at the place where it was saved; the source files are not needed.

    Returns: the outputs of the graph, as tensors.

    Raises:
        SaveError: the file is missing, damaged or no session, or its arrays do not fit its graph.
    """
    engine = load_session(path, memory=memory)
    session = Session(engine, engine.graph.name)
    _front(commands, output, screen)(session)
    if session.state == "left":
        raise DebuggerQuit("ended from the debugger")
    if session.failure is not None:
        raise session.failure
    return tuple(map(concrete, engine.results))
