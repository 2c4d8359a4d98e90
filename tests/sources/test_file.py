"""The file source: real files, folders, pipes and what stands in them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alerting.model import FaultKind, Kind, Need, Reading, Secret
from tests.sources.reading import read, run, source, up, values

if TYPE_CHECKING:
    from collections.abc import Callable


def look(*paths: Path | str | Secret, reads: str = "facts", needs: tuple[Need, ...] = (), **settings: Any) -> Reading:
    """Look once."""
    texts = [path if isinstance(path, Secret) else str(path) for path in paths]
    return read("file", needs, paths=texts, reads=reads, **settings)


def found(reading: Reading) -> dict[str, float | str]:
    """Give the values of a reading without fault."""
    assert reading.fault is None, reading.fault
    assert up(reading) == 1
    return values(reading)


def failed(reading: Reading) -> FaultKind:
    """Give the class of a reading that holds nothing but `up` = 0 and the reason."""
    assert reading.fault is not None
    assert (up(reading), values(reading)) == (0, {})
    assert reading.fault.message.startswith("file: ")
    return reading.fault.kind


def test_a_file_has_an_age_and_a_size(tmp_path: Path) -> None:
    """By its path; there is one of it."""
    file = tmp_path / "backup.dump"
    file.write_bytes(b"x" * 1234)
    os.utime(file, (time.time() - 3600,) * 2)
    seen = found(look(file))
    label = f'{{path="{file}"}}'
    assert (seen[f"exists{label}"], seen[f"count{label}"], seen[f"size{label}"]) == (1, 1, 1234)
    assert 3599 < float(seen[f"age{label}"]) < 3605


def test_what_is_not_there_is_not_there(tmp_path: Path) -> None:
    """Zero is a finding: of a file, a folder, a broken link, a path through a file."""
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    for path in ("missing", "missing/below", "link", "file/below", "file/*", "missing/*", "*.dump"):
        label = f'{{path="{tmp_path / path}"}}'
        assert found(look(tmp_path / path)) == {f"exists{label}": 0, f"count{label}": 0}


def test_patterns_match_within_a_name(tmp_path: Path) -> None:
    """Files of several folders; those that begin with a dot only where the pattern does too."""
    for name in ("a/1.dump", "a/2.dump", "b/1.dump", "b/.1.dump", "b/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    counts = {"*/*.dump": 3, "a/?.dump": 2, "*/[12].*": 4, "b/.*": 1, "*": 2, "c*/*": 0, "*/1.dump": 2}
    for pattern, count in counts.items():
        seen = found(look(tmp_path / pattern))
        assert seen[f'count{{path="{tmp_path / pattern}"}}'] == count, pattern
        assert len([name for name in seen if name.startswith("size")]) == count


def test_a_file_that_two_patterns_match_is_one_series(tmp_path: Path) -> None:
    """No series stands twice."""
    (tmp_path / "a").write_text("")
    reading = look(tmp_path / "a", tmp_path / "*")
    names = [(sample.name, sample.labels) for sample in reading.samples]
    assert len(names) == len(set(names))


def test_names_that_are_no_text_are_shown_all_the_same(tmp_path: Path) -> None:
    """What is not UTF-8 is U+FFFD in labels."""
    os.mknod(os.fsencode(tmp_path) + b"/\xff.dump")
    assert any("\ufffd.dump" in name for name in found(look(tmp_path / "*.dump")))


# ------------------------------------------------------------------------------------------- what stands in them

PAGE = """# HELP backup_duration_seconds how long it took
# TYPE backup_duration_seconds gauge
backup_duration_seconds{db="main"} 12.5
# TYPE backups_total counter
backups_total 7
size 9
"""


def test_the_series_of_a_file_are_read(tmp_path: Path) -> None:
    """With the file as a label, kinds as declared, own names hidden, `path` of the page kept as exported_path."""
    file = tmp_path / "backup.prom"
    file.write_text(PAGE + 'old{path="x"} 1\n')
    reading = look(tmp_path / "*.prom", reads="metrics")
    seen = found(reading)
    assert seen[f'backup_duration_seconds{{db="main",path="{file}"}}'] == 12.5
    assert seen[f'backups_total{{path="{file}"}}'] == 7
    assert seen[f'size{{path="{file}"}}'] == len(PAGE) + len('old{path="x"} 1\n')
    assert seen[f'old{{exported_path="x",path="{file}"}}'] == 1
    assert {metric.name: (metric.namespace, metric.kind) for metric in reading.kinds} == {
        "backup_duration_seconds": ("file", Kind.GAUGE),
        "backups_total": ("file", Kind.COUNTER),
    }


def test_only_what_is_asked_for_is_given(tmp_path: Path) -> None:
    """The facts always; of the file's series those that rules need."""
    (tmp_path / "a.prom").write_text("a 1\nb 2\n")
    seen = found(look(tmp_path / "a.prom", reads="metrics", needs=(Need("file", "b"),)))
    assert {name.partition("{")[0] for name in seen} == {"exists", "count", "age", "size", "b"}


def test_two_files_may_have_the_same_series(tmp_path: Path) -> None:
    """They are told apart by their path; an empty file is none."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.prom").write_text("jobs 1\n")
    seen = found(look(tmp_path / "*.prom", reads="metrics"))
    assert len([name for name in seen if name.startswith("jobs")]) == 2


def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    """And one that is gone has no series."""
    file = tmp_path / "a.prom"

    async def work() -> list[dict[str, float | str]]:
        seen = []
        async with source("file", paths=[str(tmp_path / "*.prom")], reads="metrics") as built:
            for text in ("a 1\n", "a 2\n", None):
                file.unlink(missing_ok=True)
                if text:
                    file.write_text(text)
                seen.append(found(await built.fetch((), None)))
        return seen

    first, second, third = run(work())
    name = f'a{{path="{file}"}}'
    assert (first[name], second[name], name in third) == (1, 2, False)


# ------------------------------------------------------------------------------------------- what goes wrong

DAMAGED = [
    b"",
    b"\n",
    b"a 1",
    b"a 1\nb 2",
    b"a\n",
    b"a x\n",
    b"a 1 2 3\n",
    b"a{ 1\n",
    b'a{b="c" 1\n',
    b'a{b="c"} 1\na{b="c"} 2\n',
    b"a 1\na 2\n",
    b"a 0x10\n",
    b"a 1_000\n",
    b"a 1,5\n",
    b"\xff 1\n",
    b"a\xff 1\n",
    b'{"a": 1}\n',
    b"<html></html>\n",
    b"a:1\n",
    b"a = 1\n",
    b"a 1 1700000000000\n",
    b"a 1\n# EOF\nb 2\n",
    b"\0\0\0\n",
    b"a 1\n\0\n",
    b"a 1\r\nb\r\n",
]


@pytest.mark.parametrize("page", DAMAGED)
def test_f45_a_damaged_file_is_refused_whole(page: bytes, tmp_path: Path) -> None:
    """Also beside a good one; the message names the file."""
    (tmp_path / "a.prom").write_text("good 1\n")
    (tmp_path / "b.prom").write_bytes(page)
    reading = look(tmp_path / "*.prom", reads="metrics")
    assert failed(reading) is FaultKind.MALFORMED
    assert reading.fault is not None
    assert f"{tmp_path}/b.prom: " in reading.fault.message
    assert found(look(tmp_path / "*.prom"))  # its age and size can be told all the same


ODD: list[tuple[Callable[[Path], object], FaultKind]] = [
    (lambda path: path.mkdir(), FaultKind.UNREADABLE),
    (os.mkfifo, FaultKind.UNREADABLE),
    (lambda path: path.symlink_to("/dev/zero"), FaultKind.UNREADABLE),
    (lambda path: path.write_bytes(b"a 1\n" * 2_100_000), FaultKind.TOO_LARGE),
    (lambda path: path.write_text("".join(f"a{number} 1\n" for number in range(20_001))), FaultKind.TOO_LARGE),
]


@pytest.mark.parametrize("number", range(len(ODD)))
def test_f44_what_is_no_file_to_read_is_a_fault(number: int, tmp_path: Path) -> None:
    """Folders, pipes that nobody writes to, devices without end, files too large: none waits for the deadline."""
    make, kind = ODD[number]
    make(tmp_path / "a.prom")
    began = time.monotonic()
    assert failed(look(tmp_path / "a.prom", reads="metrics", timeout=10_000)) is kind
    assert time.monotonic() - began < 5


def test_a_folder_that_may_not_be_listed_is_no_empty_folder(tmp_path: Path) -> None:
    """A fault, never a count of 0. Root may list everything, so it becomes somebody else for a moment."""
    (tmp_path / "shut").mkdir(mode=0)
    root = os.geteuid() == 0
    look(tmp_path / "*")  # imports are done
    if root:
        os.seteuid(65_534)
    try:
        readings = [look(tmp_path / "shut" / name) for name in ("*", "file")]
    finally:
        if root:
            os.seteuid(0)
    assert [failed(reading) for reading in readings] == [FaultKind.UNREADABLE] * 2


def test_a_path_that_loops_is_a_fault(tmp_path: Path) -> None:
    """Links in a circle, a name too long, a NUL, a relative path."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", f"{tmp_path}/{'a' * 300}", f"{tmp_path}/a\0b"):
        assert failed(look(path)) is FaultKind.UNREADABLE
    for path in (Secret(lambda: "etc/hostname", "${WHERE}"), "etc/hostname", ""):
        assert failed(look(path)) is FaultKind.MALFORMED


@pytest.mark.slow
def test_too_many_files_are_a_fault(tmp_path: Path) -> None:
    """Not a count that stops somewhere."""
    for number in range(10_001):
        os.mknod(tmp_path / str(number))
    assert failed(look(tmp_path / "*", timeout=20_000)) is FaultKind.TOO_LARGE
    assert found(look(tmp_path / "1*", timeout=20_000))[f'count{{path="{tmp_path}/1*"}}'] == 1112


def test_a_secret_that_cannot_be_had_is_said() -> None:
    """By its reference."""
    reading = look(Secret(lambda: "", "${FOLDER}"))
    assert failed(reading) is FaultKind.SECRET
    assert reading.fault is not None
    assert "${FOLDER}" in reading.fault.message


def test_f43_a_disk_that_hangs_times_out() -> None:
    """And the next look does so as well, without another thread."""
    import threading

    from alerting.clock import SystemClock
    from alerting.model import Section
    from alerting.pool import Pool
    from alerting.ports import Tools
    from alerting.registry import build_source

    release = threading.Event()

    class Hanging(Pool):
        async def __call__(self, call: Any, deadline: int) -> Any:
            return await super().__call__(release.wait, deadline)

    async def work() -> list[FaultKind]:
        tools: Any = Tools(SystemClock(), None, Hanging, "h", "0", print, None)  # type: ignore[arg-type]
        section = Section("file", "file", {"paths": ["/etc"], "timeout": 100, "reads": "facts"})
        (built,) = build_source(section, tools)
        return [failed(await built.fetch((), None)) for _ in range(2)]

    def running() -> set[str]:
        return {each.name for each in Path("/proc/self/task").iterdir()}

    before = running()  # those of other tests may end meanwhile
    assert run(work()) == [FaultKind.TIMEOUT] * 2
    assert len(running() - before) == 1
    release.set()
