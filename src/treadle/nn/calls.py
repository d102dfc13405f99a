"""What happens around a module's `__call__`: the scope's name, whether it trains, who watches, whom errors name."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from treadle.core import registry
from treadle.core.errors import ArgumentError, TreadleError
from treadle.core.source import current_scope, place_text, scope
from treadle.core.spec import Spec
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor

if TYPE_CHECKING:
    from treadle.nn.module import Module

Observer = Callable[["Module", str, Any], None]


class _Calls(threading.local):
    """The modules that are being called in this thread, outermost first."""

    def __init__(self) -> None:
        self.active: list[Module] = []
        self.training = False
        self.observers: list[Observer] = []
        self.history: list[tuple[str, Spec, Spec]] = []  # layers of the outermost call that changed a shape


_calls = _Calls()


def is_training() -> bool:
    """Whether the module that is being called shall train: the `training=` of its caller, or of that one's caller.

    >>> td.nn.is_training()
    False
    """
    return _calls.training


registry.ambient.append(is_training)  # a compiled function is traced once for each


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Call `observer(module, scope, output)` after each module's call."""
    _calls.observers.append(observer)
    try:
        yield
    finally:
        _calls.observers.remove(observer)


def run(module: Module, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Any, training: bool | None) -> Any:
    """Call `function(module, *args, **kwargs)` as the module's `__call__`."""
    if training is not None and not isinstance(training, bool):
        raise ArgumentError(f"training is True or False; got {training!r}").at(place_text())
    active = _calls.active
    again = bool(active) and active[-1] is module  # super().__call__: still the same call
    name = "" if again else _scope_name(module)
    before = _calls.training
    _calls.training = before if training is None else training
    if not active:
        _calls.history = []
    active.append(module)
    try:
        with scope(name) if name else nullcontext():
            try:
                out = function(module, *args, **kwargs)
            except TreadleError as e:
                _name_layer(e, module)
                raise
            if not again:
                _report(module, args, out)
            return out
    finally:
        active.pop()
        _calls.training = before


def _report(module: Module, args: tuple[Any, ...], out: Any) -> None:
    here = current_scope()
    if args and isinstance(args[0], Tensor) and isinstance(out, Tensor) and args[0].shape != out.shape:
        _calls.history.append((here or type(module).__name__, args[0].spec, out.spec))
    for observer in _calls.observers:
        observer(module, here, out)


def _name_layer(error: TreadleError, module: Module) -> None:
    """Add the class of the innermost layer to the place that an error names."""
    if getattr(error, "layer", None) is not None:
        return
    error.layer = kind = type(module).__name__  # type: ignore[attr-defined]
    head, comma, source = (error.place or place_text()).rpartition(", ")
    if not comma and ":" not in source:  # a scope alone
        head, source = source, ""
    error.place = ", ".join(part for part in (f"{head} ({kind})" if head else kind, source) if part)


def _scope_name(module: Module) -> str:
    """What the innermost calling module that holds this one calls it; nothing for the outermost."""
    if not _calls.active:
        return ""
    for caller in reversed(_calls.active):
        path = path_to(caller, module)
        if path is not None:
            return path
    return type(module).__name__


def path_to(holder: Stateful, wanted: Stateful) -> str | None:
    """`layers.0`, or `encoder/layers.0` where a module lies between; the shortest, or None."""
    queue: deque[tuple[Any, str]] = deque([(holder.__dict__, "")])
    seen: set[int] = set()
    while queue:
        container, prefix = queue.popleft()
        if id(container) in seen:
            continue
        seen.add(id(container))
        for key, value in container.items() if isinstance(container, dict) else enumerate(container):
            if value is wanted:
                return f"{prefix}{key}"
            if isinstance(value, Stateful):
                queue.append((value.__dict__, f"{prefix}{key}/"))
            elif isinstance(value, list | tuple | dict):
                queue.append((value, f"{prefix}{key}."))
    return None


def shrinking(x: Spec, axis: int) -> str:
    """ "The input was 24 high; pool1 and pool2 made it 6.": where the size of an axis comes from, for messages."""
    steps: list[tuple[str, Any, Any]] = []
    wanted = x.shape
    for name, before, after in reversed(_calls.history):
        if after.shape == wanted and before.ndim == x.ndim:
            steps.append((name, before.shape[axis], after.shape[axis]))
            wanted = before.shape
    steps = [s for s in steps[::-1] if s[1] != s[2]]
    names = list(dict.fromkeys(name for name, *_ in steps))
    if not names:
        return ""
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{steps[0][1]} at the input; {listed} made {x.shape[axis]} of it"
