"""What the Dockerfile says, read as far as the tests need it: its stages, and what its .dockerignore lets in."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Step(NamedTuple):
    """One instruction, with its continuation lines joined."""

    word: str  # RUN, COPY …
    rest: str


def stages() -> list[list[Step]]:
    """The instructions of each stage, from its FROM on; what stands before the first is left out."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Step]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append(Step(word, " ".join(rest.split())))
    return found


def health_check() -> list[str]:
    """The command of the HEALTHCHECK."""
    (step,) = [step for step in stages()[-1] if step.word == "HEALTHCHECK"]
    words = json.loads(step.rest.partition("CMD ")[2])
    assert isinstance(words, list)
    return words


def let_in(path: str) -> bool:
    """Tell whether a path of the tree comes into the build: the last pattern that fits decides, as Docker documents."""
    kept = True
    parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 2)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.startswith("!")
        bare = pattern.lstrip("!")
        anywhere = bare.startswith("**/")
        for each in parents:
            name = each.rpartition("/")[2] if anywhere else each
            same_depth = anywhere or each.count("/") == bare.count("/")
            if same_depth and fnmatch.fnmatchcase(name, bare.removeprefix("**/")):
                kept = wanted
    return kept
