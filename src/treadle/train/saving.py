"""Weights to files and back: `td.save`, `td.load`."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, SaveError
from treadle.core.registry import array_namespace
from treadle.core.spec import Spec
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.train._building import build_from, build_from_shapes, require_built
from treadle.train._files import pack_tensors, read_tensors, write_whole
from treadle.train._names import Patterns, Rename, chooser, renamed
from treadle.train._words import count
from treadle.train.load_report import LoadReport

_Array = np.ndarray[Any, Any]


def save(model: Stateful | Mapping[str, Any], path: str | PathLike[str], *, only: Patterns = None) -> Path:
    """Write the weights of a model to a safetensors file: all its parameters and states, by path.

    The file appears whole: it is written under another name and renamed. Other programs read it too.

    Args:
        model: a module, an optimiser, or a dict of name → tensor.
        path: the file. `.safetensors` is the usual ending; none is added.
        only: names or patterns (`"encoder.*"`) of what to write.

    Returns: the path.

    Raises:
        BuildError: a layer has no weights yet, because the model has not seen an input.
        SaveError: the file cannot be written; or there is nothing to write.

    >>> td.save({"w": td.ones(2)}, "weights.safetensors").name
    'weights.safetensors'
    >>> td.load("weights.safetensors")["w"].tolist()
    [1.0, 1.0]

    Source: the format is described at huggingface.co/docs/safetensors.
    """
    path = Path(path)
    wanted = chooser(only, True)
    values = {n: x for n, x in _variables(model).items() if wanted(n)}
    if not values:
        raise SaveError(f"there is nothing to save in {path}: {_nothing(model, only)}")
    kinds = {n: x.kind for n, x in values.items() if isinstance(x, Tensor) and x.kind}
    arrays = {n: np.asarray(array_namespace().asarray(x)) for n, x in values.items()}
    write_whole(path, pack_tensors(arrays, {"kinds": kinds, "class": type(model).__name__}))
    return path


def load(
    path: str | PathLike[str],
    into: Stateful | None = None,
    *,
    strict: bool = True,
    rename: Rename = None,
    only: Patterns = None,
    skip: Patterns = None,
    dtype: Any = None,
    example: Any = None,
) -> Any:
    """Read weights from a safetensors file, into a model or as a dict.

    Names, shapes and dtypes of everything are compared before anything is assigned: a model is loaded as asked or left
    as it was. The model may be built differently from the one that was saved: names are what counts, and `rename`
    changes them on the way.

    Args:
        path: a file of `td.save` or of another program; or a checkpoint's folder, whose newest weights are taken.
        into: the model whose variables are assigned. Without it, a dict of name → tensor is returned.
        strict: raise unless everything that is wanted is there and fits, and nothing is left over.
            False loads what fits; the report says what did not.
        rename: the file's names → the model's. A dict of patterns, of which the first that fits counts: `*` is any run
            of characters, `{"encoder.*": "backbone.*"}`; a name without `*` is a tensor or a module with all in it,
            `{"encoder": "backbone"}`. Or a list of (regular expression, replacement), all applied in order.
        only, skip: patterns of the model's names: assign these alone, or all but these.
        dtype: with `into`: "model" converts floating-point numbers to the model's dtypes (None: they must agree).
            Without: the floating dtype to convert to.
        example: an input, its `td.Spec` or shape, to build a model that has not seen one yet. Needed only where the
            shapes in the file do not tell how: for layers of which it has no weights.

    Returns: a `LoadReport` (it prints as a table); without `into`, the dict.

    Raises:
        SaveError: the file is missing or damaged, or does not fit; the message lists names, shapes, the nearest names.
        BuildError: a layer has no weights yet, the file's shapes do not tell which, and `example` is not given.

    >>> model = td.nn.Dense(2)
    >>> y = model(td.ones((1, 3)))
    >>> path = td.save(model, "dense.safetensors")
    >>> print(td.load(path, into=model))
    dense.safetensors: 2 loaded
      kernel  f32[3,2]  loaded  kernel
      bias    f32[2]    loaded  bias
    """
    found, _ = read_tensors(_weights_file(Path(path)))
    names, unused = renamed(found, rename)
    arrays = _under_new_names(path, found, names)
    if into is None:
        return _as_dict(arrays, only, skip, dtype)
    if not isinstance(into, Stateful):
        raise ArgumentError(f"td.load(into=…) takes a module, not {type(into).__name__}")
    if dtype not in (None, "model"):
        raise ArgumentError(
            f'td.load(into=…, dtype={dtype!r}): a model keeps its dtypes; dtype="model" converts to them'
        )
    if example is not None:
        build_from(into, example)
    build_from_shapes(into, {n: a.shape for n, a in arrays.items()})
    require_built(into, f"td.load({str(path)!r}, into=model)", ". Or give load an input: example=td.Spec(…)")
    report, values = _compare(path, arrays, names, into, chooser(only, True), chooser(skip, False), dtype, unused)
    if strict and not report.complete:
        raise SaveError(report.complaint(type(into).__name__))
    into.assign(values)
    return report


def _compare(
    path: Any,
    arrays: Mapping[str, _Array],
    names: Mapping[str, str],
    model: Stateful,
    wanted: Any,
    refused: Any,
    dtype: Any,
    unused: list[str],
) -> tuple[LoadReport, dict[str, Tensor]]:
    """What fits, and why the rest does not."""
    places = model.variables()
    source = {new: old for old, new in names.items()}
    report = LoadReport(str(path), unused=unused, specs={n: x.spec for n, x in places.items()})
    values: dict[str, Tensor] = {}
    for name, x in places.items():
        if not wanted(name) or refused(name):
            report.skipped.append(name)
        elif name not in arrays:
            report.missing[name] = x.spec
        else:
            value = _converted(arrays[name], x.spec, dtype == "model")
            if value.spec == x.spec:
                values[name] = value
                report.matched[name] = source[name]
            else:
                report.mismatched[name] = x.spec, value.spec
    left_over = {n: a for n, a in arrays.items() if n not in places and wanted(n) and not refused(n)}
    report.unexpected.update((n, Spec(a.shape, as_dtype(a.dtype))) for n, a in left_over.items())
    return report, values


def assign_all(owner: Stateful, arrays: Mapping[str, _Array], what: str) -> None:
    """Assign every variable of an object, from arrays that must be exactly those.

    Raises:
        SaveError: they are not; nothing is assigned.
    """
    report, values = _compare(
        what, arrays, {n: n for n in arrays}, owner, chooser(None, True), chooser(None, False), None, []
    )
    if not report.complete:
        raise SaveError(report.complaint(type(owner).__name__))
    owner.assign(values)


def _converted(array: _Array, spec: Spec, convert: bool) -> Tensor:
    if convert and as_dtype(array.dtype).is_floating and spec.dtype.is_floating:
        array = array.astype(spec.dtype.numpy)
    x: Tensor = array_namespace().asarray(array)
    return x


def _as_dict(arrays: Mapping[str, _Array], only: Patterns, skip: Patterns, dtype: Any) -> dict[str, Tensor]:
    wanted, refused = chooser(only, True), chooser(skip, False)
    target = None if dtype is None else as_dtype(dtype)
    if target is not None and not target.is_floating:
        raise ArgumentError(f"td.load(dtype={target}): only floating-point numbers are converted, to a floating dtype")
    out = {}
    for name, a in arrays.items():
        if wanted(name) and not refused(name):
            floating = target is not None and as_dtype(a.dtype).is_floating
            out[name] = array_namespace().asarray(a.astype(target.numpy) if target and floating else a)
    return out


def _under_new_names(path: Any, found: Mapping[str, _Array], names: Mapping[str, str]) -> dict[str, _Array]:
    out: dict[str, _Array] = {}
    for old, new in names.items():
        if new in out:
            others = [n for n, m in names.items() if m == new]
            raise SaveError(f"{path}: rename= gives {' and '.join(others)} the same name, {new}")
        out[new] = found[old]
    return out


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    from treadle.train.checkpoints import WEIGHTS, newest

    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    step = newest(path)
    if step is None:
        raise SaveError(f"{path} is a folder without complete checkpoints (step-…); give the file of weights")
    return step / WEIGHTS


def _variables(model: Stateful | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(model, Stateful):
        require_built(model, "td.save")
        return model.variables()
    if isinstance(model, Mapping):
        return model
    raise ArgumentError(f"td.save takes a module, an optimiser or a dict of tensors, not {type(model).__name__}")


def _nothing(model: Any, only: Patterns) -> str:
    total = len(model.variables() if isinstance(model, Stateful) else model)
    if total:
        return f"only={only!r} fits none of its {count(total, 'tensor')}"
    return f"this {type(model).__name__} has no tensors"
