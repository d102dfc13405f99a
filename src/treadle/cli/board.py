"""Show runs in TensorBoard: every run at and below the given folders, also while they are training.

Runs are named by the shortest part of their path that tells them apart. The server is for this machine alone
(127.0.0.1), and Ctrl-C ends it. --list and --compare print tables instead, and start nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import webbrowser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.board.server import Links


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="*", default=["."], metavar="DIR", help="where to look for runs (default: here)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="print the runs with their last step and last loss")
    what.add_argument("--compare", action="store_true", help="print a table of the runs' final measures")
    parser.add_argument(
        "--tags", nargs="+", default=[], metavar="PATTERN", help='which scalars --compare shows: "loss/*" "accuracy/*"'
    )
    parser.add_argument("--port", type=int, help="of the server (default: 6006, or the next that is free; 0: any)")
    parser.add_argument(
        "--reload", type=float, default=5.0, metavar="SECONDS", help="between two looks at the files (default: 5)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def run(options: argparse.Namespace) -> int:
    from treadle.core.errors import ArgumentError, MissingExtraError

    if not options.reload > 0:
        print(f"--reload {options.reload}: a number of seconds above 0", file=sys.stderr)
        return 2
    if options.tags and not options.compare:
        print("--tags goes with --compare", file=sys.stderr)
        return 2
    try:
        if options.list or options.compare:
            return _tables(options)
        return _serve(options)
    except (ArgumentError, MissingExtraError) as e:
        print(e.message, file=sys.stderr)
        return 1


def _tables(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from treadle.board import comparing

    found = comparing.entries(options.folders)
    if not found:
        print(f"no runs at or below {', '.join(options.folders)}")
        return 1
    rows = comparing.listing(found) if options.list else comparing.comparison(found, options.tags)
    table = Table(box=None, pad_edge=False)
    for k, title in enumerate(rows[0]):
        table.add_column(Text(title), justify="left" if k == 0 or (options.compare and k > 1) or k == 3 else "right")
    for row in rows[1:]:
        table.add_row(*map(Text, row))  # Text: names may have brackets, which rich would take for its markup
    # A file or pipe gets whole lines, whatever their length; a terminal gets what fits.
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)
    return 0


def _serve(options: argparse.Namespace) -> int:
    from treadle.board import server

    links = server.Links(options.folders)
    before = signal.signal(signal.SIGTERM, _interrupt)  # so that the links go then, too
    try:
        location = ", ".join(os.getcwd() if folder == "." else folder for folder in options.folders)
        address = server.start(links.folder, options.port, options.reload, location)
        count = len(links.shown)
        print(f"{count} run{'' if count == 1 else 's'}: {', '.join(sorted(links.shown.values())[:10])}" if count else
              f"no runs yet at or below {', '.join(options.folders)}; they will appear as they begin")  # fmt: skip
        print(f"TensorBoard: {address} (Ctrl-C ends it)", flush=True)
        if not options.no_browser:
            webbrowser.open(address)
        _watch(links, options.reload)
    except KeyboardInterrupt:
        print()
    finally:
        signal.signal(signal.SIGTERM, before)
        links.close()
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _watch(links: Links, seconds: float) -> None:
    """Link runs that begin, until Ctrl-C."""
    while True:
        time.sleep(seconds)
        for name in links.update():
            print(f"new: {name}", flush=True)
