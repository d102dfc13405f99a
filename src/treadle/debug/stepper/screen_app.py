"""The screen: source, graph and values side by side, what commands answered below, keys for the movements.

It speaks to a `Session` as the line mode does, and knows no more than that. Commands run in a thread, so that a long
movement can be interrupted (escape).
"""

from __future__ import annotations

import linecache
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Input, OptionList, RichLog, Static
from textual.widgets.option_list import Option

from treadle.core.errors import TreadleError
from treadle.core.graph import Graph, Node
from treadle.core.source import UNKNOWN
from treadle.debug.stepper.frames import Frame, Layout
from treadle.debug.stepper.inspecting import histogram, numbers_text, picture, statistics
from treadle.debug.stepper.session import Session
from treadle.debug.stepper.sources import node_text, place_of, return_text
from treadle.debug.stepper.ties import is_backward

SMALL = 64 * 64  # elements up to which a matrix is drawn without being asked for
NARROWEST = 12  # columns of a pane


class Divider(Static):
    """A line between two panes; dragging it gives columns of one to the other."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__("┃" * 200, classes="divider")
        self._panes = left, right

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.app.mouse_captured is self and event.screen_x != self.region.x:
            self.move(event.screen_x - self.region.x)

    def move(self, columns: int) -> None:
        """Shift it to the right, as far as both panes stay readable."""
        left, right = (self.app.query_one(p) for p in self._panes)
        columns = max(min(columns, right.size.width - NARROWEST), NARROWEST - left.size.width)
        # In parts of the row (fr), so that the proportions stay when the terminal changes its size.
        for pane, width in ((left, left.size.width + columns), (right, right.size.width - columns)):
            pane.styles.width = f"{width}fr"
        others = [p for p in self.app.query(".pane") if p not in (left, right)]
        for pane in others:
            pane.styles.width = f"{pane.size.width}fr"


class Answers(RichLog):
    """What commands answered, and what the program prints meanwhile."""

    def on_print(self, event: events.Print) -> None:
        if event.text.strip():
            self.write(Text(event.text.rstrip(), style="dim"))


class DebuggerApp(App[None]):
    """One session on the screen; it ends when the session is no longer open.

    Keys move, `:` goes to the command line, where everything of the line mode can be typed, escape comes back.
    Clicking a node (or enter on it) shows its value; clicking a source line sets or removes a breakpoint there.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #place { height: auto; max-height: 3; background: $primary-background; padding: 0 1; }
    #panes { height: 1fr; }
    .pane { width: 1fr; height: 100%; border: none; padding: 0; scrollbar-size-vertical: 1; }
    OptionList { text-wrap: nowrap; text-overflow: ellipsis; }
    .divider { width: 1; height: 100%; color: $foreground-darken-3; overflow: hidden; }
    .divider:hover { color: $accent; }
    #answers { height: 30%; min-height: 5; border-top: solid $foreground-darken-3; padding: 0 1; }
    #command { height: 1; border: none; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("n", "run('next')", "over"),
        ("s", "run('step')", "into"),
        ("o", "run('return')", "out"),
        ("l", "run('line')", "line"),
        ("y", "run('layer')", "layer"),
        ("c", "run('continue')", "continue"),
        ("b", "run('back')", "back"),
        ("z", "run('back stop')", "undo"),
        ("t", "breakpoint", "breakpoint"),
        ("g", "until", "run to"),
        ("f", "forward", "forward node"),
        ("h", "run('help')", "help"),
        ("colon", "command", "command"),
        ("escape", "leave_command", "interrupt"),
        ("less_than_sign", "resize(-4)", ""),
        ("greater_than_sign", "resize(4)", ""),
        ("q", "run('quit')", "quit"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.busy = False
        self._graph: Graph | None = None  # whose nodes the list shows
        self._file = ""  # whose lines are shown
        self._lines: list[tuple[str, str]] = []  # text and style of the source lines as they are shown
        self._marked = 0

    def compose(self) -> ComposeResult:
        yield Static(id="place")
        with Horizontal(id="panes"):
            yield OptionList(id="source", classes="pane", markup=False)
            yield Divider("#source", "#graph")
            yield OptionList(id="graph", classes="pane", markup=False)
            yield Divider("#graph", "#values")
            with VerticalScroll(id="values", classes="pane"):
                yield Static(id="value", markup=False)
        yield Answers(id="answers", wrap=True)
        yield Input(placeholder=": a command or an expression, such as stat %3", id="command")
        yield Footer()

    def on_mount(self) -> None:
        self.title = self.session.title
        self.begin_capture_print(self.query_one(Answers))
        self.query_one("#graph").focus()
        self._answer(self.session.greeting())
        self._show()

    # commands

    def action_run(self, command: str) -> None:
        """Run a command of the session in a thread."""
        if self.busy:
            self._answer("still running; escape interrupts")
            return
        self.busy = True

        def work() -> None:
            answer = self.session.execute(command)
            self.call_from_thread(self._done, command, answer)

        self.run_worker(work, thread=True)

    def _done(self, command: str, answer: str) -> None:
        self.busy = False
        self._answer(Text(f"(treadle) {command}", style="bold"))
        self._answer(answer)
        if self.session.state != "open":
            self.exit()
            return
        self._show()

    def _answer(self, text: Any) -> None:
        if text:
            self.query_one(Answers).write(Text(text) if isinstance(text, str) else text)

    def action_command(self) -> None:
        self.query_one(Input).focus()

    def action_leave_command(self) -> None:
        """Interrupt what runs; or leave the command line."""
        if self.busy:
            self.session.engine.interrupt.set()
        self.query_one("#graph").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.input.value = ""
        self.action_run(event.value)

    # what is shown

    def _show(self) -> None:
        frame = self.session.frame
        self.query_one("#place", Static).update(Text("\n".join(self.session.here().splitlines()[:1])))
        self._show_graph(frame)
        self._show_source(frame)
        self._show_value(self._last_made(frame))

    def _show_graph(self, frame: Frame) -> None:
        nodes = self.query_one("#graph", OptionList)
        if frame.graph is not self._graph:
            self._graph = frame.graph
            nodes.clear_options()
            rows = [self._node_row(frame, n, k) for k, n in enumerate(frame.graph.nodes)]
            nodes.add_options([Option(r) for r in [*rows, self._return_row(frame)]])
        else:
            for k in {self._marked, frame.at}:
                nodes.replace_option_prompt_at_index(k, self._row(frame, k))
        self._marked = frame.at
        nodes.highlighted = frame.at

    def _row(self, frame: Frame, k: int) -> Text:
        if k == len(frame.graph.nodes):
            return self._return_row(frame)
        return self._node_row(frame, frame.graph.nodes[k], k)

    def _node_row(self, frame: Frame, node: Node, k: int) -> Text:
        stops = any(p.kind == "value" and p.matches(node, frame.graph) for p in self.session.engine.breakpoints)
        mark = "->" if k == frame.at else "● " if stops else "  "
        style = "bold reverse" if k == frame.at else "dim" if k < frame.at else ""
        row = Text(f"{mark} {node_text(frame.graph, node)}", style=style, no_wrap=True, overflow="ellipsis")
        if is_backward(node):
            row.append("  ←", style="cyan")
        return row

    def _return_row(self, frame: Frame) -> Text:
        at_end = frame.node is None
        return Text(
            f"{'->' if at_end else '  '} {return_text(frame.graph)}",
            style="bold reverse" if at_end else "",
            no_wrap=True,
        )

    def _show_source(self, frame: Frame) -> None:
        node = frame.node
        if node is None or node.source == UNKNOWN:
            return
        source = self.query_one("#source", OptionList)
        lines = [t.rstrip() for t in linecache.getlines(node.source.file)]
        known = {n.source.line for n in self.session.engine.graph.walk() if n.source.file == node.source.file}
        if not lines:  # a saved session has the lines of nodes alone
            texts = {n: self.session.engine.lines.get(f"{node.source.file}:{n}", "") for n in known}
            lines = [texts.get(k, "") for k in range(1, max(known) + 1)]
        stops = {p.what for p in self.session.engine.breakpoints if p.kind == "line"}
        name = place_of(node).rpartition(":")[0]
        if node.source.file != self._file:
            self._file = node.source.file
            source.clear_options()
            source.add_options([Option(Text()) for _ in lines])
            self._lines = [("", "")] * len(lines)
        digits = len(str(len(lines)))
        for k, text in enumerate(lines, 1):
            mark = "●" if f"{name}:{k}" in stops else "·" if k in known else " "
            row = f"{mark}{k:>{digits}} {text}", "bold reverse" if k == node.source.line else ""
            if row != self._lines[k - 1]:  # two lines change in a movement, of thousands
                self._lines[k - 1] = row
                shown = Text(row[0], style=row[1], no_wrap=True, overflow="ellipsis")
                source.replace_option_prompt_at_index(k - 1, shown)
        source.highlighted = node.source.line - 1

    def _last_made(self, frame: Frame) -> str:
        """The value that was made last in this frame; else the first input."""
        names = frame.layout.names
        if frame.at:
            made = frame.graph.nodes[frame.at - 1].outputs
            if made:
                return names[made[0]]
        return names[frame.graph.inputs[0]] if frame.graph.inputs else ""

    def _show_value(self, name: str) -> None:
        pane = self.query_one("#value", Static)
        if not name:
            pane.update("")
            return
        session = self.session
        try:
            value = session.engine.value(name, session.chosen)
            parts = [f"{name}  {statistics(value)}"]
            if value.ndim == 2 and 1 < value.size <= SMALL:
                parts.append(picture(value, width=40, height=20))
            if value.size > 1 and value.dtype.kind != "b":
                parts.append(histogram(value, bars=16))
            parts.append(numbers_text(value, most=24))
        except TreadleError as e:
            parts = [e.message]
        parts.insert(0, session.execute(f"made {name}"))
        parts.append("used by\n" + session.execute(f"uses {name}"))
        pane.update(Text("\n\n".join(parts)))

    # nodes and lines

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if self.busy:
            return
        if event.option_list.id == "source":
            self._toggle(f"{self._file.rpartition('/')[2]}:{event.option_index + 1}")
        else:
            name = self._name_at(event.option_index)
            if name:
                self._show_value(name)

    def _name_at(self, index: int | None) -> str:
        frame = self.session.frame
        if index is None or index >= len(frame.graph.nodes) or not frame.graph.nodes[index].outputs:
            return ""
        return Layout.of(frame.graph).names[frame.graph.nodes[index].outputs[0]]

    def _chosen_name(self) -> str:
        return self._name_at(self.query_one("#graph", OptionList).highlighted)

    def action_breakpoint(self) -> None:
        """A breakpoint at the chosen source line or node, set or removed."""
        source = self.query_one("#source", OptionList)
        if source.has_focus and source.highlighted is not None:
            self._toggle(f"{self._file.rpartition('/')[2]}:{source.highlighted + 1}")
        elif name := self._chosen_name():
            self._toggle(f"{name} of {self.session.frame.graph.name}")

    def _toggle(self, place: str) -> None:
        there = [p for p in self.session.engine.breakpoints if str(p) == place]
        answer = self.session.execute(f"clear {there[0].number}" if there else f"break {place}")
        self._answer(answer)
        self._graph = None
        self._show()

    def action_until(self) -> None:
        """Run to the chosen node, or back to it."""
        if name := self._chosen_name():
            self.action_run(f"until {name}")

    def action_forward(self) -> None:
        """The forward node of the chosen backward node."""
        if name := self._chosen_name():
            self.action_run(f"forward {name}")

    def action_resize(self, columns: int) -> None:
        """Move the divider on the right of the focused pane."""
        first, second = self.query(Divider)
        (first if self.query_one("#source").has_focus else second).move(columns)
