"""treadle (the public names follow as soon as treadle.array is complete)."""

from treadle._version import __version__

__all__ = ["__version__"]
