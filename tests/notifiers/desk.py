"""What the tests of receivers share: things to tell, and one attempt to tell them, with real HTTP and threads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from alerting import registry
from alerting.clock import SystemClock
from alerting.model import AlertKey, Notice, Notification, Secret, Section
from alerting.net.http import HttpClient
from alerting.net.reach import SystemResolver
from alerting.notifiers import _slack_message as slack_message
from alerting.pool import Pool
from alerting.ports import Tools
from tests.fakes.pagerduty import ROUTING_KEY, PagerDuty
from tests.fakes.sink import Sink
from tests.fakes.slack import TOKEN, Slack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerting.model import Answer, Receipt
    from alerting.ports import Notifier
    from tests.fakes.ledger import Fake

AT = 1_764_000_000_000  # 2025-11-24 16:00:00 UTC


def notice(**fields: Any) -> Notice:
    """One alert that fires; `resolved_at` makes it one that is over."""
    given: dict[str, Any] = {
        "key": AlertKey("disk", "0123456789abcdef" * 2),
        "episode": "e1",
        "step": "resolved" if fields.get("resolved_at") else "firing",
        "name": "DiskSpaceLow",
        "labels": {"mount": "/"},
        "severity": "critical",
        "value": "91.2%",
        "why": 'disk_usage{mount="/"} = 91.2% > 85%',
        "fired_at": AT - 300_000,
        "annotations": {"summary": "The disk fills"},
        "runbook_url": "https://runbooks.example.org/disk",
    }
    return Notice(**{**given, **fields})


def telling(*notices: Notice, **fields: Any) -> Notification:
    """One message about `notices`, or about one alert that fires."""
    every = notices or (notice(),)
    given: dict[str, Any] = {
        "id": "n1",
        "receiver": "ops",
        "group_key": "alerting-5f2c",
        "reason": "firing (1 new)",
        "created": AT,
        "title": f"{every[0].name}: {every[0].why}",
        "firing": tuple(each for each in every if each.resolved_at is None),
        "resolved": tuple(each for each in every if each.resolved_at is not None),
        "external_labels": {"instance": "web-1"},
    }
    return Notification(**{**given, **fields})


def over(**fields: Any) -> Notification:
    """The message that the alert of `telling()` is over."""
    title = "DiskSpaceLow resolved: recovered (disk_usage = 40% is not > 85%)"
    return telling(notice(resolved_at=AT, ended="recovered", **fields), title=title, reason="all resolved")


# Each way to be told: the fake that stands for the service, and the settings that point to it.
WAYS: dict[str, tuple[type[Fake], Callable[[Any], tuple[str, dict[str, Any]]]]] = {
    "slack webhook": (Slack, lambda fake: ("slack", {"webhook_url": Secret.literal(fake.hook)})),
    "slack bot": (
        Slack,
        lambda fake: ("slack", {"token": Secret.literal(TOKEN), "channel": "#ops", "base_url": fake.api}),
    ),
    "pagerduty": (
        PagerDuty,
        lambda fake: ("pagerduty", {"routing_key": Secret.literal(ROUTING_KEY), "base_url": fake.url}),
    ),
    "webhook": (Sink, lambda fake: ("webhook", {"url": Secret.literal(fake.hook)})),
}


def attempt(way: str, fake: Fake, notification: Notification | None = None, **more: Any) -> Answer:
    """Make one attempt; `previous` is the receipt, everything else goes into the settings."""
    previous = more.pop("previous", None)
    return attempts(way, fake, [(notification or telling(), previous)], **more)[0]


def attempts(way: str, fake: Fake, tries: Sequence[tuple[Notification, Receipt | None]], **values: Any) -> list[Answer]:
    """Make several attempts, one after the other, with one receiver."""
    kind, settings = WAYS[way][1](fake)

    async def run() -> list[Answer]:
        tools = new_tools()
        section = Section("ops", kind, {"timeout": 5000, **settings, **values})
        notifier: Notifier = registry.build_notifier(section, tools)
        try:
            return [await notifier.deliver(notification, previous) for notification, previous in tries]
        finally:
            await notifier.close()
            await tools.http.close()

    return asyncio.run(run())


def new_tools(write: Callable[[str], None] = print) -> Tools:
    """What `build` is given, the real ones."""
    return Tools(SystemClock(), HttpClient("alerting/test"), Pool, "web-1", "0", write, SystemResolver())


LINK = "https://fake.slack.com/archives/C00000OPS/p1700000000000001"


def shapes(notification: Notification, own: slack_message.Own = slack_message.NOTHING) -> list[dict[str, Any]]:
    """Everything that Slack is sent about a message: the message in its forms, what is beside it, and an answer."""
    return [
        slack_message.compose(notification, own, earlier=LINK, buttons=True),
        slack_message.compose(notification),
        slack_message.compose_plain(notification, own),
        slack_message.compose_reply(notification, LINK),
        slack_message.compose_moved(notification, LINK),
        slack_message.aside(notification.title),
    ]
