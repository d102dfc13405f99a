"""What every loss takes besides its own arguments: lengths of padded sequences, and `Padded`s."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from treadle import array as xp
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.padded import Padded
from treadle.core.source import place_text
from treadle.core.spec import show_shape
from treadle.nn.masking import mask_of

F = TypeVar("F", bound=Callable[..., Any])


def of_sequences(loss: F) -> F:
    """A loss that also takes `lengths=` (integers `[batch]`: the rest of each sequence is masked), and `Padded`s."""

    @functools.wraps(loss)
    def wrapped(prediction: Any, target: Any, *args: Any, lengths: Any = None, **options: Any) -> Any:
        given = [x for x in (target, prediction) if isinstance(x, Padded)]
        if not given and lengths is None:
            return loss(prediction, target, *args, **options)
        prediction, target = (x.values if isinstance(x, Padded) else x for x in (prediction, target))
        if options.get("mask") is not None:
            raise ArgumentError("give a mask or lengths (a Padded brings its own), not both").at(place_text())
        n = xp.asarray(given[0].lengths if lengths is None else lengths)
        steps = xp.asarray(target)
        if steps.ndim < 2 or n.shape != steps.shape[:1]:
            raise ShapeError(
                f"lengths {show_shape(n.shape)} are one for each sequence, and the target is "
                f"{show_shape(steps.shape)}, where [batch, time, …] is needed"
            ).at(place_text())
        return loss(prediction, steps, *args, mask=mask_of(n, steps.shape[1]), **options)

    signature = inspect.signature(loss)
    parameters = [
        *signature.parameters.values(),
        inspect.Parameter("lengths", inspect.Parameter.KEYWORD_ONLY, default=None),
    ]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]
