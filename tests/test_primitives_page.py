"""docs/primitives.md is what its tool makes, and the tool counts rightly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import make_primitives_table as tool

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return list(tool.collected())


def test_the_page_is_up_to_date(lines: list[str]) -> None:
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(lines), "run: make docs"


def test_every_primitive_has_one_row(lines: list[str]) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", tool.page(lines), re.MULTILINE)
    assert sorted(rows) == [p.name for p in tool.all_primitives()]


def test_numbers_are_of_the_collected_tests() -> None:
    counts = tool.count_tests(
        ["a.py::test_x[add-0-3x2]", "a.py::test_x[add-1-]", "a.py::test_x[and_]", "a.py::test_y", "12 tests collected"]
    )
    assert counts == {("test_x", "add"): 2, ("test_x", "and_"): 1}


def test_a_test_that_is_gone_is_noticed(lines: list[str]) -> None:
    without = [line for line in lines if "test_batch_rule_against_a_loop" not in line]
    with pytest.raises(RuntimeError, match="has no test_batch_rule_against_a_loop"):
        tool.page(without)


def test_a_rule_without_tests_is_noticed(lines: list[str]) -> None:
    without = [line for line in lines if "test_wrong_inputs_raise_with_words[conv-" not in line]
    with pytest.raises(RuntimeError, match=r"rules of \['conv'\] have neither tests nor a note"):
        tool.page(without)


@pytest.mark.parametrize("name", sorted(tool.NOTES))
def test_notes_name_tests_that_exist(name: str) -> None:
    for path in re.findall(r"tests/[\w/]+\.py", tool.NOTES[name]):
        assert (ROOT / path).is_file()
