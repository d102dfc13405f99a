"""The tensorboard package, loaded on first use."""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

from treadle.core.errors import MissingExtraError


def tensorboard(module: str) -> ModuleType:
    """A module of the tensorboard package: `tensorboard("compat.proto.summary_pb2")`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        # It says at each start that TensorFlow is not installed, which is as we want it.
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        return importlib.import_module(f"tensorboard.{module}")
    except ImportError as e:
        raise MissingExtraError('td.board needs TensorBoard: pip install "treadle[board]"') from e


def pillow(module: str) -> ModuleType:
    """A module of pillow, which comes with the tensorboard package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as e:
        raise MissingExtraError('pictures need pillow: pip install "treadle[board]"') from e
