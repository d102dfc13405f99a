"""Finds the subcommands, reads the arguments, and runs one."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

from treadle._version import __version__


class _Command(Protocol):
    """What a module of this folder provides."""

    __doc__: str | None

    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int: ...


def _commands() -> Iterator[tuple[str, _Command]]:
    package = importlib.import_module("treadle.cli")
    for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        if not name.startswith("_"):
            yield name.replace("_", "-"), cast(_Command, importlib.import_module(f"treadle.cli.{name}"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="treadle", description="The command line of the neural-network toolkit treadle."
    )
    parser.add_argument("--version", action="version", version=f"treadle {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in _commands():
        text = (command.__doc__ or "").strip()
        subparser = subparsers.add_parser(name, help=text.partition("\n")[0].rstrip("."), description=text)
        subparser.formatter_class = argparse.RawDescriptionHelpFormatter
        command.configure(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's own arguments) and returns the exit code.

    Raises:
        SystemExit: with 0 after `--help` and `--version`, with 2 when the arguments are wrong (argparse does it).

    >>> from treadle.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    SystemExit: 0
    """
    options = _parser().parse_args(argv)
    try:
        code = int(options.run(options))
        sys.stdout.flush()  # here, where a closed pipe is caught
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130  # 128 + SIGINT, as shells report it
    except BrokenPipeError:
        # The reader (`| head`) went away. Python flushes once more at exit and would complain, so give it somewhere to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # 128 + SIGPIPE
