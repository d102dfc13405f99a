"""The processor that code is made for."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """A processor as LLVM names it, and the sizes that schedules depend on.

    Attributes:
        vector: bytes of a vector register.
        registers: how many there are.
        fma: whether a product and a sum are one instruction.
        l1, l2: bytes of a core's data caches.
    """

    triple: str
    cpu: str
    features: str
    vector: int
    registers: int
    fma: bool
    l1: int = 32 << 10
    l2: int = 512 << 10

    @property
    def is_x86(self) -> bool:
        return self.triple.startswith("x86_64")

    @property
    def key(self) -> str:
        return f"{self.triple} {self.cpu} {self.features} {self.vector} {self.registers} {self.l1} {self.l2}"

    def machine(self) -> Any:
        """LLVM's target machine. Every use needs one of its own: they are not shared between threads."""
        llvm = binding()
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.features, opt=2, reloc="pic", codemodel="default"
        )


@functools.cache
def binding() -> Any:
    """llvmlite's binding with the host's code generator, imported when first needed."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def host() -> Target:
    """This machine. `TREADLE_TARGET=baseline` makes code for any x86-64 with AVX2, or any aarch64."""
    llvm = binding()
    triple = llvm.get_process_triple()
    if os.environ.get("TREADLE_TARGET") == "baseline":
        return baseline(triple)
    found = llvm.get_host_cpu_features()
    x86 = triple.startswith("x86_64")
    wide = x86 and bool(
        found.get("avx512f") and found.get("avx512vl") and found.get("avx512bw") and found.get("avx512dq")
    )
    vector = 64 if wide else 32 if x86 and found.get("avx2") else 16
    return Target(
        triple,
        llvm.get_host_cpu_name(),
        found.flatten(),
        vector,
        32 if wide or not x86 else 16,
        not x86 or bool(found.get("fma")),
        _cache_size(1, 32 << 10),
        _cache_size(2, 512 << 10),
    )


def baseline(triple: str) -> Target:
    """What every processor of the kind has that is sold today: AVX2 and FMA, or NEON."""
    if triple.startswith("x86_64"):
        return Target(triple, "x86-64-v3", "", 32, 16, True)
    return Target(triple, "generic", "", 16, 32, True)


def _cache_size(level: int, default: int) -> int:
    """Bytes of a core's data cache, as Linux tells them."""
    for entry in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if int((entry / "level").read_text()) == level and (entry / "type").read_text().strip() != "Instruction":
                text = (entry / "size").read_text().strip()
                return int(text.rstrip("KM")) << (20 if text.endswith("M") else 10)
        except (OSError, ValueError):
            continue
    return default
