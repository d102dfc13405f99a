"""Makes `.venv` fit for work: creates it, and installs treadle (editable) with its development extras.

Run by make with any Python ≥ 3.11; needs nothing but the standard library. It does nothing when the environment already
agrees with pyproject.toml's `[build-system]` and `[project]` tables: the settings of ruff, mypy and pytest may change
without an installation. Arguments are names of further extras: `python tools/environment.py oracles`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "treadle-environment"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def wanted() -> str:
    """A digest of everything that decides what must be installed."""
    import tomllib  # not at the top: below 3.11 the message of `main` is to be seen, not an ImportError

    with open(ROOT / "pyproject.toml", "rb") as file:
        tables = tomllib.load(file)
    parts = {
        "build-system": tables["build-system"],
        "project": tables["project"],
        "python": sys.version_info[:2],
        "root": str(ROOT),  # an environment that was moved has wrong paths inside
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def ready(digest: str, extras: set[str]) -> bool:
    """Whether the environment is there, starts, and was installed for `digest` with at least these extras."""
    return stamped(digest) >= {"dev", *extras} and starts()


def stamped(digest: str) -> set[str]:
    """The extras that were installed for `digest`."""
    words = STAMP.read_text().split() if STAMP.is_file() else []
    return set(words[1:]) if words[:1] == [digest] else set()


def starts() -> bool:
    """Whether the environment's Python runs (it does not once the Python it was made from is gone) and is ours."""
    if not PYTHON.exists():
        return False
    version = "import sys; print(*sys.version_info[:2])"
    result = subprocess.run([PYTHON, "-c", version], check=False, capture_output=True, text=True)
    return result.returncode == 0 and result.stdout.split() == [str(n) for n in sys.version_info[:2]]


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Keeps two makes of one checkout from installing at the same time (where the system has flock)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(ROOT / ".venv.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(digest: str, extras: set[str]) -> None:
    """Creates the environment if it is missing or broken, installs into it, and stamps it last."""
    if not starts():
        shutil.rmtree(VENV, ignore_errors=True)
        print(f"creating {VENV.relative_to(ROOT)} with Python {sys.version.split()[0]}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    names = sorted({"dev", *extras} | stamped(digest))
    STAMP.unlink(missing_ok=True)
    print("installing treadle (editable) and its development tools", flush=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--editable", f".[{','.join(names)}]"], cwd=ROOT, check=True)
    STAMP.write_text(" ".join([digest, *names]) + "\n")


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - make may have found an older python3 than the one we need
        print(f"treadle needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 ...")
        return 1
    extras = set(sys.argv[1:])
    with only_one():
        digest = wanted()
        if not ready(digest, extras):
            try:
                install(digest, extras)
            except subprocess.CalledProcessError as error:
                print(f"could not set up .venv: exit code {error.returncode} of {' '.join(map(str, error.cmd))}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
