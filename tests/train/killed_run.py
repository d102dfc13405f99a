"""A program that trains and that the tests kill: `python killed_run.py FOLDER HOW`. Prints a line per step.

HOW is "run", or "die:N": the process kills itself in the middle of its Nth file operation on a checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import problem

import treadle as td
from treadle.train import _files, checkpoints


def die_at(n: int) -> None:
    """Kill this process before the nth write, sync or rename of a checkpoint; writes leave half of their bytes."""
    count = 0

    def counted(function: Any, partial: Any = None) -> Any:
        def wrapped(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count == n:
                if partial is not None:
                    partial(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args)

        return wrapped

    def half(path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])

    checkpoints.write_synced = counted(checkpoints.write_synced, half)  # type: ignore[attr-defined]
    checkpoints.sync_folder = counted(checkpoints.sync_folder)  # type: ignore[attr-defined]
    os.rename = counted(os.rename)
    assert _files.write_synced is not checkpoints.write_synced  # type: ignore[attr-defined]


def main(folder: Path, how: str) -> None:
    kind, _, n = how.partition(":")
    if kind == "die":
        die_at(int(n))
    model, optimizer = problem.model(), td.optim.Adam(1e-2)
    history = td.fit(
        model,
        problem.data(),
        loss="sparse_categorical_crossentropy",
        optimizer=optimizer,
        epochs=4,
        batch_size=16,  # 10 batches an epoch, the last of 6 rows
        metrics=["accuracy", "auc"],
        validation_data=problem.data(40),
        callbacks=[
            td.train.EarlyStopping("val_loss", patience=9, restore_best=True),
            td.train.CSVLog(folder / "log.csv"),
            td.train.LambdaCallback(on_batch_end=lambda c: print(f"step {c.step}", flush=True)),
        ],
        checkpoint=td.train.Checkpoint(folder / "run", every_steps=3, every_epochs=1, keep=2),
        verbose=False,
    )
    td.save(model, folder / "model.safetensors")
    td.save(optimizer, folder / "optimizer.safetensors")
    (folder / "history.json").write_text(json.dumps([history.rows, history.steps]))
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
