"""F38: files that change while they are read give one consistent set or none."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from alerting.cli.loading import load
from alerting.config.rules import load_rules
from alerting.config.settings import load_settings
from alerting.errors import ConfigError
from alerting.patterns import compile_pattern
from tests.full import rounds, seed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.figures import Figure

SETTINGS = "receivers: {ops: {type: console}}\n"
RULE = "alert: {}\ncondition: disk_usage > {}%\nnotify: ops\n"
FILES = 12
SETS = {"low": range(FILES), "high": range(FILES + 2)}  # one of them has more files than the other
LIMITS = {"low": 10, "high": 90}


def write(folder: Path, which: str) -> None:
    """Write one of the two sets."""
    folder.mkdir()
    for number in SETS[which]:
        (folder / f"{number}.yaml").write_text(RULE.format(f"A{number}", LIMITS[which]))


def replace_folder(root: Path, which: str) -> None:
    """Put another folder in the place of the one that is there."""
    write(root / "young", which)
    (root / "rules").rename(root / "old")
    (root / "young").rename(root / "rules")
    shutil.rmtree(root / "old")


def test_f38_a_set_that_changes_while_it_is_read_is_never_mixed(tmp_path: Path, figure: Figure) -> None:
    """Two folders take turns without end; what is loaded is one of them, or nothing."""
    number, trials = seed(38), rounds(15, 1000)
    dice = random.Random(number)
    (tmp_path / "alerting.yaml").write_text(SETTINGS)
    write(tmp_path / "rules", "low")
    settings = load_settings(tmp_path / "alerting.yaml", {}, tmp_path)
    over, begin, at_rest = threading.Event(), threading.Event(), threading.Event()
    at_rest.set()

    def swap() -> None:
        which = "low"
        while not over.is_set():
            begin.wait()
            begin.clear()
            which = "high" if which == "low" else "low"
            over.wait(dice.uniform(0, 0.01))
            replace_folder(tmp_path, which)
            at_rest.set()

    thread = threading.Thread(target=swap)
    thread.start()
    seen: Counter[str] = Counter()
    mixed = []
    try:
        for _ in range(trials):
            at_rest.clear()
            begin.set()
            while not at_rest.is_set():
                found = load_rules(settings, None, compile_pattern)
                limits = {rule.spec.condition for rule in found.rules}
                kinds = [which for which, limit in LIMITS.items() if limits == {f"disk_usage > {limit}%"}]
                if found.good and (len(kinds) != 1 or len(found.rules) != len(SETS[kinds[0]])):
                    mixed.append(f"{len(found.rules)} rules: {sorted(limits)}")
                seen[kinds[0] if found.good and kinds else "refused"] += 1
    finally:
        over.set()
        begin.set()
        thread.join()
    print(dict(seen), *mixed[:5], sep="\n")
    assert sum(seen.values()) >= trials
    figure("mixed sets", len(mixed), at_most=0, n=sum(seen.values()), seed=number)


def test_settings_that_do_not_come_to_rest_are_refused(tmp_path: Path) -> None:
    """With their name; and taken as soon as they rest."""
    settings = tmp_path / "alerting.yaml"
    settings.write_text(SETTINGS)
    write(tmp_path / "rules", "low")
    over = threading.Event()

    def touch() -> None:
        number = 0
        while not over.wait(0.0005):
            number += 1
            os.utime(settings, ns=(number, number))

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        with pytest.raises(ConfigError, match=r"alerting\.yaml:1: changed while it was read"):
            all(load(str(settings)) for _ in range(20))  # a busy machine may let it rest for a moment
    finally:
        over.set()
        thread.join()
    assert load(str(settings)).good
