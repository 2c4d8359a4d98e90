"""The telling of one test: the engine's own book and desk, turn by turn, on made-up time.

Theory. At each evaluation what changed goes to the desk, as in a turn of the engine; between evaluations the desk is
asked again whenever its own time comes (the timers of groups, the end of a silence, a reminder) and whenever somebody
acts. What it hands over for sending is noted, and checked. Nothing is sent, and nothing of it is decided here.

At one moment silences come first, then the evaluation, then acknowledgements (of what fires then), then checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.casework.compare import paired, span
from alerting.casework.messages import Keys, Message, ToldAlert, message_differences, shown
from alerting.casework.outages import Outages
from alerting.casework.report import Failure
from alerting.core.book import Book, Reach, Speech
from alerting.core.telling import keeping
from alerting.core.telling.fallback import reasons
from alerting.core.telling.matchers import Matchers
from alerting.core.telling.render import Context
from alerting.core.turn import Turn
from alerting.model import ALERTS, SHARED, Ack, AlertState, Labels, Silence
from alerting.notifiers import _plain as plain
from alerting.notifiers._templates import Templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from alerting.casework.office import Office
    from alerting.casework.people import AckGiven, Hearing, People, SilenceGiven
    from alerting.casework.testfile import Case
    from alerting.casework.timeline import Timeline
    from alerting.core.telling.routing import News
    from alerting.core.turn import Track
    from alerting.model import Alert, AlertKey, Decision, Millis, Notification, Patterns, Rule, RuleSpec

_LULL: Millis = 50  # between two rounds that nothing but the desk's own time brings about; the engine's figure
_FOREVER: Millis = 2**62  # no time counts as not observed
_MOST_ROUNDS = 100_000  # in a row that only the desk asks for; no set of timers needs so many
_SHOWN_DECISIONS = 20  # in what led there, the newest
_SHOWN_MESSAGES = 3  # likewise, of each other receiver
_SHOWN_RULES = 3  # likewise, where nothing was decided at all
_INSTALLATION = "test"


class Rounds:
    """See the module's text. `explain` gives the lines that say of a rule (by its name) what led to its alerts."""

    def __init__(  # noqa: PLR0917  what a test is played with
        self,
        case: Case,
        people: People,
        office: Office,
        rules: Sequence[Rule],
        timeline: Timeline,
        patterns: Patterns,
        explain: Callable[[str, Millis], Iterable[str]],
    ) -> None:
        self.failures: list[Failure] = []
        self._case = case
        self._office = office
        self._timeline = timeline
        self._given = (
            timeline.given | {(SHARED, ALERTS)} | {(SHARED, rule.spec.record) for rule in rules if rule.spec.record}
        )
        self._patterns = patterns
        self._explain = explain
        labels = {**office.settings.external_labels, **case.external_labels}
        address = case.external_url or office.settings.external_url
        self._context = Context(labels, patterns=patterns, external_url=address)  # as the engine's: no queries
        self._book = Book()
        self._book.load(_INSTALLATION, (), {}, {}, ())
        self._book.adopt(
            rules,
            {name: self._reach(name, namespace) for name, namespace in timeline.sources.items()},
            plan=office.plan._replace(external_labels=labels),
            context=self._context,
            unknown_after=office.settings.unknown_after,
            max_gap=_FOREVER,
        )
        self._now = self._last_round = case.start - _LULL
        self._acted = False  # somebody acted since the last round
        self._idle = 0  # rounds in a row that only the desk asked for
        self._silences = sorted(_silencing(people.silences), key=lambda each: each[0])
        self._acks = sorted(_taking_on(people.acks), key=lambda each: each[0])
        self._hearings = sorted(people.hearings, key=lambda each: each.at)
        self._outages = Outages(people.unreachable, case.start, office.settings.receivers)
        self._messages: dict[str, list[Message]] = {}  # by receiver, those that no check has looked at
        self._checked: dict[str, Hearing] = {}  # receiver -> its last check
        self._keys = Keys()
        self._templates: dict[str, Templates] = {}
        self._names: dict[AlertKey, str] = {}
        self._fired: set[str] = set()  # names of rules of which something fired
        self._decisions: list[Decision] = []

    def _reach(self, source: str, namespace: str) -> Reach:
        known = self._office.settings.sources.get(source)
        values = known.values if known is not None else {}
        return Reach(namespace, values.get("unknown_after", self._office.settings.unknown_after))

    @property
    def tracks(self) -> list[Track]:
        """The rules under test, in the order of their evaluation."""
        return list(self._book.tracks.values())

    # ------------------------------------------------------------------------------------ time

    def before(self, now: Millis) -> None:
        """Let everything happen that comes before an evaluation."""
        self._until(now - 1)
        while self._silences and self._case.start + self._silences[0][0] <= now:
            self._silence()

    def evaluated(self, now: Millis, news: Sequence[News], doubtful: Sequence[Track]) -> None:
        """Tell of what an evaluation has changed."""
        self._now = now
        self._tell(news, [track for track in doubtful if self._is_given(track)])
        self._idle = 0

    def _is_given(self, track: Track) -> bool:
        """Tell whether the test has series for all that a rule reads; of others nobody is told that they are blind."""
        if self._case.outages is None or track.rule is None:
            return True
        return all((need.namespace, need.name) in self._given for need in track.rule.needs if need.name)

    def finish(self) -> None:
        """Let everything happen up to the last check; then no receiver that was named may have been sent more."""
        self._until(self._case.start + self._case.length)
        for receiver, check in self._checked.items():
            left = self._messages.pop(receiver, [])
            if left:
                lines = message_differences((), left, self._keys)
                what = f"{receiver} after its last check, at {span(check.at)}"
                self.failures.append(Failure(what, tuple(lines), check.origin))

    def _until(self, last: Millis) -> None:
        """Let everything happen up to a moment, that one included, in order."""
        start = self._case.start
        while True:
            coming: list[tuple[Millis, int, Callable[[], None]]] = []
            if self._silences:
                coming.append((start + self._silences[0][0], 0, self._silence))
            if self._acks:
                coming.append((start + self._acks[0][0], 1, self._take_on))
            if (at := self._round_at()) is not None:
                coming.append((at, 2, self._round))
            if (at := self._outages.late_at(self._now)) is not None:
                coming.append((at, 3, self._pass_on))
            if self._hearings:
                coming.append((start + self._hearings[0].at, 4, self._hear))
            at, _, happen = min(coming, key=lambda each: each[:2], default=(last + 1, 0, self._round))
            if at > last:
                return
            self._now = max(self._now, at)
            happen()

    def _round_at(self) -> Millis | None:
        """Say when the desk is to be asked again."""
        at = self._book.desk.next_at(self._now)
        if at is None or self._idle > _MOST_ROUNDS:
            return None
        return max(at, self._now) if self._acted else max(at, self._last_round + _LULL)

    def _round(self) -> None:
        self._timeline.advance(self._now)
        self._idle += 1
        if self._idle == _MOST_ROUNDS:
            what = f"the telling comes to no rest at {self._at(self._now)}"
            self.failures.append(Failure(what, (), self._case.origin))
        self._tell((), ())

    def _tell(self, news: Sequence[News], doubtful: Sequence[Track]) -> None:
        """Have one turn of the engine without its evaluations, which are over."""
        self._call_back()
        turn = Turn(self._now, self._timeline.samples)
        turn.news.extend(news)
        turn.doubtful.extend(doubtful)
        heard, self._timeline.heard = self._timeline.heard, {}
        self._book.watch(turn, heard, None, self._outages.standing(self._now))
        self._book.retire(turn)
        self._names.update((each.alert.key, f"{each.spec.name}{each.alert.labels}") for each in turn.news)
        self._fired.update(each.spec.name for each in turn.news if each.transition.after is AlertState.FIRING)
        telling = self._book.tell(turn, self._context, self._timeline.samples)
        self._book.apply(turn, telling)
        self._decisions += telling.decisions
        self._hand_over(telling.notifications)
        self._last_round, self._acted = self._now, False

    def _call_back(self) -> None:
        """Call back what waits for a receiver that cannot be reached and is silenced by now, as the engine does."""
        desk = self._book.desk
        if not desk.may_call_back(self._now):
            return
        found = desk.call_back(self._outages.unsent(self._now), self._now)
        self._outages.call_back(found.recalls)
        desk.called_back(found, self._now, everywhere=True)
        self._decisions += found.decisions
        for id_, left, whole, *_ in found.recalls:
            messages = self._messages.get(left.receiver, [])
            for place, message in [(at, each) for at, each in enumerate(messages) if each.id == id_]:
                messages[place : place + 1] = [] if whole else [self._message(left)._replace(at=message.at)]

    def _hand_over(self, notifications: Iterable[Notification]) -> None:
        for each in notifications:
            message = self._message(each)
            self._messages.setdefault(each.receiver, []).append(message)
            self._outages.take(each, self._now)

    def _pass_on(self) -> None:
        """Owe what is late to the fallback, of each key together, as the outbox has it done."""
        desk = self._book.desk
        for waiting, why in self._outages.late(self._now):
            audible = desk.audible(waiting, self._now)
            passed = desk.passed_on(audible, why, self._now) if audible else ()
            self._decisions += reasons(passed)
            self._book.desk.note(passed, self._now)
            self._hand_over(passed)

    def _message(self, notification: Notification) -> Message:
        """Put a message into the words of its receiver."""
        receiver = notification.receiver
        if receiver not in self._templates:
            section = self._office.settings.receivers.get(receiver)
            self._templates[receiver] = Templates({} if section is None else section.values)
        filled = self._templates[receiver].fill(notification)
        said = filled.notification
        notices = (*said.firing, *said.resolved)
        return Message(
            self._now - self._case.start,
            receiver,
            said.group_key,
            said.reason,
            said.title,
            filled.text or plain.body(said),
            said.notes,
            said.loud,
            tuple(ToldAlert(Labels({**n.labels, "alertname": n.name}), str(n.step), n.why) for n in notices),
            notification.id,
        )

    # ------------------------------------------------------------------------------------ what people do

    def _silence(self) -> None:
        _, silence = self._silences.pop(0)
        begun = silence._replace(**{key: getattr(silence, key) + self._case.start for key in _STAMPS})
        self._act({keeping.silence_name(begun.id): keeping.silence_text(begun)})

    def _act(self, texts: Mapping[str, str | None]) -> None:
        self._book.desk.take(texts)
        self._acted = True
        self._idle = 0

    def _take_on(self) -> None:
        at, given, withdrawn = self._acks.pop(0)
        found = list(self._meant(given))
        if withdrawn:
            self._act({keeping.ack_name(alert.key): None for alert, _ in found})
            return
        if len(found) != 1:
            names = ", ".join(f"{spec.name}{alert.labels}" for alert, spec in found)
            said = f"it may mean one of {len(found)} alerts: {names}" if found else "nothing of that name fires then"
            what = f"{given.alert} cannot be acknowledged at {span(at)}"
            lines = (said, *(() if found else self._explain(given.name, self._now)))
            self.failures.append(Failure(what, lines, given.origin))
            return
        alert, spec = found[0]
        severity = self._speech().notice(alert, spec).severity
        until = self._now + given.lasts
        ack = Ack(alert.key, alert.episode, given.author, self._now, until, severity, given.comment)
        self._act({keeping.ack_name(alert.key): keeping.ack_text(ack)})

    def _meant(self, given: AckGiven) -> Iterator[tuple[Alert, RuleSpec]]:
        """Find what fires and is meant."""
        matchers, speech = Matchers(given.matchers, self._patterns), self._speech()
        for track in (*self._book.tracks.values(), *self._book.watchers.values()):
            if given.name not in ("", track.spec.name, track.spec.id):
                continue
            for alert in track.alerts.values():
                if alert.state is AlertState.FIRING:
                    labels = {**speech.notice(alert, track.spec).labels, **alert.labels.as_dict()}
                    if matchers.fits(labels):
                        yield alert, track.spec

    def _speech(self) -> Speech:
        return Speech(self._book, self._context)

    # ------------------------------------------------------------------------------------ checks

    def _hear(self) -> None:
        check = self._hearings.pop(0)
        receiver = check.receiver
        got = self._messages.pop(receiver, [])
        lines = message_differences(check.messages, got, self._keys)
        if check.held is not None:
            lines += self._held_differences(check.held, receiver)
        before = self._checked.get(receiver)
        self._checked[receiver] = check
        if lines:
            since = -1 if before is None else before.at
            lines += self._led_there(check, since)
            if any(line.startswith("missing") for line in lines):
                lines += self._told_elsewhere(since)
            self.failures.append(Failure(f"{receiver} at {span(check.at)}", tuple(lines), check.origin))

    def _held_differences(self, expected: Sequence[str], receiver: str) -> Iterator[str]:
        waiting = self._book.desk.waiting().items()
        got = [
            (f"{held.stage}: {held.why}", self._names.get(key, key.rule_id))
            for (key, name), held in waiting
            if name == receiver
        ]
        for part, found in paired(expected, got, lambda part, found: part not in found[0]):
            if found is None:
                yield f"not held    because {part!r}"
            elif part is None:
                yield f"held        {found[1]} because {found[0]}"
            elif part not in found[0]:
                yield f"held        {found[1]}: expected {part!r} in {found[0]!r}"

    def _led_there(self, check: Hearing, since: Millis) -> Iterator[str]:
        """Say what was decided in the time of a check; and of rules of which nothing fired, why."""
        lately = [each for each in self._decisions if self._case.start + since < each.at]
        lately = [each for each in lately if each.receiver in ("", check.receiver)] or lately
        if len(lately) > _SHOWN_DECISIONS:
            yield f"            {len(lately) - _SHOWN_DECISIONS} decisions came before these"
        for each in lately[-_SHOWN_DECISIONS:]:
            yield f"{self._at(each.at):<11} {self._decided(each)}"
        quiet = [name for name in dict.fromkeys(_rules_of(check)) if name not in self._fired]
        for name in quiet[:_SHOWN_RULES]:
            yield f"            nothing of {name} fired:"
            yield from self._explain(name, self._now)
        if not lately and not quiet:
            yield "            nothing was decided in that time: no alert began, ended or was due"

    def _told_elsewhere(self, since: Millis) -> Iterator[str]:
        """Give what others were told in that time that no check has looked at."""
        for receiver, messages in self._messages.items():
            for message in [each for each in messages if each.at > since][-_SHOWN_MESSAGES:]:
                yield f"beside it   {receiver} was told at {shown(message)}"

    def _decided(self, decision: Decision) -> str:
        to = f" to {decision.receiver}" if decision.receiver else ""
        until = f", until {self._at(decision.until)}" if decision.until is not None else ""
        name = self._names.get(decision.key, decision.key.rule_id)
        step = decision.step.partition("-")[0]
        by = "" if decision.outcome == "told" else f" by {decision.stage}"
        return f"{decision.outcome} {step} of {name}{to}{by}: {decision.why}{until}"

    def _at(self, moment: Millis) -> str:
        return span(moment - self._case.start)


_STAMPS = ("starts", "ends", "created")


def _silencing(given: Iterable[SilenceGiven]) -> Iterator[tuple[Millis, Silence]]:
    """Give what becomes of silences, and when; times count from the start of the test."""
    for number, each in enumerate(given, 1):
        end = each.at + each.lasts
        silence = Silence(f"silence-{number}", each.matchers, each.at, end, each.author, each.comment, each.at)
        yield each.at, silence
        if each.expired_at is not None:
            yield each.expired_at, silence._replace(ends=each.expired_at)


def _taking_on(given: Iterable[AckGiven]) -> Iterator[tuple[Millis, AckGiven, bool]]:
    """Give when somebody takes something on, and (true) gives it back."""
    for each in given:
        yield each.at, each, False
        if each.withdrawn_at is not None:
            yield each.withdrawn_at, each, True


def _rules_of(check: Hearing) -> Iterator[str]:
    """Give the names of the rules that a check expects something of."""
    for message in check.messages:
        for alert in message.alerts or ():
            if alert.labels and "alertname" in alert.labels:
                yield alert.labels["alertname"]
