"""Every check of the repository, one after the other: lint, format, types, imports, then tests with all doctests.

A failing check does not hide the ones after it; the exit code is 1 if any failed. pytest runs last: its summary closes
the output.

    python tools/check.py [--slow] [--only NAME ...] [-- further arguments of pytest]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))

CHECKS: dict[str, list[str]] = {
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    "imports": ["lint-imports", "--no-logo"],
    "tests": ["pytest", "-n", "auto"],
}


def run(name: str, command: list[str]) -> bool:
    """Runs one check with its output on the screen; True if it passed."""
    print(f"\n── {name}: {' '.join(command)}", flush=True)
    # Test processes fill the cores already; a thread pool of BLAS inside each would only make them wait for each other.
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **os.environ}
    started = time.perf_counter()
    code = subprocess.run([SCRIPTS / command[0], *command[1:]], cwd=ROOT, env=environment, check=False).returncode
    if name != "tests":
        print(f"{name}: {'passed' if code == 0 else 'FAILED'} in {time.perf_counter() - started:.1f} s", flush=True)
    return code == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the repository's checks.")
    parser.add_argument("--slow", action="store_true", help="run the tests marked slow as well")
    parser.add_argument("--only", nargs="+", choices=list(CHECKS), default=list(CHECKS), metavar="NAME")
    parser.add_argument("pytest_arguments", nargs="*", help="after --: passed on to pytest")
    options = parser.parse_args()

    failed: list[str] = []
    for name in options.only:
        command = list(CHECKS[name])
        if name == "tests":
            command += ["-m", "slow or not slow"] if options.slow else []
            command += options.pytest_arguments
            if failed:
                print(f"\nfailed so far: {', '.join(failed)} (see above)", flush=True)
        if not run(name, command):
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
