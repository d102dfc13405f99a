"""From LLVM's text to addresses of functions: optimised, assembled, kept on disk, loaded."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.backends.native.assembly import Function
from treadle.backends.native.mathematics import definitions
from treadle.backends.native.target import Target, binding, host
from treadle.core.errors import CompileError

FORMAT = "2"  # of what is kept on disk; a new number makes all of it obsolete
KEPT_BYTES = 256 << 20

_lock = threading.RLock()


class Library:
    """Loaded machine code; alive as long as somebody holds it."""

    def __init__(self, object_code: bytes, names: Sequence[str]) -> None:
        llvm = binding()
        builder = llvm.JITLibraryBuilder().add_object_img(object_code).add_current_process()
        for name in names:
            builder.export_symbol(name)
        self._tracker = builder.link(_linker(), f"treadle{next(_numbers)}")
        self.addresses: dict[str, int] = {name: self._tracker[name] for name in names}

    def keep_forever(self) -> None:
        """For code that threads may still be in when the interpreter goes away."""
        _make_immortal(self._tracker)


_numbers = itertools.count()
_jit: list[Any] = []
_loaded: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()


def _make_immortal(thing: Any) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _linker() -> Any:
    if not _jit:
        # LLVM's older linker maps each section of an object by itself, and aborts the process where two that refer to
        # each other come to lie more than 2 GB apart; JITLink maps an object as one piece.
        made = binding().create_lljit_compiler(host().machine(), use_jit_link=True)
        _make_immortal(made)  # it outlives every library, also at exit
        _jit.append(made)
    return _jit[0]


def load(writers: Mapping[str, Callable[[], Function]], target: Target | None = None) -> dict[str, tuple[int, Library]]:
    """Addresses of functions, and what keeps them alive.

    Args:
        writers: what each function is called, which must say all of what it does, and how to write it; only what is
            neither loaded nor on disk is written.
    """
    target = target or host()
    with _lock:
        out: dict[str, tuple[int, Library]] = {}
        missing = []
        for name in writers:
            known = _loaded.get(name)
            if known is None:
                missing.append(name)
            else:
                out[name] = (known.addresses[name], known)
        if missing:
            library = Library(object_code({n: writers[n] for n in missing}, target), missing)
            for name in missing:
                _loaded[name] = library
                out[name] = (library.addresses[name], library)
        return out


def object_of(text: str, target: Target) -> bytes:
    """The object file of a module, from the disk or made now."""
    return _kept([text], target, lambda: text)


def object_code(writers: Mapping[str, Callable[[], Function]], target: Target) -> bytes:
    """An object file with these functions, from the disk or made now."""

    def text() -> str:
        return module_text([write() for write in writers.values()], target)

    try:
        return _kept(sorted(writers), target, text)
    except CompileError:
        for name, write in writers.items():  # which one is it?
            compile_text(module_text([write()], target), target, name)
        raise


def _kept(name: Sequence[str], target: Target, write: Callable[[], str]) -> bytes:
    key = hashlib.sha256("\n".join([FORMAT, _version(), target.key, *name]).encode()).hexdigest()
    kept = _from_disk(key)
    if kept is None:
        kept = compile_text(write(), target)
        _to_disk(key, kept)
    return kept


def module_text(functions: Sequence[Function], target: Target) -> str:
    """Functions as a module, with what they call."""
    needed = {key: None for f in functions for key in f.math}
    declared = {line: None for f in functions for line in f.declared}
    bits = target.vector * 8
    attributes = f'attributes #0 = {{ nounwind "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}" }}'
    parts = [f.text() for f in functions]
    library, called = definitions(list(needed), target)
    return "\n".join([*parts, *library, *(declared | called), attributes, ""])


def compile_text(text: str, target: Target, name: str = "a module") -> bytes:
    """Optimise and assemble a module; `name` is what an error calls it.

    Raises:
        CompileError: LLVM refuses it; the text is saved, and the message says where.
    """
    llvm = binding()
    try:
        module = llvm.parse_assembly(text)
        module.triple = target.triple
        machine = target.machine()
        module.data_layout = str(machine.target_data)
        module.verify()
        _optimise(module, machine)
        code: bytes = machine.emit_object(module)
    except RuntimeError as e:
        with tempfile.NamedTemporaryFile("w", suffix=".ll", prefix="treadle-", delete=False) as f:
            f.write(text)
        raise CompileError(
            f"LLVM does not accept what treadle wrote for {name}: {str(e).strip()}\n"
            f"  This is a defect of treadle's. Its code is saved in {f.name}: please report it with that file. "
            'Meanwhile td.compile(f, backend="reference") runs without LLVM'
        ) from e
    return code


def optimised_text(text: str, target: Target) -> str:
    """A module's text as it is after optimisation, for people."""
    module = binding().parse_assembly(text)
    machine = target.machine()
    module.data_layout = str(machine.target_data)
    _optimise(module, machine)
    return str(module)


def assembly_text(text: str, target: Target) -> str:
    module = binding().parse_assembly(text)
    machine = target.machine()
    module.data_layout = str(machine.target_data)
    _optimise(module, machine)
    made: str = machine.emit_assembly(module)
    return made


def _optimise(module: Any, machine: Any) -> None:
    """Vectors, tiles, the order of sums and what moves out of loops are ours already: what is left is tidying.

    LLVM's own level 2 took two and a half times as long for all kernels of a residual network, and they ran no faster.
    """
    llvm = binding()
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_simplify_cfg_pass()
    passes.add_loop_rotate_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2)))


# on disk


def cache_folder() -> Path | None:
    """Where object code is kept: `TREADLE_CACHE`, or `treadle` in the user's cache folder; none if that is empty."""
    chosen = os.environ.get("TREADLE_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "treadle" / "code"


def _version() -> str:
    import llvmlite

    return f"{llvmlite.__version__} {_own_sources()}"


_sources: list[str] = []


def _own_sources() -> str:
    """A change of the compiler makes what it has written before obsolete."""
    if not _sources:
        total = hashlib.sha256()
        for path in sorted(Path(__file__).parent.rglob("*.py")):
            stat = path.stat()
            total.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
        _sources.append(total.hexdigest())
    return _sources[0]


def _from_disk(key: str) -> bytes | None:
    """What was kept, if it is whole; using it makes it young."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / f"{key}.o"
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    digest, code = kept[:32], kept[32:]
    if hashlib.sha256(code).digest() != digest:
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return code


def _to_disk(key: str, code: bytes) -> None:
    """Written beside and renamed, so that nobody ever reads half of it. A full or closed disk is no error."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
        with os.fdopen(handle, "wb") as f:
            f.write(hashlib.sha256(code).digest() + code)
        os.replace(name, folder / f"{key}.o")
        _bound(folder)
    except OSError:
        return


def _bound(folder: Path) -> None:
    """Drop what was not used for longest until the folder is small enough."""
    files = [(p.stat().st_mtime, p.stat().st_size, p) for p in folder.glob("*.o")]
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= KEPT_BYTES:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
