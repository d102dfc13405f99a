"""`doctor`: one batch through a model and back, and what is unhealthy about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.errors import ArgumentError, TreadleError
from treadle.core.graph import Graph, Node, Var
from treadle.core.source import place_text
from treadle.core.stateful import Variables
from treadle.core.tensor import Tensor
from treadle.nn.text_layer import TextLayer
from treadle.random import Stream
from treadle.train._building import build_from, call_model, require_model
from treadle.train.data import as_tensors, float_of, unpack
from treadle.train.steps import as_loss, as_optimizer, loss_value
from treadle.train.texts import prepared_batch
from treadle.transforms import compile, value_and_grad
from treadle.transforms.compiling import Opened
from treadle.transforms.fetching import fetched

DEAD = 0.1  # of a layer's units that give 0 for every example, from which on it is said
SATURATED = 0.5  # of a layer's values in the flat ends of tanh or a sigmoid
VANISHED, EXPLODED = 1e-6, 1e6  # a layer's gradient, in units of the last layer's
VANISHING = "normalisation, residual connections, relu for saturating functions, larger initial weights"
EXPLODING = "smaller initial weights, normalisation, clip=td.optim.clip_by_global_norm(1.0)"
LEAST, MOST = 1e-7, 0.1  # the size of an update, in units of the parameter's
RECTIFIERS = ("select", "maximum", "clamp", "mul", "masked_mul")  # how relu and its relatives end
FLAT = {"tanh": (-0.99, 0.99), "sigmoid": (0.01, 0.99)}
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Finding:
    """Something unhealthy.

    Attributes:
        kind: "unused parameter", "dead units", "saturated", "vanishing gradient", "exploding gradient", "update size",
            "mixed examples", "stale state", "not finite".
        name: the layer, parameter or value.
        text: what was seen, with the line, and what to do.
    """

    kind: str
    name: str
    text: str


class Diagnosis:
    """What `td.doctor` found; prints as a report.

    Attributes:
        findings: what is unhealthy, in the order of the checks; empty if nothing is.
        gradients: per layer, the norm of the loss's gradient with respect to its output.
        updates: per parameter, the size of the optimiser's update relative to the parameter's.
    """

    def __init__(self, name: str, findings: list[Finding], gradients: dict[str, float], updates: dict[str, float]):
        self.name, self.findings, self.gradients, self.updates = name, findings, gradients, updates

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.findings) or 'nothing'} to look at"]
        lines += [f"  {f.kind}: {f.name}: {f.text}" for f in self.findings]
        for title, table in (("gradient at the output of", self.gradients), ("update of", self.updates)):
            if table:
                lines.append(f"  {title}")
                lines += [f"    {name:<32} {value:.2e}" for name, value in table.items()]
        return "\n".join(lines)

    __repr__ = __str__


def doctor(model: Any, batch: Any, *, loss: Any = None, optimizer: Any = None) -> Diagnosis:
    """Run a batch through a model, forward and back, and report what is unhealthy. The model stays as it is.

    Looked for: parameters that the loss does not depend on; units that are 0 for every example; tanh and sigmoid values
    in their flat ends; gradients that vanish or explode on the way to a layer; updates that are too large or too small
    for their parameters; outputs of one example that depend on another (a sum or reshape over the wrong axis); states
    that training never changes; NaN and infinities, with the node that made the first.

    Args:
        model: a module.
        batch: x, (x, y) or (x, y, weights), as for `td.fit`. At least 8 examples tell dead units from rare ones.
        loss: as for `td.fit`; None: the mean of the squares of the outputs.
        optimizer: whose updates are looked at; None: none.

    Raises:
        ArgumentError: the batch has targets and there is no loss, or the other way round.

    >>> model = td.nn.Sequential([td.nn.Dense(8, activation="relu"), td.nn.Dense(1)])
    >>> x = td.random.normal(td.random.key(0), (16, 3))
    >>> report = td.doctor(model, (x, x.sum(axis=1, keepdims=True)), loss="mse", optimizer=td.optim.Adam(1e-3))
    >>> print(str(report).splitlines()[0])
    Sequential: nothing to look at
    """
    require_model(model, "td.doctor")
    if isinstance(batch, tuple | dict):
        batch = prepared_batch(model, batch)
    x, y, _ = _parts(as_tensors(batch))
    if (y is None) != (loss is None):
        raise ArgumentError(
            "td.doctor: "
            + ("the batch has targets: give loss= too" if loss is None else "the loss needs targets: batch=(x, y)")
        )
    build_from(model, x)
    x, y, weights = _parts(as_tensors(batch, float_of(model)))
    return _Visit(model, None if loss is None else as_loss(loss), x, y, weights).diagnose(optimizer)


def _parts(batch: Any) -> tuple[Any, Any, Any]:
    """x, y, weights; a batch may be x alone."""
    return unpack(batch) if isinstance(batch, tuple | list | dict) else (batch, None, None)


class _Visit:
    def __init__(self, model: Any, loss: Callable[..., Any] | None, x: Any, y: Any, weights: Any) -> None:
        self.model, self.loss, self.x, self.y, self.weights = model, loss, x, y, weights
        self.findings: list[Finding] = []

        def objective(model: Any, x: Any, y: Any, weights: Any) -> Tensor:
            return self._objective(model, x, y, weights)

        self.objective = objective
        self.arguments = (model, x, y, weights)
        self.opened: Opened = compile(objective).opened(*self.arguments)

    def _objective(self, model: Any, x: Any, y: Any, weights: Any) -> Tensor:
        prediction = call_model(model, x, training=True)
        if self.loss is not None:
            return loss_value(self.loss, prediction, y, weights)
        total: Any = 0.0
        for leaf in trees.leaves(prediction):
            total = total + (leaf * leaf).mean()
        return total

    def diagnose(self, optimizer: Any) -> Diagnosis:
        gradients: dict[str, float] = {}
        updates: dict[str, float] = {}
        self._unused()
        self._stale()
        held = Variables([self.model])
        before = held.read()
        try:
            self._mixed()
            if self._finite():
                self._activations()
                gradients = self._gradients()
                updates = {} if optimizer is None else self._updates(as_optimizer(optimizer))
        finally:
            held.write(before)
        return Diagnosis(type(self.model).__name__, self.findings, gradients, updates)

    def _say(self, kind: str, name: str, text: str) -> None:
        self.findings.append(Finding(kind, name, text))

    # parameters and states

    def _unused(self) -> None:
        used = _ancestors(self.opened.graph)
        for path in self.model.parameters():
            if self._place_of(path)[1] not in used:
                self._say(
                    "unused parameter",
                    path,
                    "the loss does not depend on it: it is never read, or its value is not (made at "
                    f"{_made_at(self.model, path)})",
                )

    def _place_of(self, path: str) -> tuple[int, Var]:
        """Where a variable of the model is among the graph's inputs."""
        graph = self.opened.graph
        k = graph.input_names.index(f"model.{path}")
        return k, graph.inputs[k]

    def _read_at(self, path: str) -> str:
        """`, read at model.py:12`, if it is."""
        var = self._place_of(path)[1]
        reads = (str(node.source) for node in self.opened.graph.nodes if var in node.inputs)
        line = next(reads, None)
        return "" if line is None else f", read at {line}"

    def _stale(self) -> None:
        texts = [path for path, m in self.model.modules().items() if isinstance(m, TextLayer)]
        streams = tuple(f"{path}." for path in (*_streams(self.model), *texts))
        for path in self.model.states():
            if not path.startswith(streams) and self._place_of(path)[0] not in self.opened.assigned:
                self._say(
                    "stale state",
                    path,
                    "it is a State, and a training step never assigns it: assign self.… in the layer's call, or make "
                    f"it a plain tensor or a Parameter (made at {_made_at(self.model, path)}{self._read_at(path)})",
                )

    # numbers

    def _finite(self) -> bool:
        step = compile(lambda *args: value_and_grad(self.objective)(*args))
        value, gradients = step(*self.arguments)
        if all(np.isfinite(v.numpy().astype(np.float64)).all() for v in (value, *gradients.values())):
            return True
        error = step.why_not_finite(*self.arguments)
        self._say("not finite", "the loss or a gradient", str(error).replace("\n", "\n  "))
        return False

    def _activated(self) -> dict[str, Array]:
        """What layers give that end in an activation which may be 0 for good."""
        makers = {v: n.primitive.name for n in self.opened.graph.walk() for v in n.outputs}
        named = {n: p for n, p in self.opened.named.items() if n.endswith("/out") and makers.get(p.var) in RECTIFIERS}
        return {
            n.removesuffix("/out"): v.numpy()
            for n, v in zip(named, self.opened.values(list(named.values())), strict=True)
        }

    def _activations(self) -> None:
        for scope, value in self._activated().items():
            if value.ndim < 2 or value.dtype.kind != "f" or value.shape[0] < 2:
                continue
            units = value.reshape(-1, value.shape[-1])
            dead = int((units == 0).all(axis=0).sum())
            if dead and dead >= DEAD * units.shape[1]:
                self._say(
                    "dead units",
                    scope,
                    f"{dead} of {units.shape[1]} units are 0 for all {len(units)} rows ({self._line(scope)}), and have "
                    "no gradient: a smaller learning rate, another initialiser or bias, or leaky_relu",
                )
        named = {n: p for n, p in self.opened.named.items() if n.rpartition("/")[2].split("_")[0] in FLAT}
        for name, tensor in zip(named, self.opened.values(list(named.values())), strict=True):
            low, high = FLAT[name.rpartition("/")[2].split("_")[0]]
            a = tensor.numpy()
            share = float(((a < low) | (a > high)).mean()) if a.size else 0.0
            if share > SATURATED:
                self._say(
                    "saturated",
                    name,
                    f"{share:.0%} of its values lie beyond {low} and {high}, where the slope is nearly 0 "
                    f"({self._line(name)}): scale the input or the weights down, or normalise before it",
                )

    def _line(self, name: str) -> str:
        place = self.opened.named.get(name) or self.opened.named.get(f"{name}/out")
        for node in self.opened.graph.walk():
            if place is not None and place.var in node.outputs:
                return str(node.source)
        return "?"

    def _gradients(self) -> dict[str, float]:
        names, _, graph = fetched(self.opened.graph, self.opened.result, ["grad/**/out"], "td.doctor")
        values = self.opened.run(graph, self.opened.inputs)
        sizes = {
            n.removeprefix("grad/").removesuffix("/out"): float(np.linalg.norm(v.numpy().astype(np.float64)))
            for n, v in zip(names, values, strict=True)
        }
        last = next((v for v in reversed(sizes.values()) if v > 0), 0.0)
        if not last:
            return sizes
        for kind, worst, is_bad, advice in (
            ("vanishing gradient", min(sizes, key=lambda n: sizes[n]), lambda r: r < VANISHED, VANISHING),
            ("exploding gradient", max(sizes, key=lambda n: sizes[n]), lambda r: r > EXPLODED, EXPLODING),
        ):
            ratio = sizes[worst] / last
            if is_bad(ratio):
                count = sum(is_bad(v / last) for v in sizes.values()) - 1
                more = f"; {count} more layers are beyond {VANISHED:.0e} or {EXPLODED:.0e}" if count else ""
                text = f"its gradient is {ratio:.0e} of the last layer's ({self._line(worst)}{more}): {advice}"
                self._say(kind, worst, text)
        return sizes

    def _updates(self, optimizer: Any) -> dict[str, float]:
        def step(model: Any, optimizer: Any, x: Any, y: Any, weights: Any) -> Mapping[str, Tensor]:
            _, gradients = value_and_grad(self.objective)(model, x, y, weights)
            before = model.parameters()
            optimizer.update(model, gradients)
            after = model.parameters()
            moved = {path: after[path] - before[path] for path in before}
            model.assign(before)
            return moved

        held = Variables([self.model, optimizer])
        before = held.read()
        moments = dict(vars(optimizer))
        try:
            moved = compile(step)(self.model, optimizer, self.x, self.y, self.weights)
        finally:
            vars(optimizer).clear()
            vars(optimizer).update(moments)
            held.write(before)
        sizes = {}
        for path, change in moved.items():
            size = _rms(self.model.parameters()[path].numpy())
            if size == 0:  # a bias that begins at 0
                continue
            sizes[path] = ratio = _rms(change.numpy()) / size
            if ratio > MOST or 0 < ratio < LEAST:
                advice = "a lower learning rate" if ratio > MOST else "a higher learning rate, or its gradient is tiny"
                self._say("update size", path, f"one step changes it by {ratio:.1e} of its size: {advice}")
        return sizes

    # examples

    def _mixed(self) -> None:
        """Whether the first example's output depends on the others, and which line lets it."""
        rows = {leaf.shape[0] if leaf.ndim else 0 for leaf in trees.leaves(self.x)}
        if len(rows) != 1 or min(rows) < 2:
            return
        (size,) = rows
        predict = compile(lambda model, x: call_model(model, x, training=False))
        try:
            first = predict.opened(self.model, self.x)
            second = predict.opened(self.model, trees.map(_others_changed, self.x))
        except TreadleError:
            return
        named = {p.var: p for p in first.named.values() if not p.trail}
        places = list(named.values())
        again = {p.var: p for p in second.named.values() if not p.trail}
        makers = {v: n for n in first.graph.nodes for v in n.outputs}
        order = [v for n in first.graph.nodes for v in n.outputs if v in named]
        a = dict(zip(named, first.values(places), strict=True))
        b = dict(zip(again, second.values(list(again.values())), strict=True))
        for var in order:
            shape = var.spec.shape
            if not shape or shape[0] != size or var not in b:
                continue
            one, two = a[var].numpy()[0], b[var].numpy()[0]
            if np.allclose(one.astype(np.float64), two.astype(np.float64), rtol=1e-4, atol=1e-6, equal_nan=True):
                continue
            node = _blamed(makers[var], makers, size)
            self._say(
                "mixed examples",
                place_text(node.source, node.scope),
                f"`{node.primitive.name}` lets the output of one example depend on the others (training=False): an "
                "axis of a sum, softmax, reshape or transpose is not the one that was meant",
            )
            return


def _others_changed(x: Tensor) -> Tensor:
    """The same first example, with others behind it."""
    a = x.numpy()
    others = a[1:][::-1] + 1 if a.dtype.kind == "f" else a[1:][::-1]
    changed = np.concatenate([a[:1], others.astype(a.dtype)])
    if a.dtype.kind != "f" and np.array_equal(changed, a):
        changed[1:] = a[0]
    return Tensor(x.spec, changed)


def _blamed(node: Node, makers: Mapping[Var, Node], size: int) -> Node:
    """The node, or what made the input of it in which the examples are mixed already, without an axis of them."""
    for a in node.inputs:
        inner = makers.get(a) if isinstance(a, Var) else None
        views = ("reshape", "broadcast", "transpose", "cast")
        while inner is not None and inner.primitive.name in views:
            source = inner.inputs[0]
            inner = makers.get(source) if isinstance(source, Var) else None
        if inner is not None and _reads_examples(inner, size) and not _has_examples(inner, size):
            return inner
    return node


def _reads_examples(node: Node, size: int) -> bool:
    return any(a.spec.shape[:1] == (size,) for a in node.inputs)


def _has_examples(node: Node, size: int) -> bool:
    return any(v.spec.shape[:1] == (size,) for v in node.outputs)


def _ancestors(graph: Graph) -> set[Var]:
    """What the first output depends on."""
    needed: set[Var] = {a for a in graph.outputs[:1] if isinstance(a, Var)}
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(a for a in node.inputs if isinstance(a, Var))
    return needed


def _made_at(model: Any, path: str) -> str:
    """The user's line that made a variable of the model, or the layer that has it."""
    modules = model.modules()
    owner, name = path.rpartition(".")[::2]
    while owner and owner not in modules:  # in a list or dict of a module
        owner, name = owner.rpartition(".")[0], ""
    return str(modules[owner].made_at(name))


def _streams(model: Any) -> list[str]:
    """Paths of the random streams among a model's attributes: they move only where something is drawn."""
    found: list[str] = []
    for path, module in model.modules().items():
        lead = f"{path}." if path else ""
        found += [lead + k for k, v in vars(module).items() if isinstance(v, Stream)]
    return found


def _rms(a: Array) -> float:
    return float(np.sqrt(np.mean(np.square(a.astype(np.float64))))) if a.size else 0.0


__all__ = ["Diagnosis", "Finding", "doctor"]
