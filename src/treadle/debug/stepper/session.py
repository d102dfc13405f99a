"""The commands of the step debugger: text in, text out. The line mode and the screen both speak to it.

A command is a method `do_name`; the first line of its docstring is its usage and what it does, and `help name` shows
the rest.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from treadle.core.errors import ArgumentError, TreadleError
from treadle.core.graph import Graph, Node
from treadle.debug.stepper.engine import Engine, Stop
from treadle.debug.stepper.frames import Array, Frame
from treadle.debug.stepper.inspecting import histogram, numbers_text, picture, spec_text, statistics
from treadle.debug.stepper.saving import save_session
from treadle.debug.stepper.sources import beside, line_of, node_text, nodes_around, place_of, return_text
from treadle.debug.stepper.ties import backward_nodes, forward_node, is_backward

ALIASES = {
    "a": "args",
    "b": "break",
    "bt": "where",
    "c": "continue",
    "cl": "clear",
    "d": "down",
    "exit": "quit",
    "g": "graph",
    "h": "help",
    "image": "picture",
    "l": "list",
    "n": "next",
    "out": "return",
    "q": "quit",
    "r": "return",
    "s": "step",
    "u": "up",
    "v": "values",
    "w": "where",
}
REPEATED = ("back", "line", "layer", "next", "step", "up", "down")  # by an empty line


@dataclass
class Wishes:
    """What the user decided that outlasts one call of a function.

    Attributes:
        detached: no call stops any more.
        passed: names of functions whose calls do not stop at their beginning.
    """

    detached: bool = False
    passed: set[str] = field(default_factory=set)


class Session:
    """One call of a graph in the debugger.

    Args:
        title: which call it is.

    Attributes:
        state: "open"; "returned": the call goes on with the results; "failed": with `failure`; "left": the user quit.
    """

    def __init__(self, engine: Engine, title: str = "", wishes: Wishes | None = None) -> None:
        self.engine = engine
        self.title = title
        self.wishes = wishes or Wishes()
        self.state = "open"
        self.failure: Exception | None = None
        self.above = 0  # how many frames the chosen one is above the innermost
        self._last = ""

    # what is shown

    @property
    def chosen(self) -> int:
        """Depth of the frame that names are looked up in."""
        return self.engine.depth - self.above

    @property
    def frame(self) -> Frame:
        return self.engine.frames[self.chosen]

    def greeting(self) -> str:
        """What is shown when a call begins."""
        nodes = len(self.engine.graph.nodes)
        head = f"{self.title or self.engine.graph.name}: {nodes} node{'' if nodes == 1 else 's'}; h lists the commands"
        return f"{head}\n{self.here()}"

    def here(self) -> str:
        """Where it stands: the graphs, the step's number, the source line, the next node."""
        frame = self.frame
        names = [
            f.graph.name if f.site is None else f"{f.graph.name} ({f.site})"
            for f in self.engine.frames[: self.chosen + 1]
        ]
        node = frame.node
        head = f"> {' / '.join(names)}  step {self.engine.number}"
        if node is None:
            return f"{head}\n  {return_text(frame.graph)}"
        if node.scope:
            head += f"  {node.scope}"
        lines = [head]
        text = line_of(node.source, self.engine.lines).strip()
        if place_of(node):
            lines.append(f"  {place_of(node)}  {text}".rstrip())
        lines.append(f"  -> {node_text(frame.graph, node)}")
        if is_backward(node):
            lines.append(f"     backward of {self._tie(forward_node(self.engine.graph, node))}")
        return "\n".join(lines)

    def _tie(self, found: tuple[Graph, Node] | None) -> str:
        if found is None:
            return "a node that this graph leaves out, as only its derivative is needed"
        graph, node = found
        inside = "" if graph is self.engine.graph else f" in {graph.name}"
        place = ", ".join(t for t in (place_of(node), node.scope) if t)
        return f"{node_text(graph, node)}{inside}" + (f"  ({place})" if place else "")

    # commands

    def execute(self, command: str) -> str:
        """Run a command and return what it has to say. Mistakes are said, not raised."""
        command = command.strip()
        if not command:
            command = self._last
        word, _, rest = command.partition(" ")
        self._last = command if ALIASES.get(word, word) in REPEATED else ""
        if not word or word.startswith("#"):
            return ""
        method = getattr(self, f"do_{ALIASES.get(word, word)}", None)
        try:
            if method is None:
                return self._other(command)
            return str(method(rest.strip()))
        except TreadleError as e:
            return f"*** {e.message}"

    def _other(self, command: str) -> str:
        """What is no command is an expression, unless it begins like one."""
        word = command.split()[0]
        if word.isidentifier() and not any("%" + word in f.layout.by_name for f in self.engine.frames):
            raise ArgumentError(f"there is no command {word!r}; h lists them, and p shows a value")
        return self.do_p(command)

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
        return [f"  {names[v]}: {statistics(x).splitlines()[0]}" for v, x in event.made.items()]

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
        for _ in range(_count(rest)):
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
        return self._moved(self.engine.back(_count(rest)), made=False)

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

    # looking

    def _value(self, text: str, what: str) -> Array:
        if not text:
            raise ArgumentError(f"{what} what? Such as {what} %3, {what} model.kernel[0]")
        return np.asarray(self.engine.evaluate(text, self.chosen))

    def do_p(self, rest: str) -> str:
        """p EXPRESSION: values %3, inputs by name or path (model.kernel), np, td; arrays are NumPy's"""
        if not rest:
            raise ArgumentError("p what? Such as p %3, p np.abs(model.kernel).max()")
        value = self.engine.evaluate(rest, self.chosen)
        return numbers_text(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else repr(value)

    def do_stat(self, rest: str) -> str:
        """stat EXPRESSION: shape, range, mean, standard deviation; how many are zero, NaN, infinite"""
        return statistics(self._value(rest, "stat"))

    def do_hist(self, rest: str) -> str:
        """hist EXPRESSION: a histogram"""
        return histogram(self._value(rest, "hist"))

    def do_picture(self, rest: str) -> str:
        """picture, image EXPRESSION: a matrix as an image; [height, width] or [height, width, 3]"""
        return picture(self._value(rest, "picture"))

    def do_args(self, rest: str) -> str:
        """a(rgs): the inputs of this graph"""
        graph, depth = self.frame.graph, self.chosen
        rows = [(n, statistics(self.engine.value("%" + n, depth)).splitlines()[0]) for n in graph.input_names]
        return _table(rows) or "no inputs"

    def do_values(self, rest: str) -> str:
        """v(alues): what the nodes of this graph have made so far"""
        frame = self.frame
        rows = []
        for node in frame.graph.nodes[: frame.at]:
            for var in node.outputs:
                name = frame.layout.names[var]
                rows.append((name, statistics(self.engine.value(name, self.chosen)).splitlines()[0]))
        return _table(rows) or "nothing yet"

    def do_made(self, rest: str) -> str:
        """made %3: the node that makes a value, its line and scope"""
        frame, node = self.engine.maker(rest, self.chosen)
        if node is None:
            site = f", given by `{frame.site.node.primitive.name}`" if frame.site is not None else ""
            return f"an input of {frame.graph.name}{site}"
        lines = [node_text(frame.graph, node)]
        place = "  ".join(t for t in (place_of(node), line_of(node.source, self.engine.lines).strip()) if t)
        lines += [f"  {t}" for t in (place, node.scope) if t]
        if is_backward(node):
            lines.append(f"  backward of {self._tie(forward_node(self.engine.graph, node))}")
        return "\n".join(lines)

    def do_uses(self, rest: str) -> str:
        """uses %3: the nodes that read a value"""
        frame, nodes = self.engine.users(rest, self.chosen)
        lines = [f"{node_text(frame.graph, n)}  {place_of(n)}".rstrip() for n in nodes]
        name = rest if rest.startswith("%") else "%" + rest
        if frame.layout.by_name[name] in frame.graph.outputs:
            lines.append(return_text(frame.graph))
        return "\n".join(lines) or "nothing reads it"

    def do_forward(self, rest: str) -> str:
        """forward [%9]: the forward node that a backward node (the next one) was made for"""
        node = self._node(rest)
        if not is_backward(node):
            return "it is no node of a backward pass"
        return self._tie(forward_node(self.engine.graph, node))

    def do_backward(self, rest: str) -> str:
        """backward [%3]: the nodes of the backward pass that were made for a node (the next one)"""
        found = backward_nodes(self.engine.graph, self._node(rest))
        return "\n".join(self._tie(f) for f in found) or "no node of a backward pass belongs to it"

    def _node(self, rest: str) -> Node:
        node = self.engine.maker(rest, self.chosen)[1] if rest else self.frame.node
        if node is None:
            raise ArgumentError("there is no node here; name a value that one makes")
        return node

    def do_where(self, rest: str) -> str:
        """w(here): the graphs that are being run, outermost first"""
        lines = []
        for k, frame in enumerate(self.engine.frames):
            mark = "->" if k == self.chosen else "  "
            site = "" if frame.site is None else f" ({frame.site})"
            node = return_text(frame.graph) if frame.node is None else node_text(frame.graph, frame.node)
            place = "" if frame.node is None else place_of(frame.node)
            lines.append(f"{mark} {frame.graph.name}{site}: {node}  {place}".rstrip())
        return "\n".join(lines)

    def do_up(self, rest: str) -> str:
        """u(p) [N]: look at the graph around this one"""
        return self._choose(self.above + _count(rest))

    def do_down(self, rest: str) -> str:
        """d(own) [N]: look at the graph inside again"""
        return self._choose(self.above - _count(rest))

    def _choose(self, above: int) -> str:
        if not 0 <= above <= self.engine.depth:
            raise ArgumentError("this is the outermost graph" if above > 0 else "this is the innermost graph")
        self.above = above
        return self.here()

    def do_list(self, rest: str) -> str:
        """l(ist) [N]: N source lines before and behind, and beside each the nodes that it became"""
        return beside(self.frame, self.engine.lines, around=_count(rest, 5))

    def do_graph(self, rest: str) -> str:
        """g(raph): the whole graph that is being run here"""
        return nodes_around(self.frame)

    # changing

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
        said = f"{name.strip()}: {statistics(self.engine.value(name.strip(), self.chosen)).splitlines()[0]}"
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

    def do_help(self, rest: str) -> str:
        """h(elp) [COMMAND]: this list, or more of one"""
        if rest:
            method = getattr(self, f"do_{ALIASES.get(rest, rest)}", None)
            if method is None:
                raise ArgumentError(f"there is no command {rest!r}")
            return inspect.getdoc(method) or ""
        rows = []
        for heading, names in GROUPS.items():
            rows.append((heading, ""))
            for name in names:
                first = (inspect.getdoc(getattr(self, f"do_{name}")) or f"{name}: ").splitlines()[0]
                usage, _, what = first.partition(": ")
                rows.append((f"  {usage}", what))
        return _table(rows) + "\n\nAn empty line repeats a movement. What is no command is an expression: %3.sum()"


GROUPS = {
    "forward": ("step", "next", "line", "layer", "return", "until", "continue"),
    "back": ("back",),
    "look": (
        "p", "stat", "hist", "picture", "args", "values", "made", "uses", "forward", "backward", "where", "up", "down",
        "list", "graph",
    ),
    "change": ("set", "unset"),
    "breakpoints": ("break", "tbreak", "clear"),
    "session": ("save", "pass", "detach", "quit", "help"),
}  # fmt: skip


def _count(text: str, default: int = 1) -> int:
    if not text:
        return default
    if not text.isdigit() or int(text) < 1:
        raise ArgumentError(f"{text!r} is no count: write a number from 1 up")
    return int(text)


def _table(rows: list[tuple[str, str]]) -> str:
    width = max((len(a) for a, b in rows if b), default=0)
    return "\n".join(f"{a:<{width}}  {b}".rstrip() for a, b in rows)
