"""`treadle doctor`: the report's contents, its text, its JSON and its exit code."""

from __future__ import annotations

import dataclasses
import json
import platform

import numpy as np
import pytest

from treadle._version import __version__
from treadle.cli import doctor, main
from treadle.cli._inventory import Backend, Extra, Package
from treadle.cli._machine import Machine

MACHINE = Machine(
    system="Linux 6.1",
    architecture="x86_64",
    model="Some CPU",
    llvm_name="znver4",
    features=("aes", "avx2", "fma", "xsave"),
    features_missing_because=None,
    logical_cores=8,
    physical_cores=4,
    usable_cores=6,
    cpu_quota=2.0,
    thread_variables={"OMP_NUM_THREADS": "1"},
)

REPORT = doctor.Report(
    treadle="1.2.3",
    python="3.11.7 (CPython)",
    executable="/usr/bin/python3",
    llvm="22.1.0",
    blas="openblas 0.3",
    machine=MACHINE,
    packages=[Package("numpy", "2.4.0", None), Package("scipy", None, "not installed")],
    backends=[
        Backend("reference", None),
        Backend("native", None, ("sort", "top_k")),
        Backend("xla", "not built yet: no module"),
    ],
    extras=[
        Extra("plot", (Package("matplotlib", "3.11.0", None),)),
        Extra("serve", (Package("orjson", "3.10", None), Package("grpcio", None, "not installed"))),
    ],
)

TEXT = """\
Versions
  treadle        1.2.3
  Python         3.11.7 (CPython)  /usr/bin/python3
  numpy          2.4.0
  scipy          UNUSABLE: not installed
  LLVM           22.1.0
  BLAS of NumPy  openblas 0.3

Machine
  system         Linux 6.1, x86_64
  CPU            Some CPU (LLVM: znver4)
  features       avx2 fma (and 2 more: --json)
  cores          4 physical, 8 logical, 6 allowed to this process, container limit 2
  threads        2, OMP_NUM_THREADS=1

Backends
  reference      yes
  native         yes  all but these, which it computes in Python: sort, top_k
  xla            no   not built yet: no module

Extras
  plot           yes  matplotlib 3.11.0
  serve          no   pip install "treadle[serve]"  (grpcio not installed)"""


def test_text() -> None:
    assert doctor.as_text(REPORT) == TEXT


def test_text_says_what_the_system_does_not() -> None:
    machine = dataclasses.replace(
        MACHINE, model=None, llvm_name=None, features=None, features_missing_because="OSError: x", physical_cores=None
    )
    text = doctor.as_text(dataclasses.replace(REPORT, machine=machine, llvm=None, blas=None, extras=None))
    assert "CPU            unknown\n" in text
    assert "features       unknown: OSError: x\n" in text
    assert "cores          8 logical, 6 allowed" in text
    assert "LLVM           unknown\n" in text
    assert "treadle is not installed, so nothing lists its extras" in text


def test_no_line_is_wider_than_100_unless_one_word_is() -> None:
    features = tuple(f"avx{n}" for n in range(60))
    text = doctor.as_text(dataclasses.replace(REPORT, machine=dataclasses.replace(MACHINE, features=features)))
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("changes", "healthy"),
    [
        ({}, False),  # scipy is missing
        ({"packages": [Package("numpy", "2.4.0", None)]}, True),
        ({"packages": [], "backends": [Backend("reference", "import failed")]}, False),
    ],
)
def test_healthy_is_every_base_package_and_one_backend(changes: dict[str, object], healthy: bool) -> None:
    assert dataclasses.replace(REPORT, **changes).healthy is healthy


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_exit_code_says_whether_the_base_install_works(
    flag: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for report, code in [(REPORT, 1), (dataclasses.replace(REPORT, packages=[]), 0)]:
        monkeypatch.setattr(doctor, "examine", lambda report=report: report)
        assert main(["doctor", *flag]) == code
        assert "1.2.3" in capsys.readouterr().out


def test_json_has_what_is_derived_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: REPORT)
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["healthy"] is False
    assert found["machine"]["threads"] == 2
    assert found["machine"]["features"] == ["aes", "avx2", "fma", "xsave"]
    assert [backend["usable"] for backend in found["backends"]] == [True, True, False]
    assert found["backends"][1]["in_python"] == ["sort", "top_k"]
    assert [extra["usable"] for extra in found["extras"]] == [True, False]
    assert found["extras"][1]["command"] == 'pip install "treadle[serve]"'


def test_terminal_gets_the_same_text_in_colour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    doctor._show(TEXT)
    shown = capsys.readouterr().out
    assert "\x1b[1mVersions\x1b[0m" in shown
    assert "\x1b[32myes\x1b[0m" in shown
    assert "\x1b[33mno\x1b[0m" in shown
    import re

    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == TEXT + "\n"


def test_examination_of_this_installation() -> None:
    report = doctor.examine()
    assert report.treadle == __version__
    assert report.python.startswith(platform.python_version())
    versions = {package.name: package.version for package in report.packages}
    assert {"numpy", "scipy", "llvmlite", "ml-dtypes", "safetensors", "rich"} == versions.keys()
    assert versions["numpy"] == np.__version__
    assert report.machine.features
