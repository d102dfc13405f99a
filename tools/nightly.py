"""Builds a wheel with today's date as development version: 0.1.0.dev0 becomes, for example, 0.1.0.dev20261122.

The version is changed in a copy of the sources, so the tree stays as it is, whatever happens half way.

    python tools/nightly.py [--outdir dist] [--date YYYYMMDD]
"""

from __future__ import annotations

import argparse
import datetime
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION_FILE = "src/treadle/_version.py"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "src")


def nightly_version(version: str, date: str) -> str:
    """The release that `version` leads to, with `date` as development number."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    if release is None:
        raise ValueError(f"{version!r} does not begin with a release number")
    return f"{release[0]}.dev{date}"


def stamp(text: str, date: str) -> tuple[str, str]:
    """The version file's text with the dated version, and that version."""
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError(f'{VERSION_FILE} has no line __version__ = "…"')
    version = nightly_version(found[1], date)
    return text[: found.start(1)] + version + text[found.end(1) :], version


def build(outdir: Path, date: str) -> Path:
    """Builds the wheel into `outdir` and returns its path."""
    with tempfile.TemporaryDirectory(prefix="treadle-nightly-") as folder:
        copy = Path(folder)
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, copy / name)
        text, version = stamp((copy / VERSION_FILE).read_text(encoding="utf-8"), date)
        (copy / VERSION_FILE).write_text(text, encoding="utf-8")
        subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", outdir, copy], check=True)
    return outdir / f"treadle-{version}-py3-none-any.whl"


def main() -> int:
    parser = argparse.ArgumentParser(description="Build a wheel with a dated development version.")
    parser.add_argument("--outdir", type=Path, default=ROOT / "dist")
    parser.add_argument(
        "--date", default=f"{datetime.datetime.now(datetime.UTC):%Y%m%d}", help="YYYYMMDD (default: today, UTC)"
    )
    options = parser.parse_args()
    if not re.fullmatch(r"\d{8}", options.date):
        parser.error(f"--date {options.date}: want YYYYMMDD")
    wheel = build(options.outdir.resolve(), options.date)
    if not wheel.is_file():
        print(f"the build did not write {wheel.name}")
        return 1
    print(f"wrote {wheel}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
