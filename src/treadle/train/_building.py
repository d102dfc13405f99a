"""Models get their parameters before training or loading begins, from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from treadle import random
from treadle.core import trees
from treadle.core.dims import Dim
from treadle.core.eager import is_eager
from treadle.core.errors import ArgumentError, BuildError, TreadleError
from treadle.core.stateful import Stateful, Variables, copy_of
from treadle.core.tensor import Tensor
from treadle.nn.module import Module


def call_model(model: Any, x: Any, training: bool) -> Any:
    """The model's prediction: a tuple is spread over its arguments, anything else is its first."""
    inputs = x if isinstance(x, tuple) else (x,)
    options = {"training": training} if isinstance(model, Module) else {}
    return model(*inputs, **options)


def build_from(model: Stateful, example: Any) -> None:
    """Make the parameters of layers that have none yet, from an input: tensors, specs, a shape, or a tuple of them."""
    if not isinstance(model, Module) or all(m.is_built for m in model.modules().values()):
        return
    is_shape = isinstance(example, tuple) and all(isinstance(n, int | str | Dim) for n in example)
    if is_eager() and all(isinstance(x, Tensor) for x in trees.leaves(example)):
        call_model(model, example, training=False)  # with numbers, for whoever stops inside
        return
    model.init(*(example if isinstance(example, tuple) and not is_shape else (example,)))


def build_from_shapes(model: Stateful, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Make the parameters of layers that have none yet so that they have these shapes, by path, where that can be done.

    `build` gets an input's spec, and the shapes tell little of it. So inputs are tried, on copies, whose channels are
    one of the sizes that occur. One that makes exactly these shapes is as good as the real one, if the layer keeps
    nothing else of it. A layer for which there is none stays as it is.
    """
    if not isinstance(model, Module):
        return
    stream = random.default_stream()
    before = stream.variables()
    for path, layer in model.modules().items():
        if not layer.is_built:
            prefix = f"{path}." if path else ""
            own = {n.removeprefix(prefix): s for n, s in shapes.items() if n.startswith(prefix)}
            fitting = next((x for x in _candidates(layer, own) if _makes(layer, x, own)), None)
            if fitting is not None:
                layer._build_for(fitting)
    stream.assign(before)  # what the trials drew was not part of the program


def _candidates(layer: Module, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Shapes of inputs: channels last, channels first, or a weight for each element."""
    groups = getattr(layer, "groups", 1)
    found = dict.fromkeys(n for shape in shapes.values() for n in shape)
    sizes = dict.fromkeys([*found, *(n * groups for n in found if isinstance(groups, int))])
    for rank in (2, 3, 4, 5):
        for n in sizes:
            yield (1,) * (rank - 1) + (n,)
            yield (1, n) + (1,) * (rank - 2)
    for shape in dict.fromkeys(shapes.values()):
        yield (1, *shape)


def _makes(layer: Module, shape: tuple[int, ...], wanted: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a copy of the layer, built for an input of this shape, gets parameters of the wanted shapes."""
    trial = copy_of(layer)
    before = set(Variables([trial]).paths)
    try:
        trial._build_for(shape)
    except TreadleError:
        return False
    made = {n: x.shape for n, x in Variables([trial]).named().items() if n not in before}
    kept = (v for k, v in vars(trial).items() if k not in vars(layer) and k != "_built" and v is not None)
    if any(not trees.leaves(v) or not all(isinstance(x, Tensor) for x in trees.leaves(v)) for v in kept):
        return False  # it noted down something of an input that is not the real one
    return bool(made) and all(wanted.get(n) == s for n, s in made.items())


def require_built(model: Stateful, what: str, fix: str = "") -> None:
    """Raise when a layer has no parameters yet, saying what was being done.

    Raises:
        BuildError
    """
    try:
        model.variables()
    except BuildError as e:
        raise BuildError(f"{what}: {e.message}{fix}") from None


def require_model(model: Any, where: str) -> None:
    """Raise unless something can be trained.

    Raises:
        ArgumentError
    """
    if isinstance(model, type):
        raise ArgumentError(f"{where} takes a model, and {model.__name__} is a class: write {model.__name__}(…)")
    if not isinstance(model, Stateful) or not callable(model):
        raise ArgumentError(
            f"{where} takes a model (a td.nn.Module), not {type(model).__name__}. A function has no parameters of its "
            "own: put it into a module, or train it by hand with td.value_and_grad"
        )
