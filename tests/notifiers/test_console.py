"""The console as a receiver: what an operator reads, and output that fails."""

from __future__ import annotations

import asyncio
import io

import pytest

from alerting.model import Answer, Notification, Outcome, Section
from alerting.notifiers import console
from tests.notifiers.desk import AT, new_tools, notice, over, telling


def printed(notification: Notification) -> str:
    """What a message looks like."""
    out: list[str] = []
    answer = asyncio.run(console.build(Section("ops", "console", {}), new_tools(out.append)).deliver(notification, {}))
    assert answer.outcome == Outcome.SENT
    return "\n".join(out)


FIRING = """\
2025-11-24 16:00:00Z FIRING DiskSpaceLow (critical) -> ops
    why      disk_usage{mount="/"} = 91.2% > 85%
    value    91.2%
    since    2025-11-24 15:55:00Z
    labels   mount="/"
    summary  The disk fills
    runbook  https://runbooks.example.org/disk
    from     instance="web-1\""""


def test_an_alert_is_a_block_of_lines_that_says_everything() -> None:
    """Time, state, rule, severity and receiver; reason, value, since when, labels, prose and links below."""
    assert printed(telling()) == FIRING


def test_the_end_of_an_alert_says_how_it_ended() -> None:
    """Recovered, or no longer reported: these are not the same."""
    assert "RESOLVED DiskSpaceLow" in printed(over())
    assert "until 2025-11-24 16:00:00Z (recovered)" in printed(over())
    gone = printed(telling(notice(resolved_at=AT, ended="no longer reported")))
    assert "ENDED DiskSpaceLow" in gone
    assert "(no longer reported)" in gone


def test_alerts_that_merely_go_on_are_counted_not_repeated() -> None:
    """A hundred old alerts do not bury the new one."""
    shown = printed(telling(notice(), *[notice(step="ongoing") for _ in range(100)]))
    assert shown.count("FIRING DiskSpaceLow") == 1
    assert "100 still firing" in shown


def test_f64_outside_text_cannot_forge_a_line_or_steer_the_terminal() -> None:
    """A line that begins at the left margin is ours."""
    evil = "x\n2025-11-24 16:00:00Z FIRING Forged\x1b[2J\x00\x9b\u2028\u202e"
    shown = printed(
        telling(
            notice(
                name=evil,
                why=evil,
                value=evil,
                severity=evil,
                labels={evil: evil},
                annotations={evil: evil},
                ended=evil,
            ),
            receiver=evil,
            external_labels={evil: evil},
        )
    )
    assert [line for line in shown.split("\n") if line and not line.startswith(" ")] == [shown.split("\n")[0]]
    assert not set(shown) & set("\x1b\x00\x9b\u2028\u202e")


class Full(io.StringIO):
    """An output on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def deliver_to(stream: io.TextIOBase) -> Answer:
    """Deliver to a stream of this kind."""
    tools = new_tools(lambda block: print(block, file=stream, flush=True))
    return asyncio.run(console.build(Section("ops", "console", {}), tools).deliver(telling(), None))


def test_an_output_that_fails_keeps_the_message_owed() -> None:
    """A closed pipe or a full disk is no delivery."""
    closed = io.StringIO()
    closed.close()
    for stream, reason in ((Full(), "No space left"), (closed, "closed")):
        answer = deliver_to(stream)
        assert answer.outcome == Outcome.RETRY
        assert reason in answer.why


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_letters_that_an_output_lacks_are_printed_as_escapes(encoding: str) -> None:
    """Cron often runs without UTF-8."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    tools = new_tools(lambda block: print(block, file=stream, flush=True))
    receiver = console.build(Section("ops", "console", {}), tools)
    answer = asyncio.run(receiver.deliver(telling(notice(why="\u6e29\u5ea6 > 5")), None))
    assert answer.outcome == Outcome.SENT
    assert ("\\u6e29" if encoding != "utf-8" else "\u6e29") in raw.getvalue().decode(encoding)
