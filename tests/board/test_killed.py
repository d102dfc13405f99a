"""A process that is killed while it writes leaves a file that TensorBoard reads."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import treadle as td
from tests.board.reader import scalars

PROGRAM = Path(__file__).with_name("killed_writer.py")


def test_a_killed_run_is_readable_and_another_writer_goes_on(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    time.sleep(0.3)
    process.kill()
    process.communicate()
    found = scalars(tmp_path, "loss")
    assert len(found) > 20
    assert found == [(k, float(k)) for k in range(len(found))]
    with td.board.Writer(tmp_path, resume_at=15) as w:
        w.scalar("loss", -1, 15)
    assert scalars(tmp_path, "loss") == [*((k, float(k)) for k in range(15)), (15, -1.0)]
    assert td.board.read(tmp_path).last_step == 15


@pytest.mark.parametrize("lost", [1, 5, 20, 37])
def test_a_file_that_was_cut_short_anywhere(tmp_path: Path, lost: int) -> None:
    with td.board.Writer(tmp_path) as w:
        for step in range(10):
            w.scalar("loss", step, step)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-lost])
    run = td.board.read(tmp_path)
    kept = len(run.scalars["loss"])
    assert kept in (8, 9)
    np.testing.assert_array_equal(run.scalars["loss"].values, range(kept))
    assert scalars(tmp_path, "loss") == [(k, float(k)) for k in range(kept)]


def test_a_program_that_ends_without_closing_loses_nothing(tmp_path: Path) -> None:
    program = f"import treadle as td; w = td.board.Writer({str(tmp_path)!r}); [w.scalar('a', k, k) for k in range(500)]"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert td.board.read(tmp_path).scalars["a"].values.tolist() == list(range(500))


def test_what_is_written_appears_without_close(tmp_path: Path) -> None:
    w = td.board.Writer(tmp_path)
    w.scalar("a", 1, 1)
    end = time.monotonic() + 20
    while time.monotonic() < end and not td.board.read(tmp_path).scalars:
        time.sleep(0.05)
    assert td.board.read(tmp_path).scalars["a"].values.tolist() == [1.0]
    w.close()
