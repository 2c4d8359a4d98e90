"""What is left of settings that do not load: where the state is, and what else would load by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.config.remains import remains
from alerting.config.settings import load_settings
from alerting.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alerting.config.settings import Settings

DEFAULT, OTHER = "sqlite:///alerting.db", "sqlite:////var/lib/x.db"
SOURCES = "sources:\n  jobs: {type: file, paths: [/x], reads: metrics}\n  host: {type: host}\n"


def left(folder: Path, text: str | bytes) -> Settings | None:
    """Give what is left of settings, which must not load."""
    path = folder / "alerting.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError):
        load_settings(path, {}, folder)
    return remains(path, {}, folder)


PLACES: Mapping[str, tuple[str | bytes, str | None]] = {
    "a duration without a unit": ("interval: 2\n", DEFAULT),
    "a duration without a unit, and a place": (f"interval: 2\nstore: {OTHER}\n", OTHER),
    "an unknown key": (f"zz: 1\nstore: {OTHER}\n", OTHER),
    "a place in braces": (f'{{interval: 2, "store": "{OTHER}"}}', OTHER),
    "a bracket that stays open": (f"rules: [a\nstore: {OTHER}\n{SOURCES}", OTHER),
    "a bracket that stays open after it": (f"'store': {OTHER}\nrules: [a\n", OTHER),
    "a quote that stays open": (f'external_url: "http\r\nstore: {OTHER}\r\n', OTHER),
    "two sides of a merge that agree": (f"<<<<<<< a\nstore: {OTHER}\n=======\nstore: {OTHER}\n>>>>>>> b\n", OTHER),
    "two sides of a merge that differ": (f"<<<<<<< a\nstore: {OTHER}\n=======\nstore: {DEFAULT}\n>>>>>>> b\n", None),
    "two places": (f"store: {OTHER}\nstore: {DEFAULT}\n", None),
    "a second document": (f"store: {OTHER}\n---\nstore: {DEFAULT}\n", None),
    "a place that is none": ("store: postgres://x\n", None),
    "a place that is a mapping": ("store: {a: 1}\n", None),
    "a place that cannot be followed": ("store: sqlite:///${NOWHERE_AT_ALL}\n", None),
    "a place that cannot be read": (f'store: "{OTHER}\n', None),
    "a place that cannot be read, and one that can": (f'store: "{OTHER}\nstore: {OTHER}\n', None),
    "a key that is nearly it": (f"stroe: {OTHER}\n", None),
    "a place that is indented": (f"interval: 30s\n store: {OTHER}\n", None),
    "a place that is indented under sources": (f"{SOURCES}  store: {OTHER}\n", None),
    "a place that is indented under sources, in a broken text": (f"rules: [\n{SOURCES}  store: {OTHER}\n", None),
    "a key that is nearly it, in a broken text": (f"rules: [\nstroe: {OTHER}\n", None),
    "a comment that names another": (f"# store: {OTHER}\nrules: [\n", DEFAULT),
    "a database that is read": ("interval: 2\nsources: {db: {type: sql, url: 'sqlite:///other.db'}}\n", DEFAULT),
    "nothing": ("", DEFAULT),
    "a list": ("- a\n", DEFAULT),
    "no text": (b"\x00\xff\xfe", DEFAULT),
    "a mark of the encoding": (f"\ufeffstore: {OTHER}\nrules: [\n", OTHER),
}


@pytest.mark.parametrize("case", sorted(PLACES))
def test_the_state_is_where_the_file_can_only_mean(case: str, tmp_path: Path) -> None:
    """What is not understood and might name another place leaves none."""
    text, place = PLACES[case]
    found = left(tmp_path, text)
    assert (None if found is None else found.store) == place
    if found is not None:
        assert (found.partial, found.configured, found.root) == (True, True, tmp_path)


def test_a_file_that_cannot_be_read_leaves_the_default(tmp_path: Path) -> None:
    """A folder in its place."""
    (tmp_path / "alerting.yaml").mkdir()
    found = remains(tmp_path / "alerting.yaml", {}, tmp_path)
    assert found is not None
    assert found.store == DEFAULT


WHOLE = f"external_labels: {{team: db, n: 010}}\nlookback: 7m\nflapping: {{}}\n{SOURCES}"


@pytest.mark.parametrize("slip", ["interval: 2\n", "rules: [\n", "receivers: {ops: {type: sms}}\n", "lookback: 1m\n"])
def test_what_would_load_by_itself_is_kept(slip: str, tmp_path: Path) -> None:
    """Labels as they are written, and the sources."""
    found = left(tmp_path, slip + WHOLE)
    assert found is not None
    assert found.external_labels == {"team": "db", "n": "010"}
    assert found.flapping is not None
    assert sorted(found.sources) == ["host", "jobs"]
    assert found.lookback == (60_000 if slip.startswith("lookback") else 420_000)


def test_one_source_that_is_wrong_takes_no_other_with_it(tmp_path: Path) -> None:
    """Nor do labels that are wrong: they are as if they were not there."""
    found = left(tmp_path, f"{SOURCES}  sms: {{type: sms}}\n  old: 5\nexternal_labels: 5\n")
    assert found is not None
    assert sorted(found.sources) == ["host", "jobs"]
    assert found.external_labels == {}
