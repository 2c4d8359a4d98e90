"""The command source: real programs, well behaved and not."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.model import FaultKind, Kind, Reading, Secret
from alerting.sources._nagios import read_performance
from tests.sources.reading import read, up, values


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person who runs these tests allows commands."""
    monkeypatch.setenv("ALERTING_COMMANDS", "allow")


def shell(script: str, reads: str = "exit", **settings: Any) -> Reading:
    """Run a script once; the shell is the program here."""
    return read("command", command=["/bin/sh", "-c", script], reads=reads, **settings)


def printing(output: bytes, reads: str, code: int = 0) -> Reading:
    """Run a program that prints these bytes and ends with this code."""
    program = f"import os,sys; os.write(1, bytes.fromhex(sys.argv[1])); sys.exit({code})"
    return read("command", command=[sys.executable, "-ISc", program, output.hex()], reads=reads)


def failed(reading: Reading) -> FaultKind:
    """Give the class of a reading that holds nothing but `up` = 0 and the reason."""
    assert reading.fault is not None
    assert (up(reading), values(reading)) == (0, {})
    assert reading.fault.message.startswith("command: ")
    return reading.fault.kind


def own(reading: Reading) -> dict[str, float | str]:
    """Give the values of a reading without fault, without the time it took."""
    assert reading.fault is None, reading.fault
    seen = values(reading)
    assert 0 <= float(seen.pop("run_time")) < 5
    return seen


# ------------------------------------------------------------------------------------------- allowed or not


@pytest.mark.parametrize("word", [None, "", "0", "no", "1", "true", "Allow", " allow"])
def test_nothing_runs_unless_the_environment_says_so(
    word: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One word and no other; the message says which."""
    monkeypatch.delenv("ALERTING_COMMANDS")
    if word is not None:
        monkeypatch.setenv("ALERTING_COMMANDS", word)
    reading = shell(f"touch {tmp_path}/ran")
    assert failed(reading) is FaultKind.NOT_ALLOWED
    assert reading.fault is not None
    assert "ALERTING_COMMANDS=allow" in reading.fault.message
    assert not (tmp_path / "ran").exists()


def test_no_shell_looks_at_the_arguments(tmp_path: Path) -> None:
    """What a shell would expand or run is text."""
    sly = f"$(touch {tmp_path}/ran); `touch {tmp_path}/ran` | touch {tmp_path}/ran"
    program = "import json,sys; print(json.dumps({'got': sys.argv[1]}))"
    reading = read("command", command=[sys.executable, "-ISc", program, sly], reads="json")
    assert own(reading)["got"] == sly
    assert not (tmp_path / "ran").exists()


def test_the_environment_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH, HOME, TZ, LC_ALL and what the settings add; nothing of ours that may be a secret."""
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.example.org/t0ken")
    program = "import json,os; print(json.dumps({k: os.environ[k] for k in os.environ}))"
    reading = read(
        "command",
        command=[sys.executable, "-ISc", program],
        reads="json",
        environment={"PGPASSWORD": Secret.literal("pa55")},
    )
    seen = own(reading)
    assert set(seen) - {"exit_code"} <= {"PATH", "HOME", "TZ", "LC_ALL", "PGPASSWORD", "LC_CTYPE"}
    assert (seen["PGPASSWORD"], seen["LC_ALL"]) == ("pa55", "C")


def test_folder_and_input() -> None:
    """It runs where the settings say, and reads nothing."""
    assert own(shell('test "$PWD" = /usr', folder="/usr"))["exit_code"] == 0
    assert own(shell("cat"))["exit_code"] == 0


# ------------------------------------------------------------------------------------------- what it says


@pytest.mark.parametrize("code", [0, 1, 2, 3, 127, 255])
def test_the_exit_code_is_a_value(code: int) -> None:
    """It is up whatever the code: the condition judges."""
    assert own(shell(f"echo ignored; exit {code}")) == {"exit_code": code}


NUMBERS = [
    (b"42\n", {"value": 42}),
    (b"  -1.5e3  ", {"value": -1500}),
    (b"queue.length 3\nqueue.age 0.5\n", {"queue.length": 3, "queue.age": 0.5}),
    (b"# comment\n\na 1\r\nb\t2\n", {"a": 1, "b": 2}),
    (b"up 0\nexit_code 9\nrun_time 7\nplugin_state 1\na 1\n", {"a": 1}),
]


@pytest.mark.parametrize(("output", "expected"), NUMBERS)
def test_numbers_are_read(output: bytes, expected: dict[str, float]) -> None:
    """One alone, or one a line with its name; the source's own names hide theirs."""
    assert own(printing(output, "numbers")) == {"exit_code": 0, **expected}


def test_json_is_read_as_by_the_health_source() -> None:
    """Whatever the exit code, where it is one whole object."""
    reading = printing(
        b'{"queue": {"length": 3}, "disks": [{"id": "a", "ok": true}], "status": "busy", "up": 0}', "json", code=1
    )
    assert own(reading) == {
        "exit_code": 1,
        "queue.length": 3,
        'disks.id{id="a"}': "a",
        'disks.ok{id="a"}': 1,
        "status": "busy",
    }


def test_a_plugin_of_nagios_is_read() -> None:
    """State in words, figures in base units with their thresholds, kinds and units declared."""
    output = (
        b"DISK WARNING - free space\n| /=2643MB;5948;5958;0;5968 'load avg'=0.42;5;10;0 in=77c\nlong text | t=20ms\n"
    )
    output = output.replace(b"free space\n|", b"free space |")
    reading = printing(output, "nagios", code=1)
    assert own(reading) == {
        "exit_code": 1,
        "plugin_state": "WARNING",
        "/": 2643e6,
        "/.warn": 5948e6,
        "/.crit": 5958e6,
        "/.min": 0,
        "/.max": 5968e6,
        "load avg": 0.42,
        "load avg.warn": 5,
        "load avg.crit": 10,
        "load avg.min": 0,
        "in": 77,
        "t": 0.02,
    }
    declared = {metric.name: (metric.kind, metric.unit) for metric in reading.kinds}
    assert declared["/"] == declared["/.warn"] == (Kind.GAUGE, "bytes")
    assert declared["in"] == (Kind.COUNTER, "")
    assert declared["t"] == (Kind.GAUGE, "s")


PERFORMANCE = [
    ("OK", {}),
    ("OK |", {}),
    ("OK | ", {}),
    ("OK | a=1", {"a": 1}),
    ("OK|a=1;;;; b=2;", {"a": 1, "b": 2}),
    ("OK | a=1;10:20;@5:6;0;100", {"a": 1, "a.warn_low": 10, "a.warn": 20, "a.min": 0, "a.max": 100}),
    ("OK | a=1;10:;~:5", {"a": 1, "a.warn_low": 10, "a.crit": 5}),
    ("OK | a=U b=1", {"b": 1}),
    ("OK | 'it''s'=1 'a=b'=2", {"it's": 1, "a=b": 2}),
    ("OK | a=-1.5 b=.5 c=1. d=1e3 e=+2", {"a": -1.5, "b": 0.5, "c": 1, "d": 1000, "e": 2}),
    ("OK | a=50% b=1KiB c=1KB d=1kb e=2h f=3d g=1us h=1MB", "units"),
    ("OK | a=1b c=5V", {"a": 1, "c": 5}),
    ("OK | a=1Mb b=2Gb c=3Kb d=4Mib", {"a": 1, "b": 2, "c": 3, "d": 4}),
    ("OK\nlong | text\nand more\n", "error"),
    ("OK\nlong text\nmore | a=1\nb=2\n", {"a": 1, "b": 2}),
    ("OK | a=1\nlong\nmore | b=2 c=3\nd=4", {"a": 1, "b": 2, "c": 3, "d": 4}),
]


@pytest.mark.parametrize(("output", "expected"), PERFORMANCE)
def test_performance_data_means_what_the_guidelines_say(output: str, expected: Any) -> None:
    """Labels, units, thresholds, several lines."""
    if expected == "error":
        with pytest.raises(ValueError, match="cannot be read"):
            read_performance(output, "x")
        return
    if expected == "units":
        expected = {"a": 50, "b": 1024, "c": 1000, "d": 1000, "e": 7200, "f": 259_200, "g": 1e-6, "h": 1e6}
    assert read_performance(output, "x")[0] == expected


@given(st.text(max_size=80))
def test_no_text_crashes_the_reader_of_performance_data(text: str) -> None:
    """Any text gives figures or a ValueError."""
    try:
        figures, _ = read_performance("OK | " + text, "x")
    except ValueError:
        return
    assert all(value - value == 0 for value in figures.values())


# ------------------------------------------------------------------------------------------- what goes wrong

DAMAGED: list[tuple[str, bytes, int, FaultKind]] = [
    ("numbers", b"", 0, FaultKind.MALFORMED),
    ("numbers", b"\n\n", 0, FaultKind.MALFORMED),
    ("numbers", b"42", 1, FaultKind.BAD_STATUS),
    ("numbers", b"a 1\nb", 0, FaultKind.MALFORMED),
    ("numbers", b"a 1\nb ", 0, FaultKind.MALFORMED),
    ("numbers", b"1\n2\n", 0, FaultKind.MALFORMED),
    ("numbers", b"a 1 2\n", 0, FaultKind.MALFORMED),
    ("numbers", b"a 1\na 2\n", 0, FaultKind.MALFORMED),
    ("numbers", b"a NaN\n", 0, FaultKind.MALFORMED),
    ("numbers", b"a inf\n", 0, FaultKind.MALFORMED),
    ("numbers", b"a 1e999\n", 0, FaultKind.MALFORMED),
    ("numbers", b"a 1_000\n", 0, FaultKind.MALFORMED),
    ("numbers", b"a 1,5\n", 0, FaultKind.MALFORMED),
    ("numbers", b"a 0x10\n", 0, FaultKind.MALFORMED),
    ("numbers", "a ٣\n".encode(), 0, FaultKind.MALFORMED),
    ("numbers", b"error: cannot connect\n", 0, FaultKind.MALFORMED),
    ("numbers", b"\xff\xfe1\n", 0, FaultKind.MALFORMED),
    ("json", b"", 0, FaultKind.MALFORMED),
    ("json", b'{"a": 1', 0, FaultKind.MALFORMED),
    ("json", b"[1]", 0, FaultKind.MALFORMED),
    ("json", b'{"a": NaN}', 0, FaultKind.MALFORMED),
    ("json", b'{"a": 1, "a": 2}', 0, FaultKind.MALFORMED),
    ("json", b'{"a": 1} {"b": 2}', 0, FaultKind.MALFORMED),
    ("json", b"warning: x\n{}", 1, FaultKind.MALFORMED),
    ("nagios", b"OK | a=1", 4, FaultKind.BAD_STATUS),
    ("nagios", b"OK | a=1", 127, FaultKind.BAD_STATUS),
    ("nagios", b"OK | a", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | a=", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | =1", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | 'a=1", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | a=1,5", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | a=1 a=2", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | a=1e999", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | a=NaN", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | a=1;x", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | a=1;5:x", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | a=1 and more text", 0, FaultKind.MALFORMED),
    ("nagios", b"OK | \xff=1", 0, FaultKind.MALFORMED),
]


@pytest.mark.parametrize(("reads", "output", "code", "kind"), DAMAGED)
def test_f45_damaged_output_is_a_fault(reads: str, output: bytes, code: int, kind: FaultKind) -> None:
    """All or nothing: no number of a program that broke off."""
    assert failed(printing(output, reads, code)) is kind


@pytest.mark.parametrize(
    "command",
    [["/nonexistent"], ["/etc/hostname"], ["/usr"], [""], ["no-such-program-anywhere"], ["/bin/true", "a\0b"]],
)
def test_what_cannot_be_started_says_so(command: list[str]) -> None:
    """A sentence, not an exception."""
    reading = read("command", command=command)
    assert failed(reading) is FaultKind.UNREADABLE
    assert reading.fault is not None
    assert "cannot be started" in reading.fault.message


def test_a_folder_that_is_not_there() -> None:
    """It cannot be started there."""
    assert failed(shell("true", folder="/nonexistent")) is FaultKind.UNREADABLE


def test_ended_by_a_signal() -> None:
    """That is no exit code."""
    reading = shell("kill -9 $$")
    assert failed(reading) is FaultKind.BAD_STATUS
    assert reading.fault is not None
    assert "signal 9" in reading.fault.message


def test_f44_endless_output_is_cut_short() -> None:
    """At 1 MiB, at once."""
    began = time.monotonic()
    assert failed(shell("yes")) is FaultKind.TOO_LARGE
    assert time.monotonic() - began < 2


def alive(pid: int) -> bool:
    """Tell whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    "script",
    [
        "sleep 60",
        "sleep 60 & echo $! > {file}; sleep 60",
        "sleep 60 & echo $! > {file}; wait",
        "trap '' TERM INT HUP; sleep 60 & echo $! > {file}; wait; sleep 60",
        "(sleep 60 & echo $! > {file}); exit 0",
        "while :; do echo x; sleep 0.02; done",
    ],
)
def test_f43_the_deadline_ends_it_and_all_that_it_started(script: str, tmp_path: Path) -> None:
    """Nothing stays behind: children, programs that ignore signals, those that drip or hold the output open."""
    file = tmp_path / "pid"
    began = time.monotonic()
    assert failed(shell(script.replace("{file}", str(file)), timeout=400)) is FaultKind.TIMEOUT
    assert time.monotonic() - began < 1.5
    if "{file}" in script:
        time.sleep(0.05)
        assert not alive(int(file.read_text()))


def test_what_it_leaves_behind_in_the_background_is_ended(tmp_path: Path) -> None:
    """A child with an output of its own does not hold up the answer, and does not outlive it."""
    reading = shell(f"sleep 60 >/dev/null 2>&1 & echo $! > {tmp_path}/pid; exit 3")
    assert own(reading)["exit_code"] == 3
    time.sleep(0.05)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_files_and_processes_do_not_pile_up() -> None:
    """After many runs, good and bad, as many descriptors are open as before."""
    shell("true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        shell("true")
        shell("sleep 60", timeout=50)
        read("command", command=["/nonexistent"])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_secret_reaches_a_fault() -> None:
    """Neither arguments nor output nor environment are shown."""
    for script in ("echo t0ken; exit 1", "echo t0ken >&2; kill -9 $$"):
        reading = shell(script, "numbers", environment={"X": Secret.literal("t0ken")})
        assert reading.fault is not None
        assert "t0ken" not in reading.fault.message
    missing = shell("true", environment={"X": Secret(lambda: "", "${PASSWORD}")})
    assert failed(missing) is FaultKind.SECRET
