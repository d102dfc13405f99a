"""Builds the wheel, installs it alone into an empty environment, and runs `smoke_program.py` there, off the sources.

Finds what tests on an editable install cannot: a data file left out of the wheel, a dependency that only the
developers' environment has, an entry point that does not start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "tools" / "smoke_program.py"


def missing_files(wheel: Path) -> list[str]:
    """The files of src/treadle that are not in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        present = set(archive.namelist())
    source = ROOT / "src"
    files = (path for path in sorted((source / "treadle").rglob("*")) if path.is_file())
    names = (path.relative_to(source).as_posix() for path in files if "__pycache__" not in path.parts)
    return [name for name in names if name not in present]


def run(*command: str | Path, folder: Path) -> None:
    """Runs a command in `folder`, without the variables that would let it see another Python's packages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    subprocess.run(command, cwd=folder, env=environment, check=True)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="treadle-smoke-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT], check=True)
        (wheel,) = (folder / "dist").glob("*.whl")
        missing = missing_files(wheel)
        if missing:
            print("not in the wheel:", *missing, sep="\n  ")
            return 1
        empty = folder / "elsewhere"
        empty.mkdir()
        run(sys.executable, "-m", "venv", folder / "venv", folder=empty)
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python = scripts / ("python.exe" if os.name == "nt" else "python")
        run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel, folder=empty)
        run(python, "-m", "pip", "--disable-pip-version-check", "check", folder=empty)
        command = shutil.which("treadle", path=scripts)
        if command is None:
            print("the wheel installed no command `treadle`")
            return 1
        run(command, "--version", folder=empty)
        shutil.copy2(PROGRAM, empty / PROGRAM.name)
        run(python, "-W", "error", PROGRAM.name, folder=empty)
        run(command, "doctor", folder=empty)
    print(f"smoke test passed: {wheel.name}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        print(f"smoke test failed: exit code {error.returncode} of {' '.join(map(str, error.cmd))}")
        sys.exit(1)
