"""Run a script, and stop in the step debugger at each call of a compiled function.

The debugger shows the source, the graph and its values on a screen (pip install "treadle[debug]"), or with --plain,
and where input or output is no terminal, line by line. `h` lists its commands. The script sees its own arguments.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--function", metavar="NAME", help="stop in calls of this compiled function only")
    parser.add_argument("--plain", action="store_true", help="lines instead of the screen")
    parser.add_argument("--commands", metavar="FILE", help="a file of commands, one a line, instead of the prompt")
    parser.add_argument("--session", action="store_true", help="open a session that the command `save` wrote instead")
    parser.add_argument("script", help="a Python script (or a saved session)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own")


def run(options: argparse.Namespace) -> int:
    path = Path(options.script)
    if not path.is_file():
        return _refuse(f"there is no file {path}")
    try:
        commands = None if options.commands is None else Path(options.commands).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as e:
        return _refuse(f"the commands in {options.commands} cannot be read: {e}")
    plain = options.plain or commands is not None or not (sys.stdin.isatty() and sys.stdout.isatty())
    from treadle.core.errors import MissingExtraError, TreadleError
    from treadle.debug.stepper.running import DebuggerQuit

    work = _session if options.session else _script
    try:
        return work(path, options, commands, not plain)
    except DebuggerQuit:
        return 0
    except MissingExtraError as e:
        return _refuse(f"{e.message}. With --plain nothing else is needed")
    except TreadleError as e:
        return _refuse(e.message)


def _refuse(why: str) -> int:
    print(f"treadle debug: {why}", file=sys.stderr)
    return 2


def _session(path: Path, options: argparse.Namespace, commands: Iterable[str] | None, screen: bool) -> int:
    from treadle.debug.stepper.running import load

    load(path, commands=commands, screen=screen)
    return 0


def _script(path: Path, options: argparse.Namespace, commands: Iterable[str] | None, screen: bool) -> int:
    from treadle.debug.stepper.running import DebuggerQuit, stepping

    with stepping(options.function, commands=commands, screen=screen) as debugger:
        try:
            with _as_main(path, options.arguments):
                runpy.run_path(str(path), run_name="__main__")
        except DebuggerQuit:
            raise
        except SystemExit as e:
            return _exit_code(e.code)
        except BaseException as e:
            _show_error(e, path)
            return 1
    if not debugger.stopped and not debugger.wishes.detached:
        called = ", ".join(sorted(debugger.called)) or "none"
        wanted = f" named {options.function!r}" if options.function else ""
        print(f"treadle debug: no compiled function{wanted} was called. Called were: {called}", file=sys.stderr)
        return 1 if options.function else 0
    return 0


@contextmanager
def _as_main(path: Path, arguments: list[str]) -> Iterator[None]:
    """What a script finds when Python runs it: its name and arguments, and its folder to import from."""
    argv, first = sys.argv, sys.path[0]
    sys.argv = [str(path), *arguments]
    sys.path[0] = str(path.resolve().parent)
    try:
        yield
    finally:
        sys.argv, sys.path[0] = argv, first


def _exit_code(code: Any) -> int:
    """What the shell gets, as Python has it: text is an error that is printed."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _show_error(error: BaseException, path: Path) -> None:
    """The script's traceback, without the frames that started it."""
    at = error.__traceback__
    start = at
    while start is not None and Path(start.tb_frame.f_code.co_filename) != path:
        start = start.tb_next
    traceback.print_exception(error.with_traceback(start or at))
