"""What this namespace can do, for code that is written against the Python array API standard."""

from __future__ import annotations

from typing import Any

from treadle.array.convert import check_device
from treadle.array.dtypes import isdtype
from treadle.core import dtypes
from treadle.core.dtypes import DType


class NamespaceInfo:
    """What `__array_namespace_info__` returns (array API standard, inspection)."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean indexing and shapes that depend on data work outside of traces; 64 axes, NumPy's limit.

        >>> td.__array_namespace_info__().capabilities()["max dimensions"]
        64
        """
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """The device of new tensors.

        >>> td.__array_namespace_info__().default_device()
        'cpu'
        """
        return "cpu"

    def default_dtypes(self, *, device: str | None = None) -> dict[str, DType]:
        """What Python's numbers become.

        >>> td.__array_namespace_info__().default_dtypes()["real floating"]
        treadle.float32
        """
        check_device("default_dtypes", device)
        return {"real floating": dtypes.default_float, "integral": dtypes.default_int, "indexing": dtypes.default_int}

    def devices(self) -> list[str]:
        """All devices.

        >>> td.__array_namespace_info__().devices()
        ['cpu']
        """
        return ["cpu"]

    def dtypes(self, *, device: str | None = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes by name, those of a kind (as for `isdtype`). bfloat16 and float16 are beyond it.

        >>> sorted(td.__array_namespace_info__().dtypes(kind="real floating"))
        ['float32', 'float64']
        """
        check_device("dtypes", device)
        standard = [d for d in dtypes.ALL if d not in (dtypes.bfloat16, dtypes.float16)]
        return {d.name: d for d in standard if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> NamespaceInfo:  # noqa: N807, the standard's name
    """What this namespace can do: capabilities, dtypes, devices.

    >>> td.__array_namespace_info__().devices()
    ['cpu']
    """
    return NamespaceInfo()
