"""Plain-text tables: what `repr` of a module and `nn.summary` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from treadle.core.dims import Size
from treadle.core.owned import State
from treadle.core.stateful import Stateful, Variables
from treadle.core.tensor import Tensor

if TYPE_CHECKING:
    from treadle.nn.module import Module


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Rows as lines with aligned columns; `right` are the columns that are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def count(n: Size) -> str:
    """A number with separators: `1,234,567`; a Dim as it is."""
    return f"{n:,}" if isinstance(n, int) else str(n)


def own_variables(module: Stateful) -> dict[str, Tensor]:
    """The tensors of a module that belong to no module inside it, by path."""
    found: dict[str, Tensor] = {}
    _collect(module.__dict__, "", found)
    return found


def _collect(container: Any, prefix: str, found: dict[str, Tensor]) -> None:
    from treadle.nn.module import Module

    for key, value in container.items() if isinstance(container, dict) else enumerate(container):
        if isinstance(value, Tensor):
            found[f"{prefix}{key}"] = value
        elif isinstance(value, list | dict):
            _collect(value, f"{prefix}{key}.", found)
        elif isinstance(value, Stateful) and not isinstance(value, Module):
            _collect(value.__dict__, f"{prefix}{key}.", found)


def describe(module: Module) -> str:
    """A layer as the call that made it; a module with modules inside as a table of them."""
    inside = module.modules()
    if len(inside) == 1:
        return _call(module)
    rows = [["path", "layer", "parameters", ""]]
    for path, m in inside.items():
        if path and (len(m.modules()) == 1 or own_variables(m)):
            own = own_variables(m)
            shapes = ", ".join(f"{name} {list(x.shape)}" for name, x in own.items() if not isinstance(x, State))
            rows.append([path, _call(m), shapes if m.is_built else "not built yet", _total(m)])
    total = _total(module)
    lines = [f"  {line}" for line in table(rows, right=[3])]
    return "\n".join([_call(module), *lines, f"  {total or 'no'} parameters in all" + _unbuilt(module)])


def _call(module: Module) -> str:
    arguments = module.__dict__.get("_arguments", "")
    inner = len(module.modules()) > 1
    return type(module).__name__ if inner else f"{type(module).__name__}({arguments})"


def _total(module: Module) -> str:
    sizes = [x.size for x in Variables([module]).read() if x.kind == "parameter"]
    return count(sum(sizes)) if sizes else ""


def _unbuilt(module: Module) -> str:
    missing = sum(not m.is_built for m in module.modules().values())
    return f", without {missing} layer{'s' if missing > 1 else ''} not built yet" if missing else ""
