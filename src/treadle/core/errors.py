"""Every error that treadle raises on purpose.

TreadleError
├── ShapeError (ValueError)          shapes that do not fit together
│   └── DimError                     a question about a Dim that cannot be decided
├── DTypeError (TypeError)           dtypes that do not fit together
├── OutOfRangeError (IndexError)     an index outside of its axis
├── CheckError (AssertionError)      a td.check of the user's that does not hold
├── TraceError (TypeError)           a number was needed where none is known yet
│   └── LeakError                    a symbolic tensor outlived its trace
├── DerivativeError (TypeError)      something that has no derivative
├── ArgumentError (ValueError)       an argument that is unknown or has an impossible value
├── BuildError (RuntimeError)        a layer was used before it had its parameters
├── GraphError (ValueError)          an illegal graph, or a text that is not a graph
├── RuleError (NotImplementedError)  a primitive lacks the rule that a transform needs
├── CompileError (RuntimeError)      machine code could not be made
├── NonFiniteError (ArithmeticError) a loss or value became NaN or infinite
├── SaveError (RuntimeError)         weights or checkpoints that cannot be written or do not fit
├── DataError (ValueError)           a data set's file that is damaged or not what it should be
└── MissingExtraError (ImportError)  an optional dependency is not installed
"""

from __future__ import annotations

from treadle.core.source import place_text


class TreadleError(Exception):
    """Base of all errors that treadle raises on purpose.

    The message begins with a place ("in encoder/dense, model.py:12"): the user's line that was running, unless
    whoever knows better names another on the way out, as a graph does that runs long after it was written.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.place = ""
        self._born = place_text()

    def at(self, place: str) -> TreadleError:
        """Name the place where it went wrong, once: the innermost place wins."""
        if place and not self.place:
            self.place = place
        return self

    def __str__(self) -> str:
        place = self.place or self._born
        return f"in {place}: {self.message}" if place else self.message


class ShapeError(TreadleError, ValueError):
    """Shapes that do not fit together."""


class DimError(ShapeError):
    """A question about a Dim that cannot be decided for all its values."""


class DTypeError(TreadleError, TypeError):
    """Dtypes that do not fit together, or that an operation does not take."""


class OutOfRangeError(TreadleError, IndexError):
    """An index outside of its axis."""


class CheckError(TreadleError, AssertionError):
    """A `td.check` does not hold."""


class TraceError(TreadleError, TypeError):
    """A number was needed (for `if`, `float`, `print`) where the graph has none yet."""


class LeakError(TraceError):
    """A symbolic tensor was used after the function that it was traced in had returned."""


class DerivativeError(TreadleError, TypeError):
    """Something that has no derivative: an integer, a function with several outputs where one was needed, …"""


class ArgumentError(TreadleError, ValueError):
    """An argument that is unknown, or a value that it cannot have."""


class BuildError(TreadleError, RuntimeError):
    """A layer was used before it had its parameters."""


class GraphError(TreadleError, ValueError):
    """An illegal graph, or a text that does not describe one."""


class RuleError(TreadleError, NotImplementedError):
    """A primitive lacks the rule that a transform needs."""


class CompileError(TreadleError, RuntimeError):
    """Machine code could not be made; a defect of treadle's, whose evidence the message says where to find."""


class NonFiniteError(TreadleError, ArithmeticError):
    """A value became NaN or infinite where it must not."""


class SaveError(TreadleError, RuntimeError):
    """Weights or checkpoints that cannot be written, are damaged, or do not fit the model."""


class DataError(TreadleError, ValueError):
    """A data set's file that is damaged, or is not what it should be."""


class MissingExtraError(TreadleError, ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""
