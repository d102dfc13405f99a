"""The public surface: what each package exports, what importing treadle costs, and the version."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import pkgutil
import subprocess
import sys
import types

import packaging.version
import pytest

import treadle as td
from treadle._version import __version__

# Loaded on first use, never by `import treadle`.
HEAVY = [
    "llvmlite",
    "scipy",
    "rich",
    "matplotlib",
    "jax",
    "sklearn",
    "tensorboard",
    "onnx",
    "pyarrow",
    "PIL",
    "textual",
]


def public_packages() -> list[str]:
    """`treadle` and each package below it in whose dotted name nothing begins with an underscore."""
    found = pkgutil.walk_packages(td.__path__, "treadle.")
    names = [module.name for module in found if module.ispkg and "._" not in module.name]
    return ["treadle", *sorted(names)]


def reachable(module: types.ModuleType) -> set[str]:
    """The public names one can reach as attributes, leaving out what Python itself puts there.

    A submodule that was imported is an attribute of its package whether the package wants it or not, so submodules
    count only where `__all__` names them.
    """
    exported = set(getattr(module, "__all__", ()))
    names = {name for name in vars(module) if not name.startswith("_") or name == "__version__"}
    return {
        name
        for name in names
        if name in exported
        or not (isinstance(getattr(module, name), types.ModuleType) or _is_future(getattr(module, name)))
    }


def _is_future(value: object) -> bool:
    """`from __future__ import annotations` leaves a name behind."""
    return type(value).__module__ == "__future__"


@pytest.mark.parametrize("name", public_packages())
def test_all_is_sorted_and_equals_what_is_reachable(name: str) -> None:
    module = importlib.import_module(name)
    exported = list(getattr(module, "__all__", []))  # a package that exports nothing need not say so
    assert exported == sorted(set(exported)), f"{name}.__all__ is not sorted, or repeats a name"
    unresolved = [export for export in exported if not hasattr(module, export)]
    assert not unresolved, f"{name}.__all__ promises {unresolved}, which {name} does not have"
    surplus = sorted(reachable(module) - set(exported))
    assert not surplus, f"{name} exposes {surplus}: add them to __all__ or import them under a name with an underscore"


def test_reachable_sees_a_name_that_was_forgotten() -> None:
    module = types.ModuleType("example")
    exec(
        "from __future__ import annotations\nimport json\nfrom json import loads\n__all__ = ['dumps']", module.__dict__
    )
    assert reachable(module) == {"loads"}


def fresh_python(program: str) -> str:
    """The output of a program run by a new interpreter, in which nothing has been imported yet."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("module", ["treadle", "treadle.board", "treadle.cli", "treadle.cli.doctor"])
def test_import_loads_nothing_heavy(module: str) -> None:
    loaded = json.loads(fresh_python(f"import {module}, sys, json; print(json.dumps(sorted(sys.modules)))"))
    assert module in loaded
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & set(HEAVY), f"import {module} loads {sorted(roots & set(HEAVY))}; import them on use"


def test_version_is_pep_440_and_comes_from_one_place() -> None:
    assert str(packaging.version.Version(__version__)) == __version__  # canonical form: a wheel's name has this one
    assert td.__version__ == __version__


def test_installed_metadata_has_this_version() -> None:
    # Fails after a change of _version.py until `make environment` has run again: then the editable install is stale.
    assert importlib.metadata.version("treadle") == __version__
