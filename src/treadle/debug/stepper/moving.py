"""Commands that move: forward, back, to the end."""

from __future__ import annotations

from collections.abc import Callable

from treadle.core.errors import ArgumentError
from treadle.debug.stepper.engine import Stop
from treadle.debug.stepper.inspecting import brief, spec_text
from treadle.debug.stepper.position import Position, count


class Moving(Position):
    """Each method `do_name` is a command; the first line of its docstring is its usage."""

    def _moved(self, stop: Stop, made: bool = True) -> str:
        self.above = 0
        lines = []
        if made and stop.reason in ("step", "breakpoint", "interrupted", "end"):
            lines += self._made()
        if stop.reason == "breakpoint":
            lines.append(f"*** {stop.text}")
        if stop.reason == "interrupted":
            lines.append("*** interrupted")
        if stop.reason == "error":
            self.failure = stop.error
            lines.append(f"*** the next node raises {stop.text}\n*** continue lets the call fail with it")
        else:
            self.failure = None
        return "\n".join([*lines, self.here()])

    def _made(self) -> list[str]:
        """What the last event made, in a line each."""
        event = self.engine.history.newest
        if event is None or not event.complete or event.depth >= len(self.engine.frames):
            return []
        names = self.engine.frames[event.depth].layout.names
        return [f"  {names[v]}: {brief(x)}" for v, x in event.made.items()]

    def do_step(self, rest: str) -> str:
        """s(tep) [N]: the next node; bodies of loops, branches and calls are entered"""
        return self._repeat(self.engine.into, rest)

    def do_next(self, rest: str) -> str:
        """n(ext) [N]: the next node of this graph; bodies run whole"""
        return self._repeat(self.engine.over, rest)

    def do_line(self, rest: str) -> str:
        """line [N]: the first node of another source line"""
        return self._repeat(self.engine.line, rest)

    def do_layer(self, rest: str) -> str:
        """layer [N]: the first node of another scope (layer)"""
        return self._repeat(self.engine.layer, rest)

    def _repeat(self, move: Callable[[], Stop], rest: str) -> str:
        if self.engine.done:
            return self._leave()
        for _ in range(count(rest)):
            stop = move()
            if stop.reason != "step":
                break
        return self._moved(stop)

    def do_return(self, rest: str) -> str:
        """r(eturn), out: run this body, loop or branch to its end, and leave it"""
        if self.engine.done:
            return self._leave()
        return self._moved(self.engine.out())

    def do_continue(self, rest: str) -> str:
        """c(ontinue): to the next breakpoint; at the end, the call returns its result

        Where a node raised, the call fails with its error.
        """
        if self.failure is not None:
            self.state = "failed"
            return ""
        if self.engine.done:
            return self._leave()
        stop = self.engine.run()
        return self._leave() if stop.reason == "end" else self._moved(stop)

    def do_until(self, rest: str) -> str:
        """until %7, until 120: to before a value is made, or to a step's number; back if it has passed"""
        if rest.isdigit():
            return self._moved(self.engine.until(int(rest)), made=False)
        if not rest.startswith("%"):
            raise ArgumentError("until takes a value (%7) or the number of a step (120)")
        return self._moved(self.engine.until_made(rest, self.chosen), made=False)

    def do_back(self, rest: str) -> str:
        """back [N]: to the node before; back step, line, layer, return (out), stop, start: as their names say

        back step also goes into bodies that ran; back stop goes to where the last command stopped. Nothing that was
        done outside of the graph is done twice: host functions and prints do not run again on the way forward.
        """
        moves = {
            "step": self.engine.back_into,
            "line": self.engine.back_line,
            "layer": self.engine.back_layer,
            "return": self.engine.back_out,
            "out": self.engine.back_out,
            "stop": self.engine.back_to_stop,
            "start": lambda: self.engine.goto(0),
        }
        if self.engine.number == 0:
            raise ArgumentError("this is the beginning")
        if rest in moves:
            return self._moved(moves[rest](), made=False)
        if rest and not rest.isdigit():
            raise ArgumentError(f"back {rest}: there are a number, {', '.join(moves)}")
        return self._moved(self.engine.back(count(rest)), made=False)

    def _leave(self) -> str:
        self.state = "returned"
        outs = ", ".join(spec_text(x) for x in self.engine.results)
        return f"{self.title or self.engine.graph.name} returns {outs or 'nothing'}"

    def finish(self) -> None:
        """Run to the end without stopping: the commands are over."""
        self.engine.breakpoints = []
        if self.state == "open" and self.failure is None:
            stop = self.engine.run()
            self.failure = stop.error
        if self.state == "open":
            self.state = "returned" if self.failure is None else "failed"

    def do_detach(self, rest: str) -> str:
        """detach: run to the end, and stop in no later call either"""
        self.wishes.detached = True
        self.finish()
        return "the program goes on without the debugger"

    def do_pass(self, rest: str) -> str:
        """pass: to the next breakpoint, and do not stop again where calls of this function begin"""
        self.wishes.passed.add(self.engine.graph.name)
        return self.do_continue("")

    def do_quit(self, rest: str) -> str:
        """q(uit): end the program"""
        self.state = "left"
        return ""
