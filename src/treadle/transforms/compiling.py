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
from treadle.core.errors import ArgumentError
from treadle.core.graph import Graph
from treadle.core.registry import backend as get_backend
from treadle.core.source import caller
from treadle.core.spec import Spec
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.core.tracing import Trace, is_staging, replay
from treadle.ops.control.call import call as call_primitive
from treadle.transforms.arguments import Call, Result, function_name, is_array, with_rebuild
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
        *,
        closes_over: bool = False,
    ) -> None:
        self.function = function
        self.closes_over = closes_over  # modules that are not passed: for a function that is made for one call
        self.dynamic = dict(dynamic or {})
        self.backend = backend
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
        for known in self._shortcuts if _instead.run is None else ():
            out = known(args, kwargs)
            if out is not MISS:
                return out

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

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph that a call with these arguments runs."""

        def attempt(call: Call) -> Graph:
            with self._lock:
                return self._entry(call)[0].graph

        return with_rebuild(attempt, self.function, args, kwargs)  # type: ignore[no-any-return]

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
        executable = get_backend(self.backend).prepare(simplify(closed))
        return Entry(closed, captured, result, list(outcome.assigned), executable, closed.output_specs)

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
    return (
        f"{name!r} changed size on axis {axis}",
        f'One version can serve all sizes: td.compile(…, dynamic={{"{name}": ({pattern}{"," if ndim == 1 else ""})}})',
    )


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
) -> Any:
    """A function that runs as one graph: traced at the first call, then run without Python between operations.

    Traced once for each combination of tree structure, shapes, dtypes and static arguments (everything that is no
    tensor or array: Python numbers, strings, functions). Modules that are passed may be assigned to inside; modules
    that are only closed over raise, as their numbers would be frozen in.

    Args:
        dynamic: sizes that one version serves: `{"x": ("batch", None)}` names axis 0 of x; equal names are equal sizes.
        backend: "reference", or another that `treadle doctor` lists; the current one if None.
        name: what messages and graphs call it.

    Raises (at a call):
        TraceError: the function asks for a number (`if x > 0`) that is not known while tracing.

    >>> import treadle as td
    >>> f = td.compile(lambda x: td.tanh(x) + 1)
    >>> f(td.zeros(3)).tolist(), f(td.zeros(3)).tolist(), f.traces
    ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 1)
    """
    if function is None:
        return lambda f: Compiled(f, dynamic, backend, name)
    return Compiled(function, dynamic, backend, name)


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
