"""F5: values that cross a threshold at every interval for an hour."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from alerting.model import Flapping
from tests.clock import FakeClock
from tests.full import rounds
from tests.sending import Receiver
from tests.street import H, M, S, Street
from tests.tick import rule

if TYPE_CHECKING:
    from tests.figures import Figure

TICK = 30 * S


@pytest.mark.parametrize("flapping", [None, Flapping(4, 30 * M, 15 * M)], ids=["by default", "with flapping"])
def test_f5_what_flaps_ends_in_its_true_state(flapping: Flapping | None, figure: Figure) -> None:
    """Up and down for an hour, then either; a pager that stands for each alert knows in the end which."""
    count = rounds(10, full=200)

    async def story() -> tuple[int, int]:
        clock = FakeClock()
        pager = Receiver(clock, "pager", stands_for="alert")
        street = Street(rule(notify=("pager",)), people=[pager], flapping=flapping)
        await street.open()
        names = [str(number) for number in range(count)]
        for turn in range(H // TICK):
            await street.tick(dict.fromkeys(names, 20.0 if turn % 2 else 5.0), TICK)
        within = Counter(each.key for message in pager.ledger for each in (*message.firing, *message.resolved))
        for _ in range(60):  # long enough to be calm
            await street.tick({name: 20.0 if int(name) % 2 else 5.0 for name in names}, TICK)
        last = {each.key: True for message in pager.ledger for each in message.firing}
        for message in pager.ledger:
            last.update({each.key: True for each in message.firing} | {each.key: False for each in message.resolved})
        firing = {alert.key for alert in street.engine.alerts() if alert.state == "firing"}
        await street.end()
        assert len(firing) == count // 2
        return max(within.values()), sum(last[key] != (key in firing) for key in last)

    most, wrong = asyncio.run(story())
    # Only `flapping:` limits them: whoever does not ask for it is told of every change, as nothing is hidden unasked.
    # With it, what comes before it is known that the alert flaps is told: three firings and their ends, then that.
    name = "messages of an alert in an hour" + (", with `flapping`" if flapping else "")
    figure(name, most, at_most=4, n=count, aim=True)
    assert flapping is None or most <= 7
    figure("wrong final states", wrong, at_most=0, n=count)
