"""The `treadle` command.

Each public module of this folder is one subcommand: its docstring is the help text (the first line in the list of
commands), `configure(parser)` declares its arguments, `run(options)` does the work and returns the exit code. A new
file is a new subcommand; there is no list to keep. Such a module imports what it needs inside `run`, because all of
them are loaded for `--help`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

from treadle._version import __version__

__all__ = ["main"]


class _Command(Protocol):
    """What a module of this folder provides."""

    __doc__: str | None

    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int: ...


def _commands() -> Iterator[tuple[str, _Command]]:
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if not module.name.startswith("_"):
            yield module.name.replace("_", "-"), cast(_Command, importlib.import_module(f"{__name__}.{module.name}"))


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
