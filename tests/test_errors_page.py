"""docs/errors.md shows what treadle answers now, and each answer has the words that help."""

from __future__ import annotations

import re

import pytest

from tools import make_errors_page as tool

# Per heading: what the message must say, in any order.
WORDS = {
    "A dense layer that was made for another size": ["ShapeError", "Dense", "program.py:5", "784", "100", "layers.0"],
    "A kernel that is larger than what is left of the image": [
        "ShapeError", "Conv2D", "layers.3", "program.py:11", "height", "(6 - 7) // 1 + 1 = 0", "same", "24",
    ],
    "Axes in the wrong order": ["ShapeError", "Conv2D", "program.py:5", "channels", "28", "channels_first"],
    "A Python `if` in a compiled function": ["TraceError", "td.compile(step)", "program.py:7", "td.cond", "td.where"],
    "A tensor that leaks out of a traced function": ["LeakError", "td.compile(layer)", "program.py:8", "Return it"],
    "Integers mixed with floats": ["DTypeError", "program.py:5", "multiply", "int32", "float32", ".astype(td.float32)"],
    "The gradient of an integer": ["DerivativeError", "program.py:3", "i32[3]", "argument 0", ".astype(td.float32)"],
    "Weights that are missing in a file": ["SaveError", "layers.1.kernel", "layers.1.bias", "strict=False"],
    "A loss that becomes NaN": ["NonFiniteError", "nan", "epoch 1", "step 1"],
    "An argument that does not exist": ["ArgumentError", "program.py:3", "pading", "padding", "Conv2D"],
    "A layer without parameters yet": ["BuildError", "program.py:4", "layers.0", "Dense", "init("],
}  # fmt: skip


@pytest.fixture(scope="module")
def page() -> str:
    return tool.PAGE.read_text(encoding="utf-8")


def test_the_page_is_up_to_date(page: str) -> None:
    assert tool.updated(page) == page, "run: make docs"


def test_every_section_has_a_program_its_message_and_the_repair(page: str) -> None:
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(WORDS)
    for title, text in sections.items():
        wrong, repaired = tool.BLOCK.finditer(text)
        assert wrong["message"] is not None, title
        assert repaired["message"] is None, title
        missing = [word for word in WORDS[title] if word not in wrong["message"]]
        assert not missing, f"{title}: the message lacks {missing}"


def test_no_folder_of_this_machine_is_named(page: str) -> None:
    messages = "".join(block["message"] or "" for block in tool.BLOCK.finditer(page))
    assert not re.search(r"(?<!\w)/(tmp|home|work|usr|root|Users|private)/", messages)


def test_a_program_that_runs_where_it_should_fail_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="runs, and should fail"):
        tool.updated("```python\nx = 1\n```\n\n```text\nShapeError: no\n```\n")
    with pytest.raises(RuntimeError, match="should run, and fails"):
        tool.updated("```python\nimport treadle as td\ntd.ones(2) @ td.ones(3)\n```\n")


def test_other_errors_are_not_taken_for_messages() -> None:
    with pytest.raises(ZeroDivisionError):
        tool.updated("```python\n1 / 0\n```\n\n```text\nShapeError: no\n```\n")
