"""What to say when a loss became NaN or infinite: what was seen last, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.describing import describe
from treadle.core.errors import NonFiniteError
from treadle.train._words import count


def report(
    *,
    results: Mapping[str, float],
    epoch: int,
    batch: int,
    step: int,
    good: int,
    losses: Sequence[float],
    rate: float | None,
    gradients: Mapping[str, Any],
    spoilt: list[str],
    variables: Mapping[str, Any],
    data: Any,
    prediction: Any,
    saved: str,
    origin: NonFiniteError | None = None,
) -> NonFiniteError:
    """The error, with what is known: losses before, learning rate, gradients, parameters, the batch's range, a hint.

    Args:
        good: the number of the step before which all was finite, this one's or one before.
        spoilt: the weights and moments that are not finite after the step.
        origin: which node made the first value that is not finite, and of what.
    """
    bad_gradients = [path for path, finite in gradients.items() if not bool(finite)]
    bad_variables = [path for path, x in variables.items() if not _all_finite(x)]
    parts = [(name, x) for name, x in _named(data) if np.asarray(x).dtype.kind in "fV"]
    bad_data = [name for name, x in parts if not _all_finite(x)]
    loss = results["loss"]
    lines = [
        f"{_what(results, bad_gradients, spoilt)} in epoch {epoch + 1}, batch {batch + 1} (step {step + 1}).",
        f"  losses before        {_last(losses)}",
        f"  learning rate        {'unknown' if rate is None else f'{rate:.4g}'}",
    ]
    if gradients:
        lines.append(f"  gradients not finite {_some(bad_gradients, len(gradients))}")
    lines.append(f"  weights not finite   {_some(bad_variables, len(variables))}")
    lines += [f"  {name:<20} {describe(x)}" for name, x in _named(data)]
    if prediction is not None:
        lines += [f"  {name:<20} {describe(x)}" for name, x in _named(prediction, "prediction")]
    when = "this step" if good > step else f"step {good}, which spoilt them"
    lines.append(f"  The model has its weights from before {when}{saved}.")
    if origin is not None:
        place = f", {origin.place}" if origin.place else ""
        lines.append(f"  First{place}: " + origin.message.replace("\n", "\n  "))
    updated = bool(spoilt) and (good <= step or bool(np.isfinite(loss))) and not bad_gradients
    lines.append(f"  {_hint(bad_data, bad_variables, bool(np.isfinite(loss)), updated, prediction, losses, rate)}")
    return NonFiniteError("\n".join(lines))


def _what(results: Mapping[str, float], bad_gradients: list[str], spoilt: list[str]) -> str:
    loss = f"the loss is {results['loss']:.6g}"
    if not np.isfinite(results["loss"]):
        return loss
    bad = [name for name, value in results.items() if not np.isfinite(value)]
    if bad:
        return f"{loss}, but {bad[0]} is {results[bad[0]]:.6g}"
    if bad_gradients or not spoilt:
        return f"{loss}, but its gradient is not finite"
    return f"{loss}, but what the step assigns is not finite, {_some(spoilt, len(spoilt)).partition(': ')[2]},"


def _hint(
    bad_data: list[str],
    bad_variables: list[str],
    finite_loss: bool,
    updated: bool,
    prediction: Any,
    losses: Any,
    rate: Any,
) -> str:
    if bad_data:
        return (
            f"{bad_data[0]} itself has values that are not finite: find them with np.isfinite, and fill them in, drop "
            "those rows, or give them weight 0."
        )
    if bad_variables:
        return f"{bad_variables[0]} was not finite before the step already: look at how it was initialised or loaded."
    grew = len(losses) >= 2 and losses[-1] > 4 * min(losses)
    if grew or (losses and abs(losses[-1]) > 1e6):
        lower = "" if rate is None else f" ({rate / 10:.1g})"
        return (
            f"The loss had been growing: use a lower learning rate{lower}, or clip the gradients: "
            "clip=td.optim.clip_by_global_norm(1.0)."
        )
    if prediction is not None and not all(_all_finite(x) for _, x in _named(prediction, "prediction")):
        return (
            "The data and the weights are finite and the prediction is not: something in the model overflows or "
            "divides by 0 (exp, log, sqrt, or a division by a sum that can be 0)."
        )
    if updated:
        return (
            "The loss was finite, and what the step assigned was not: too high a learning rate, a moment beyond what "
            "the dtype holds, a state of the model, or the slope of a root or norm that is 0 here."
        )
    if finite_loss:
        return "Look for a slope that is infinite: sqrt, log, a norm or a power below 1 of something that is 0 here."
    return (
        "The data, the weights and the prediction are finite: look in the loss for log or sqrt of what can be "
        "0 or negative, and for divisions by 0. The losses of td.losses take logits and have none of these."
    )


def all_finite(tensors: Sequence[Any]) -> bool:
    return all(map(_all_finite, tensors))


def _all_finite(x: Any) -> bool:
    a = np.asarray(x)
    return a.dtype.kind not in "fV" or bool(np.isfinite(a.astype(np.float32) if a.dtype.kind == "V" else a).all())


def _named(data: Any, single: str = "x") -> list[tuple[str, Any]]:
    """The arrays of a batch, by the names of (x, y, weights)."""
    names = {"": single, "0": "x", "1": "y", "2": "weights"} if single == "x" else {"": single}
    out = []
    for path, leaf in trees.leaves_with_paths(data):
        head, dot, rest = path.partition(".")
        if hasattr(leaf, "shape"):
            out.append((names.get(head, head) + dot + rest, leaf))
    return out


def _last(losses: Sequence[float], n: int = 5) -> str:
    return ", ".join(f"{v:.6g}" for v in losses[-n:]) or "none: this was the first step"


def _some(paths: list[str], total: int, limit: int = 5) -> str:
    if not paths:
        return f"none of {total}"
    more = f" and {count(len(paths) - limit, 'more')}".replace("mores", "more") if len(paths) > limit else ""
    return f"{len(paths)} of {total}: {', '.join(paths[:limit])}{more}"
