"""Runs the programs of docs/errors.md and writes their messages into it.

    python tools/make_errors_page.py

The page is written by hand, but for its ```text blocks: each follows a ```python block, which is a whole program that
must fail, and holds the error that it ends with. Every other ```python block must run. A program is called program.py,
so that messages name its lines and no folder of this machine. tests/test_errors_page.py checks that the page is up to
date.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import tempfile
from pathlib import Path

import treadle as td
from treadle.core.errors import TreadleError

PAGE = Path(__file__).resolve().parent.parent / "docs/errors.md"
BLOCK = re.compile(r"```python\n(?P<program>.*?)```\n(?:\n```text\n(?P<message>.*?)```\n)?", re.DOTALL)


def outcome(program: str) -> str | None:
    """The error that a program ends with, as Python prints its last lines; None if it runs to its end.

    Raises:
        Exception: what is no error of treadle's own.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        path = Path("program.py")
        path.write_text(program, encoding="utf-8")
        td.random.set_seed(0)  # as in a process of its own
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                runpy.run_path(str(path))
        except TreadleError as error:
            return f"{type(error).__name__}: {error}\n".replace(os.path.realpath(folder), "…")
    return None


def updated(text: str) -> str:
    """The page with the messages that its programs give now.

    Raises:
        RuntimeError: a program that must fail runs, or the other way round.
    """

    def one(block: re.Match[str]) -> str:
        program, old = block["program"], block["message"]
        message = outcome(program)
        if (message is None) != (old is None):
            told = "runs, and should fail" if message is None else f"should run, and fails:\n{message}"
            raise RuntimeError(f"docs/errors.md: this program {told}\n\n{program}")
        end = "" if message is None else f"\n```text\n{message}```\n"
        return f"```python\n{program}```\n{end}"

    return BLOCK.sub(one, text)


def main() -> None:
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
