"""TensorBoard over runs that lie anywhere, shown under short names.

TensorBoard takes one folder, or a list of folders in which commas and colons have a meaning and the Projector finds
nothing. So it gets one folder of links, a link for each run, named as the page shall name it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from treadle.board import runs
from treadle.board._extra import tensorboard
from treadle.core.errors import ArgumentError

RELOAD_SECONDS = 5


class Links:
    """A temporary folder with a link to each run; `update` adds those that began since. Names stay as they are.

    Args:
        folders: what is searched for runs.

    Raises:
        ArgumentError: one of them does not exist.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        self.folders = list(folders)
        self.folder = Path(tempfile.mkdtemp(prefix="treadle-board-")).resolve()
        self._end = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.shown: dict[Path, str] = {}
        try:
            self.update()
        except ArgumentError:
            self.close()
            raise

    def update(self) -> list[str]:
        """Link what is new. Returns its names."""
        found = runs.find(self.folders)
        top = runs.tops(runs.names(found))
        # A run that was a part of an older link needs none: TensorBoard finds it there.
        new = [p for p in top if p not in self.shown and not any(q in p.parents for q in self.shown)]
        named = runs.names([*self.shown, *new], self.shown)
        for path in new:
            place = self.folder / named[path]
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(place, path)
            self.shown[path] = named[path]
        return [named[p] for p in new]

    def close(self) -> None:
        """Remove the links, and nothing behind them."""
        self._end()


def _link(place: Path, target: Path) -> None:
    try:
        place.symlink_to(target, target_is_directory=True)
    except OSError:
        if os.name != "nt":
            raise
        import _winapi  # junctions need no privilege there

        _winapi.CreateJunction(str(target), str(place))  # type: ignore[attr-defined, unused-ignore]


Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_TELL_WHERE = ("/data/environment", "/data/logdir")  # what pages know of the folder


def _told(application: Application, folder: str, location: str) -> Application:
    """TensorBoard's answers with the folders that the user named where it would tell the one of the links."""
    ours, theirs = (json.dumps(text)[1:-1].encode() for text in (folder, location))

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") not in _TELL_WHERE:
            return application(environ, start_response)
        environ.pop("HTTP_ACCEPT_ENCODING", None)  # as it is, not compressed
        head: list[Any] = []
        body = b"".join(application(environ, lambda *args: head.extend(args)))
        made = body.replace(ours, theirs)
        kept = [(k, v) for k, v in head[1] if k.lower() != "content-length"]
        start_response(head[0], [*kept, ("Content-Length", str(len(made)))])
        return [made]

    return answer


def start(folder: Path, port: int | None = None, reload: float = RELOAD_SECONDS, location: str | None = None) -> str:
    """Start TensorBoard over a folder, in threads of this process, for this machine alone. Returns its address.

    Args:
        location: what its pages say the data is in; None: the folder.
        port: None: 6006, or the next that is free; 0: any.
        reload: seconds between two looks at the event files.

    Raises:
        ArgumentError: the port is taken.
        MissingExtraError: tensorboard is not installed.
    """
    program = tensorboard("program")
    location = str(folder) if location is None else location
    make = program.create_port_scanning_werkzeug_server
    server = program.TensorBoard(server_class=lambda app, flags: make(_told(app, str(folder), location), flags))
    options = [
        *("--logdir", str(folder), "--host", "127.0.0.1", "--reload_interval", str(reload)),
        # Every file of a run is watched, not only its newest: several writers share a folder.
        *("--reload_multifile", "true"),
        # The other loader, a program of its own, reads no links on some systems.
        *("--load_fast", "false"),
        *(() if port is None else ("--port", str(port))),
    ]
    server.configure(argv=["treadle board", *options])
    try:
        return str(server.launch())
    except program.TensorBoardServerException as e:
        raise ArgumentError(f"TensorBoard cannot start: {e.msg}") from e
