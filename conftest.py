"""What the doctests see.

In a docstring of src/, `td` and `np` are there already: every example would begin with the same two lines. A page
(README.md, docs/) is read on its own and copied from, so it must import what it uses.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _names_for_doctests(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace.clear()  # pytest keeps one for the whole session
    if isinstance(request.node, pytest.DoctestItem) and Path(request.node.path).suffix == ".py":
        doctest_namespace.update(td=importlib.import_module("treadle"), np=importlib.import_module("numpy"))


@pytest.fixture(autouse=True)
def _pages_write_elsewhere(request: pytest.FixtureRequest) -> None:
    """A page or docstring that saves a file saves it into a temporary folder, not into the checkout."""
    if isinstance(request.node, pytest.DoctestItem):
        request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
