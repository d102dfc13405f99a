"""`Tensor`: an immutable n-d array; concrete (has numbers), symbolic (a value in a graph being traced), or both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from treadle.core.dims import Dim, Shape, Size
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import DerivativeError, DimError, LeakError, ShapeError, TraceError
from treadle.core.graph import Atom
from treadle.core.primitive import Unknown, Zero
from treadle.core.registry import array_namespace, package
from treadle.core.spec import Spec

if TYPE_CHECKING:
    from treadle.core.tracing import Trace


class Tensor:
    """An immutable n-d array with NumPy's operators, following the Python array API standard.

    Made by `td.asarray`, `td.zeros`, … . Inside a function that treadle traces (`td.compile`, `td.grad`, …) a tensor
    also stands for a value of the graph. With `td.compile` and `td.vmap` it has no numbers yet, and asking for them
    (`if x > 0`, `float(x)`) raises `TraceError`; with `td.grad` and the other derivatives it has both.

    >>> import treadle as td
    >>> x = td.asarray([[1., 2.], [3., 4.]])
    >>> x.shape, x.dtype, (x @ x + 1)[0, 1].item()
    ((2, 2), treadle.float32, 11.0)
    """

    __slots__ = ("__weakref__", "_atom", "_spec", "_trace", "_value")
    __array_priority__ = 1000  # array + tensor is ours, not NumPy's
    kind: ClassVar[str] = ""  # "parameter" and "state" for what modules own

    def __init__(self, spec: Spec, value: Any = None, trace: Trace | None = None, atom: Atom | None = None) -> None:
        self._spec = spec
        self._value = value
        self._trace = trace
        self._atom = atom

    def __getattr__(self, name: str) -> Any:
        from treadle.core.habits import no_attribute

        raise no_attribute(name)

    # what it is

    @property
    def spec(self) -> Spec:
        return self._spec

    @property
    def shape(self) -> Shape:
        return self._spec.shape

    @property
    def dtype(self) -> DType:
        return self._spec.dtype

    @property
    def ndim(self) -> int:
        return len(self._spec.shape)

    @property
    def size(self) -> Size:
        return self._spec.size

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def is_concrete(self) -> bool:
        """Whether it has numbers."""
        return self._value is not None

    @property
    def is_symbolic(self) -> bool:
        """Whether it is a value of a graph that is being traced."""
        return self._trace is not None and self._trace.alive

    # its numbers

    def numpy(self) -> np.ndarray[Any, Any]:
        """Its numbers as a read-only NumPy array of the same shape and dtype.

        Raises:
            TraceError: it has none, being traced by td.compile or td.vmap.
        """
        return self._need("the array of numbers (for `.numpy()`)")

    def item(self) -> Any:
        """The only number that it holds, as a Python number.

        Raises:
            ShapeError: it holds another number of elements than one.
            TraceError: it has no numbers.
        """
        value = self._need("the number (for `.item()`)")
        if value.size != 1:
            raise ShapeError(f"item() needs one element; this tensor is {self._spec} with {value.size}")
        return value.item() if value.dtype.kind != "V" else float(value.reshape(()))

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._need("the list of numbers (for `.tolist()`)").tolist()

    def _need(self, what: str) -> np.ndarray[Any, Any]:
        if self._value is None:
            raise self.missing_value(what)
        assert isinstance(self._value, np.ndarray)
        return self._value

    def missing_value(self, what: str) -> TraceError:
        from treadle.core.tracing import describe_origin

        origin = describe_origin(self)
        trace = self._trace
        if trace is not None and not trace.alive:
            return LeakError(
                f"a tensor leaked out of {trace.creator}: {origin} has no numbers, because that function was "
                "only traced.\n  Return it from the function instead of keeping it in a variable around it"
            )
        creator = trace.creator if trace is not None else "a trace"
        return TraceError(
            f"{what} of a tensor is needed, but inside {creator} {origin} has none yet.\n  {_remedy(what)}"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self.dtype.is_floating and self.is_symbolic and self.is_concrete:
            from treadle.core.tracing import describe_origin

            assert self._trace is not None
            raise DerivativeError(
                f"NumPy takes only the numbers of {describe_origin(self)} and {self._trace.creator} would count them "
                "as a constant: a wrong derivative. Use treadle's function (td.sin for np.sin), or say that a constant "
                "is meant: x.numpy()"
            )
        value = self._need("the NumPy array")
        if copy:
            return np.array(value, dtype=dtype)
        if dtype is None or np.dtype(dtype) == value.dtype:
            return value
        if copy is False:
            raise ValueError(f"a tensor of {self.dtype} becomes an array of {np.dtype(dtype)} by copying only")
        return value.astype(dtype)

    def __bool__(self) -> bool:
        return bool(self._scalar("the truth value (for `if`, `while`, `and`)"))

    def __float__(self) -> float:
        return float(self._scalar("the number (for `float`)"))

    def __int__(self) -> int:
        return int(self._scalar("the number (for `int`)"))

    def __complex__(self) -> complex:
        return complex(self.__float__())

    def __index__(self) -> int:
        value = self._scalar("the number (for an index or a size)")
        if not self.dtype.is_integer:
            raise TypeError(f"only integer scalars can be an index; this is {self._spec}")
        return int(value)

    def _scalar(self, what: str) -> Any:
        value = self._need(what)
        if value.size != 1:
            raise ShapeError(
                f"{what} needs a tensor with one element; this is {self._spec}. Use .all(), .any() or an index"
            )
        return value.reshape(())[()]

    def __repr__(self) -> str:
        if self._value is None:
            from treadle.core.tracing import describe_origin

            return f"tensor({describe_origin(self)} no numbers yet)"
        return self._text()

    __str__ = __repr__

    def _text(self, **options: Any) -> str:
        value = np.asarray(self._value)
        if self.dtype.is_floating and value.dtype.kind != "f":  # bfloat16: NumPy would print it without points
            value = value.astype(np.float32)
        text = np.array2string(value, separator=", ", prefix="tensor(", threshold=200, **options)
        return f"tensor({text}, {self._spec})"

    def __format__(self, spec: str) -> str:
        """`f"{loss:.4f}"` is the number; with more axes, all numbers are written so."""
        if not spec:
            return repr(self)
        if self.ndim == 0:
            return format(self.item(), spec)
        self._need("its numbers (to write them)")
        return self._text(formatter={"all": lambda v: format(v.item(), spec)})

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError(f"a scalar ({self._spec}) has no length and no elements to go through")  # Python's protocol
        n = self.shape[0]
        if isinstance(n, Dim):
            raise DimError(f"len() of axis 0 is {n}, which is not known while tracing; use x.shape[0]")
        return n

    def __iter__(self) -> Iterator[Tensor]:
        return iter([self[i] for i in range(len(self))])

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), np.array(self._need("pickling: the numbers")), self.dtype.name)

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    __copy__ = None

    # array API

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return package()

    def __dlpack__(self, **options: Any) -> Any:
        value = self._need("the memory (for DLPack)")
        return np.array(value).__dlpack__(**options)  # a copy: the consumer may write, and we are immutable

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def to_device(self, device: str, /, *, stream: Any = None) -> Tensor:
        """The tensor itself; this backend has one device, "cpu".

        Raises:
            ValueError: another device was named.
        """
        if device != "cpu" or stream is not None:
            raise ValueError(f"the device is 'cpu' and has no streams; got {device!r}")
        return self

    # operators

    def __add__(self, other: Any) -> Any:
        return _binary("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return _binary("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return _binary("subtract", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _binary("subtract", other, self)

    def __mul__(self, other: Any) -> Any:
        return _binary("multiply", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _binary("multiply", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _binary("divide", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _binary("divide", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _binary("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _binary("floor_divide", other, self)

    def __mod__(self, other: Any) -> Any:
        return _binary("remainder", self, other)

    def __rmod__(self, other: Any) -> Any:
        return _binary("remainder", other, self)

    def __pow__(self, other: Any) -> Any:
        return _binary("pow", self, other)

    def __rpow__(self, other: Any) -> Any:
        return _binary("pow", other, self)

    def __matmul__(self, other: Any) -> Any:
        return _binary("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _binary("matmul", other, self)

    def __and__(self, other: Any) -> Any:
        return _binary("bitwise_and", self, other)

    def __rand__(self, other: Any) -> Any:
        return _binary("bitwise_and", other, self)

    def __or__(self, other: Any) -> Any:
        return _binary("bitwise_or", self, other)

    def __ror__(self, other: Any) -> Any:
        return _binary("bitwise_or", other, self)

    def __xor__(self, other: Any) -> Any:
        return _binary("bitwise_xor", self, other)

    def __rxor__(self, other: Any) -> Any:
        return _binary("bitwise_xor", other, self)

    def __lshift__(self, other: Any) -> Any:
        return _binary("bitwise_left_shift", self, other)

    def __rlshift__(self, other: Any) -> Any:
        return _binary("bitwise_left_shift", other, self)

    def __rshift__(self, other: Any) -> Any:
        return _binary("bitwise_right_shift", self, other)

    def __rrshift__(self, other: Any) -> Any:
        return _binary("bitwise_right_shift", other, self)

    def __lt__(self, other: Any) -> Any:
        return _binary("less", self, other)

    def __le__(self, other: Any) -> Any:
        return _binary("less_equal", self, other)

    def __gt__(self, other: Any) -> Any:
        return _binary("greater", self, other)

    def __ge__(self, other: Any) -> Any:
        return _binary("greater_equal", self, other)

    # A tensor is no string and is not None: one answer, as for any two Python objects of different kinds.

    def __eq__(self, other: object) -> Any:
        return NotImplemented if other is None or isinstance(other, str) else _binary("equal", self, other)

    def __ne__(self, other: object) -> Any:
        return NotImplemented if other is None or isinstance(other, str) else _binary("not_equal", self, other)

    def __neg__(self) -> Tensor:
        return _call("negative", self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return _call("abs", self)

    def __invert__(self) -> Tensor:
        return _call("bitwise_invert", self)

    def __getitem__(self, key: Any) -> Tensor:
        return _call("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("tensors are immutable; x.at[i].set(value) gives a changed copy")

    @property
    def at(self) -> Any:
        """`x.at[i].set(v)`, `.add(v)`, `.multiply(v)`, `.max(v)`, `.min(v)`, `.get()`: a changed copy."""
        return array_namespace().At(self)

    @property
    def T(self) -> Tensor:  # noqa: N802, the array API's name
        return _call("transpose_2d", self)

    @property
    def mT(self) -> Tensor:  # noqa: N802, the array API's name
        return _call("matrix_transpose", self)

    # methods that NumPy users reach for

    def astype(self, dtype: Any) -> Tensor:
        return _call("astype", self, dtype)

    def reshape(self, *shape: Any) -> Tensor:
        return _call("reshape", self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int | Dim) else shape)

    def sum(self, axis: Any = None, **options: Any) -> Tensor:
        return _reduce("sum", self, axis, options)

    def mean(self, axis: Any = None, **options: Any) -> Tensor:
        return _reduce("mean", self, axis, options)

    def max(self, axis: Any = None, **options: Any) -> Tensor:
        return _reduce("max", self, axis, options)

    def min(self, axis: Any = None, **options: Any) -> Tensor:
        return _reduce("min", self, axis, options)

    def all(self, axis: Any = None, **options: Any) -> Tensor:
        return _reduce("all", self, axis, options)

    def any(self, axis: Any = None, **options: Any) -> Tensor:
        return _reduce("any", self, axis, options)


def _remedy(what: str) -> str:
    """What to do where a number is missing."""
    if "truth value" in what:
        return (
            "Use td.cond(p, f, g, *args) or td.where(p, a, b) for an `if`, td.while_loop for a `while`, "
            "or move this line outside of the traced function"
        )
    if "index" in what:
        return "Index with the tensor itself, x[i]; sizes must be Python ints, or come from x.shape"
    return (
        "Move this line outside of the traced function, or hand the numbers to Python code while the graph runs: "
        "td.host(f, x, result_shape=…)"
    )


def _binary(name: str, a: Any, b: Any) -> Any:
    if isinstance(a, Zero | Unknown) or isinstance(b, Zero | Unknown):
        return NotImplemented
    return getattr(array_namespace(), name)(a, b)


def _call(name: str, *args: Any, **options: Any) -> Tensor:
    out: Tensor = getattr(array_namespace(), name)(*args, **options)
    return out


def _reduce(name: str, x: Tensor, axis: Any, options: dict[str, Any]) -> Tensor:
    """A reduction; NumPy's functions (`np.mean(x)`) come here with options that it leaves unset."""
    given = {k: v for k, v in options.items() if v is not None or k not in ("out", "dtype")}
    return _call(name, x, axis=axis, **given)


def concrete(value: Any, dtype: DType | None = None) -> Tensor:
    """A concrete tensor that takes over `value`: an array nobody else writes to."""
    array = np.asarray(value, dtype=None if dtype is None else dtype.numpy)
    array.flags.writeable = False
    return Tensor(Spec(array.shape, as_dtype(array.dtype)), array)


def _rebuild(cls: type[Tensor], array: np.ndarray[Any, Any], dtype: str) -> Tensor:
    made = concrete(array, as_dtype(dtype))
    return made if cls is Tensor else cls(made)  # type: ignore[arg-type]
