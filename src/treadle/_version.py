"""The version of treadle: written here and nowhere else (pyproject.toml reads this file)."""

__version__ = "0.1.0.dev0"
