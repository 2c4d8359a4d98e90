"""What should be told: a second, small implementation of what the documentation says, written from the text.

It is given what the program has seen (readings as they were taken in), when it judged which rules, which turns came
to be saved, and the configuration in force; it says which alerts begin and end (`life`), and who is owed what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import NO_LABELS, SHARED, Labels, OnMissing
from tests.simulate.key import Key
from tests.simulate.life import (
    FALSE,
    FIRES,
    FIRING,
    NONE,
    REMOVED,
    RESOLVED,
    TRUE,
    UNKNOWN,
    VANISHED,
    Policy,
    ended,
    lived,
    looked,
)
from tests.simulate.people import CRITICAL, RECEIVERS, WARNING, People
from tests.simulate.plan import INTERVAL, PLACES, M
from tests.simulate.world import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.simulate.life import Life, Next, Span, Turned
    from tests.simulate.plan import Place, RuleDef

MAX_GAP = max(2 * INTERVAL, M)
UNKNOWN_AFTER = M
LOOKBACK = 5 * M
PLACE = {place.name: place for place in PLACES}
BY_SPACE: dict[str, list[Place]] = {}
for _place in PLACES:
    BY_SPACE.setdefault(_place.namespace, []).append(_place)
JOB = {place.labels[0][1]: place.name for place in PLACES if place.labels}

RULE_BLIND, SOURCE_DOWN, RECEIVER_DOWN = "alerting/RuleBlind/", "alerting/SourceDown/", "alerting/ReceiverDown/"
_LABELS = {
    labels.fingerprint: labels
    for labels in (
        NO_LABELS,
        *(Labels({**dict(place.labels), "zone": zone}) for place in PLACES for zone in "ab"),
        *(Labels({"source": place.name}) for place in PLACES),
        *(Labels({"receiver": name}) for name in RECEIVERS),
    )
}


class News(NamedTuple):
    """One step of one alert that these receivers must hear of, and nobody else."""

    key: Key
    step: str
    receivers: tuple[str, ...]
    ended: str


class Hush(NamedTuple):
    """A silence: what it fits, and the wall times between which it is in force."""

    name: str  # of a label
    value: str
    starts: int
    ends: int

    def fits(self, key: Key) -> bool:
        """Tell whether it is about an alert."""
        return self.value == (name_of(key.rule) if self.name == "alertname" else key.labels.get(self.name))


class _Look(NamedTuple):
    """What a rule sees in what was read: the same until something else is read."""

    failed: list[str]  # sources
    blind: bool  # something else keeps it from seeing
    holds: dict[Key, str]  # for which alerts it holds, and at which level; empty: it has none
    policy: Policy


@dataclass(slots=True)
class Stage:
    """One turn, as far as it would go if it were saved."""

    at: int
    wall: int
    rules: dict[str, RuleDef]  # in force
    people: People  # the settings in force
    lives: dict[Key, Life | None] = field(default_factory=dict)
    turned: dict[Key, Turned] = field(default_factory=dict)
    fresh: dict[Key, tuple[str, ...]] = field(default_factory=dict)  # whom an alert is for that were not told of it
    levels: dict[Key, str] = field(default_factory=dict)  # of what holds, where its rule has levels
    judged: dict[str, int] = field(default_factory=dict)  # clock (rule or built-in rule) -> now
    heard: dict[str, str] = field(default_factory=dict)


class Model:
    """See the module's text. Times are by the monotonic clock."""

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact  # whether it says who hears of what, too
        self.rules: dict[str, RuleDef] = {}
        self.people = People()
        self.problem = False  # the newest configuration does not load
        self.down: dict[str, bool] = {}  # receivers of which this process has heard whether they are down
        self.lives: dict[Key, Life] = {}
        self.told: dict[Key, dict[str, str]] = {}  # alert -> receiver -> group key, while it fires
        self.seen: dict[str, Seen] = {}  # by source, of this process
        self.ever: set[tuple[str, str]] = set()  # (namespace, metric) that a reading held
        self.heard: dict[str, str] = {}  # source -> its fault or "", not judged by a saved turn yet
        self._clock: dict[str, int] = {}  # rule or built-in rule -> when it was judged last, in a saved turn
        self._skewed: dict[str, int] = {}  # the same, where the wall stepped unseen: by how much it looks otherwise
        self._by_rule: dict[str, dict[Key, Life]] = {}  # `lives` once more
        self._whom: dict[str, tuple[str, ...]] = {}  # rule -> its receivers, until the next set of rules
        self._gone: dict[str, bool] = {}  # rule -> whether it is none any more, until the next set of rules
        self._keys: dict[tuple[str, str], Key] = {}  # what `key_of` gave
        self._looks: dict[str, _Look] = {}  # by rule, until something else is read, or the rules change
        self.silences: dict[str, Hush] = {}
        self._shaken: set[str] = set()  # rules that were gone and came back: their clocks may begin anew

    # ---------------------------------------------------------------------------------------- what happens

    def start(self, unseen_step: int) -> None:
        """Begin with another process; the wall stepped by so much since what is on disk was written."""
        self.seen, self.heard, self.ever, self.down, self._looks = {}, {}, set(), {}, {}
        if unseen_step:
            for name in self._clock:
                self._skewed[name] = self._skewed.get(name, 0) + unseen_step

    def set_back(self) -> None:
        """Take note that the program saw the wall go back: it forgets what it has read."""
        self.seen = {name: Seen("forgotten", {}) for name in self.seen}
        self.ever, self._looks = set(), {}

    def hear(self, source: str, seen: Seen) -> None:
        """Take note of a reading."""
        before, self.seen[source] = self.seen.get(source), seen
        self.heard[source] = seen.fault
        namespace = PLACE[source].namespace
        held = {(namespace, metric) for metric, series in seen.series.items() if series}
        if before is None or before[:3] != seen[:3] or not held <= self.ever:  # else only its time is another
            self.ever |= held
            self._looks = {}

    def adopt(self, rules: Iterable[RuleDef], people: People) -> None:
        """Take over a set of rules, and settings."""
        before, self.people = self.rules, people
        self.rules = {rule.id: rule for rule in rules}
        self._whom, self._gone, self._looks = {}, {}, {}
        self._shaken |= self.rules.keys() - before.keys()
        wanted = {(rule.namespace, rule.metric) for rule in self.rules.values()}
        self.ever &= wanted

    def key_of(self, rule_id: str, fingerprint: str) -> Key | None:
        """Find the alert that the program calls so; None: there can be none."""
        known = self._keys.get((rule_id, fingerprint))
        if known is not None:
            return known
        labels = _LABELS.get(fingerprint)
        if labels is None and rule_id.startswith(RULE_BLIND):
            labels = Labels({"rule": rule_id.rpartition(":")[2]})
        if labels is None:
            return None
        key = self._keys[rule_id, fingerprint] = Key(rule_id, labels)
        return key

    # ---------------------------------------------------------------------------------------- one turn

    def stage(self, now: int, wall: int, judged: Sequence[tuple[str, bool]], *, unsaved: bool = False) -> Stage:
        """Say what a turn comes to. `judged`: the rules that it evaluates, and whether our own code failed there.

        `unsaved`: what was saved last is in memory only.
        """
        for name, seen in self.seen.items():
            if not seen.fault and wall - seen.at >= LOOKBACK:
                self.seen[name] = Seen("not read for long", {})  # what was not read is not believed, nor gone
                self._looks = {}
        turn = Stage(now, wall, self.rules, self.people, heard=dict(self.heard))
        blind: list[tuple[RuleDef, str]] = []
        for rule_id, raised in judged:
            rule = self.rules[rule_id]
            blind.append((rule, self._judge(turn, rule, raised=raised)))
        for source, fault in self.heard.items():
            self._step_builtin(turn, _DOWN[source], TRUE if fault else FALSE, _FOR_DOWN[source])
        for rule, why in blind:
            self._step_builtin(turn, _blind(rule.id), why, _FOR_BLIND)
        self._step_builtin(turn, _BROKEN, TRUE if self.problem else FALSE, _AT_ONCE)
        for receiver, down in self.down.items():
            self._step_builtin(turn, _AWAY[receiver], TRUE if down else FALSE, _AT_ONCE)
        self._step_builtin(turn, _UNSAVED, TRUE if unsaved else FALSE, _AT_ONCE)
        for rule_id, lives in self._by_rule.items():
            if lives and self._is_gone(rule_id):
                for key, life in lives.items():
                    self._put(turn, key, ended(life, REMOVED))
        if self.exact:
            hushes = [each for each in self.silences.values() if each.starts <= wall < each.ends]
            for key in self.lives | turn.lives:
                told = self.told.get(key, ())
                fresh = tuple([name for name in self._for(key.rule) if name not in told])
                if fresh and not any(each.fits(key) for each in hushes):
                    turn.fresh[key] = fresh
        return turn

    def settle(self, turn: Stage, happened: set[tuple[Key, str]]) -> str:
        """Let what was not sure be as it was saved; say what should not be so, or nothing."""
        for key, turned in list(turn.turned.items()):
            if (key, turned.after) in happened:
                happened.discard((key, turned.after))
            elif turned.sure:
                return f"{key.rule}{key.labels} is not {turned.after} {turned.ended}".rstrip()
            else:
                del turn.turned[key]
                turn.lives[key] = turned.otherwise
        for key, after in happened:
            return f"{key.rule}{key.labels} is {after} for no reason"
        return ""

    def news(self, turn: Stage) -> Iterable[News]:
        """Say who hears of what: ends go to whoever was told; what fires to all whom it is for and who do not know."""
        for key, fresh in turn.fresh.items():
            life = turn.lives[key] if key in turn.lives else self.lives[key]
            if life is not None and life.firing:
                yield News(key, FIRING, fresh, "")
        for key, turned in turn.turned.items():
            if turned.after == RESOLVED and key in self.told:
                yield News(key, RESOLVED, tuple(self.told[key]), turned.ended)

    def apply(self, turn: Stage) -> None:
        """Let a turn take effect: it is on disk."""
        for key, life in turn.lives.items():
            of_rule = self._by_rule.setdefault(key.rule, {})
            if life is None:
                self.lives.pop(key, None)
                of_rule.pop(key, None)
            else:
                self.lives[key] = of_rule[key] = life
        self._clock.update(turn.judged)
        self._shaken.difference_update(turn.judged)
        if self._skewed:
            self._skewed = {name: by for name, by in self._skewed.items() if name not in turn.judged}

    def acknowledge(self, turn: Stage) -> None:
        """Take note that the program knows that a turn is on disk: the readings that it judged are done with."""
        self.heard = {name: fault for name, fault in self.heard.items() if turn.heard.get(name) != fault}

    def clocks(self) -> tuple[dict[str, int], dict[str, int]]:
        """Give when everything was judged last, as it is on disk."""
        return dict(self._clock), dict(self._skewed)

    def go_back(
        self,
        lives: Mapping[Key, Life],
        told: Mapping[Key, dict[str, str]],
        silences: Mapping[str, Hush],
        clock: Mapping[str, int],
        skewed: Mapping[str, int],
    ) -> None:
        """Take back what is not on disk after all."""
        self.lives, self.silences = dict(lives), dict(silences)
        self.told = {key: dict(of) for key, of in told.items()}
        self._clock, self._skewed = dict(clock), dict(skewed)
        self._by_rule = {}
        for key, life in lives.items():
            self._by_rule.setdefault(key.rule, {})[key] = life

    def _for(self, rule_id: str) -> tuple[str, ...]:
        """Say for whom the alerts of a rule are."""
        whom = self._whom.get(rule_id)
        if whom is None:
            rules = behind(self.rules, rule_id)
            whom = others(rule_id) or tuple(dict.fromkeys(name for rule in rules for name in rule.notify))
            self._whom[rule_id] = whom
        return whom

    def _is_gone(self, rule_id: str) -> bool:
        """Tell whether there is no such rule any more."""
        if rule_id not in self._gone:
            watched = rule_id.removeprefix(RULE_BLIND)
            unread = watched.startswith(SOURCE_DOWN) and not behind(self.rules, watched)
            self._gone[rule_id] = unread or (watched not in self.rules and not watched.startswith("alerting/"))
        return self._gone[rule_id]

    # ---------------------------------------------------------------------------------------- one rule

    def _judge(self, turn: Stage, rule: RuleDef, *, raised: bool) -> str:
        """Step the alerts of one rule; tell whether it is blind for a reason other than a failed source."""
        lives = self._by_rule.get(rule.id, {})
        look = self._looks.get(rule.id) or self._look(rule)
        gaps, blind, holds = look.failed, look.blind, {} if raised else look.holds
        if rule.second:
            turn.levels |= holds
        if lives or holds or gaps or blind or raised:
            policy = look.policy._replace(on_missing=OnMissing.KEEP) if raised else look.policy
            keys = dict.fromkeys((*holds, *lives))
            shaken = rule.id in self._shaken
            for key in keys:
                if not shaken and key in holds and lives.get(key) is FIRES:
                    continue  # it fires on
                truth = TRUE if key in holds else UNKNOWN if raised else self._truth(rule, look, key, lives[key])
                if truth == TRUE and key not in holds and rule.second:
                    turn.levels[key] = WARNING  # not clear yet, though no level holds
                self._step(turn, key, truth, policy)
            if rule.on_missing is OnMissing.FIRE and not raised and (gaps or blind) and not keys:
                self._step(turn, Key(rule.id, NO_LABELS), UNKNOWN, policy)
        turn.judged[rule.id] = turn.at
        return TRUE if blind or raised else UNKNOWN if gaps else FALSE

    def _gaps(self, rule: RuleDef) -> tuple[list[str], bool]:
        """Give the sources that failed, and whether something else keeps the rule from seeing."""
        failed, read = [], 0
        for place in BY_SPACE[rule.namespace]:
            seen = self.seen.get(place.name)
            read += seen is not None
            if seen is not None and seen.fault:
                failed.append(place.name)
        if not read:
            return failed, True
        (first, *_) = BY_SPACE[rule.namespace]
        if first.closed:
            return failed, False
        if (rule.namespace, rule.metric) not in self.ever:
            return failed, not failed  # what failed may hold it
        lacks = first.says_what_it_lacks and not failed and not self.seen[first.name].series[rule.metric]
        return failed, lacks

    def _look(self, rule: RuleDef) -> _Look:
        """Work out what a rule sees."""
        seen = [self.seen.get(place.name) for place in BY_SPACE[rule.namespace]]
        holds = {
            Key(rule.id, labels): "" if not rule.second else CRITICAL if value > rule.second else WARNING
            for each in seen
            if each is not None and not each.fault
            for labels, value in each.series[rule.metric].items()
            if value > rule.limit and rule.zone in {"", labels.get("zone")}
        }
        policy = Policy(rule.for_, rule.keep, rule.on_missing, rule.vanish)
        look = self._looks[rule.id] = _Look(*self._gaps(rule), holds, policy)
        return look

    def _truth(self, rule: RuleDef, look: _Look, key: Key, life: Life) -> str:
        """Judge an alert for which the condition does not hold."""
        failed, blind = look.failed, look.blind
        if life.no_data:
            return UNKNOWN if failed or blind else FALSE
        source = JOB[key.labels.get("job")] if rule.namespace == SHARED else rule.namespace
        seen = self.seen.get(source)
        if seen is None or seen.fault or blind:
            return UNKNOWN
        if key.labels not in seen.series[rule.metric] and any(self.seen[name].nameless for name in failed):
            return UNKNOWN  # which page has failed is not known
        value = seen.series[rule.metric].get(key.labels)
        if value is None:
            return VANISHED
        return TRUE if rule.hysteresis and life.firing and value >= rule.clear else FALSE

    def _step_builtin(self, turn: Stage, key: Key, truth: str, policy: Policy) -> None:
        """Step a built-in rule, where there is something to raise or something that was raised."""
        if truth == TRUE or key in self.lives:
            self._step(turn, key, truth, policy)
            turn.judged[key.rule] = turn.at

    # ---------------------------------------------------------------------------------------- one alert

    def _step(self, turn: Stage, key: Key, truth: str, policy: Policy) -> None:
        """Let one alert live on, if it is or begins."""
        life = self.lives.get(key)
        passed, unseen = self._passed(turn.at, key)
        if life is not None and key.rule in self._shaken:
            life = life.shaken()
        self._put(turn, key, lived(life, looked(truth, policy, life, passed, unseen=unseen)))

    def _put(self, turn: Stage, key: Key, now: Next) -> None:
        life, turned = now
        if life is not None or key in self.lives:
            turn.lives[key] = life
        if turned is not None:
            turn.turned[key] = turned

    def _passed(self, now: int, key: Key) -> tuple[Span, bool | None]:
        """Give the observed time since the alert was judged last, and whether time went unobserved (None: perhaps)."""
        last = self._clock.get(key.rule)
        if last is None:
            return NONE, True
        passed = now - last
        step = self._skewed.get(key.rule, 0)
        if key.rule in self._shaken:
            return (0, passed if passed <= MAX_GAP else 0), None
        if step:
            looks = [each for each in (passed, passed + step) if 0 <= each <= MAX_GAP]
            return (0, max(looks, default=0)), None
        return ((passed, passed), False) if passed <= MAX_GAP else (NONE, True)


_DOWN = {place.name: Key(f"{SOURCE_DOWN}{place.name}", Labels({"source": place.name})) for place in PLACES}
_AWAY = {name: Key(f"{RECEIVER_DOWN}{name}", Labels({"receiver": name})) for name in RECEIVERS}
_BROKEN = Key("alerting/ConfigBroken", NO_LABELS)
_FOR_DOWN = {place.name: Policy(place.unknown_after) for place in PLACES}
_FOR_BLIND = Policy(UNKNOWN_AFTER)
_AT_ONCE = Policy()
_UNSAVED = Key("alerting/StateUnsaved", NO_LABELS)


def behind(rules: Mapping[str, RuleDef], rule_id: str) -> list[RuleDef]:
    """Give the rules whose receivers an alert is for."""
    if rule_id.startswith(SOURCE_DOWN):
        namespace = PLACE[rule_id.removeprefix(SOURCE_DOWN)].namespace
        return [rule for rule in rules.values() if rule.namespace == namespace]
    if rule_id in {_BROKEN.rule, _UNSAVED.rule}:
        return list(rules.values())
    rule = rules.get(rule_id.removeprefix(RULE_BLIND))
    return [] if rule is None else [rule]


def others(rule_id: str, fallback: Mapping[str, tuple[str, ...]] = {}) -> tuple[str, ...]:
    """Give who hears that a receiver is down: its fallback, or all others; nobody where it is about none."""
    if not rule_id.startswith(RECEIVER_DOWN):
        return ()
    receiver = rule_id.removeprefix(RECEIVER_DOWN)
    return fallback.get(receiver) or tuple(name for name in RECEIVERS if name != receiver)


@cache
def name_of(rule_id: str) -> str:
    """Give the name that people see of a rule."""
    return rule_id.split("/")[1] if rule_id.startswith("alerting/") else rule_id.partition(":")[2]


@cache
def _blind(rule_id: str) -> Key:
    return Key(f"{RULE_BLIND}{rule_id}", Labels({"rule": rule_id.partition(":")[2]}))
