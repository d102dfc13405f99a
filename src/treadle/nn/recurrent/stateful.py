"""Layers that keep their state between calls: finding them, and letting them begin anew."""

from __future__ import annotations

from typing import Any

from treadle.nn.module import Module
from treadle.nn.recurrent.layer import Recurrent


def stateful_layers(model: Any) -> dict[str, Recurrent]:
    """The recurrent layers inside that keep their state (`stateful=True`), by path."""
    modules = model.modules() if isinstance(model, Module) else {}
    return {path: m for path, m in modules.items() if isinstance(m, Recurrent) and m.stateful}


def reset_states(model: Any, where: Any = None, *, batch: int | None = None) -> None:
    """Let all stateful layers of a model begin anew at the next call.

    Args:
        where: bool `[batch]`: only the sequences for which it is True; all if None.
        batch: the size of the batches to come, where that changes; then all begin anew.

    >>> model = td.nn.Sequential([td.nn.GRU(4, stateful=True)])
    >>> first, second = model(td.ones((2, 3, 1))), model(td.ones((2, 3, 1)))
    >>> td.nn.reset_states(model)
    >>> bool(td.all(model(td.ones((2, 3, 1))) == first)), bool(td.all(second == first))
    (True, False)
    """
    for layer in stateful_layers(model).values():
        layer.reset_states(where, batch=batch)
