"""Show versions, the processor, threads, and which backends and extras are usable and why not."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import textwrap
from typing import TYPE_CHECKING

from treadle._version import __version__

if TYPE_CHECKING:
    from treadle.cli._inventory import Backend, Extra, Package
    from treadle.cli._machine import Machine

_WIDTH = 100  # of the text: fits beside an issue's form


@dataclasses.dataclass(frozen=True)
class Report:
    """All that `treadle doctor` found out. `extras` is None when treadle is not installed: then nothing lists them."""

    treadle: str
    python: str
    executable: str
    llvm: str | None
    blas: str | None
    machine: Machine
    packages: list[Package]
    backends: list[Backend]
    extras: list[Extra] | None

    @property
    def healthy(self) -> bool:
        """Whether the base install works: its packages load, and at least one backend runs."""
        return all(p.problem is None for p in self.packages) and any(b.problem is None for b in self.backends)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.epilog = "Exit code: 0 if the base install works, 1 if not. Missing extras are no fault."


def run(options: argparse.Namespace) -> int:
    report = examine()
    if options.json:
        print(json.dumps(as_json(report), indent=2))
    else:
        _show(as_text(report))
    return 0 if report.healthy else 1


def examine() -> Report:
    """Asks everything. Takes about a second, because it imports every package that is there."""
    from treadle.cli import _inventory, _machine

    needed = _inventory.requirements()
    base = [item for item in needed or [] if item.extra is None]
    return Report(
        treadle=__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        executable=sys.executable,
        packages=[_inventory.inspect_package(item) for item in base],
        machine=_machine.inspect_machine(),
        llvm=_llvm_version(),
        blas=_blas(),
        backends=_inventory.inspect_backends(),
        extras=None if needed is None else _inventory.inspect_extras(needed),
    )


def as_json(report: Report) -> dict[str, object]:
    """The report as plain dicts and lists, with what is derived (`usable`, `threads`, `healthy`) written out."""
    result = dataclasses.asdict(report)
    result["machine"]["threads"] = report.machine.threads
    for name, backend in zip(result["backends"], report.backends, strict=True):
        name["usable"] = backend.problem is None
    for entry, extra in zip(result["extras"] or [], report.extras or [], strict=True):
        entry["usable"] = extra.usable
        entry["command"] = extra.command
    result["healthy"] = report.healthy
    return result


def as_text(report: Report) -> str:
    """The report as headed, aligned lines."""
    versions = [("treadle", report.treadle), ("Python", f"{report.python}  {report.executable}")]
    versions += [(p.name, _state(p.version, p.problem)) for p in report.packages]
    versions += [("LLVM", report.llvm or "unknown"), ("BLAS of NumPy", report.blas or "unknown")]
    backends = [(b.name, _backend_state(b)) for b in report.backends]
    sections = [
        ("Versions", versions),
        ("Machine", _machine_rows(report.machine)),
        ("Backends", backends),
        ("Extras", _extra_rows(report.extras)),
    ]
    width = max(len(label) for _, rows in sections for label, _ in rows)
    return "\n\n".join(_section(title, rows, width) for title, rows in sections)


def _machine_rows(machine: Machine) -> list[tuple[str, str]]:
    if machine.features is None:
        features = f"unknown: {machine.features_missing_because}"
    else:
        others = len(machine.features) - len(machine.telling_features)
        features = " ".join(machine.telling_features) + f" (and {others} more: --json)"
    counted = [(machine.physical_cores, "physical"), (machine.logical_cores, "logical")]
    cores = ", ".join(f"{number} {kind}" for number, kind in counted if number is not None)
    limits = [f"{machine.usable_cores} allowed to this process"]
    if machine.cpu_quota is not None:
        limits.append(f"container limit {machine.cpu_quota:g}")
    variables = [f"{name}={value}" for name, value in machine.thread_variables.items()]
    return [
        ("system", f"{machine.system}, {machine.architecture}"),
        ("CPU", (machine.model or "unknown") + (f" (LLVM: {machine.llvm_name})" if machine.llvm_name else "")),
        ("features", features),
        ("cores", ", ".join(filter(None, [cores, *limits]))),
        ("threads", ", ".join([str(machine.threads), *variables])),
    ]


def _extra_rows(extras: list[Extra] | None) -> list[tuple[str, str]]:
    if extras is None:
        return [("unknown", "treadle is not installed, so nothing lists its extras; install it with: pip install .")]
    rows = []
    for extra in extras:
        if extra.usable:
            rows.append((extra.name, "yes  " + ", ".join(f"{p.name} {p.version}" for p in extra.packages)))
        else:
            why = ", ".join(f"{p.name} {p.problem}" for p in extra.packages if p.problem is not None)
            rows.append((extra.name, f"no   {extra.command}  ({why})"))
    return rows


def _backend_state(backend: Backend) -> str:
    if backend.problem is not None:
        return f"no   {backend.problem}"
    left = ", ".join(backend.in_python)
    return f"yes  all but these, which it computes in Python: {left}" if left else "yes"


def _state(version: str | None, problem: str | None) -> str:
    return version or "" if problem is None else f"{version or ''}  UNUSABLE: {problem}".strip()


def _section(title: str, rows: list[tuple[str, str]], width: int) -> str:
    lines = [title]
    for label, text in rows:
        indent = f"  {label:<{width}}  "
        lines += textwrap.wrap(
            text,
            width=_WIDTH,
            initial_indent=indent,
            subsequent_indent=" " * len(indent),
            break_long_words=False,  # a path or a command must stay whole to be copied
            break_on_hyphens=False,
            drop_whitespace=True,
        ) or [indent.rstrip()]
    return "\n".join(lines)


def _show(text: str) -> None:
    """Prints; on a terminal the headings are bold and each "no" stands out."""
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console
    from rich.text import Text

    styled = Text(text)
    styled.highlight_regex(r"(?m)^\S.*$", "bold")
    styled.highlight_regex(r"(?m)(?<=  )yes(?=  |$)", "green")
    styled.highlight_regex(r"(?m)(?<=  )no(?=   )", "yellow")
    styled.highlight_regex(r"UNUSABLE.*$", "bold red")
    Console(soft_wrap=True).print(styled)


def _llvm_version() -> str | None:
    try:
        from llvmlite import binding
    except (ImportError, OSError):
        return None
    return ".".join(str(number) for number in binding.llvm_version_info)


def _blas() -> str | None:
    """The library behind NumPy's matrix products: the speed of the reference backend."""
    try:
        import numpy as np

        found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{found['name']} {found['version']}"
    except (ImportError, KeyError, TypeError):
        return None
