"""The scripts behind the Makefile, as far as they can be wrong without anybody's noticing."""

from __future__ import annotations

import importlib.util
import types
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def tool(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"treadle_tool_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.1.0.dev0", "0.1.0.dev20261122"),
        ("1.2", "1.2.dev20261122"),
        ("2.0.0rc1", "2.0.0.dev20261122"),  # sorts before the candidate: pip takes it only with --pre
    ],
)
def test_nightly_version(version: str, expected: str) -> None:
    assert tool("nightly").nightly_version(version, "20261122") == expected


def test_nightly_stamp_changes_the_version_and_nothing_else() -> None:
    text = (ROOT / "src/treadle/_version.py").read_text(encoding="utf-8")
    stamped, version = tool("nightly").stamp(text, "20261122")
    changed = [pair for pair in zip(text.splitlines(), stamped.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1
    assert changed[0][1] == f'__version__ = "{version}"'
    assert version.endswith(".dev20261122")


def test_nightly_stamp_refuses_a_file_without_a_version() -> None:
    with pytest.raises(ValueError, match="has no line __version__"):
        tool("nightly").stamp("version = 3\n", "20261122")


def test_smoke_notices_a_file_left_out_of_the_wheel(tmp_path: Path) -> None:
    sources = ROOT / "src"
    files = [path for path in (sources / "treadle").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wheel = tmp_path / "treadle-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in files:
            if path.name != "py.typed":
                archive.write(path, path.relative_to(sources).as_posix())
    assert tool("smoke").missing_files(wheel) == ["treadle/py.typed"]


def test_environment_is_made_again_when_dependencies_change_but_not_for_tool_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tool("environment")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    base = '[build-system]\nrequires = ["hatchling"]\n[project]\nname = "x"\n'

    def digest(text: str) -> str:
        (tmp_path / "pyproject.toml").write_text(text)
        return str(environment.wanted())

    assert digest(base) == digest(base + "[tool.ruff]\nline-length = 80\n")
    assert digest(base) != digest(base + 'dependencies = ["numpy"]\n')


def test_every_target_of_the_makefile_that_needs_the_environment_asks_for_it() -> None:
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").split("\n\n"):
        head = next((part for part in line.splitlines() if not part.startswith("#")), "")
        if "$(PY) " in line and ":" in head:
            assert ": environment" in head, head
