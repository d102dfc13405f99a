"""Control flow: `cond`, `switch`, `scan`, `while_loop`, and `call` (a graph as one operation)."""

from treadle.ops.control.cond import cond, switch
from treadle.ops.control.scan import scan
from treadle.ops.control.while_loop import while_loop

__all__ = ["cond", "scan", "switch", "while_loop"]
