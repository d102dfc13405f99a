"""Writes docs/primitives.md: every primitive, which of its rules exist, and how many tests each rule has.

    python tools/make_primitives_table.py

The rules come from the registry, the numbers from collecting tests/ops/test_battery.py: a test that pytest would not
run is not counted. tests/test_primitives_page.py checks that the page is up to date.
"""

from __future__ import annotations

import collections
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/primitives.md"
BATTERY = "tests/ops/test_battery.py"

sys.path.insert(0, str(ROOT))  # the battery's table of exceptions is part of the tests

import treadle.ops  # noqa: E402, F401  registers every primitive
from treadle.core.primitive import Primitive, all_primitives  # noqa: E402
from treadle.testing.samples import Case, Samples  # noqa: E402

Counts = Mapping[tuple[str, str], int]

# Why the battery does not test a rule that a primitive has, and what does. A 0 without a note is an error.
LOOPS = "the graphs among its parameters have fixed shapes; tests/transforms/test_control.py"
CUSTOM = "the user's own function and derivative; tests/transforms/test_custom.py"
NOTES = {
    "bitcast": "its derivative is zero by definition, and its float results are of integer inputs",
    "call": "the graph that it calls has fixed shapes; tests/transforms/test_control.py",
    "cast": "every input can be cast",
    "cond": LOOPS,
    "constant": "has no inputs that could be wrong",
    "custom_jvp": CUSTOM,
    "custom_vjp": CUSTOM,
    "host": "has the derivative that it is given; its results have the promised shapes; tests/debug/test_effects.py",
    "linear_call": "is made by the linearization of `custom_vjp` alone; tests/transforms/test_custom.py",
    "probe": "every input will do; tests/debug/test_effects.py",
    "scan": LOOPS,
    "size": "has no inputs that could be wrong",
    "stop_gradient": "its derivative is zero by definition, and every input will do; tests/ops/test_elementwise.py, "
    "tests/transforms/test_custom.py",
    "while_loop": LOOPS,
}


@dataclass(frozen=True)
class Column:
    """A column of the table: the battery's test that is counted, and whether a primitive has the rule it tests."""

    title: str
    test: str
    exists: Callable[[Primitive], bool]
    meaning: str


def has(kind: str) -> Callable[[Primitive], bool]:
    return lambda primitive: kind in primitive.rules


def is_differentiable(primitive: Primitive) -> bool:
    return derivative_kind(primitive) != "none"


def is_always(primitive: Primitive) -> bool:
    return True


def takes_floats(primitive: Primitive) -> bool:
    """Whether a trial input is floating; those are the ones that run at several dtypes."""
    cases = [case for case in primitive.rule("samples")(Samples()) if isinstance(case, Case)]
    return any(x.dtype == np.float64 for case in cases for x in case.inputs)


COLUMNS = (
    Column(
        "shape",
        "test_reference_has_the_spec_of_the_shape_rule",
        has("shape"),
        "the shape rule, against the shape and dtype of what the reference computes",
    ),
    Column("Dims", "test_shape_rule_with_dims", has("shape"), "the shape rule with unknown sizes, against known ones"),
    Column(
        "values",
        "test_values_agree_with_float64",
        takes_floats,
        "results at every floating dtype, against the reference at float64",
    ),
    Column(
        "forward",
        "test_jvp_against_finite_differences",
        is_differentiable,
        "the derivative along a direction, against finite differences",
    ),
    Column(
        "second",
        "test_second_derivative_against_finite_differences",
        is_differentiable,
        "the derivative of the derivative, against finite differences",
    ),
    Column(
        "transpose",
        "test_transpose_by_dot_product",
        lambda primitive: "transpose" in primitive.rules and primitive.is_linear,
        "the transpose rule: ⟨y, A x⟩ = ⟨Aᵀ y, x⟩, for each set of inputs in which the primitive is linear "
        "(`→`: linear for some parameters or inputs only; the tests of reverse run the rule)",
    ),
    Column(
        "reverse",
        "test_reverse_mode_by_dot_product",
        is_differentiable,
        "reverse mode, made of the derivative and of the transposes of what that consists of",
    ),
    Column("batch", "test_batch_rule_against_a_loop", has("batch"), "the batching rule, against a Python loop"),
    Column("refuses", "test_wrong_inputs_raise_with_words", is_always, "wrong inputs, and the words of the message"),
)


def derivative_kind(primitive: Primitive) -> str:
    """Which rule makes the derivative: a `jvp` rule, linearity with a `transpose` rule, or none."""
    if {"jvp", "push"} & set(primitive.rules):
        return "jvp"
    if primitive.additive:
        return "linear"
    return "multilinear" if primitive.multilinear else "none"


def count_tests(lines: Iterable[str]) -> Counts:
    """(test, primitive) → number, from pytest's list of what it would run: `…::test_x[add-0-3x2]`."""
    found = (re.search(r"::(\w+)\[(\w+)[-\]]", line) for line in lines)
    return collections.Counter((match[1], match[2]) for match in found if match)


def collected() -> list[str]:
    """What pytest would run of the battery, slow tests included, one line each."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider", BATTERY]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"pytest cannot collect {BATTERY}:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout.splitlines()


def row(primitive: Primitive, counts: Counts) -> str:
    cells = [f"`{primitive.name}`", derivative_kind(primitive)]
    for column in COLUMNS:
        number = counts.get((column.test, primitive.name), 0)
        if number or column.exists(primitive):
            cells.append(str(number) if number else "–*")
        else:
            cells.append("→" if column.title in primitive.rules else "")
    return "| " + " | ".join(cells) + " |"


def family(primitive: Primitive) -> str:
    """The module in which the primitive's rules stand: where its samples are."""
    return primitive.rule("samples").__module__


def page(lines: Iterable[str]) -> str:
    """The whole page, from the list of the battery's tests."""
    counts = count_tests(lines)
    unknown = [column.test for column in COLUMNS if not any(test == column.test for test, _ in counts)]
    if unknown:
        raise RuntimeError(f"{BATTERY} has no {', '.join(unknown)}: change COLUMNS in tools/make_primitives_table.py")
    families: dict[str, list[Primitive]] = {}
    for primitive in all_primitives():
        families.setdefault(family(primitive), []).append(primitive)
    parts = [introduction(sum(map(len, families.values())))]
    noted: set[str] = set()
    head = "| primitive | derivative | " + " | ".join(column.title for column in COLUMNS) + " |"
    rule = "|---|---|" + "--:|" * len(COLUMNS)
    for module, members in sorted(families.items()):
        path = f"../src/{module.replace('.', '/')}.py"
        subject = (sys.modules[module].__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        rows = {primitive.name: row(primitive, counts) for primitive in members}
        parts.append(
            "\n".join([f"## [{module.removeprefix('treadle.')}]({path})", "", subject, "", head, rule, *rows.values()])
        )
        starred = [name for name, cells in rows.items() if "–*" in cells]
        parts += ["\n".join(f"- \\* `{name}`: {NOTES[name]}" for name in starred if name in NOTES)] if starred else []
        noted.update(starred)
    if noted != set(NOTES):
        untested, needless = sorted(noted - set(NOTES)), sorted(set(NOTES) - noted)
        raise RuntimeError(f"NOTES: rules of {untested} have neither tests nor a note; notes without cause: {needless}")
    return "\n\n".join([*parts, exceptions()]) + "\n"


def introduction(count: int) -> str:
    meanings = "\n".join(f"- **{column.title}**: {column.meaning}" for column in COLUMNS)
    return f"""\
# Primitives

<!-- Written by tools/make_primitives_table.py: `make docs`. -->

The {count} things that treadle can compute; everything else is composed of them. Each one's meaning, shapes, derivative
and batching stand side by side in the file that the heading leads to. Its trial inputs, also there, are what the
[battery](../{BATTERY}) runs on.

**derivative** is the kind of rule: `jvp`, a formula; `linear` in several inputs together or `multilinear` in one at a
time, where the transpose rule is all there is to say; `none`, with the reason at the [end](#without-a-derivative). The
numbers count tests of the battery:

{meanings}

Nothing in a cell: there is no such rule, and none is needed. –\\*: the rule is tested elsewhere, or there is nothing
that it could be compared with: see below the table."""


def exceptions() -> str:
    table: Mapping[str, str] = importlib.import_module("tests.ops._battery").NOT_DIFFERENTIABLE
    by_reason: dict[str, list[str]] = {}
    for name, reason in table.items():
        by_reason.setdefault(reason, []).append(f"`{name}`")
    lines = [f"- {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return "\n".join(["## Without a derivative", "", *lines])


def main() -> None:
    PAGE.write_text(page(collected()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
