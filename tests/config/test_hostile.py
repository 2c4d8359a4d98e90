"""Hostile YAML: refused with a message, within a second and 64 MiB above the baseline each, and nothing runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alerting.config import documents, drafts

if TYPE_CHECKING:
    from tests.figures import Figure

MIB = 1024 * 1024


def large() -> dict[str, bytes]:
    """Texts of many MiB."""
    rule = b"alert: A\ncondition: disk_usage > 85%\nnotify: slack\n"
    return {
        "50 MiB of text": b"alert: " + b"a" * (50 * MIB),
        "50 MiB of rules": rule * (50 * MIB // len(rule)),
        "8 MiB of list items": b"[" + b"1," * (4 * MIB - 10) + b"1]",
        "8 MiB of keys": b"\n".join(b"k%d: v" % i for i in range(500_000)),
        "8 MiB of one scalar": b"alert: " + b"a" * (8 * MIB - 100),
        "8 MiB of one line in quotes": b'alert: "' + b"\\u0041" * (MIB + 100) + b'"',
        "8 MiB of comments": b"# nothing\n" * (8 * MIB // 10 - 1),
        "8 MiB of documents": b"---\n" * (2 * MIB - 1),
        "8 MiB of blanks": b" " * (8 * MIB - 1),
        "8 MiB of tabs": b"\t" * (8 * MIB - 1),
        "8 MiB of anchors": b"\n".join(b"- &a%d x" % i for i in range(400_000)),
        "8 MiB of question marks": b"? " * (4 * MIB - 1),
        "8 MiB of open braces": b"{" * (8 * MIB - 1),
        "8 MiB of quotes": b"'" * (8 * MIB - 1),
        "8 MiB of duplicate keys": b"a: 1\n" * (8 * MIB // 5 - 1),
        "a million of one duplicate in a list": b"[" + b"{a: 1, a: 2}," * 200_000 + b"]",
        "an emoji among 8 MiB": b"alert: " + b"a" * (8 * MIB - 100) + "\N{FIRE}".encode(),
    }


def small() -> dict[str, bytes]:
    """Texts that are odd, or grow while they are read."""
    lines = [b"a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]".encode() for i in range(1, 12)]
    maps = [b"a: &m0 {k: v}"] + [
        f"b{i}: &m{i} {{{', '.join(f'k{j}: *m{i - 1}' for j in range(9))}}}".encode() for i in range(1, 12)
    ]
    merges = [b"a: &n0 {k: v}"] + [
        f"b{i}: &n{i}\n  <<: [{', '.join([f'*n{i - 1}'] * 9)}]\n  k{i}: v".encode() for i in range(1, 12)
    ]
    return {
        "a list that doubles by aliases": b"\n".join(lines),
        "a mapping that doubles by aliases": b"\n".join(maps),
        "a mapping that doubles by merge keys": b"\n".join(merges),
        "100,000 levels of lists": b"[" * 100_000,
        "100,000 levels of lists, closed": b"[" * 100_000 + b"]" * 100_000,
        "100,000 levels of mappings": b"{a: " * 100_000,
        "100,000 levels of dashes": b"- " * 100_000 + b"x",
        "100,000 levels by indentation": b"\n".join(b" " * i + b"a:" for i in range(1_500)),
        "a number of 10,000 digits": b"alert: " + b"9" * 10_000,
        "a key of a MiB": b"k" * MIB + b": v",
        "NUL": b"alert: A\x00B",
        "NUL in quotes": b'alert: "A\x00B"',
        "escape sequence": b"alert: \x1b[31mA",
        "bell": b"alert: \x07",
        "delete": b"alert: \x7f",
        "not UTF-8": b"alert: \xff\xfe",
        "Latin-1": b"alert: caf\xe9",
        "cut UTF-8": b"alert: \xe2\x82",
        "a surrogate": b"alert: \xed\xa0\x80",
        "overlong UTF-8": b"alert: \xc0\xaf",
        "UTF-16 with its mark": "alert: A".encode("utf-16"),
        "UTF-16 without": "alert: A".encode("utf-16-le"),
        "UTF-32": "alert: A".encode("utf-32"),
        "C1 control": "alert: \u0080A".encode(),
        "python object": b"!!python/object:__main__.X {}",
        "python apply": b"!!python/object/apply:os.system ['touch /tmp/pwned']",
        "python new": b"!!python/object/new:os.system ['touch /tmp/pwned']",
        "python name": b"a: !!python/name:os.system",
        "python module": b"a: !!python/module:os",
        "java": b"a: !!javax.script.ScriptEngineManager []",
        "set": b"a: !!set {x, y}",
        "own tag handle": b"%TAG ! tag:example.org,2002:\n---\na: !x y",
        "tag on a key": b"!!int 1: y",
        "unknown directive": b"%FOO bar\n---\na: b\n: : :",
        "an alias before its anchor": b"a: *x\nb: &x 1",
        "an anchor in itself": b"a: &x [*x]",
        "an alias of another document": b"a: &x 1\n---\nb: *x",
        "no end of a document": b"a: [1\n---\nb: 2",
        "a closing bracket": b"]",
        "only a colon": b":",
        "only a dash and a colon": b"- :\n  -",
        "only an ampersand": b"&",
        "only an asterisk": b"*",
        "only an exclamation mark": b"!",
        "only a percent sign": b"%",
        "only a pipe": b"|",
        "only a greater-than": b">",
        "block with a wrong indicator": b"a: |99\n  x",
        "carriage returns alone": b"a: 1\rb: 2\ra: 3",
    }


def hostile() -> dict[str, bytes]:
    """All of them."""
    return {**small(), **large()}


CHECK = """
import json, os, resource, time
from alerting.config import complaints, documents, drafts
from tests.config.test_hostile import hostile

documents.parse(b"a: [1, {b: c}]", "warm.yaml")

def check(data):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file = documents.parse(data, "x.yaml")
    reader = drafts.Reader(30_000)
    rules = len(list(reader.read(file, "x.yaml")))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return time.process_time(), peak, rules, [str(each).splitlines()[0][:300] for each in reader.problems[:3]]

documents.parse(b"a: [1, {b: c}]", "warm.yaml")
complaints.complaints({}, "rules")
told = {}
for name, data in hostile().items():  # each in a process of its own, so that its memory can be told
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, json.dumps(check(data)).encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as answer:
        told[name] = json.loads(answer.read())
    os.waitpid(child, 0)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def results() -> dict[str, tuple[float, int, int, list[str]]]:
    """Read all of them in a process of its own, so that its memory can be told."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, tuple[float, int, int, list[str]]] = json.loads(done.stdout)
    return found


def test_each_small_hostile_text_is_refused_with_a_message() -> None:
    """No rule comes out of any, and each has a problem that names the file."""
    for name, data in small().items():
        reader = drafts.Reader(30_000)
        assert list(reader.read(documents.parse(data, "x.yaml"), "x.yaml")) == [], name
        assert reader.problems, name
        assert all(str(each).startswith("x.yaml") for each in reader.problems), name


@pytest.mark.slow
def test_f39_each_hostile_text_is_refused_with_a_message(
    results: dict[str, tuple[float, int, int, list[str]]], figure: Figure
) -> None:
    """As above, for all of them; there are at least as many as the fault matrix asks for."""
    assert len(results) >= 60
    taken = [name for name, (_, _, rules, problems) in results.items() if rules or not problems]
    figure("taken without a message", len(taken), at_most=0, n=len(results))
    assert all(problem.startswith("x.yaml") for *_, problems in results.values() for problem in problems)


@pytest.mark.slow
def test_f39_no_hostile_text_takes_more_than_a_second(
    results: dict[str, tuple[float, int, int, list[str]]], figure: Figure
) -> None:
    """From the bytes to the message, in processor time: other tests may run beside."""
    name, took = max(((name, took) for name, (took, *_) in results.items()), key=lambda each: each[1])
    print(f"the longest: {name}")
    figure("load time", round(took, 2), at_most=1, n=len(results), unit="s", timed=True)


@pytest.mark.slow
def test_f39_no_hostile_text_takes_more_than_64_mib(
    results: dict[str, tuple[float, int, int, list[str]]], figure: Figure
) -> None:
    """Peak memory, above what the process had before."""
    name, peak = max(((name, peak) for name, (_, peak, *_) in results.items()), key=lambda each: each[1])
    print(f"the largest: {name}")
    figure("peak memory above the baseline", round(peak / MIB, 1), at_most=64, n=len(results), unit="MiB")


def test_f39_nothing_in_a_text_runs(figure: Figure) -> None:
    """The tags that would run a command with PyYAML's unsafe loader left no trace."""
    tagged = [data for name, data in small().items() if name.startswith("python")]
    for data in tagged:
        assert documents.parse(data, "x.yaml").problems
    figure("code run", Path("/tmp/pwned").exists(), at_most=0, n=len(tagged))


ODD = {  # a line of a rule -> the text that it means; None: it is refused
    "enabled: no": None,
    "enabled: yes": None,
    "enabled: on": None,
    "enabled: 0": None,
    "enabled: 'true'": None,
    "interval: 1:30": None,
    "interval: 90": None,
    "interval: 012": None,
    "interval: 1e3s": None,
    "interval: 0x1Fs": None,
    "interval: .inf": None,
    "for: 2024-01-01": None,
    "severity: on": None,
    "severity: null": None,
    "labels: {a: [x]}": None,
    "labels: {a: {b: c}}": None,
    "labels: x": None,
    "labels: {a: 1, a: 2}": None,
    "labels: {a: no}": "no",
    "labels: {a: Yes}": "Yes",
    "labels: {a: 012}": "012",
    "labels: {a: 0o12}": "0o12",
    "labels: {a: 0x1F}": "0x1F",
    "labels: {a: 1:30}": "1:30",
    "labels: {a: 1_000}": "1_000",
    "labels: {a: 1e999}": "1e999",
    "labels: {a: 5.0}": "5.0",
    "labels: {a: +5}": "+5",
    "labels: {a: -0}": "-0",
    "labels: {a: .inf}": ".inf",
    "labels: {a: .NaN}": ".NaN",
    "labels: {a: true}": "true",
    "labels: {a: 2024-01-01}": "2024-01-01",
    "labels: {a: 99999999999999999999999}": "99999999999999999999999",
}


def test_f39_what_yaml_versions_read_differently_is_never_guessed(figure: Figure) -> None:
    """A label is the text that stands there; of a duration, a switch or a name it must be clear what is meant."""
    guessed = []
    for line, meant in ODD.items():
        reader = drafts.Reader(30_000)
        text = f"alert: A\ncondition: disk_usage > 85%\nnotify: slack\n{line}\n"
        made = list(reader.read(documents.parse(text.encode(), "x.yaml"), "x.yaml"))
        found = made[0].spec.labels["a"] if made and not reader.problems else None
        guessed += [line] if found != meant else []
    print(guessed)
    figure("silent guesses", len(guessed), at_most=0, n=len(ODD))
