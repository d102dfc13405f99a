"""The pictures of the page on convolutions are what their script draws."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SCRIPT = runpy.run_path(str(FOLDER / "conv.py"))


@pytest.mark.parametrize("name", SCRIPT["PICTURES"])
def test_committed_picture_is_current(name: str) -> None:
    drawn = str(SCRIPT["PICTURES"][name]())
    assert (FOLDER / name).read_text(encoding="utf-8") == drawn, "run: python docs/pictures/conv.py"
