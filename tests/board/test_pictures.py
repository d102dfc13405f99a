"""The pictures of TensorBoard's pages that the documentation shows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent


def test_pictures_are_small_shown_and_no_empty_pages() -> None:
    page = (ROOT / "docs" / "howto" / "tensorboard.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\.\./pictures/(board-[a-z]+\.png)", page))
    assert shown == {p.name for p in (ROOT / "docs" / "pictures").glob("board-*.png")}
    assert len(shown) >= 5
    for name in shown:
        path = ROOT / "docs" / "pictures" / name
        assert path.stat().st_size < 200_000
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert picture.shape == (760, 1280, 3)
        colours = np.unique(picture[150:700, 340:950] @ np.array([65536, 256, 1]))
        assert len(colours) > 8, "a page that has not been drawn has few colours"
