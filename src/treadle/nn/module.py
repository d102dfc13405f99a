"""`Module`: an object that owns parameters and computes with them."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from treadle import array as xp
from treadle.core.dims import Dim
from treadle.core.dtypes import float32
from treadle.core.errors import ArgumentError, BuildError
from treadle.core.owned import Parameter, State
from treadle.core.source import place_text
from treadle.core.spec import Spec
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.core.texts import prepared
from treadle.core.tracing import untraced
from treadle.nn import calls
from treadle.nn.construction import ModuleMeta
from treadle.transforms import eval_shape

_Self = TypeVar("_Self", bound="Module")
_building = threading.RLock()


class Module(Stateful, metaclass=ModuleMeta):
    """Base of layers and models: attributes hold parameters and other modules, `__call__` computes.

    Modules, `Parameter`s and `State`s may be attributes, or stand in lists and dicts. A layer whose parameters depend
    on its input's size makes them in `build`, which gets the specs of the first tensors that the first call passes.

    `model(x, training=True)` holds for all modules that are called inside, which ask `nn.is_training()`. A `__call__`
    with a parameter named `training` gets it, too.

    >>> class Scale(td.nn.Module):
    ...     def build(self, x):
    ...         self.factor = td.nn.Parameter(td.full(x.shape[-1:], 2.0))
    ...     def __call__(self, x):
    ...         return x * self.factor
    >>> layer = Scale()
    >>> layer(td.asarray([1.0, 3.0])).tolist(), list(layer.parameters())
    ([2.0, 6.0], ['factor'])
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" in cls.__dict__:
            cls.__call__ = _wrapped(cls.__dict__["__call__"])  # type: ignore[method-assign]

    def build(self, *inputs: Spec) -> None:
        """Make the parameters, from the specs of the first call. For subclasses to write, not to call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. For subclasses to write.

        Raises:
            ArgumentError: the subclass has not.
        """
        other = next((n for n in ("forward", "call", "apply") if callable(getattr(type(self), n, None))), None)
        fix = f"rename {other} to __call__" if other else "write def __call__(self, x)"
        raise ArgumentError(f"{type(self).__name__} cannot be called: {fix}").at(place_text())

    def prepare(self, *inputs: Any) -> Any:
        """What takes the place of inputs that hold texts: calls the layers that make numbers of them. For subclasses.

        It runs in Python, with numbers, in front of the graph: before a call with texts, before a module that
        `td.compile` holds is traced, and for each batch of texts in `td.fit`, `td.evaluate` and `td.predict`.
        `__call__` then gets what it returned (a tuple is spread over the arguments). `nn.Sequential` has its own.

        >>> class Model(td.nn.Module):
        ...     def __init__(self):
        ...         self.words = td.data.TextVectorization(tokens=["to", "be"])
        ...         self.embedding = td.nn.Embedding(len(self.words), 4, mask_zero=True)
        ...     def prepare(self, texts):
        ...         return self.words.batch(texts).values
        ...     def __call__(self, tokens):
        ...         return self.embedding(tokens).sum(axis=1)
        >>> td.compile(Model())(["to be", "be"]).shape
        (2, 4)
        """
        return inputs

    @property
    def is_built(self) -> bool:
        """Whether it has its own parameters (those of the modules inside not counted)."""
        return type(self).build is Module.build or "_built" in self.__dict__

    def init(self: _Self, *inputs: Any, **options: Any) -> _Self:
        """Make all parameters without computing anything: runs the shapes of a call through the model.

        Args:
            inputs: what a call takes: tensors, `td.Spec`s, or shapes as tuples, in which a name is a size that is not
                known yet, and whose dtype is float32.
            options: the call's keyword arguments.

        Returns: the module itself.

        >>> model = td.nn.Sequential([td.nn.Dense(4), td.nn.Dense(1)]).init(("batch", 3))
        >>> {name: p.shape for name, p in model.parameters().items() if "kernel" in name}
        {'layers.0.kernel': (3, 4), 'layers.1.kernel': (4, 1)}
        """
        eval_shape(self)(*map(as_spec, inputs), **options)
        return self

    def modules(self) -> dict[str, Module]:
        """All modules inside, by path, this one first under the empty path. Each once."""
        found: dict[str, Module] = {}
        _collect(self, "", found, set())
        return found

    def variables(self) -> dict[str, Tensor]:
        """All tensors that it owns, by path: `{"layers.0.kernel": …}`. Each once, however often it is referred to.

        Raises:
            BuildError: a layer inside has not made its parameters yet.
        """
        self._check_built("variables()")
        return super().variables()

    def parameters(self) -> dict[str, Tensor]:
        """What training changes, by path.

        Raises:
            BuildError: a layer inside has not made its parameters yet.
        """
        self._check_built("parameters()")
        return super().parameters()

    def states(self) -> dict[str, Tensor]:
        """What running changes, by path: running statistics, random streams.

        Raises:
            BuildError: a layer inside has not made its parameters yet.
        """
        self._check_built("states()")
        return super().states()

    def assign(self, values: Mapping[str, Any]) -> None:
        """Put tensors into the places named by their paths.

        Raises:
            ArgumentError: there is no such place.
            ShapeError: the shape or dtype differs from what is there.
            BuildError: a layer inside has not made its parameters yet.
        """
        self._check_built("assign()")
        super().assign(values)

    def _check_built(self, what: str) -> None:
        unbuilt = {path: m for path, m in self.modules().items() if not m.is_built}
        if not unbuilt:
            return
        path, layer = next(iter(unbuilt.items()))
        where = f"{path or 'it'} ({type(layer).__name__})"
        more = f" and {len(unbuilt) - 1} more" if len(unbuilt) > 1 else ""
        size = (
            ", or give the layer its input_size=" if "input_size" in inspect.signature(type(layer)).parameters else ""
        )
        raise BuildError(
            f"{what} of {type(self).__name__}: {where}{more} makes its parameters when it is first called, and it has "
            f"not been. Call the model once, or model.init((batch, …)) with the shape of its input{size}; a layer "
            "that is never called does not belong into the model"
        ).at(place_text())

    def _build(self, args: tuple[Any, ...]) -> None:
        with _building:
            if self.is_built:
                return
            specs = self._build_arguments([a.spec for a in args if isinstance(a, Tensor)])
            with untraced():
                self.build(*specs)
            self.__dict__["_built"] = True

    def _build_arguments(self, specs: list[Spec]) -> list[Spec]:
        """As many of the specs as `build` takes."""
        parameters = inspect.signature(self.build).parameters.values()
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return specs
        taken = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        needed = [p.name for p in taken if p.default is p.empty]
        if len(specs) < len(needed):
            raise BuildError(
                f"{type(self).__name__} makes its parameters from the tensors of its first call, {', '.join(needed)}, "
                f"and got {len(specs)} by position. Pass tensors, by position; td.asarray(…) makes them of lists"
            )
        return specs[: len(taken)]

    def _build_for(self, *shapes: tuple[int, ...]) -> None:
        """Build in the constructor, for inputs of these shapes."""
        self._build(tuple(Tensor(Spec(shape, float32)) for shape in shapes))

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and not self.is_built and name in _annotated(type(self)):
            raise BuildError(
                f"{type(self).__name__} has no {name} yet: it is made when the layer is first called, because its "
                "shape depends on the input. Call the layer or the model once, or use init() or input_size="
            ).at(place_text())
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)

    def __repr__(self) -> str:
        from treadle.nn.tables import describe

        return describe(self)


def _annotated(cls: type) -> set[str]:
    """Names that a class and its bases declare."""
    return {name for base in cls.__mro__ for name in inspect.get_annotations(base)}


def _collect(value: Any, path: str, found: dict[str, Module], seen: set[int]) -> None:
    if not isinstance(value, Stateful | list | tuple | dict) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Module):
        found[path] = value
    container = value.__dict__ if isinstance(value, Stateful) else value
    for key, child in container.items() if isinstance(container, dict) else enumerate(container):
        _collect(child, f"{path}.{key}" if path else str(key), found, seen)


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """A class's `__call__` that builds first, names its scope, and takes `training=`."""
    wants_training = "training" in inspect.signature(function).parameters

    def inside(self: Module, *args: Any, **kwargs: Any) -> Any:
        if not self.is_built:
            self._build(args)
        if wants_training:
            kwargs["training"] = calls.is_training()
        return function(self, *args, **kwargs)

    @functools.wraps(function)
    def __call__(self: Module, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:  # noqa: N807
        args = prepared(self, args)
        args = tuple(xp.asarray(a) if isinstance(a, np.ndarray) and a.dtype.kind not in "OSU" else a for a in args)
        return calls.run(self, inside, args, kwargs, training)

    return __call__


def as_spec(what: Any) -> Any:
    """A spec from a spec, a tensor, an array or a shape; a tree of them stays a tree, other things stay as they are.

    Raises:
        ArgumentError: a shape with something that is no size.
    """
    if isinstance(what, Tensor):
        return what.spec
    if isinstance(what, np.ndarray):
        return xp.asarray(what).spec
    if isinstance(what, tuple) and all(isinstance(n, int | str | Dim) for n in what):
        if any(isinstance(n, int) and n < 0 for n in what):
            raise ArgumentError(
                f"{what} is no shape: a size is not negative. A size that is not known has a name: 'batch'"
            )
        return Spec(tuple(Dim(n) if isinstance(n, str) else n for n in what), float32)
    return what


__all__ = ["Module", "Parameter", "State", "as_spec"]
