"""F44: whatever a source sends, a fetch takes little memory and time, in a process that has little of its own."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hostile import Hostile, bomb, many_values, nested, response
from tests.full import FULL

if TYPE_CHECKING:
    from tests.figures import Figure

MIB = 1024 * 1024
GZIP = "content-encoding: gzip"
TEXT = "text/plain; version=0.0.4"
SIZES = (1, 16, 64, 512) if FULL else (16,)  # MiB, once unpacked


def lines(count: int) -> bytes:
    """A page of so many series."""
    return b"".join(b"a%06d 1\n" % number for number in range(count))


def answers() -> dict[str, bytes | str]:
    """What is sent, by name: bytes, or a behaviour of the hostile server that never comes to an end."""
    return {
        **{f"a gzip bomb of {size} MiB": response(bomb(size * MIB), GZIP) for size in SIZES},
        "a deflate bomb": response(zlib.compress(bytes(SIZES[-1] * MIB)), "content-encoding: deflate"),
        "gzip in gzip": response(gzip.compress(bomb(SIZES[-1] * MIB)), "content-encoding: gzip, gzip"),
        "gzip in gzip, said once": response(gzip.compress(bomb(SIZES[-1] * MIB)), GZIP),
        "brotli": response(b"\x1b" + bytes(1000), "content-encoding: br"),
        "a bomb of lines": response(gzip.compress(lines(1_000_000), 1), GZIP, kind=TEXT),
        "a million lines": response(lines(1_000_000), kind=TEXT),
        "JSON of 100,000 levels": response(nested(100_000)),
        "lists of 100,000 levels": response(b"[" * 100_000 + b"]" * 100_000),
        "JSON of 400,000 values": response(many_values(400_000)),
        "one number of 7 MB": response(b'{"a": ' + b"9" * 7_000_000 + b"}"),
        "one text of 7 MB": response(json.dumps({"a": "x" * 7_000_000}).encode()),
        **{
            f"one {name} of 1 MB, which is read": response(b'{"a": ' + body + b"}")
            for name, body in {
                "text": b'"' + b"x" * 1_000_000 + b'"',
                "text with an emoji": b'"' + b"x" * 1_000_000 + '\N{FIRE}"'.encode(),
                "text with an escaped emoji": b'"' + b"x" * 1_000_000 + b'\\ud83d\\udd25"',
                "text of emojis": b'"' + "\N{FIRE}".encode() * 250_000 + b'"',
                "text of escapes": b'"' + b"\\u2668" * 166_000 + b'"',
                "number": b"1." + b"9" * 1_000_000,
                "object of 20,000 values": many_values(19_000) + b" " * 600_000,
            }.items()
        },
        "one label of 7 MB": response(b'a{b="' + b"x" * 7_000_000 + b'"} 1\n', kind=TEXT),
        "half a million labels": response(
            b"a{" + b",".join(b'l%d="x"' % n for n in range(500_000)) + b"} 1\n", kind=TEXT
        ),
        **{
            name: name for name in ("endless body", "endless headers", "endless header line", "endless interim answers")
        },
        **{name: name for name in ("endless chunks", "endless empty gzip", "huge length")},
    }


CHILD = """
import asyncio, ctypes, json, resource, sys, time
from tests.sources.reading import source

resource.setrlimit(resource.RLIMIT_DATA, (256 * 1024 * 1024,) * 2)

trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)  # or a fetch is helped by what the last one left

def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

async def fetch(kind, url):
    trim(0)
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # the peak counts from here
    before, began = status("VmRSS"), time.process_time()
    async with source(kind, url=url, timeout=20_000) as built:
        reading = await built.fetch((), None)
    return reading.fault is not None, (status("VmHWM") - before) / 1024, time.process_time() - began

async def main():
    asked = json.load(sys.stdin)
    for kind in ("health", "prometheus"):
        await fetch(kind, asked[0][1])
    each = [(name, kind, url) for name, url in asked for kind in ("health", "prometheus")]
    print(json.dumps([[name, kind, *await fetch(kind, url)] for name, kind, url in each]))

asyncio.run(main())
"""


@pytest.mark.slow
def test_f44_too_much_is_refused_quickly_and_in_little_memory(figure: Figure) -> None:
    """By a health probe and by a page of metrics, one after the other in a process that may have 256 MiB."""
    with ExitStack() as stack:
        asked = [(name, stack.enter_context(Hostile(answer)).url) for name, answer in answers().items()]
        child = subprocess.run(
            [sys.executable, "-c", CHILD], cwd=Path(__file__).parents[2], input=json.dumps(asked),
            capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip
    figure("process deaths", child.returncode != 0, at_most=0, n=2 * len(asked))
    found = json.loads(child.stdout)
    taken = [f"{name} by {kind}" for name, kind, refused, *_ in found if not refused]
    took = max(found, key=lambda each: each[4])
    print(f"longest: {took}; taken: {taken}; most memory:")
    print("\n".join(map(str, sorted(found, key=lambda each: -each[3])[:6])))
    for what, whole in (("peak memory of a fetch", False), ("peak memory of one thing of 7 MB", True)):
        # 7 MB are not too much for a page, so they come in whole before anything is said of them: once, and no
        # second time. A health probe reads 1 MB, of which a text may be four times as long in memory.
        most = max(each[3] for each in found if each[0].startswith(("one ", "half ")) is whole)
        figure(what, round(most, 1), at_most=16, n=len(found), unit="MiB")
    figure("time to refuse", round(took[4], 2), at_most=1, n=len(found), unit="s of CPU", timed=True)
