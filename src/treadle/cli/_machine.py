"""What the processor is, and how much of it this process may use."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Features that decide which code the compiler can emit; a CPU has about a hundred more.
_TELLING = (
    "sse4.2",
    "avx",
    "fma",
    "f16c",
    "amx",
    "neon",
    "sve",
    "sme",
    "dotprod",
    "fullfp16",
    "bf16",
    "i8mm",
    "v",
    "zv",
)

# Variables that bound the threads of NumPy's matrix products.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Machine:
    """The processor and what of it is ours. `None` is "the system does not say"."""

    system: str
    architecture: str
    model: str | None
    llvm_name: str | None
    features: tuple[str, ...] | None
    features_missing_because: str | None
    logical_cores: int | None
    physical_cores: int | None
    usable_cores: int
    cpu_quota: float | None
    thread_variables: dict[str, str]

    @property
    def telling_features(self) -> tuple[str, ...]:
        """Those of `features` that decide which vector code can be emitted."""
        return tuple(name for name in self.features or () if _is_telling(name))

    @property
    def threads(self) -> int:
        """How many threads can run at the same time: the cores we may use, within the container's quota."""
        if self.cpu_quota is None:
            return self.usable_cores
        return max(1, min(self.usable_cores, round(self.cpu_quota)))


def inspect_machine() -> Machine:
    """Asks the system, LLVM and the environment."""
    llvm_name, features, why_not = _ask_llvm()
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        model=_cpu_model(),
        llvm_name=llvm_name,
        features=features,
        features_missing_because=why_not,
        logical_cores=os.cpu_count(),
        physical_cores=_physical_cores(_cpuinfo()),
        usable_cores=_usable_cores(),
        cpu_quota=_cpu_quota(Path("/sys/fs/cgroup")),
        thread_variables={name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    )


def _is_telling(feature: str) -> bool:
    # "v" and "zv…" are RISC-V's vector extensions: other names begin with v too (vaes, vpclmulqdq), so "v" must be all.
    return feature == "v" or any(feature.startswith(start) for start in _TELLING if start != "v")


def _ask_llvm() -> tuple[str | None, tuple[str, ...] | None, str | None]:
    try:
        from llvmlite import binding

        name = binding.get_host_cpu_name()
        features = tuple(sorted(feature for feature, on in binding.get_host_cpu_features().items() if on))
    except (ImportError, OSError, RuntimeError) as error:  # not installed; its library does not load; LLVM cannot tell
        return None, None, f"{type(error).__name__}: {error}"
    return name, features, None


def _cpuinfo() -> list[dict[str, str]]:
    """Linux's /proc/cpuinfo, a dict per logical core; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return _parse_cpuinfo(text)


def _parse_cpuinfo(text: str) -> list[dict[str, str]]:
    blocks = []
    for block in text.strip().split("\n\n"):
        fields = (line.partition(":") for line in block.splitlines() if ":" in line)
        blocks.append({key.strip(): value.strip() for key, _, value in fields})
    return blocks


def _cpu_model() -> str | None:
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            answer = ""
        if answer:
            return answer
    for block in _cpuinfo():
        # x86 says "model name"; some ARM boards say "Model" or "Hardware", servers say neither.
        for key in ("model name", "Model", "Hardware"):
            if block.get(key):
                return block[key]
    return platform.processor() or None


def _physical_cores(cpuinfo: list[dict[str, str]]) -> int | None:
    cores = {
        (block["physical id"], block["core id"]) for block in cpuinfo if {"physical id", "core id"} <= block.keys()
    }
    return len(cores) or None


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_quota(cgroup: Path) -> float | None:
    """The container's limit in cores (cgroup v2 `cpu.max`, else v1's two files), None if there is none."""
    try:
        if (cgroup / "cpu.max").exists():
            limit, period = (cgroup / "cpu.max").read_text().split()
        else:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        quota = float("inf") if limit in ("max", "-1") else int(limit) / int(period)
    except (OSError, ValueError):
        return None
    return None if quota == float("inf") else quota
