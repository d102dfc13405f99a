"""The command line: what it says about itself, and its exit codes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from treadle._version import __version__
from treadle.cli import _main, main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"treadle {__version__}\n"


def test_help_lists_each_command_with_the_first_line_of_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "doctor Show versions, the processor, threads, and which backends and extras are usable and why not" in words
    for name, command in _main._commands():
        assert command.__doc__, name
        assert f" {name} " in words


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["doctor", "--nonsense"]], ids=" ".join)
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: treadle" in capsys.readouterr().err


def only_command(monkeypatch: pytest.MonkeyPatch, run: object) -> None:
    """Replaces the subcommands by one, `try`."""

    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--code", type=int, default=0)

    def commands() -> Iterator[tuple[str, object]]:
        yield "try", SimpleNamespace(__doc__="Try.", configure=configure, run=run)

    monkeypatch.setattr(_main, "_commands", commands)


def test_exit_code_is_the_command_s(monkeypatch: pytest.MonkeyPatch) -> None:
    only_command(monkeypatch, lambda options: options.code)
    assert main(["try", "--code", "3"]) == 3


def test_interrupt_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    only_command(monkeypatch, run)
    assert main(["try"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE semantics for a closed pipe")
def test_reader_that_goes_away_ends_without_a_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        command = [sys.executable, "-m", "treadle", "doctor", "--json"]
        result = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert result.stderr == ""
    assert result.returncode == 141


def test_python_dash_m_is_the_command() -> None:
    command = [sys.executable, "-m", "treadle", "--version"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == f"treadle {__version__}\n"
