"""Reading a chain of steps: loops, positions between elements, and looking at what there is."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from treadle.core.errors import DataError, TreadleError
from treadle.data._checking import check_count
from treadle.data._nodes import Node, Reader, all_nodes, chain
from treadle.data._parallel import Parallel

if TYPE_CHECKING:
    from treadle.data._describing import Description
    from treadle.data._profiling import Profile


class Reading(ABC):
    """A last node, the newest loop over it, and where the next one begins. `Dataset` adds the steps."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._epoch, self._start = 0, None  # type: tuple[int, Any]
        self._pass: Pass | None = None
        self._spec: Any = None
        self.classes: tuple[str, ...] = ()

    # reading

    def __iter__(self) -> Pass:
        try:
            reader = self._node.read(self._epoch, self._start)
        except StopIteration:
            raise DataError(f"{self._node.describe()} ends before the position that is to be resumed") from None
        self._pass = Pass(self, self._epoch, reader)
        self._epoch, self._start = self._epoch + 1, None
        return self._pass

    def state(self) -> dict[str, Any]:
        """The position of the newest loop, as JSON; before the first one, or between two, the beginning of the next.

        >>> ds = td.data.from_arrays(np.arange(5)).shuffle(seed=1)
        >>> it = iter(ds)
        >>> _, _, state = next(it), next(it), ds.state()
        >>> rest = [int(x) for x in it]
        >>> ds.restore(state)
        >>> rest == [int(x) for x in ds]
        True
        """
        steps = signature(self._node)
        if self._pass is not None and not self._pass.ended:
            return {"epoch": self._pass.epoch, "at": self._pass.reader.state(), "steps": steps}
        return {"epoch": self._epoch, "at": self._start, "steps": steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Let the next loop begin at a `state()`, of this dataset or one with the same steps in another process.

        How many workers there are, and how much is read ahead, may differ.

        Raises:
            DataError: it is the state of other steps.
        """
        then, now = list(state["steps"]), signature(self._node)
        if then != now:
            changed = next(
                (i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), min(len(then), len(now))
            )
            a, b = ((s[changed] if changed < len(s) else "nothing") for s in (then, now))
            raise DataError(f"this is the position in other data: step {changed} was {a}, and is {b}")
        self._end_pass()
        self._epoch, self._start = int(state["epoch"]), state["at"]

    def close(self) -> None:
        """End the newest loop, and threads and processes that work for it. They start again with the next loop."""
        self._end_pass()
        self._node.close()

    def _end_pass(self) -> None:
        if self._pass is not None:
            self._pass.close()
            self._pass = None

    @property
    def skipped(self) -> int:
        """How many bad records `on_error="skip"` has left out so far."""
        return sum(n.skipped for n in all_nodes(self._node))

    @property
    def spec(self) -> Any:
        """What an element is: a tree of `td.Spec`, with Dims where sizes vary. Maps are tried on a few elements.

        >>> td.data.from_arrays({"x": np.zeros((10, 4), np.float32), "name": ["a"] * 10}).batch(4).spec
        {'x': f32[batch,4], 'name': str[batch]}
        """
        if self._spec is None:
            self._spec = self._node.spec()
        return self._spec

    # looking

    def describe(self, limit: int | None = 10_000) -> Description:
        """Counts, ranges, missing values and class balance of the first epoch's elements, leaf by leaf.

        Args:
            limit: read no more elements than this; None: all.

        >>> print(td.data.from_arrays(x=np.array([1.0, np.nan, 4.0]), y=["a", "b", "a"]).describe())
        3 elements
           dtype    shape  least  mean  most  missing  values
        x  float64  []         1   2.5     4        1
        y  str      []         1     1     1           2 different; 'a': 2, 'b': 1
        """
        from treadle.data._describing import describe

        return describe(self._node, None if limit is None else check_count("describe", limit))

    def show(self, count: int = 9) -> Any:
        """The first elements: a figure of their pictures (matplotlib), or a table where they have none.

        A picture is uint8 or floats in 0..1, `[height, width, 1, 3 or 4]`. In a notebook the figure shows itself;
        elsewhere `ds.show().savefig("data.png")`.

        Raises:
            MissingExtraError: there are pictures, and matplotlib is not installed.

        >>> td.data.from_arrays(x=np.eye(2), y=["a", "b"]).show()
           x         y
        0  [1., 0.]  'a'
        1  [0., 1.]  'b'
        """
        from treadle.data._describing import show

        return show(self._node, check_count("show", count))

    def profile(self, elements: int = 100, step: Callable[[Any], Any] | None = None) -> Profile:
        """Time each step, and say which is the bottleneck.

        Args:
            elements: how many are read (of batches: batches), twice.
            step: what the loop does with each, such as a training step: then it is also said whether the model waits
                for the data.

        Returns: an object that prints as a table; `steps`, `reading`, `step` have the seconds, `bottleneck` the name.

        >>> import time
        >>> ds = td.data.from_arrays(np.arange(40)).map(lambda x: time.sleep(0.001) or x).batch(4)
        >>> ds.profile(5).bottleneck
        'map(<lambda>, <doctest treadle.data._reading.Reading.profile[1]>:1)'
        >>> ds.profile(5, step=lambda batch: time.sleep(0.1)).bottleneck
        'the model'
        """
        from treadle.data._profiling import profile

        return profile(self._node, check_count("profile", elements), step)

    def __repr__(self) -> str:
        lines = [f"<{type(self).__name__}>", *(_line(node) for node in chain(self._node))]
        try:
            lines.append(f"  each: {self.spec}")
        except TreadleError as e:
            lines.append(f"  each: not known ({e.message})")
        return "\n".join(lines)

    @property
    def _inner(self) -> Node:
        """The last node but for workers, which then work for the next indexed step."""
        return self._node.parent if isinstance(self._node, Parallel) else self._node

    @abstractmethod
    def _then(self, node: Node) -> Any:
        """The dataset of one more step; workers work for it if it has any element at once."""


class Pass:
    """One loop over a dataset: an iterator."""

    def __init__(self, dataset: Reading, epoch: int, reader: Reader) -> None:
        self.epoch, self.reader, self.ended = epoch, reader, False

    def __iter__(self) -> Pass:
        return self

    def __next__(self) -> Any:
        if self.ended:
            raise StopIteration
        try:
            return next(self.reader)
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            self.reader.close()


def _line(node: Node) -> str:
    return f"  {node.describe()}" + (f"  ({node.skipped:,} bad ones left out)" if node.skipped else "")


def signature(node: Node) -> list[str]:
    """What decides the order of the elements: the steps, without the lines at which functions stand."""
    return [re.sub(r", [^ ,()]+:\d+", "", n.describe()) for n in chain(node) if not n.transparent]
