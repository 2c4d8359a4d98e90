"""Mistakes in who is told of what."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from alerting.core.telling import muting
from alerting.core.telling.desk import Desk
from alerting.model import Ended, Step
from alerting.store.sqlite import SqliteStore
from tests.simulate.mistakes import mistake

if TYPE_CHECKING:
    from alerting.engine import Engine
    from alerting.model import Notification
    from tests.simulate.mistakes import Plant


@mistake
def key_made_from_the_text(plant: Plant) -> None:
    """The key follows the title, which changes while an alert fires."""

    def altered(message: Notification, _: Engine) -> Notification:
        return message._replace(group_key=hashlib.sha256(message.title.encode()).hexdigest()[:32])

    plant.rewriting(altered)


@mistake
def only_one_message_per_turn(plant: Plant) -> None:
    """Of several messages of one moment all but the first are dropped."""
    plant.altering(lambda change, _: change._replace(notifications=change.notifications[:1]))


@mistake
def resolved_only_for_todays_receivers(plant: Plant) -> None:
    """After `notify` was edited, those who were paged before never hear of the end."""

    def altered(message: Notification, engine: Engine) -> Notification | None:
        notify = {rule.id: rule.spec.notify for rule in engine._setup.rules}
        heard = {name for notice in message.resolved for name in notify.get(notice.key.rule_id, (message.receiver,))}
        return None if message.resolved and not message.firing and message.receiver not in heard else message

    plant.rewriting(altered)


@mistake
def removed_rules_end_in_silence(plant: Plant) -> None:
    """When a rule is deleted, its incidents stay open."""

    def altered(message: Notification, _: Engine) -> Notification | None:
        ended = {notice.ended for notice in message.resolved}
        return None if ended == {Ended.RULE_REMOVED} and not message.firing else message

    plant.rewriting(altered)


@mistake
def what_goes_on_is_left_out(plant: Plant) -> None:
    """A message to a group names what is new and not what fires besides."""

    def altered(message: Notification, _: Engine) -> Notification:
        return message._replace(firing=tuple(each for each in message.firing if each.step != "ongoing"))

    plant.rewriting(altered)


@mistake
def silences_hold_ends_back(plant: Plant) -> None:
    """A silence that begins after a page keeps the resolve from everybody."""
    original = muting.held

    def held(owed: Any, quiet: Any) -> Any:
        return original(owed, quiet) or original(owed._replace(step=Step.FIRING), quiet)

    plant.swap(muting, "held", held)


@mistake
def ended_silence_not_noticed(plant: Plant) -> None:
    """What a silence has hidden is told when something else happens, not when it ends."""
    plant.swap(Desk, "next_at", lambda self, now: now if self._disturbed else None)


@mistake
def silences_end_with_the_process(plant: Plant) -> None:
    """A silence is not kept: after a restart people hear of what they have silenced."""
    original = SqliteStore.kept

    async def kept(self: SqliteStore, prefix: str) -> Any:
        return {} if prefix == "silence/" else await original(self, prefix)

    plant.swap(SqliteStore, "kept", kept)
