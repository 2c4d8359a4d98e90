"""F40: what `rules:` may lead to: regular files under the settings' folder, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

import pytest

from alerting.config.files import MOST_FILES
from alerting.config.rules import load_rules
from alerting.patterns import compile_pattern
from tests.config.test_rules import SETTINGS, rule, settings_in
from tests.full import rounds

if TYPE_CHECKING:
    from tests.figures import Figure


def patterns(folder: Path, *written: str) -> tuple[list[str], list[str]]:
    """Give the files that patterns lead to, and the problems."""
    found = load_rules(settings_in(folder, f"{SETTINGS}rules: {list(written)!r}\n"), None, compile_pattern)
    return sorted({rule.spec.origin.file for rule in found.rules}), [str(each) for each in found.problems]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with rules, tests, a link in it and a link out of it, and a pipe."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "rules" / "deep" / "er", outside):
        folder.mkdir(parents=True)
    for path in ("rules/a.yaml", "rules/b.yaml", "rules/deep/er/c.yaml", "rules/.hidden.yaml"):
        (root / path).write_text(rule("A"))
    (root / "rules/a.test.yaml").write_text("tests: []\n")
    (outside / "o.yaml").write_text(rule("A"))
    (root / "linked-in.yaml").symlink_to("rules/a.yaml")
    (root / "linked-out.yaml").symlink_to(outside / "o.yaml")
    (root / "folder-out").symlink_to(outside)
    (root / "broken.yaml").symlink_to("nowhere")
    (root / "loop.yaml").symlink_to("loop.yaml")
    (root / "rules" / "deep" / "round").symlink_to("..")
    os.mkfifo(root / "pipe.yaml")
    (root / "zero.yaml").symlink_to("/dev/zero")
    return root


CASES: dict[str, tuple[list[str], list[str], str]] = {  # patterns, the files that are read, what is said
    "a folder": (["rules/*.yaml"], ["rules/a.yaml", "rules/b.yaml"], ""),
    "a file twice": (["rules/a.yaml", "rules/*.yaml"], ["rules/a.yaml", "rules/b.yaml"], ""),
    "folders below, one a circle": (["rules/**/*.yaml"], ["rules/a.yaml", "rules/b.yaml", "rules/deep/er/c.yaml"], ""),
    "a choice of letters": (["rules/[ab].yaml"], ["rules/a.yaml", "rules/b.yaml"], ""),
    "a link within": (["linked-in.yaml"], ["linked-in.yaml"], ""),
    "another ending": (["rules/*.yml"], [], "matches no file"),
    "a test": (["rules/a.test.yaml"], [], "matches nothing but tests and hidden files"),
    "a hidden file": (["rules/.hidden.yaml"], [], "matches nothing but tests and hidden files"),
    "a folder itself": (["rules"], [], "matches no file"),
    "up": (["../outside/*.yaml"], [], "leads out of"),
    "up, in the middle": (["rules/../../outside/o.yaml"], [], "leads out of"),
    "up, the other way": (["rules\\..\\..\\outside\\o.yaml"], [], "leads out of"),
    "an absolute path": (["/etc/passwd"], [], "leads out of"),
    "a link out": (["linked-out.yaml"], [], "leads out of"),
    "a folder that is a link out": (["folder-out/*.yaml"], [], "leads out of"),
    "a named pipe": (["pipe.yaml"], [], "is not a regular file"),
    "a device": (["zero.yaml"], [], "leads out of"),
    "a link that leads nowhere": (["broken.yaml"], [], "broken.yaml"),
    "a link to itself": (["loop.yaml"], [], "loop.yaml"),
    "half a choice": (["rules/[.yaml"], [], "matches no file"),
    "one that is there and two that are not": (["rules/a.yaml", "gone.yaml", "also.yaml"], [], "gone.yaml"),
}
assert len(CASES) >= 20


def test_f40_only_regular_files_under_the_root_are_read(tree: Path, figure: Figure) -> None:
    """A pattern that leads out, or matches nothing, is an error with its place; nothing blocks."""
    outside, wrong, longest = 0, [], 0.0
    for name, (pattern, files, said) in CASES.items():
        began = process_time()
        found, problems = patterns(tree, *pattern)
        longest = max(longest, process_time() - began)
        outside += sum("outside" in Path(os.path.realpath(tree / each)).parts for each in found)
        if found != files or bool(problems) != bool(said) or not all(said in each for each in problems[:1]):
            wrong.append(f"{name}: {found}, {problems}")
        named = ("alerting.yaml:", *(each.partition("*")[0] for each in pattern))
        wrong += [f"{name}: {each}" for each in problems if not each.startswith(named)]
    print(*wrong, sep="\n")
    figure("files read outside the root", outside, at_most=0, n=len(CASES))
    figure("cases that end otherwise than they should", len(wrong), at_most=0, n=len(CASES))
    figure("longest reading of a case", longest, at_most=5, n=len(CASES), unit="s of processor time", timed=True)


def test_f40_ten_thousand_files_are_read_and_one_more_is_refused(tmp_path: Path, figure: Figure) -> None:
    """The bound holds, and is far from slow."""
    count = rounds(300, MOST_FILES)
    (tmp_path / "rules").mkdir()
    for number in range(count):
        (tmp_path / "rules" / f"{number}.yaml").write_text(rule(f"A{number}"))
    settings = settings_in(tmp_path)
    began = process_time()
    found = load_rules(settings, None, compile_pattern)
    took = process_time() - began
    assert (found.problems, len(found.rules)) == ((), count)
    figure("start", took, at_most=5, n=count, unit="s of processor time", timed=True)
    for number in range(count, MOST_FILES + 1):
        os.link(tmp_path / "rules" / "0.yaml", tmp_path / "rules" / f"{number}.yaml")
    assert f"more than {MOST_FILES} files" in str(load_rules(settings, None, compile_pattern).problems[0])
