"""Which packages, backends and extras are there, and for those that are not, why."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import warnings
from dataclasses import dataclass

# Import names that differ from the name of the distribution.
_MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "grpcio": "grpc"}

# Extras for the people who work on treadle itself.
_INTERNAL = frozenset({"dev", "test"})


@dataclass(frozen=True)
class Requirement:
    """One line of the metadata: `name>=minimum; extra == "extra"`."""

    name: str
    minimum: str | None
    extra: str | None

    @property
    def module(self) -> str:
        """What one imports."""
        return _MODULES.get(self.name, self.name.replace("-", "_"))


@dataclass(frozen=True)
class Package:
    """A requirement and what became of it: the installed version, and the reason it cannot be used (None: it can)."""

    name: str
    version: str | None
    problem: str | None


@dataclass(frozen=True)
class Backend:
    """A way to run a graph; `problem` says why it cannot be used (None: it can).

    `in_python` names the primitives that it leaves to their references, in the middle of its compiled code.
    """

    name: str
    problem: str | None
    in_python: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extra:
    """An optional part of treadle with the packages it needs."""

    name: str
    packages: tuple[Package, ...]

    @property
    def usable(self) -> bool:
        return all(package.problem is None for package in self.packages)

    @property
    def command(self) -> str:
        """The command that installs it."""
        return f'pip install "treadle[{self.name}]"'


def parse_requirement(line: str) -> Requirement:
    """Reads one `Requires-Dist` line. (The package `packaging` would, but it is no dependency of ours.)

    >>> parse_requirement("uvicorn[standard]>=0.32; extra == 'serve'")
    Requirement(name='uvicorn', minimum='0.32', extra='serve')
    """
    head, _, marker = line.partition(";")
    name = re.match(r"[A-Za-z0-9._-]+", head.strip())
    if name is None:
        raise ValueError(f"not a requirement: {line!r}")
    minimum = re.search(r">=\s*([0-9][0-9A-Za-z.]*)", head)
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
    return Requirement(name[0], minimum[1] if minimum else None, extra[1] if extra else None)


def requirements() -> list[Requirement] | None:
    """What the installed treadle says it needs; None if it is not installed (run from its sources)."""
    try:
        lines = importlib.metadata.requires("treadle")
    except importlib.metadata.PackageNotFoundError:
        return None
    return [parse_requirement(line) for line in lines or []]


def inspect_package(requirement: Requirement) -> Package:
    """Imports the package, because one that is installed may still not load (a wrong platform, a missing library)."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Package(requirement.name, None, "not installed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a package deprecates in another is no news for the reader
            importlib.import_module(requirement.module)
    except Exception as error:  # a broken package raises what it likes: the report must go on
        return Package(requirement.name, version, f"import failed: {type(error).__name__}: {first_line(error)}")
    if requirement.minimum is not None and _release(version) < _release(requirement.minimum):
        return Package(requirement.name, version, f"{version} is older than {requirement.minimum}")
    return Package(requirement.name, version, None)


def inspect_extras(needed: list[Requirement]) -> list[Extra]:
    """Every extra that a user may ask for, by name."""
    names = sorted({item.extra for item in needed if item.extra is not None} - _INTERNAL)
    return [Extra(name, tuple(inspect_package(item) for item in needed if item.extra == name)) for name in names]


def inspect_backends() -> list[Backend]:
    """reference, native and xla, in this order."""
    return [_inspect_backend(name) for name in ("reference", "native", "xla")]


def _inspect_backend(name: str) -> Backend:
    problem = _backend_problem(name)
    if problem is not None:
        return Backend(name, problem)
    importlib.import_module("treadle")  # with the ops: a backend says what it does with each of them
    left = getattr(importlib.import_module(f"treadle.backends.{name}"), "left_to_reference", tuple)
    return Backend(name, None, tuple(left()))


def _backend_problem(name: str) -> str | None:
    module = f"treadle.backends.{name}"
    try:
        if importlib.util.find_spec(module) is None:
            return f"not built yet: this version of treadle has no {module}"
    except ModuleNotFoundError:  # the parent is missing
        return f"not built yet: this version of treadle has no {module}"
    try:
        importlib.import_module(module)
    except Exception as error:  # as above: the report must go on
        return f"import failed: {type(error).__name__}: {first_line(error)}"
    if name == "xla":
        return inspect_package(Requirement("jax", None, "xla")).problem
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message: enough for a table."""
    return str(error).strip().partition("\n")[0]


def _release(version: str) -> tuple[int, ...]:
    """The numbers a version begins with: "1.10.0rc1" → (1, 10, 0)."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(n) for n in numbers[0].split(".")) if numbers else ()
