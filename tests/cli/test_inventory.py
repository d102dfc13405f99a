"""Which packages, backends and extras are there: each reason for "no" is provoked once."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest

from treadle.cli import _inventory
from treadle.cli._inventory import Requirement

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("numpy>=2.0", Requirement("numpy", "2.0", None)),
        ("ml-dtypes >= 0.5, <2", Requirement("ml-dtypes", "0.5", None)),
        ('grpcio>=1.66 ; python_version > "3.1" and extra == "serve"', Requirement("grpcio", "1.66", "serve")),
        ("rich", Requirement("rich", None, None)),
    ],
)
def test_parse_requirement(line: str, requirement: Requirement) -> None:
    assert _inventory.parse_requirement(line) == requirement


def test_parse_requirement_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match=r"not a requirement: '>=2'"):
        _inventory.parse_requirement(">=2")


def test_every_extra_for_users_is_listed() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        declared = tomllib.load(file)["project"]["optional-dependencies"]
    needed = _inventory.requirements()
    assert needed is not None
    extras = _inventory.inspect_extras(needed)
    assert [extra.name for extra in extras] == sorted(declared.keys() - {"test", "dev"})
    for extra in extras:
        assert len(extra.packages) == len(declared[extra.name])
        assert extra.command == f'pip install "treadle[{extra.name}]"'


def write_package(folder: Path, name: str, version: str, source: str) -> None:
    """Installs a package of one module into `folder`, as far as importlib.metadata looks."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(
    ("version", "source", "problem"),
    [
        ("1.10.0", "", None),
        ("1.10rc1", "", None),
        ("1.8.2", "", "1.8.2 is older than 1.9"),
        ("1.10", "import a_module_that_is_nowhere", "import failed: ModuleNotFoundError: No module named"),
        (
            "1.10",
            "raise OSError('libexample.so: no such file\\nmore')",
            "import failed: OSError: libexample.so: no such file",
        ),
        ("1.10", "import warnings; warnings.warn('old', DeprecationWarning)", None),
    ],
)
def test_package(
    version: str, source: str, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "treadle_test_package"
    write_package(tmp_path, name, version, source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    package = _inventory.inspect_package(Requirement(name, "1.9", "some"))
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert package.version == version
    if problem is None:
        assert package.problem is None
    else:
        assert package.problem is not None
        assert package.problem.startswith(problem)
        assert "\n" not in package.problem


def test_missing_package_makes_its_extra_unusable() -> None:
    needed = [Requirement("numpy", None, "some"), Requirement("a-package-that-is-nowhere", "1", "some")]
    (extra,) = _inventory.inspect_extras(needed)
    assert not extra.usable
    assert [package.problem for package in extra.packages] == [None, "not installed"]


def test_requirements_are_unknown_when_treadle_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert _inventory.requirements() is None


def test_backend_that_is_not_in_this_version() -> None:
    problem = _inventory._backend_problem("imaginary")
    assert problem == "not built yet: this version of treadle has no treadle.backends.imaginary"


def test_backend_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import treadle.backends

    (tmp_path / "faulty.py").write_text("raise RuntimeError('no such processor')")
    monkeypatch.setattr(treadle.backends, "__path__", [*treadle.backends.__path__, str(tmp_path)])
    assert _inventory._backend_problem("faulty") == "import failed: RuntimeError: no such processor"


def test_reference_backend_is_usable() -> None:
    backends = {backend.name: backend.problem for backend in _inventory.inspect_backends()}
    assert list(backends) == ["reference", "native", "xla"]
    assert backends["reference"] is None
    assert backends["native"] is None


def test_native_backend_leaves_out_what_its_plans_leave_out() -> None:
    import treadle as td

    (native,) = [b for b in _inventory.inspect_backends() if b.name == "native"]
    assert "nextafter" in native.in_python
    assert not {"exp", "sort"} & set(native.in_python)
    report = td.compile(lambda x: (td.nextafter(x, x), td.exp(x), td.sort(x))).explain(td.ones(4))
    assert [k.name for k in report.kernels if k.name.startswith("Python")] == ["Python: nextafter"]
