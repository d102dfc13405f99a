"""Commands that change: values, breakpoints, and the session's file."""

from __future__ import annotations

import shlex

from treadle.core.errors import ArgumentError
from treadle.debug.stepper.inspecting import brief
from treadle.debug.stepper.position import Position
from treadle.debug.stepper.saving import save_session
from treadle.debug.stepper.sources import place_of


class Changing(Position):
    """Each method `do_name` is a command; the first line of its docstring is its usage."""

    def do_set(self, rest: str) -> str:
        """set %3 = EXPRESSION: change a value and go on with it; a scalar fills it

        The change holds whenever you pass here again. Steps that were run beyond it are forgotten.
        """
        name, equals, text = rest.partition("=")
        if not equals or not text.strip():
            raise ArgumentError("write set %3 = EXPRESSION")
        value = self.engine.evaluate(text.strip(), self.chosen)
        forgotten = self.engine.set(name.strip(), value, self.chosen)
        self.failure = None
        said = f"{name.strip()}: {brief(self.engine.value(name.strip(), self.chosen))}"
        return said + (f"\n{forgotten} later changes are forgotten" if forgotten else "")

    def do_unset(self, rest: str) -> str:
        """unset: take back the changes that were made here and later"""
        count = self.engine.history.unchange()
        return f"{count} change{'' if count == 1 else 's'} taken back" if count else "nothing was changed here or later"

    # breakpoints

    def do_break(self, rest: str) -> str:
        """b(reak) PLACE [backward] [if CONDITION]: stop there; without arguments, list the breakpoints

        places:      model.py:12, 12 (in the file shown), %7, scope encoder/*, op exp, uses model.kernel,
                     iteration 3 [in decoder*]; none, with a condition, is anywhere
        conditions:  has_nan, has_inf, nonfinite; abs, value (of any element), max, min, mean, std, size, ndim compared
                     to a number; shape == [2,3]; joined with and. It stops behind the node that made such a value
        examples:    break if nonfinite          break scope layers.2* backward if abs > 1e3
        """
        return self._breakpoints() if not rest else self._break(rest, once=False)

    def do_tbreak(self, rest: str) -> str:
        """tbreak PLACE ...: a breakpoint that stops once"""
        return self._break(rest, once=True)

    def _break(self, rest: str, once: bool) -> str:
        node = self.frame.node
        file = place_of(node).rpartition(":")[0] if node is not None else ""
        point = self.engine.add_breakpoint(rest, once=once, file=file)
        return f"breakpoint {point.number}: {point}"

    def _breakpoints(self) -> str:
        lines = [f"{b.number}: {b}{'  (once)' if b.once else ''}" for b in self.engine.breakpoints]
        return "\n".join(lines) or "no breakpoints"

    def do_clear(self, rest: str) -> str:
        """cl(ear) [NUMBER ...]: remove breakpoints; all, without a number"""
        numbers = {int(w) for w in rest.split() if w.isdigit()}
        if rest and (not all(w.isdigit() for w in rest.split())):
            raise ArgumentError(f"clear takes numbers of breakpoints, not {rest!r}")
        missing = numbers - {b.number for b in self.engine.breakpoints}
        if missing:
            raise ArgumentError(f"there is no breakpoint {', '.join(map(str, sorted(missing)))}")
        kept = [b for b in self.engine.breakpoints if numbers and b.number not in numbers]
        gone = len(self.engine.breakpoints) - len(kept)
        self.engine.breakpoints = kept
        return f"{gone} breakpoint{'' if gone == 1 else 's'} removed"

    def do_save(self, rest: str) -> str:
        """save FILE: graph, inputs, breakpoints, changes and this place, for a bug report (safetensors)

        `td.debug.load(FILE)` opens it again.
        """
        words = shlex.split(rest)
        if len(words) != 1:
            raise ArgumentError("save takes the name of one file")
        path = save_session(self.engine, words[0])
        return f"saved to {path} ({path.stat().st_size} bytes)"
