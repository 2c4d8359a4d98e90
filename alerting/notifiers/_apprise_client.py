"""Apprise (extra `apprise`), and the only file that knows it. Its log lines are dropped.

A service is asked directly, not through Apprise's own manager: that one would make retries of its own.
Its plugins speak HTTP by themselves: redirects, proxies and pauses inside one call are theirs, and not bounded by
more than the deadline of the attempt.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, NamedTuple

with warnings.catch_warnings():  # its plugins load with the first address; what they warn of is of no use to operators
    warnings.simplefilter("ignore")
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType, OverflowMode

    Apprise.instantiate("json://localhost")

if TYPE_CHECKING:
    from collections.abc import Callable

logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its lines may repeat what a service answered


class Posting(NamedTuple):
    """What a service is to show. `kind`: firing, info, warning or resolved."""

    title: str
    body: str
    kind: str


_KINDS = {"firing": NotifyType.FAILURE, "warning": NotifyType.WARNING, "resolved": NotifyType.SUCCESS}


def post(address: str, posting: Posting, seconds: float, note: Callable[[str], None]) -> bool | None:
    """Post once; tells whether the service took it, None where the address is none. `note` hears the service's name.

    A text that is too long for the service is cut rather than posted in several pieces.
    """
    asset = AppriseAsset(async_mode=False, service_timeout=seconds)
    service = Apprise.instantiate(address, asset=asset)
    if service is None:
        return None
    if service.overflow_mode == OverflowMode.UPSTREAM:
        service.overflow_mode = OverflowMode.TRUNCATE
    note(str(service.service_name))
    kind = _KINDS.get(posting.kind, NotifyType.INFO)
    return bool(service.notify(posting.body, title=posting.title, notify_type=kind, body_format=NotifyFormat.TEXT))
