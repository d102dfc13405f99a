"""`print`, `check`, `probe` and `on_gradient`: seeing and asserting inside of compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle.core import trees
from treadle.core.errors import ArgumentError
from treadle.core.primitive import Opaque
from treadle.core.registry import array_namespace
from treadle.core.tensor import Tensor
from treadle.debug.messages import Message, Printed
from treadle.ops import effects as primitives


def print(
    template: Any, *values: Any, first_n: int | None = None, every: int = 1, when: Any = True, file: Any = None
) -> None:
    """Print values when the graph runs: in eager code, compiled, under derivatives, `td.vmap`, and in loops.

    Once for each run of the line, in the order of the program. In a loop the line begins with its turn, `[step 3]`;
    under `td.vmap` it prints for each example, `[example 0]`. Derivatives print the values once, as the function does;
    to see what flows back, see `td.on_gradient`.

    Args:
        template: a text with a place `{}` for each value, as `str.format` has them; or the first value itself.
        values: trees of tensors and other things; modules show their variables, `td.summary(x)` a few figures.
        first_n: at most so many times, counted from the start of the process (see `td.debug.reset_counts`).
        every: the first time, and each `every`-th time after it.
        when: a bool scalar: only where it is true; other times do not count.
        file: where to; the standard output if None.

    Raises:
        ArgumentError: the template has more or fewer places than there are values.
        ShapeError: `when` is no bool scalar.

    >>> @td.compile
    ... def norm(x):
    ...     total = (x * x).sum()
    ...     td.print("total {:.2f}", total, when=total > 1)
    ...     return td.sqrt(total)
    >>> norm(td.asarray([3., 4.])).item()
    total 25.00
    5.0
    """
    message = Printed(template, values, first_n, every, file)
    wanted = array_namespace().asarray(when)
    primitives.show(wanted, *message.tensors, message=Opaque(message, "message"), batch=0)


def check(condition: Any, template: str = "the check does not hold", *values: Any) -> None:
    """Assert that something holds, in compiled code too: nothing that the step assigns is kept if it does not.

    In compiled code the condition is computed with everything else, and the message's values only if it fails: when
    the run is over, and before parameters, moments or random streams are assigned. Elsewhere it raises at once.

    Args:
        condition: bool, of any shape; all of it must be true.
        template, values: the message, as for `td.print`.

    Raises:
        CheckError: it does not hold. The message has the values, the line and the scope, a loop's step, an example's
            number, and where in the condition it fails.

    >>> @td.compile
    ... def mean_log(x):
    ...     td.check(x > 0, "x must be positive: {}", x)
    ...     return td.log(x).mean()
    >>> try:
    ...     mean_log(td.asarray([1., 0., 2.]))
    ... except td.errors.CheckError as e:
    ...     print(e.message)
    x must be positive: [1., 0., 2.]
      It fails at 1: 1 of 3 elements
    """
    message = Message("td.check", template, values)
    good = array_namespace().asarray(condition)
    primitives.check(good, *message.tensors, message=Opaque(message, "message"), batch=0)


def probe(x: Any, name: str) -> None:
    """Give a value a name by which `td.compile(f).fetch([name], …)` finds it. Costs nothing until somebody does.

    Args:
        x: a tensor, or a tree of them, whose parts are found as `name.path`.
        name: letters, digits, `_`, `.`, `-`.

    Raises:
        ArgumentError: the name has other characters.

    >>> @td.compile
    ... def f(x):
    ...     h = td.tanh(x)
    ...     td.probe(h, "hidden")
    ...     return h.sum()
    >>> f.fetch(["hidden"], td.zeros(2))["hidden"].tolist()
    [0.0, 0.0]
    """
    if not name or not all(c.isalnum() or c in "_.-" for c in name):
        raise ArgumentError(f"td.probe: the name {name!r} may have letters, digits, '_', '.' and '-'")
    for path, leaf in trees.leaves_with_paths(x):
        primitives.probe(array_namespace().asarray(leaf), name=f"{name}.{path}" if path else name)


def on_gradient(x: Tensor, function: Callable[[Tensor], Any]) -> Tensor:
    """The same tensor; when a derivative flows back through it, `function` is called with its cotangent.

    The function may print, check and probe what it gets. It is called where reverse mode passes, inside of compiled
    code and loops too; not in forward mode, and not where the cotangent is zero for reasons known beforehand.

    Args:
        x: floating-point.
        function: (cotangent, of x's shape and dtype) → None.

    Raises:
        DTypeError: x is not floating-point.
        ArgumentError: the function returns something.

    >>> def loss(x):
    ...     y = td.on_gradient(x * 2, lambda g: td.print("gradient of y: {}", g))
    ...     return (y * y).sum()
    >>> td.grad(loss)(td.asarray([1., 2.])).tolist()
    gradient of y: [4., 8.]
    [8.0, 16.0]
    """
    name = getattr(function, "__name__", "function")

    def flat(cotangent: Tensor) -> list[Tensor]:
        if function(cotangent) is not None:
            raise ArgumentError(
                f"td.on_gradient: {name} returned something; it can look at a gradient and not change it. "
                "To change it, write a td.custom_vjp"
            )
        return []

    made: Tensor = primitives.on_gradient(array_namespace().asarray(x), function=Opaque(flat, name))
    return made
