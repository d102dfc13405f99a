"""`treadle debug script.py`: what runs, what stops, exit codes; the screen on a real terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from treadle.cli import main

SCRIPT = """\
import sys
import treadle as td
from helper import scale

@td.compile
def first(x):
    return td.exp(x * scale)

@td.compile
def second(x):
    return x + 1.0

if __name__ == "__main__":
    y = first(td.zeros(2))
    print(second(y).tolist(), sys.argv[1:])
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "helper.py").write_text("scale = 2.0\n")
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    return path


def debug(*arguments: object) -> int:
    return main(["debug", *map(str, arguments)])


def commands(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "commands.txt"
    path.write_text("\n".join(lines))
    return path


def test_each_compiled_call_stops_and_the_script_has_its_arguments(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = commands(tmp_path, "n", "set %0 = 0.0", "c", "p x", "c")
    assert debug("--commands", given, script, "--some", "1") == 0
    text = capsys.readouterr().out
    assert "first, call 1: 2 nodes; h lists the commands" in text
    assert "script.py:7  return td.exp(x * scale)" in text
    assert "(treadle) p x\n[1., 1.]\n" in text
    assert text.endswith("[2.0, 2.0] ['--some', '1']\n")


def test_one_function_alone(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert debug("--function", "second", "--commands", commands(tmp_path, "c"), script) == 0
    text = capsys.readouterr().out
    assert "second, call 1" in text
    assert "first, call" not in text


def test_a_function_that_is_never_called_is_said(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert debug("--function", "third", "--plain", script) == 1
    said = capsys.readouterr().err
    assert said == "treadle debug: no compiled function named 'third' was called. Called were: first, second\n"


def test_quit_ends_the_script_with_0(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert debug("--commands", commands(tmp_path, "q"), script) == 0
    assert "[" not in capsys.readouterr().out.partition("(treadle)")[2]


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [("sys.exit(3)", 3, ""), ("sys.exit('words')", 1, "words"), ("raise KeyError('here')", 1, "KeyError: 'here'")],
)
def test_exit_codes_and_errors_are_the_script_s(
    ending: str, code: int, said: str, script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text(f"import sys\n{ending}\n")
    assert debug("--plain", script) == code
    err = capsys.readouterr().err
    assert said in err
    assert "runpy" not in err


def test_files_that_are_not_there(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert debug(tmp_path / "none.py") == 2
    assert "there is no file" in capsys.readouterr().err
    assert debug("--commands", tmp_path / "none", script) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert debug("--session", script) == 2
    assert "is no safetensors file" in capsys.readouterr().err


def test_a_saved_session_opens(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "bug.session"
    debug("--function", "first", "--commands", commands(tmp_path, "n", f"save {saved}", "c"), script)
    capsys.readouterr()
    assert debug("--commands", commands(tmp_path, "p %0", "c"), "--session", saved) == 0
    text = capsys.readouterr().out
    assert "> first  step 1" in text
    assert "(treadle) p %0\n[0., 0.]\n" in text


def test_without_a_terminal_it_reads_lines(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["c", "c"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    assert debug(script) == 0
    assert "first, call 1 returns f32[2]" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_on_a_terminal_it_is_the_screen(script: Path, tmp_path: Path) -> None:
    pytest.importorskip("textual")
    import pty
    import select

    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "treadle", "debug", "--function", "second", str(script)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
    )
    os.close(theirs)
    seen, pressed, patience = b"", False, time.monotonic() + 120
    try:
        while time.monotonic() < patience:
            ready, _, _ = select.select([ours], [], [], 0.2)
            if ready:
                try:
                    seen += os.read(ours, 65536)
                except OSError:  # the program is over
                    break
            if not pressed and b"second, call 1" in seen and b"over" in seen:
                os.write(ours, b"c")
                pressed = True
        assert program.wait(timeout=30) == 0
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    assert b"\x1b[?1049h" in seen  # the alternate screen, entered and left
    assert b"\x1b[?1049l" in seen
    assert b"[2.0, 2.0]" in seen.rpartition(b"\x1b[?1049l")[2]
