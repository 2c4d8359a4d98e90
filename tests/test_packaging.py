"""What is shipped: the wheel holds the package and its schemas, and works by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SCHEMAS = sorted(path.name for path in (REPOSITORY / "schemas").glob("*.schema.json"))


def run(folder: Path, *words: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with `path` before everything that is installed."""
    line = [sys.executable, "-P", *words]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": path}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_the_wheel_works_by_itself(tmp_path: Path) -> None:
    """Built, unpacked elsewhere and run from there: schemas inside, typed, no test, no rule."""
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(REPOSITORY)]
    run(tmp_path, *wheel)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    assert sorted(name.rpartition("/")[2] for name in names if name.startswith("alerting/schemas/")) == SCHEMAS
    assert "alerting/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "rules/"))]
    unpacked = str(tmp_path / "unpacked")
    where = run(tmp_path, "-c", "import alerting; print(alerting.__file__)", path=unpacked).stdout
    assert where.startswith(unpacked)
    assert json.loads(run(tmp_path, "-m", "alerting", "schema", "rules", path=unpacked).stdout)["title"] == "Rule file"
    run(tmp_path, "-m", "alerting", "init", path=unpacked)
    run(tmp_path, "-m", "alerting", "validate", path=unpacked)


def test_the_checkout_works_by_itself(tmp_path: Path) -> None:
    """Installed as editable, the schemas come from the checkout."""
    assert json.loads(run(tmp_path, "-m", "alerting", "schema", "settings", path=str(REPOSITORY)).stdout)["title"]
