"""Writes src/treadle/datasets/digits.npz and its licence from the installed scikit-learn.

    python tools/make_digits.py

The bytes are the same in every run (same zlib). tests/datasets/test_digits.py checks that the packaged images are
scikit-learn's.
"""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).resolve().parent.parent / "src/treadle/datasets/digits.npz"

HEADER = """\
digits.npz: the test set of "Optical Recognition of Handwritten Digits", 1,797 images of 8×8 pixels.

Source: E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49,
licensed under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).
Taken from scikit-learn's sklearn.datasets.load_digits by tools/make_digits.py. Changed: nothing but the file format
(`pixels` uint8 [1797, 8, 8] with values 0..16, `labels` uint8 [1797], in the original order).

scikit-learn's licence:

"""


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """What the file holds, from scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = found.images.astype(np.uint8)
    if not np.array_equal(pixels, found.images):
        raise ValueError("scikit-learn's digits are no longer whole numbers")
    return {"pixels": pixels, "labels": found.target.astype(np.uint8)}


def licence() -> str:
    """The text beside the file: the source, and scikit-learn's own licence (not those of the libraries it bundles)."""
    (path,) = (p for p in importlib.metadata.files("scikit-learn") or [] if p.name == "COPYING")
    return HEADER + path.read_text(encoding="utf-8").partition("\n----\n")[0].rstrip() + "\n"


def packed() -> bytes:
    """An .npz whose bytes do not depend on the time of day."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays().items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return out.getvalue()


def main() -> None:
    TARGET.write_bytes(packed())
    TARGET.with_suffix(".LICENSE.txt").write_text(licence(), encoding="utf-8")
    print(f"wrote {TARGET.name} ({TARGET.stat().st_size:,} bytes) and {TARGET.with_suffix('.LICENSE.txt').name}")


if __name__ == "__main__":
    main()
