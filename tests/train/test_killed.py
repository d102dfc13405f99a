"""A run that is killed at any moment and started again ends with the same bits as one that was not."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killed_run.py")
RESULTS = ("model.safetensors", "optimizer.safetensors", "history.json", "log.csv")


def start(folder: Path, how: str = "run") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(folder: Path, how: str = "run") -> int:
    process = start(folder, how)
    out, err = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), err
    assert (process.returncode == 0) == out.endswith("done\n")
    return process.returncode


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    assert finish(folder) == 0
    return results(folder)


def kill_after(folder: Path, lines: int, delay: float) -> bool:
    """Kill a run some milliseconds after it printed a number of steps; whether it was still running."""
    process = start(folder)
    assert process.stdout is not None
    for _ in range(lines):
        if not process.stdout.readline():
            break
    time.sleep(delay)
    process.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode != 0


def check_random_kills(folder: Path, expected: dict[str, bytes], seed: int, kills: int) -> None:
    rng = random.Random(seed)
    killed = sum(kill_after(folder, rng.randint(0, 9), rng.uniform(0, 0.03)) for _ in range(kills))
    assert finish(folder) == 0
    assert killed
    assert results(folder) == expected


def test_killed_at_random_moments(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    check_random_kills(tmp_path, uninterrupted, seed=0, kills=3)


# A checkpoint is 8 operations: 4 files, folder, rename, folder; then the oldest is renamed away. 29: past the fourth.
@pytest.mark.parametrize("operation", [3, 13, 29])
def test_killed_while_writing(tmp_path: Path, uninterrupted: dict[str, bytes], operation: int) -> None:
    assert finish(tmp_path, f"die:{operation}") == -signal.SIGKILL
    assert finish(tmp_path) == 0
    assert results(tmp_path) == uninterrupted
    assert not list((tmp_path / "run").glob(".*")), "left-overs are cleared away"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_killed_many_times(tmp_path: Path, uninterrupted: dict[str, bytes], seed: int) -> None:
    check_random_kills(tmp_path, uninterrupted, seed, kills=8)


@pytest.mark.slow
def test_killed_at_every_operation(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    for operation in range(1, 27):  # three checkpoints, the removal of the oldest among it
        folder = tmp_path / str(operation)
        folder.mkdir()
        if finish(folder, f"die:{operation}") != 0:
            assert finish(folder) == 0
        assert results(folder) == uninterrupted
