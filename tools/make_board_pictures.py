"""Draws docs/pictures/board-*.png: TensorBoard's pages of a run on the digits, in a real browser.

    python tools/make_board_pictures.py [--keep FOLDER]

Needs Chromium (Debian: apt-get install chromium) and Node.js with playwright-core (npm install playwright-core), which
is looked for here and in NODE_PATH. The run is made by docs/howto/tensorboard.md's program, with a few more epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "pictures"
SCRIPT = ROOT / "tools" / "board_pictures.cjs"
LARGEST = 200_000  # bytes of a picture


def make_runs(folder: Path) -> None:
    """Two runs on the digits, of two learning rates; the second with everything that a page can show."""
    import numpy as np

    import treadle as td
    from treadle import nn

    data = td.datasets.digits()
    for name, rate in (("rate 0.01", 0.01), ("rate 0.001", 0.001)):
        td.random.set_seed(0)
        model = nn.Sequential(
            [
                nn.Conv2D(16, 3, activation="relu"),
                nn.MaxPooling2D(2),
                nn.Flatten(),
                nn.Dropout(0.3),
                nn.Dense(32, activation="relu"),
                nn.Dense(10),
            ]
        )
        log = td.board.Log(folder, name=name, every=5, histograms=38, profile=True)
        td.fit(
            model, data.train, loss="sparse_categorical_crossentropy", optimizer=td.optim.Adam(rate), epochs=12,
            metrics=["accuracy"], validation_data=data.test, verbose=False, board=log,
        )  # fmt: skip
        with td.board.Writer(folder / name) as writer:
            shown = {"label": data.y_test, "predicted": np.asarray(td.predict(model, data.x_test)).argmax(1)}
            writer.layer_embedding(model, data.x_test, "layers.4", metadata=shown, images=data.x_test)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of `treadle board FOLDER`."""
    command = [sys.executable, "-m", "treadle", "board", folder.name, "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, cwd=folder.resolve().parent, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("TensorBoard: "):
                yield line.split()[1]
                return
        raise SystemExit("treadle board did not start")
    finally:
        process.terminate()
        process.wait()


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    return found


def smaller(path: Path) -> None:
    """Fewer colours, which pages have few of anyway, until the file is small."""
    from PIL import Image

    for colours in (256, 128, 64, 32, 16):
        picture = Image.open(path).convert("RGB").quantize(colours)
        picture.save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            return
    raise SystemExit(f"{path} has {path.stat().st_size} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="folder for the runs, which are then kept, or used if they are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "runs"
        if not folder.exists():
            make_runs(folder)
        with server(folder) as address, tempfile.TemporaryDirectory() as profile:
            task = {"address": address, "browser": browser(), "profile": profile, "target": str(TARGET)}
            node = shutil.which("node")
            if node is None:
                raise SystemExit("there is no Node.js: apt-get install nodejs npm")
            done = subprocess.run([node, str(SCRIPT), json.dumps(task)], check=False, env=os.environ)
            if done.returncode:
                return done.returncode
    for path in sorted(TARGET.glob("board-*.png")):
        smaller(path)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
