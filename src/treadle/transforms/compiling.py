"""`compile`, `graph`, `eval_shape`: functions as graphs."""

from __future__ import annotations

import inspect
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

from treadle.core.dims import Dim, Size
from treadle.core.eager import is_eager
from treadle.core.errors import ArgumentError, NonFiniteError
from treadle.core.graph import Graph
from treadle.core.registry import backend as get_backend
from treadle.core.source import caller
from treadle.core.spec import Spec
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.core.texts import prepared
from treadle.core.tracing import Trace, is_staging, replay
from treadle.ops.control.call import call as call_primitive
from treadle.transforms.arguments import REFUSED, Call, Result, function_name, is_array, run_eagerly, with_rebuild
from treadle.transforms.fetching import fetched, overridden, result_paths
from treadle.transforms.names import Place, names_of
from treadle.transforms.provenance import FiniteGuard, are_finite, error_of
from treadle.transforms.rewiring import rewired
from treadle.transforms.shortcut import MISS, Shortcut, shortcut
from treadle.transforms.simplify import simplify
from treadle.transforms.unrolled import UnrolledWarning, find_unrolled

CACHE_SIZE = 128
SHORTCUTS = 4  # calls that are recognised fast
NOTICE_AFTER = 6


class RetraceWarning(UserWarning):
    """A compiled function is traced again and again because a size or a number changes."""


@dataclass
class Entry:
    """One traced version of a function."""

    graph: Graph  # closed: captures are the last inputs
    captured: list[Tensor]
    result: Result
    assigned: list[int]
    executable: Callable[[Sequence[Any]], Sequence[Any]]
    specs: tuple[Spec, ...]  # of the graph's outputs
    seen: int = 0  # how many builds of arguments have a shortcut


class _Instead:
    """What runs the graphs of compiled functions in place of their executables: the step debugger, while it is open."""

    run: Callable[[Compiled, Graph, Sequence[Any]], Sequence[Any] | None] | None = None


_instead = _Instead()


@contextmanager
def run_instead(run: Callable[[Compiled, Graph, Sequence[Any]], Sequence[Any] | None]) -> Iterator[None]:
    """Have `run` compute the calls of compiled functions, from the traced graph and the arrays of its inputs.

    Where it returns None, the call is run as usual. Calls inside of a trace become part of that trace, as ever.
    """
    before = _instead.run
    _instead.run = run
    try:
        yield
    finally:
        _instead.run = before


@dataclass(frozen=True)
class Opened:
    """A traced call.

    Attributes:
        graph, result: of the call.
        inputs: the tensors that the graph takes.
        assigned: the positions among them of variables that the call assigns.
        run: runs a graph of these inputs on the function's backend.
    """

    graph: Graph
    result: Result
    inputs: list[Tensor]
    assigned: set[int]
    run: Callable[[Graph, Sequence[Tensor]], list[Tensor]]

    @property
    def named(self) -> dict[str, Place]:
        """The values by name, without those that have a number alone."""
        named = names_of(self.graph, result_paths(self.result))
        return {name: place for name, place in named.items() if not name.startswith("%")}

    def values(self, places: Sequence[Place]) -> list[Tensor]:
        """These values, from one run."""
        graph = rewired(self.graph, places, {})
        first = len(self.graph.outputs)
        return self.run(graph.with_outputs(graph.outputs[first : first + len(places)]).prune(), self.inputs)


class Compiled:
    """A compiled function, made by `td.compile`: traced once for each combination of shapes, dtypes, static arguments.

    Attributes:
        traces: how often it was traced; `td.testing.assert_compiles` counts them.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        dynamic: Mapping[str, Any] | None,
        backend: str | None,
        name: str | None,
        nan_check: bool = False,
        *,
        closes_over: bool = False,
    ) -> None:
        self.function = function
        self.closes_over = closes_over  # modules that are not passed: for a function that is made for one call
        self.dynamic = dict(dynamic or {})
        self.backend = backend
        self.nan_check = nan_check
        self.name = name or function_name(function)
        self.traces = 0
        self._cache: OrderedDict[Hashable, Entry] = OrderedDict()
        self._shortcuts: list[Shortcut] = []
        self._lock = threading.RLock()
        self._seen: dict[str, list[Any]] = {}
        self._noticed: set[str] = set()
        _check_names(function, self.dynamic)
        update_wrapper(self, function, updated=())

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a decorator of methods: the module is an argument like any other."""
        if instance is None:
            return self
        return _BoundCompiled(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_eager():
            out = run_eagerly(self.function, args, kwargs, are_finite if self.nan_check else None)
            if out is REFUSED:
                raise self.why_not_finite(*args, **kwargs)
            return out
        for known in self._shortcuts if _instead.run is None else ():
            out = known(args, kwargs)
            if out is not MISS:
                return out
        args = prepared(self.function, args)

        def attempt(call: Call) -> Any:
            with self._lock:
                entry, variables = self._entry(call)
            inputs = [*call.leaves, *variables, *entry.captured]
            outs = self._run(entry, inputs)
            n = len(entry.result.positions)
            if entry.assigned:
                now = call.variables.read()
                for i, x in zip(entry.assigned, outs[n:], strict=True):
                    now[i] = x
                call.variables.write(now)
            self._remember(entry, call, args, kwargs)
            return entry.result.rebuild(outs[:n])

        return with_rebuild(attempt, self.function, args, kwargs)

    def around(self, function: Callable[..., Any]) -> Compiled:
        """Another function, such as one that calls this one's, compiled as this one is."""
        return Compiled(function, self.dynamic, self.backend, self.name, self.nan_check, closes_over=self.closes_over)

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph that a call with these arguments runs."""

        def attempt(call: Call) -> Graph:
            with self._lock:
                return self._entry(call)[0].graph

        return with_rebuild(attempt, self.function, args, kwargs)  # type: ignore[no-any-return]

    def names(self, *args: Any, **kwargs: Any) -> list[str]:
        """The names of the values that `fetch` and `override` can reach in a call with these arguments.

        >>> import treadle as td
        >>> td.compile(lambda x: {"total": td.exp(x).sum()}).names(td.zeros(3))
        ['x', 'total', 'exp', 'sum']
        """

        def attempt(call: Call) -> list[str]:
            with self._lock:
                entry = self._entry(call)[0]
            named = names_of(entry.graph, result_paths(entry.result))
            return [name for name in named if not name.startswith("%")]

        return with_rebuild(attempt, self.function, args, kwargs)  # type: ignore[no-any-return]

    def fetch(self, names: Sequence[str], *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Run once and return values from the middle of the function. Nothing is assigned to modules.

        Names are those of arguments ("x", "model.dense.kernel"), of results ("loss"; "out" for a single one, "0", "1",
        … of a tuple), of `td.probe`s, `scope/out` for what a layer gives, `scope/tanh` for a value by its operation
        (`tanh_1` the second), and `%3` as the graph prints it. `*` stands for a part of a name without "/",
        `**` for any.
        "grad/" before a name means the gradient of the scalar result (the one called "loss", else the first) with
        respect to that value. Values in the body of a scan come with the steps in front, those of a while_loop as they
        were in its last turn. Those in a branch of a `td.cond` are there if it is taken; in a scan, they are NaN (0 if
        integers) at the steps that do not take it.

        Raises:
            ArgumentError: no value has such a name (the message has names that are near); or it was not made, because
                its branch was not taken, or its loop made no turn. A name with stars leaves out what was not made.

        >>> import treadle as td
        >>> def loss(w, x):
        ...     with td.scope("hidden"):
        ...         h = td.tanh(w * x)
        ...     return {"loss": (h * h).sum()}
        >>> found = td.compile(loss).fetch(["hidden/out", "loss", "grad/hidden/*"], td.ones(1), td.zeros(1))
        >>> {name: value.tolist() for name, value in found.items()}
        {'hidden/out': [0.0], 'loss': 0.0, 'grad/hidden/out': [0.0], 'grad/hidden/mul': [0.0],
         'grad/hidden/tanh': [0.0]}
        """
        what = f"td.compile({self.name}).fetch"

        def attempt(call: Call) -> dict[str, Tensor]:
            with self._lock:
                entry, variables = self._entry(call)
                made = fetched(entry.graph, entry.result, names, what)
            outs = self._run_graph(made.graph, [*call.leaves, *variables, *entry.captured])
            return made.found(outs, [names] if isinstance(names, str) else names, what)

        return with_rebuild(attempt, self.function, args, kwargs)  # type: ignore[no-any-return]

    def override(self, values: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Run once with values in the middle replaced, and return the result. Nothing is assigned to modules.

        Args:
            values: by name, as in `fetch`: a tensor of the value's shape and dtype, or a function of what the value
                would have been. In the body of a loop it is replaced at each step, in a branch when that is taken.

        Raises:
            ArgumentError: no value has such a name.
            ShapeError: the replacement has another shape or dtype.

        >>> import treadle as td
        >>> f = td.compile(lambda x: td.exp(td.tanh(x)) + 1)
        >>> f.override({"tanh": td.asarray([0.0])}, td.asarray([3.0])).tolist()
        [2.0]
        >>> f.override({"tanh": lambda h: h * 0}, td.asarray([3.0])).tolist()
        [2.0]
        """
        what = f"td.compile({self.name}).override"

        def attempt(call: Call) -> Any:
            with self._lock:
                entry, variables = self._entry(call)
            graph = overridden(entry.graph, entry.result, values, what)
            outs = self._run_graph(graph, [*call.leaves, *variables, *entry.captured])
            return entry.result.rebuild(outs[: len(entry.result.positions)])

        return with_rebuild(attempt, self.function, args, kwargs)

    def opened(self, *args: Any, **kwargs: Any) -> Opened:
        """The traced version of a call with these arguments, for tools that look inside."""

        def attempt(call: Call) -> Opened:
            with self._lock:
                entry, variables = self._entry(call)
            inputs = [*call.leaves, *variables, *entry.captured]
            first = len(call.leaves)
            return Opened(entry.graph, entry.result, inputs, {first + i for i in entry.assigned}, self._run_graph)

        return with_rebuild(attempt, self.function, args, kwargs)  # type: ignore[no-any-return]

    def _run_graph(self, graph: Graph, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run a graph made of a traced version's, on this function's backend."""
        executable = graph.derived.get("fetching")
        if executable is None:
            executable = graph.derived["fetching"] = self._prepare(graph)
        values = executable([x.numpy() for x in inputs])
        return [Tensor(Spec(v.shape, s.dtype), v) for v, s in zip(values, graph.output_specs, strict=True)]

    def explain(self, *args: Any, **kwargs: Any) -> Any:
        """What a call with these arguments runs: its kernels with their work, what lies in memory and why.

        >>> import treadle as td
        >>> print(td.compile(lambda x: td.exp(x) + 1)(td.zeros(3)).shape)
        (3,)
        >>> report = td.compile(lambda x: td.sum(td.exp(x) + 1)).explain(td.zeros((4, 8)))
        >>> [kernel.name for kernel in report.kernels]
        ['sum']

        Raises:
            ArgumentError: the backend has no kernels.
        """
        made, inputs = self._prepared(args, kwargs)
        return self._backend("explain")(made, inputs)

    def llvm(self, *args: Any, optimised: bool = False, **kwargs: Any) -> str:
        """The LLVM assembly of the kernels that a call with these arguments runs, as written or after optimisation."""
        made, inputs = self._prepared(args, kwargs)
        text: str = self._backend("code")(made, inputs, "optimised" if optimised else "llvm")
        return text

    def assembly(self, *args: Any, **kwargs: Any) -> str:
        """The machine code of the kernels that a call with these arguments runs, as this processor's assembly."""
        made, inputs = self._prepared(args, kwargs)
        text: str = self._backend("code")(made, inputs, "assembly")
        return text

    def measure(self, repeat: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Kernels, seconds that each took, and seconds of a whole run: see `td.profile`."""
        made, inputs = self._prepared(args, kwargs)
        return self._backend("profile")(made, inputs, repeat)

    def _prepared(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any]]:
        """The executable of a call, and the arrays it runs on."""

        def attempt(call: Call) -> tuple[Any, list[Any]]:
            with self._lock:
                entry, variables = self._entry(call)
            inputs = [*call.leaves, *variables, *entry.captured]
            return entry.executable, [x.numpy() for x in inputs]

        return with_rebuild(attempt, self.function, args, kwargs)  # type: ignore[no-any-return]

    def _backend(self, ability: str) -> Any:
        backend = get_backend(self.backend)
        if not hasattr(backend, ability):
            raise ArgumentError(
                f"td.compile({self.name}) runs on the reference backend, operation by operation in NumPy: it has no "
                "kernels. Its graph is td.graph(f)(*args)"
            )
        return getattr(backend, ability)

    def why_not_finite(self, *args: Any, **kwargs: Any) -> NonFiniteError:
        """What makes the results of a call with these arguments NaN or infinite, found node by node with NumPy.

        Nothing is assigned, printed, or called again.

        >>> import treadle as td
        >>> error = td.compile(lambda x: td.log(x).sum()).why_not_finite(td.asarray([1.0, 0.0]))
        >>> print(error.message.splitlines()[0])
        an infinite value in the forward pass: `log` made it of finite numbers
        """

        def attempt(call: Call) -> NonFiniteError:
            with self._lock:
                entry, variables = self._entry(call)
            inputs = [x.numpy() for x in (*call.leaves, *variables, *entry.captured)]
            return error_of(entry.graph, inputs, [], self._prepare)

        return with_rebuild(attempt, self.function, args, kwargs)  # type: ignore[no-any-return]

    def clear_cache(self) -> None:
        """Forget all traced versions."""
        with self._lock:
            self._cache.clear()
            self._shortcuts.clear()

    def __repr__(self) -> str:
        return f"<td.compile({self.name}): {len(self._cache)} versions>"

    def _run(self, entry: Entry, inputs: Sequence[Tensor]) -> list[Tensor]:
        if is_staging():
            return replay(entry.graph, inputs)
        if any(x.is_symbolic for x in inputs):
            return list(call_primitive(*inputs, graph=entry.graph, remat=False))
        arrays = [x._value if x._value is not None else x.numpy() for x in inputs]
        values = None if _instead.run is None else _instead.run(self, entry.graph, arrays)
        if values is None:
            values = entry.executable(arrays)
        # The same Spec objects at every run: what looks whether anything has changed compares them by identity.
        specs = [Spec(v.shape, s.dtype) if s.is_dynamic else s for v, s in zip(values, entry.specs, strict=True)]
        return list(map(Tensor, specs, values))

    def _remember(self, entry: Entry, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Have the next call like this one recognised fast."""
        if self.dynamic or entry.seen >= SHORTCUTS or is_staging():
            return
        entry.seen += 1
        owner = call.roots[-1] if len(call.roots) > sum(isinstance(x, Stateful) for x in call.all_leaves) else None
        made = shortcut(
            args, kwargs, owner, entry.result, entry.specs, entry.assigned, entry.captured, entry.executable
        )
        if made is not None:
            self._shortcuts = [made, *self._shortcuts[: SHORTCUTS - 1]]

    def _entry(self, call: Call) -> tuple[Entry, list[Tensor]]:
        specs = self._specs(call)
        key = call.key if not self.dynamic else (*call.key[:2], tuple(specs), call.variables.structure)  # type: ignore[index]
        entry = self._cache.get(key)
        variables = call.variables.read()
        if entry is None:
            self._notice(call)
            entry = self._trace(call, specs, variables)
            self._cache[key] = entry
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(key)
        return entry, variables

    def _specs(self, call: Call) -> list[Spec]:
        specs = [x.spec for x in call.leaves]
        if not self.dynamic:
            return specs
        out = []
        for name, spec in zip(call.names(), specs, strict=False):
            pattern = self.dynamic.get(name, self.dynamic.get(name.partition(".")[0]))
            out.append(spec if pattern is None else _with_dims(spec, pattern, name, self.name))
        return out

    def _trace(self, call: Call, specs: Sequence[Spec], variables: Sequence[Tensor]) -> Entry:
        kept: dict[str, Any] = {}
        recorder = Trace("stage", f"td.compile({self.name})")
        recorder.owns_closure = not self.closes_over
        with recorder:
            leaves = [recorder.input(s) for s in specs]
            inner = [recorder.input(v.spec) for v in variables]
            outcome = call.run(leaves, inner)
            kept["result"] = result = Result.of(outcome.value)
            graph, captured = recorder.finish(self.name, [*result.tensors, *outcome.assigned.values()], call.names())
        self.traces += 1
        _count.traces += 1
        closed = graph.close()
        self._notice_unrolled(closed)
        result.leaves = [None if isinstance(x, Tensor) else x for x in result.leaves]  # drop the symbols
        executable = FiniteGuard(closed, self._prepare) if self.nan_check else self._prepare(closed)
        return Entry(closed, captured, result, list(outcome.assigned), executable, closed.output_specs)

    def _prepare(self, graph: Graph) -> Any:
        return get_backend(self.backend).prepare(simplify(graph))

    def _notice(self, call: Call) -> None:
        """Say in one line that an axis or a number changes again and again."""
        for name, x in zip(call.names(), call.leaves, strict=False):
            for axis, n in enumerate(x.shape):
                self._notice_one(f"{name}:{axis}:{x.ndim}", n, _size_notice(name, axis, x.ndim))
        for name, leaf in zip(call.argument_names(), call.all_leaves, strict=True):
            if isinstance(leaf, int | float) and not is_array(leaf) and not isinstance(leaf, bool):
                self._notice_one(f"={name}", leaf, _number_notice(name, leaf))

    def _notice_unrolled(self, graph: Graph) -> None:
        found = find_unrolled(graph)
        if found is not None:
            line, turns = found
            warnings.warn(
                f"td.compile({self.name}): a Python loop at {line} was unrolled {turns} times, and all of them are "
                "compiled. td.scan, or td.while_loop, compiles the body once and runs as fast",
                UnrolledWarning,
                stacklevel=2,
            )

    def _notice_one(self, key: str, value: Any, advice: tuple[str, str]) -> None:
        seen = self._seen.setdefault(key, [])
        if value not in seen:
            seen.append(value)
        if len(seen) >= NOTICE_AFTER and key not in self._noticed:
            self._noticed.add(key)
            listed = ", ".join(map(str, seen))
            warnings.warn(
                f"td.compile({self.name}) was traced {len(seen)} times because {advice[0]}: {listed} ({caller()}). "
                f"{advice[1]}",
                RetraceWarning,
                stacklevel=2,
            )


class _BoundCompiled:
    """A compiled method with its object."""

    def __init__(self, compiled: Compiled, instance: Any) -> None:
        self.compiled = compiled
        self.instance = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.compiled(self.instance, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.compiled, name)


class Counter:
    """How many traces td.compile has made in this process."""

    traces = 0


_count = Counter()


def compile_count() -> int:
    """How often td.compile has traced a function in this process."""
    return _count.traces


def _size_notice(name: str, axis: int, ndim: int) -> tuple[str, str]:
    pattern = ", ".join('"n"' if a == axis else "None" for a in range(ndim))
    sizes = f'{{"{name}": ({pattern}{"," if ndim == 1 else ""})}}'
    advice = (
        f"One version can serve all sizes: td.compile(…, dynamic={sizes}), in td.fit compile={sizes}. Or let batches "
        "have few sizes: bucket_by_length(…), padded_batch(n, multiple=…)"
    )
    return f"{name!r} changed size on axis {axis}", advice


def _number_notice(name: str, leaf: Any) -> tuple[str, str]:
    return (
        f"the Python number {name} changed",
        f"Pass it as a tensor: td.asarray({leaf!r})",
    )


def _with_dims(spec: Spec, pattern: Any, name: str, function: str) -> Spec:
    sizes = (pattern,) if isinstance(pattern, str) else tuple(pattern)
    if len(sizes) != spec.ndim:
        raise ArgumentError(f"td.compile({function}): dynamic[{name!r}] has {len(sizes)} entries, but it is {spec}")
    shape: list[Size] = [n if d is None else Dim(d) for n, d in zip(spec.shape, sizes, strict=True)]
    return spec.with_shape(shape)


def _check_names(function: Callable[..., Any], dynamic: Mapping[str, Any]) -> None:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return
    if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters.values()):
        return
    for name in dynamic:
        if name.partition(".")[0] not in parameters:
            raise ArgumentError(f"dynamic= names {name!r}, but {function_name(function)} takes {', '.join(parameters)}")


def compile(
    function: Callable[..., Any] | None = None,
    *,
    dynamic: Mapping[str, Any] | None = None,
    backend: str | None = None,
    name: str | None = None,
    nan_check: bool = False,
) -> Any:
    """A function that runs as one graph: traced at the first call, then run without Python between operations.

    Traced once for each combination of tree structure, shapes, dtypes and static arguments (everything that is no
    tensor or array: Python numbers, strings, functions). Modules that are passed may be assigned to inside; modules
    that are only closed over raise, as their numbers would be frozen in.

    Args:
        dynamic: sizes that one version serves: `{"x": ("batch", None)}` names axis 0 of x; equal names are equal sizes.
        backend: "reference", or another that `treadle doctor` lists; the current one if None.
        name: what messages and graphs call it.
        nan_check: look after each run whether all results and assigned variables are finite. If not, nothing is
            assigned, the run is repeated node by node from the same inputs, and the error names the node that made the
            first NaN or infinity, its line and layer, what it took, and where that came from.

    Raises (at a call):
        NonFiniteError: with `nan_check`, a result is NaN or infinite.
        TraceError: the function asks for a number (`if x > 0`) that is not known while tracing.

    >>> import treadle as td
    >>> f = td.compile(lambda x: td.tanh(x) + 1)
    >>> f(td.zeros(3)).tolist(), f(td.zeros(3)).tolist(), f.traces
    ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 1)
    """
    if function is None:
        return lambda f: Compiled(f, dynamic, backend, name, nan_check)
    return Compiled(function, dynamic, backend, name, nan_check)


def trace_to_graph(function: Callable[..., Any], args: Any, kwargs: Any, creator: str) -> tuple[Graph, Result]:
    """The graph of a call, with captures, and what it returns."""

    def attempt(call: Call) -> tuple[Graph, Result]:
        recorder = Trace("stage", creator)
        with recorder:
            leaves = [recorder.input(x.spec) for x in call.leaves]
            outcome = call.run(leaves, [recorder.input(v.spec) for v in call.variables.read()])
            result = Result.of(outcome.value)
            outs = [*result.tensors, *outcome.assigned.values()]
            return recorder.finish(function_name(function), outs, call.names())[0], result

    return with_rebuild(attempt, function, args, kwargs)  # type: ignore[no-any-return]


def graph(function: Callable[..., Any], *, dynamic: Mapping[str, Any] | None = None) -> Callable[..., Graph]:
    """A function that returns the graph of a call instead of running it.

    Args:
        dynamic: as in `td.compile`.

    >>> import treadle as td
    >>> print(td.graph(lambda x: x * 2.0 + 1.0)(td.zeros(3)))  # doctest: +ELLIPSIS
    graph lambda(x: f32[3]) -> f32[3]
      %0 = mul %x 2.0  : f32[3]  ...
      %1 = add %0 1.0  : f32[3]  ...
      return %1
    """
    if dynamic:
        return Compiled(function, dynamic, None, None).graph

    def traced(*args: Any, **kwargs: Any) -> Graph:
        if isinstance(function, Compiled):
            return function.graph(*args, **kwargs)
        return trace_to_graph(function, args, kwargs, f"td.graph({function_name(function)})")[0]

    return traced


def eval_shape(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns the shapes and dtypes of a call's result (a tree of `Spec`) without computing it.

    Arguments may be tensors, arrays, or `td.Spec`s in their place.

    >>> import treadle as td
    >>> td.eval_shape(lambda x: (x @ x.T).sum(axis=0))(td.Spec((5, 3), td.float32))
    f32[5]
    """

    def shaped(*args: Any, **kwargs: Any) -> Any:
        from treadle.core import trees

        def stand_in(x: Any) -> Any:
            return Tensor(x) if isinstance(x, Spec) else x

        leaves, structure = trees.flatten((args, kwargs), lambda x: isinstance(x, Stateful))
        new_args, new_kwargs = trees.unflatten(structure, [stand_in(x) for x in leaves])
        creator = f"td.eval_shape({function_name(function)})"
        _, result = trace_to_graph(function, new_args, new_kwargs, creator)
        return result.rebuild([x.spec for x in result.tensors])

    return shaped
