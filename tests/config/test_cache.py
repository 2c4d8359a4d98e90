"""The cache: a hint and never more. Whatever is wrong with it, the answer is what it would be without."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerting.config.cache import Cache, digest, place
from alerting.config.validate import validate
from alerting.patterns import compile_pattern

KEY = "0" * 32
RULE = "alert: {}\ncondition: disk_usage > 85%\nnotify: ops\n"
SETTINGS = "receivers: {ops: {type: console}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with settings and two rule files, and a cache beside them."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "alerting.yaml").write_text(SETTINGS)
    for name in "AB":
        (tmp_path / "rules" / f"{name}.yaml").write_text(RULE.format(name))
    return tmp_path


def checked(folder: Path, cache: Cache | None = None, env: dict[str, str] | None = None) -> list[str]:
    """Validate the folder."""
    cache = cache or Cache(folder / "cache")
    return [str(each) for each in validate(None, (), env or {}, folder, compile_pattern, cache=cache)]


def test_what_is_put_is_got_and_only_for_its_key(tmp_path: Path) -> None:
    """And replaced by what is put later; the folder and its files are the owner's alone."""
    cache = Cache(tmp_path / "deep" / "cache")
    assert cache.get("a", KEY) is None
    cache.put("a", KEY, {"x": [1, "é"]})
    assert cache.get("a", KEY) == {"x": [1, "é"]}
    assert cache.get("a", "1" * 32) is None
    cache.put("a", "1" * 32, 2)
    assert (cache.get("a", KEY), cache.get("a", "1" * 32)) == (None, 2)
    [file] = (tmp_path / "deep" / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.data())
def test_a_damaged_entry_counts_as_absent(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever byte is changed, cut off or put in: never another value, never an exception."""
    cache = Cache(tmp_path / "cache")
    cache.put("a", KEY, {"condition": "disk_usage > 85%"})
    file = tmp_path / "cache" / "a.json"
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    piece = data.draw(st.binary(max_size=2))
    file.write_bytes(whole[:at] + piece + whole[at + data.draw(st.integers(0, 3)) :])
    expected = {"condition": "disk_usage > 85%"} if file.read_bytes() == whole else None
    assert cache.get("a", KEY) == expected


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    """Somebody else could say what is valid."""
    cache = Cache(tmp_path / "cache")
    cache.put("a", KEY, 1)
    (tmp_path / "cache").chmod(0o777)
    assert cache.get("a", KEY) is None
    cache.put("b", KEY, 1)
    assert not (tmp_path / "cache" / "b.json").exists()


@pytest.mark.parametrize("what", ["file", "nothing", "missing"])
def test_a_folder_that_cannot_be_written_is_no_trouble(tmp_path: Path, what: str) -> None:
    """Nothing is kept."""
    if what == "file":
        (tmp_path / "cache").write_text("")
    cache = Cache({"file": tmp_path / "cache", "nothing": None, "missing": Path("/proc/nowhere")}[what])
    cache.put("a", KEY, 1)
    assert cache.get("a", KEY) is None


def test_many_writers_and_readers_see_only_whole_entries(tmp_path: Path) -> None:
    """A reader gets one of the values or nothing."""
    cache = Cache(tmp_path / "cache")
    seen: list[object] = []

    def work(number: int) -> None:
        for _ in range(40):
            cache.put("a", KEY, [number] * 1000)
            seen.append(cache.get("a", KEY))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(value is None or (isinstance(value, list) and len(set(value)) == 1) for value in seen)
    assert any(seen)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"HOME": "/home/x"}, "/home/x/.cache/alerting"),
        ({"HOME": "/home/x", "XDG_CACHE_HOME": "/c"}, "/c/alerting"),
        ({"CACHE_DIRECTORY": "/var/cache/alerting:/other", "HOME": "/x"}, "/var/cache/alerting"),
        ({"HOME": "relative"}, None),
        ({}, None),
    ],
)
def test_the_users_cache_folder_is_found(env: dict[str, str], expected: str | None) -> None:
    """systemd's, XDG's, or none at all, as in cron without a home."""
    assert Cache.of_user(env)._folder == (None if expected is None else Path(expected))


def test_digests_do_not_run_into_each_other() -> None:
    """Each part goes in with its length."""
    assert digest((b"ab", b"c")) != digest((b"a", b"bc")) != digest((b"abc",))


def test_unchanged_files_are_answered_from_the_cache_alike(folder: Path) -> None:
    """Warnings too; and each kind of change is seen."""
    warning = "{ops: {type: slack, webhook_url: '${NOT_SET_ANYWHERE}'}}"
    (folder / "alerting.yaml").write_text(f"receivers: {warning}\n")
    first = checked(folder)
    assert len(first) == 1
    assert "NOT_SET_ANYWHERE is not set" in first[0]
    assert checked(folder) == first
    assert len(list((folder / "cache").iterdir())) == 2

    (folder / "rules" / "A.yaml").write_text(RULE.format("A").replace("ops", "opps"))
    assert "no receiver 'opps'" in checked(folder)[1]
    (folder / "rules" / "A.yaml").write_text(RULE.format("A"))
    assert checked(folder) == first

    (folder / "alerting.yaml").write_text("receivers: {oops: {type: console}}\n")
    assert len(checked(folder)) == 2
    (folder / "alerting.yaml").write_text(SETTINGS)
    assert checked(folder) == []

    (folder / "rules" / "C.yaml").write_text("nonsense")
    assert len(checked(folder)) == 1
    (folder / "rules" / "C.yaml").unlink()
    assert checked(folder) == []
    (folder / "rules" / "A.yaml").rename(folder / "rules" / "Z.yaml")
    assert checked(folder) == []


def test_what_the_environment_stands_in_for_is_part_of_the_key(folder: Path) -> None:
    """Settings that were good with SENTRY_DSN are not without it."""
    (folder / "alerting.yaml").write_text(
        SETTINGS + 'sources:\n  s: {type: sentry, token: "${PATH}"}\n  h: {type: host}\n'
    )
    assert checked(folder, env={"SENTRY_DSN": "https://k@o1.ingest.sentry.io/4"}) == []
    assert "'dsn' must be given" in checked(folder)[0]


def test_files_checked_by_themselves_and_by_the_settings_are_kept_apart(folder: Path) -> None:
    """The same files may be good by themselves and tell nobody under the settings."""
    (folder / "rules" / "A.yaml").write_text(RULE.format("A").replace("notify: ops\n", ""))
    cache = Cache(folder / "cache")
    alone = [
        str(each)
        for _ in range(2)
        for each in validate(None, ["rules/A.yaml"], {}, folder, compile_pattern, cache=cache)
    ]
    assert alone == []
    assert "tells nobody" in checked(folder)[0]


@pytest.mark.parametrize(
    "text",
    [
        "receivers: {ops: {type: pagerduty, routing_key: MARKED0BAR7QUUX0123456789ABCDEFG}}",
        "receivers: {ops: {type: pagerduty, routing_key: MARKED}}",
        "receivers: {ops: {type: webhook, url: 'https://hooks.example.org/MARKED'}}",
        "receivers: {ops: {type: webhook, url: 'https://${PATH}/MARKED0123456789abcdef'}}",
        "receivers: {ops: {type: console}}\nsources: {a: {type: health, url: 'https://u:MARKED@a.example.org'}}",
        "receivers: {ops: {type: console}}\nsources: {a: {type: health, url: 'https://a', headers: {k: MARKED}}}",
    ],
)
def test_a_secret_in_the_settings_is_not_copied_into_the_cache(folder: Path, text: str) -> None:
    """The file that holds it is the only place."""
    (folder / "alerting.yaml").write_text(
        text + "\nrules: [rules/A.yaml]\n" + ("" if "sources" in text else "sources: {host: {type: host}}\n")
    )
    (folder / "rules" / "A.yaml").write_text(RULE.format("A").replace("disk_usage > 85%", "vector(1) > 0"))
    for _ in range(2):
        assert [each for each in checked(folder) if "warning" not in each] == []
    kept = list((folder / "cache").iterdir())
    assert len(kept) == 1  # the rules
    assert not any(b"MARKED" in file.read_bytes() for file in kept)


def test_the_folder_does_not_grow_with_every_question(tmp_path: Path) -> None:
    """There are 4096 places for each sort of entry."""
    assert len({place("rules", str(number)) for number in range(100_000)}) == 4096


def test_files_that_the_cache_knows_need_neither_yaml_nor_jsonschema(folder: Path) -> None:
    """One-shot commands then start without them; and the rules are the same."""
    code = """
import sys
from pathlib import Path
from alerting.config.cache import Cache
from alerting.config.rules import load_rules
from alerting.config.settings import find_settings, load_settings
from alerting.patterns import compile_pattern

folder = Path(sys.argv[1])
cache = Cache(folder / "cache")
settings = load_settings(find_settings(None, {}, folder), {}, folder, cache)
rules = load_rules(settings, None, compile_pattern, cache=cache)
specs = [rule.spec for rule in rules.rules]
specs = [each._replace(labels=dict(each.labels), annotations=dict(each.annotations)) for each in specs]
print(sorted({"yaml", "jsonschema"} & set(sys.modules)), specs)
"""
    root = Path(__file__).parents[2]
    told = [
        subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            cwd=root,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert told[0].startswith("['yaml'] [RuleSpec(id='rules/A.yaml:A'")
    assert told[1] == told[0].replace("['yaml']", "[]", 1)
