"""The step debugger's screen, as a front: opened for each call that stops, closed while the program runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from treadle.core.errors import MissingExtraError

if TYPE_CHECKING:
    from treadle.debug.stepper.session import Session


def screen_mode() -> Callable[[Session], None]:
    """A front that shows sessions on the textual screen.

    Raises:
        MissingExtraError: textual is not installed.
    """
    try:
        import textual
    except ModuleNotFoundError as e:
        raise MissingExtraError('the screen of the step debugger needs textual: pip install "treadle[debug]"') from e
    del textual

    def show(session: Session) -> None:
        from treadle.debug.stepper.screen_app import DebuggerApp

        DebuggerApp(session).run()

    return show
