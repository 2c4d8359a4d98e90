"""The library that lets a disk hang for one process: compiled once for each run of the tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def library(folder: Path) -> Path:
    """Compile it, or skip the test where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler: no disk can be made to hang")
    made = folder / "hang.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True, timeout=60)
    return made


def environment(made: Path, flag: Path, name: str) -> dict[str, str]:
    """Give what a process needs so that its files of this name hang while the flag says so."""
    return {"LD_PRELOAD": str(made), "ALERTING_HANG": str(flag), "ALERTING_HANG_NAME": name}
