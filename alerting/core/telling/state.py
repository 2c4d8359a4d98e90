"""What the telling remembers between rounds. Changed by `desk` alone, and only by what the store has taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.core.telling.digest import Announced

if TYPE_CHECKING:
    from alerting.core.telling.grouping import Group
    from alerting.core.telling.matchers import Matchers
    from alerting.core.telling.muting import Held
    from alerting.core.telling.render import Ending
    from alerting.core.telling.routing import Subject
    from alerting.model import Ack, AlertKey, Millis, Notice, Silence, Step


class Over(NamedTuple):
    """An alert that fires no more, of whose end somebody has not been told."""

    subject: Subject
    ending: Ending


class State:
    """See the module's text."""

    def __init__(self) -> None:
        self.installation = ""
        self.era = 0  # how often stamps have gone back: two messages, or two episodes, of one moment have two names
        self.latest: Millis = 0  # the newest stamp of this era
        self.announced = Announced({})
        self.notices: dict[AlertKey, Notice] = {}  # what was announced, until its end is told
        self.subjects: dict[AlertKey, Subject] = {}  # all that fires
        self.over: dict[AlertKey, Over] = {}
        self.held: dict[tuple[AlertKey, str], tuple[Step, Held]] = {}  # (alert, receiver) -> what is held, and why
        self.looks: dict[AlertKey, Millis] = {}  # when time alone may make something owed
        self.groups: dict[tuple[str, str], Group] = {}  # (receiver, group) -> its timers
        self.silences: dict[str, Silence] = {}
        self.fitting: dict[str, Matchers] = {}  # of silences
        self.warned: set[tuple[str, Millis]] = set()  # silences (id, end) whose end was spoken of
        self.acks: dict[AlertKey, Ack] = {}
        self.opened: dict[str, list[Millis]] = {}  # receiver -> when new groups were spoken of lately
        self.storms: dict[tuple[str, str], Millis] = {}  # (receiver, group key) of a summary -> its last message
        self.stand_ins: dict[tuple[AlertKey, str], tuple[str, Millis]] = {}  # the episode told in another's place; when
