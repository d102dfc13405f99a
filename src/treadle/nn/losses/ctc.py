"""Connectionist temporal classification: labels without their times."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.array.convert import as_tensor
from treadle.core.dims import same_size
from treadle.core.dtypes import int32
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.padded import Padded
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.losses.checks import Named, as_prediction
from treadle.nn.losses.weighting import weigh
from treadle.nn.masking import check_lengths, mask_of
from treadle.ops.control import scan

_NEVER = -1e30  # the logarithm of 0: finite, so that differences of two are 0


def ctc(
    prediction: Any,
    target: Any,
    *,
    lengths: Any = None,
    target_lengths: Any = None,
    blank: int = 0,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """`-log p(target)`, summed over all ways to lay the labels along the steps, in nats.

    A way gives each step a label or a blank; with repetitions merged and then blanks removed it must read as the
    target.

    Args:
        prediction: logits `[batch, time, classes]`, the blank among the classes; or a `td.data.Padded` of them.
        target: labels, integers `[batch, labels]`, padded behind; or a `Padded`, which brings its lengths.
        lengths: integers `[batch]`: steps of each prediction; all if None.
        target_lengths: integers `[batch]`: labels of each target, 0 allowed; all if None.
        blank: the class that stands for no label.
        weights, mask: `[batch]`, as in `treadle.nn.losses`.
        reduction: "mean" over the sequences, "sum", "none". (PyTorch's mean also divides by the number of labels.)

    Returns: `[]`, or `[batch]` with "none". A target that does not fit into its steps has the loss inf and no gradient.

    Raises:
        ShapeError: shapes that do not fit together. DTypeError: targets that are no integers.
        ArgumentError: a blank that is no class; lengths twice.

    Source: Graves et al., Connectionist temporal classification, ICML 2006.

    >>> uniform = td.zeros((1, 2, 3))  # 2 steps, blank and 2 labels: of 9 ways, 3 read as [1]: 11, 01, 10
    >>> round(float(td.exp(-td.losses.ctc(uniform, td.asarray([[1]])))), 6)
    0.333333
    """
    with Named("ctc"):
        prediction, lengths = _unwrapped("lengths", prediction, lengths)
        target, target_lengths = _unwrapped("target_lengths", target, target_lengths)
        p = as_prediction(prediction)
        labels = as_tensor(target, "target")
        _check(p, labels, blank)
        batch, time, _ = p.shape
        count = labels.shape[1]
        n = _lengths("lengths", lengths, batch, time)
        m = _lengths("target_lengths", target_lengths, batch, count)
        given = xp.where(mask_of(m, count), labels.astype(int32), blank)  # what lies in the padding is never a class
        # States: blank, label 1, blank, label 2, …, blank.
        between = xp.full((batch, count, 1), blank, dtype=int32)
        pairs = xp.concat([between, xp.expand_dims(given, axis=2)], axis=2)
        states = xp.concat(
            [xp.reshape(pairs, (batch, 2 * count)), between[:, :1, 0] if count else _blanks(batch, blank)], axis=1
        )
        width = 2 * count + 1
        real = mask_of(n, time)
        # In the padding there may be anything, NaN for instance.
        log_p = xp.log_softmax(xp.where(xp.expand_dims(real, axis=2), p, 0), axis=-1)
        scores = xp.take_along_axis(
            log_p, xp.broadcast_to(xp.expand_dims(states, axis=1), (batch, time, width)), axis=2
        )
        # A label may follow the one before at once, unless they are the same: then a blank lies between.
        two_back = xp.concat([states[:, :1], states[:, :1], states[:, :-2]], axis=1)[:, :width] if count else states
        jumps = xp.logical_and(states != blank, states != two_back)
        at = xp.arange(width, dtype=int32)
        start = xp.broadcast_to(xp.where(at == 0, 0.0, _NEVER).astype(p.dtype), (batch, width))
        # Before the first step one stands left of the first blank: from there to it or to the first label.
        alpha = xp.where(at <= 1, scores[:, 0], _NEVER) if _some(time) else start
        alpha = xp.where(real[:, :1], alpha, start) if _some(time) else start

        def step(alpha: Tensor, item: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
            score, here = item
            one = _shifted(alpha, 1)
            two = xp.where(jumps, _shifted(alpha, 2), _NEVER)
            new = xp.logsumexp(xp.stack([alpha, one, two]), axis=0) + score
            return xp.where(xp.expand_dims(here, axis=1), xp.maximum(new, _NEVER), alpha), None

        if not isinstance(time, int) or time > 1:
            rest = xp.moveaxis(scores[:, 1:], 1, 0), xp.moveaxis(real[:, 1:], 1, 0)
            alpha, _ = scan(step, alpha, rest)
        ends = xp.logical_or(at == 2 * xp.expand_dims(m, axis=1), at == 2 * xp.expand_dims(m, axis=1) - 1)
        total = xp.logsumexp(xp.where(ends, alpha, _NEVER), axis=1)
        fits = total > _NEVER / 2
        return weigh(xp.where(fits, -total, float("inf")), weights, mask, reduction)


def _some(time: Any) -> bool:
    return not isinstance(time, int) or time > 0


def _blanks(batch: Any, blank: int) -> Tensor:
    return xp.full((batch, 1), blank, dtype=int32)


def _shifted(alpha: Tensor, by: int) -> Tensor:
    """Each state's number at the state `by` places to the right."""
    batch, width = alpha.shape
    by = min(by, width) if isinstance(width, int) else by
    return xp.concat([xp.full((batch, by), _NEVER, dtype=alpha.dtype), alpha[:, : width - by]], axis=1)


def _unwrapped(name: str, x: Any, lengths: Any) -> tuple[Any, Any]:
    if not isinstance(x, Padded):
        return x, lengths
    if lengths is not None:
        raise ArgumentError(f"ctc: a Padded brings its own lengths; leave out {name}=")
    return x.values, x.lengths


def _check(p: Tensor, labels: Tensor, blank: int) -> None:
    if p.ndim != 3 or labels.ndim != 2 or not same_size(p.shape[0], labels.shape[0]):
        raise ShapeError(
            "ctc takes logits [batch, time, classes] and labels [batch, labels], and got "
            f"{show_shape(p.shape)} and {show_shape(labels.shape)}"
        )
    if not labels.dtype.is_integer:
        raise DTypeError(f"ctc: labels are integers, and got {labels.spec}; write target.astype(td.int32)")
    classes = p.shape[2]
    if isinstance(classes, int) and not 0 <= blank < classes:
        raise ArgumentError(f"ctc: blank={blank} is none of the {classes} classes, 0 to {classes - 1}")


def _lengths(name: str, given: Any, batch: Any, size: Any) -> Tensor:
    if given is None:
        return xp.full((batch,), size, dtype=int32)
    n = check_lengths(given, size, name).astype(int32)
    if n.ndim != 1 or not same_size(n.shape[0], batch):
        raise ShapeError(f"ctc: {name} must be [{batch}], one for each sequence, and is {show_shape(n.shape)}")
    return n
