"""What the processor is: the parsing, on texts of machines unlike this one."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from treadle.cli import _machine

TWO_SOCKETS = """\
processor	: 0
model name	: Some CPU @ 3.00GHz
physical id	: 0
core id		: 0

processor	: 1
model name	: Some CPU @ 3.00GHz
physical id	: 0
core id		: 0

processor	: 2
model name	: Some CPU @ 3.00GHz
physical id	: 1
core id		: 0
"""

ARM_SERVER = """\
processor	: 0
BogoMIPS	: 243.75
Features	: fp asimd evtstrm aes
CPU implementer	: 0x41
"""


def test_hardware_threads_of_one_core_count_once() -> None:
    blocks = _machine._parse_cpuinfo(TWO_SOCKETS)
    assert [block["processor"] for block in blocks] == ["0", "1", "2"]
    assert _machine._physical_cores(blocks) == 2


def test_physical_cores_are_unknown_where_the_system_does_not_say() -> None:
    assert _machine._physical_cores(_machine._parse_cpuinfo(ARM_SERVER)) is None
    assert _machine._physical_cores([]) is None


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "nonsense\n"}, None),
        ({}, None),
    ],
)
def test_container_limit(files: dict[str, str], quota: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _machine._cpu_quota(tmp_path) == quota


@pytest.mark.parametrize(("quota", "threads"), [(None, 8), (2.0, 2), (1.6, 2), (0.2, 1), (64.0, 8)])
def test_threads_stay_within_cores_and_quota(quota: float | None, threads: int) -> None:
    machine = dataclasses.replace(_machine.inspect_machine(), usable_cores=8, cpu_quota=quota)
    assert machine.threads == threads


def test_telling_features_are_those_of_vector_code() -> None:
    features = ("aes", "avx2", "fma", "neon", "sse4.2", "sve2", "v", "vaes", "xsave")
    machine = dataclasses.replace(_machine.inspect_machine(), features=features)
    assert machine.telling_features == ("avx2", "fma", "neon", "sse4.2", "sve2", "v")


def test_without_llvmlite_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)  # makes the import statement raise
    machine = _machine.inspect_machine()
    assert machine.features is None
    assert machine.llvm_name is None
    assert machine.features_missing_because is not None
    assert "llvmlite" in machine.features_missing_because


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _machine.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    machine = _machine.inspect_machine()
    assert 1 <= machine.usable_cores <= (machine.logical_cores or 1)
    assert machine.architecture == os.uname().machine if hasattr(os, "uname") else machine.architecture
    assert machine.thread_variables == {"OMP_NUM_THREADS": "3"}
