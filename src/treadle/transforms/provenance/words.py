"""What is said of a value that is not finite: the message, and the repair."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.core.dtypes import bfloat16, float16
from treadle.core.graph import Node
from treadle.core.source import place_text
from treadle.transforms.provenance.blame import LONGEST, Link, Origin

PHASES = {
    "": "the forward pass",
    "derivative": "the slope of this line, which a derivative asks for,",
    "backward": "the backward pass",
    "optimizer": "the optimiser's update",
}
_MASK = "A product with a mask does not take {} out: {} is NaN. Choose instead: td.where(mask, x, 0.0)"
_ROOT = "The slope of a root, a norm or a power below 1 is infinite at 0: add a small number under the root"
HINTS = {
    "log": "log of 0 is -inf and of a negative number NaN: keep the argument above 0, as in "
    "td.log(td.maximum(x, 1e-7))",
    "log1p": "log1p of -1 is -inf and below it NaN: keep the argument above -1",
    "sqrt": "sqrt of a negative number is NaN: keep the argument at 0 or above",
    "rsqrt": "1/sqrt of 0 is infinite: add a small number under the root, as in td.rsqrt(variance + 1e-5)",
    "div": "a division by 0, or by so small a number that the result is beyond the dtype: add a small number to the "
    "divisor",
    "masked_div": "a division by 0: add a small number to the divisor",
    "exp": "exp is infinite beyond 88.7 in float32 (and bfloat16): subtract the maximum first, or use td.softmax, "
    "td.logsumexp or a loss that takes logits",
    "power": "a power of 0 with a negative exponent, of a negative number, or beyond the dtype",
    "sub": "inf - inf is NaN",
    "host": "the Python function gave it",
    "mul": "0 · inf is NaN",
}


def explain(origin: Origin) -> str:
    """The message, without its place."""
    node = origin.node
    kind = "NaN" if origin.stat.has_nan else "an infinite value"
    if node is None:
        return "\n  ".join(
            [f"{origin.name} has {kind} before anything is computed: {origin.stat.text}", *_turned(origin)]
        )
    lines = [f"{kind} in {PHASES[node.source.phase].rstrip(',')}: `{origin.name}` made it" + _where(origin)]
    if node.source.phase == "derivative":
        lines[0] = f"{kind} in {PHASES['derivative']} made by `{origin.name}`{_where(origin)}"
    for step, loop in origin.around:
        lines.append(f"in {step} of the loop at {loop.source}")
    if origin.evidence:
        lines.append(origin.evidence)
    lines.append(f"result  {origin.stat.text}")
    lines += [f"{'inputs' if k == 0 else '':<6}  {_link(link)}" for k, link in enumerate(origin.inputs)]
    rest = [link for link in origin.chain if link.node is None or link.node is not node][1:]
    lines += [f"{'from' if k == 0 else '':<6}  {_link(link)}" for k, link in enumerate(_shortened(rest))]
    lines += _turned(origin)
    lines.append(hint(origin))
    return "\n  ".join(line.rstrip() for line in lines)


def _where(origin: Origin) -> str:
    return " of finite numbers" if not any(link.stat.is_bad for link in origin.inputs) else ""


def _link(link: Link) -> str:
    place = "" if link.node is None else f"  ({place_text(link.node.source, link.node.scope)})"
    return f"{link.what:<12} {link.stat.text}{place}"


def _shortened(links: Sequence[Link]) -> list[Link]:
    if len(links) <= LONGEST:
        return list(links)
    return [*links[: LONGEST - 1], links[-1]]


def _turned(origin: Origin) -> list[str]:
    if origin.turned is None:
        return []
    turned = origin.turned
    return [f"it became NaN in `{turned.primitive.name}` at {place_text(turned.source, turned.scope)}"]


def hint(origin: Origin) -> str:
    """The repair."""
    node = origin.node
    assert node is not None
    turned, chose = origin.turned, origin.chose
    is_where = chose is not None and chose.primitive.name == "select"
    slope = node.source.phase in ("derivative", "backward") and node.primitive.name in _SLOPES
    if not slope and turned is not None and turned.primitive.name in ("mul", "masked_mul", "contract"):
        return _MASK.format("an infinite value", "0 · inf")
    half = next((v.spec.dtype for v in node.outputs if v.spec.dtype in (float16, bfloat16)), None)
    if half is float16 and origin.stat.has_inf and not _is_special(origin):
        return "The largest float16 is 65504: compute this in float32 (or bfloat16), or scale it down"
    if half is bfloat16 and origin.stat.has_inf and not _is_special(origin):
        return (
            "The largest bfloat16 is 3.39e38: the numbers had grown long before; lower the learning rate or scale down"
        )
    if slope:
        guarded = f" The `where` at {chose.source} comes too late for it:" if chose is not None and is_where else ""
        return (
            f"{_ROOT}, as in td.sqrt(x + 1e-12).{guarded} To leave an element out, choose before and after: "
            "td.where(ok, td.sqrt(td.where(ok, x, 1.0)), 0.0)"
        )
    words = HINTS.get(node.primitive.name)
    if words is None or (node.primitive.name in _OF_INFINITE and not any(x.stat.is_bad for x in origin.inputs)):
        words = (
            "The numbers had grown beyond the dtype: look at the first large one above; a lower learning rate, "
            "clipped gradients or a normalisation keeps them small"
        )
    if chose is not None and is_where:
        words += (
            f". The `where` at {chose.source} chose it: its condition is true there. To guard the branch, give "
            "it a harmless argument where it is not wanted: td.where(ok, f(td.where(ok, x, 1.0)), 0.0)"
        )
    elif chose is not None:
        words += f". {_MASK.format('NaN', '0 · NaN')} (the product is at {chose.source})"
    return words[0].upper() + words[1:]


_OF_INFINITE = ("mul", "sub")
_SLOPES = ("div", "masked_div", "rsqrt", "power", "integer_power")


def _is_special(origin: Origin) -> bool:
    return origin.name in ("log", "div", "masked_div", "rsqrt")


def place_of(node: Node) -> str:
    return place_text(node.source, node.scope)


__all__ = ["explain", "hint", "place_of"]
