"""The `treadle` command.

Each public module of this folder is one subcommand: its docstring is the help text (the first line in the list of
commands), `configure(parser)` declares its arguments, `run(options)` does the work and returns the exit code. A new
file is a new subcommand; there is no list to keep. Such a module imports what it needs inside `run`, because all of
them are loaded for `--help`.
"""

from treadle.cli._main import main

__all__ = ["main"]
