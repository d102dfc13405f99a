"""The names and parameters of the Python array API standard, version 2024.12 (without complex numbers and extensions).

Written down from the standard: parameters in order, "/" behind positional ones and "*" before keyword ones, with the
default where there is one. treadle may have more parameters, and more of them with a default.
"""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import treadle as td

ONE = """
    abs acos acosh asin asinh atan atanh bitwise_invert ceil cos cosh exp expm1 floor isfinite isinf isnan log log1p
    log2 log10 logical_not negative positive reciprocal round sign signbit sin sinh square sqrt tan tanh trunc
    matrix_transpose nonzero unique_all unique_counts unique_inverse unique_values
"""
TWO = """
    add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal
    floor_divide greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor maximum
    minimum multiply nextafter not_equal pow remainder subtract matmul
"""
OF_TENSORS = """
    __abs__ __add__ __and__ __array_namespace__ __bool__ __complex__ __dlpack__ __dlpack_device__ __eq__ __float__
    __floordiv__ __ge__ __getitem__ __gt__ __index__ __int__ __invert__ __le__ __lshift__ __lt__ __matmul__ __mod__
    __mul__ __ne__ __neg__ __or__ __pos__ __pow__ __rshift__ __setitem__ __sub__ __truediv__ __xor__ __radd__
    __rsub__ __rmul__ __rtruediv__ __rfloordiv__ __rpow__ __rmatmul__ __rmod__ __rand__ __ror__ __rxor__ __rlshift__
    __rrshift__ to_device dtype device mT ndim shape size T
"""
NAMES = """
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64
"""
ARRAYS = {
    **dict.fromkeys(ONE.split(), "x, /"),
    **dict.fromkeys(TWO.split(), "x1, x2, /"),
    **dict.fromkeys(["sum", "prod"], "x, /, *, axis=None, dtype=None, keepdims=False"),
    **dict.fromkeys(["max", "min", "mean", "all", "any", "count_nonzero"], "x, /, *, axis=None, keepdims=False"),
    **dict.fromkeys(["std", "var"], "x, /, *, axis=None, correction=0.0, keepdims=False"),
    **dict.fromkeys(["cumulative_sum", "cumulative_prod"], "x, /, *, axis=None, dtype=None, include_initial=False"),
    **dict.fromkeys(["argmax", "argmin"], "x, /, *, axis=None, keepdims=False"),
    **dict.fromkeys(["sort", "argsort"], "x, /, *, axis=-1, descending=False, stable=True"),
    **dict.fromkeys(["zeros", "ones", "empty"], "shape, *, dtype=None, device=None"),
    **dict.fromkeys(["zeros_like", "ones_like", "empty_like"], "x, /, *, dtype=None, device=None"),
    **dict.fromkeys(["tril", "triu"], "x, /, *, k=0"),
    "clip": "x, /, min=None, max=None",
    "arange": "start, /, stop=None, step=1, *, dtype=None, device=None",
    "asarray": "obj, /, *, dtype=None, device=None, copy=None",
    "eye": "n_rows, n_cols=None, /, *, k=0, dtype=None, device=None",
    "from_dlpack": "x, /, *, device=None, copy=None",
    "full": "shape, fill_value, *, dtype=None, device=None",
    "full_like": "x, /, fill_value, *, dtype=None, device=None",
    "linspace": "start, stop, /, num, *, dtype=None, device=None, endpoint=True",
    "meshgrid": "*arrays, indexing='xy'",
    "astype": "x, dtype, /, *, copy=True, device=None",
    "can_cast": "from_, to, /",
    "finfo": "type, /",
    "iinfo": "type, /",
    "isdtype": "dtype, kind",
    "result_type": "*arrays_and_dtypes",
    "tensordot": "x1, x2, /, *, axes=2",
    "vecdot": "x1, x2, /, *, axis=-1",
    "broadcast_arrays": "*arrays",
    "broadcast_to": "x, /, shape",
    "concat": "arrays, /, *, axis=0",
    "expand_dims": "x, /, axis",
    "flip": "x, /, *, axis=None",
    "moveaxis": "x, source, destination, /",
    "permute_dims": "x, /, axes",
    "repeat": "x, repeats, /, *, axis=None",
    "reshape": "x, /, shape, *, copy=None",
    "roll": "x, /, shift, *, axis=None",
    "squeeze": "x, /, axis",
    "stack": "arrays, /, *, axis=0",
    "tile": "x, repetitions, /",
    "unstack": "x, /, *, axis=0",
    "searchsorted": "x1, x2, /, *, side='left', sorter=None",
    "where": "condition, x1, x2, /",
    "take": "x, indices, /, *, axis=None",
    "take_along_axis": "x, indices, /, *, axis=-1",
    "diff": "x, /, *, axis=-1, n=1, prepend=None, append=None",
    "__array_namespace_info__": "",
}
METHODS = OF_TENSORS.split()
DTYPES = NAMES.split()


@pytest.mark.parametrize("name", ARRAYS)
def test_signature(name: str) -> None:
    standard = inspect.signature(eval(f"lambda {ARRAYS[name]}: None"))
    ours = inspect.signature(getattr(td, name)).parameters
    for parameter in standard.parameters.values():
        assert parameter.name in ours, f"{name} lacks {parameter.name}"
        have = ours[parameter.name]
        assert have.kind == parameter.kind, f"{name}({parameter.name}) is {have.kind}"
        if parameter.default is not inspect.Parameter.empty:
            assert have.default == parameter.default
    positional = [p for p, v in ours.items() if v.kind != inspect.Parameter.KEYWORD_ONLY]
    expected = [p for p, v in standard.parameters.items() if v.kind != inspect.Parameter.KEYWORD_ONLY]
    assert positional[: len(expected)] == expected
    extra = set(ours) - set(standard.parameters)
    assert all(ours[p].default is not inspect.Parameter.empty for p in extra), f"{name} demands {extra}"


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str) -> None:
    assert hasattr(td.Tensor, name)


def test_constants_dtypes_and_version() -> None:
    assert (td.e, td.pi, td.inf, td.newaxis) == (math.e, math.pi, math.inf, None)
    assert math.isnan(td.nan)
    assert td.__array_api_version__ == "2024.12"
    assert td.zeros(1).__array_namespace__() is td
    for name in DTYPES:
        assert getattr(td, name) == np.dtype(name)


def test_inspection() -> None:
    info = td.__array_namespace_info__()
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}
    assert info.default_device() in info.devices()
    assert info.default_dtypes(device="cpu") == {
        "real floating": td.float32,
        "integral": td.int32,
        "indexing": td.int32,
    }
    assert sorted(info.dtypes()) == sorted(DTYPES)
    assert info.dtypes(kind="unsigned integer") == {n: getattr(td, n) for n in DTYPES if n.startswith("u")}
    assert set(info.dtypes(kind=("bool", "real floating"))) == {"bool", "float32", "float64"}


def test_every_public_function_of_the_namespace_has_a_docstring_with_an_example() -> None:
    import treadle.array as ta

    for name in ta.__all__:
        value = getattr(ta, name)
        if inspect.isfunction(value):
            assert ">>> " in (value.__doc__ or ""), f"{name} shows no example"
