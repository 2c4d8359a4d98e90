"""What should be told: a second, small implementation of DESIGN §6 and §7, written from the text.

It is given what the program has seen (readings as they were taken in), when it judged which rules, which turns came
to be saved, and the configuration in force; it says who is owed what. It adds up observed time where the program
moves stamps. Where the text leaves room (a step of the wall clock between two processes), time is an interval: what
must be told is told after its lower end, what may be told after its upper end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import NO_LABELS, SHARED, Labels, OnMissing
from tests.simulate.plan import INTERVAL, PLACES, M
from tests.simulate.world import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.simulate.plan import Place, RuleDef

TRUE, FALSE, UNKNOWN, VANISHED = "true", "false", "unknown", "vanished"
PERHAPS = "gone, perhaps for long enough"
MAX_GAP = max(2 * INTERVAL, M)
UNKNOWN_AFTER = M
LOOKBACK = 5 * M
RECOVERED, NOT_REPORTED, NO_DATA, REMOVED = "recovered", "no longer reported", "ended: no data", "rule removed"
PLACE = {place.name: place for place in PLACES}
BY_SPACE: dict[str, list[Place]] = {}
for _place in PLACES:
    BY_SPACE.setdefault(_place.namespace, []).append(_place)
JOB = {place.labels[0][1]: place.name for place in PLACES if place.labels}

RULE_BLIND, SOURCE_DOWN = "alerting/RuleBlind/", "alerting/SourceDown/"
_LABELS = {
    labels.fingerprint: labels
    for labels in (
        NO_LABELS,
        *(Labels({**dict(place.labels), "zone": zone}) for place in PLACES for zone in "ab"),
        *(Labels({"source": place.name}) for place in PLACES),
    )
}

Span = tuple[int, int]  # observed time: at least, at most
NONE: Span = (0, 0)


class Policy(NamedTuple):
    """What an alert's life depends on."""

    for_: int = 0
    keep: int = 0
    on_missing: OnMissing = OnMissing.KEEP
    vanish: int = 0


class Look(NamedTuple):
    """What one evaluation says of one alert, once the rule's policy is applied."""

    said: str
    policy: Policy
    passed: Span  # observed time since the evaluation before
    gone: Span | None = None
    ended: str = RECOVERED  # what an end would be called
    missing: bool = False  # it holds for want of data


class Key(NamedTuple):
    """An alert."""

    rule: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class Life:
    """An alert that is pending or fires."""

    firing: bool
    held: Span = NONE  # pending: how long it has been true
    quiet: Span | None = None  # firing: how long it has been false
    gone: Span | None = None  # how long it has been vanished without a break
    last: str = TRUE  # what the last evaluation said of it
    no_data: bool = False  # it stands for readings that are missing


FIRING, RESOLVED = "firing", "resolved"


class Turned(NamedTuple):
    """An alert begins to fire, or ends; with `sure` False it may do so now or later."""

    after: str
    ended: str = ""
    sure: bool = True
    otherwise: Life | None = None  # what it is where it has not turned


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


@dataclass(slots=True)
class Stage:
    """One turn, as far as it would go if it were saved."""

    at: int
    before: dict[str, dict[Key, Life]] = field(default_factory=dict)  # by rule
    lives: dict[Key, Life | None] = field(default_factory=dict)
    turned: dict[Key, Turned] = field(default_factory=dict)
    wanted: dict[Key, tuple[str, ...]] = field(default_factory=dict)  # whom each alert is for that may fire, now
    judged: dict[str, int] = field(default_factory=dict)  # clock (rule or built-in rule) -> now
    heard: dict[str, str] = field(default_factory=dict)


class Model:
    """See the module's text. Times are by the monotonic clock."""

    def __init__(self) -> None:
        self.rules: dict[str, RuleDef] = {}
        self.problem = False  # the newest configuration does not load
        self.lives: dict[Key, Life] = {}
        self.told: dict[Key, dict[str, str]] = {}  # alert -> receiver -> group key, while it fires
        self.seen: dict[str, Seen] = {}  # by source, of this process
        self.ever: set[tuple[str, str]] = set()  # (namespace, metric) that a reading held
        self.heard: dict[str, str] = {}  # source -> its fault or "", not judged by a saved turn yet
        self._clock: dict[str, int] = {}  # rule or built-in rule -> when it was judged last, in a saved turn
        self._skewed: dict[str, int] = {}  # the same, where the wall stepped unseen: by how much it looks otherwise
        self.silences: dict[str, Hush] = {}
        self._shaken: set[str] = set()  # rules that were gone and came back: their clocks may begin anew

    # ---------------------------------------------------------------------------------------- what happens

    def start(self, unseen_step: int) -> None:
        """Begin with another process; the wall stepped by so much since what is on disk was written."""
        self.seen, self.heard, self.ever = {}, {}, set()
        if unseen_step:
            for name in self._clock:
                self._skewed[name] = self._skewed.get(name, 0) + unseen_step

    def set_back(self) -> None:
        """Take note that the program saw the wall go back: it forgets what it has read."""
        self.seen = {name: Seen("forgotten", {}) for name in self.seen}
        self.ever = set()

    def hear(self, source: str, seen: Seen) -> None:
        """Take note of a reading."""
        self.seen[source] = seen
        self.heard[source] = seen.fault
        for metric, series in seen.series.items():
            if series:
                self.ever.add((PLACE[source].namespace, metric))

    def adopt(self, rules: Iterable[RuleDef]) -> None:
        """Take over a set of rules."""
        before = self.rules
        self.rules = {rule.id: rule for rule in rules}
        self._shaken |= self.rules.keys() - before.keys()
        wanted = {(rule.namespace, rule.metric) for rule in self.rules.values()}
        self.ever &= wanted

    def key_of(self, rule_id: str, fingerprint: str) -> Key | None:
        """Find the alert that the program calls so; None: there can be none."""
        labels = _LABELS.get(fingerprint)
        if labels is None and rule_id.startswith(RULE_BLIND):
            labels = Labels({"rule": rule_id.rpartition(":")[2]})
        return None if labels is None else Key(rule_id, labels)

    # ---------------------------------------------------------------------------------------- one turn

    def stage(self, now: int, wall: int, judged: Sequence[tuple[str, bool]]) -> Stage:
        """Say what a turn comes to. `judged`: the rules that it evaluates, and whether our own code failed there."""
        for name, seen in self.seen.items():
            if not seen.fault and wall - seen.at >= LOOKBACK:
                self.seen[name] = Seen("not read for long", {})  # what was not read is not believed, nor gone
        turn = Stage(now, heard=dict(self.heard))
        for key, life in self.lives.items():
            turn.before.setdefault(key.rule, {})[key] = life
        blind: list[tuple[RuleDef, str]] = []
        for rule_id, raised in judged:
            rule = self.rules[rule_id]
            blind.append((rule, self._judge(turn, rule, raised=raised)))
        for source, fault in self.heard.items():
            key, policy, truth = _DOWN[source], Policy(PLACE[source].unknown_after), TRUE if fault else FALSE
            self._step_builtin(turn, key, truth, policy)
        for rule, why in blind:
            self._step_builtin(turn, _blind(rule.id), why, Policy(UNKNOWN_AFTER))
        self._step_builtin(turn, _BROKEN, TRUE if self.problem else FALSE, Policy())
        for key, life in self.lives.items():
            rule_id = key.rule.removeprefix(RULE_BLIND)
            unread = rule_id.startswith(SOURCE_DOWN) and not self._readers(PLACE[key.labels.get("source")].namespace)
            if unread or (rule_id not in self.rules and not rule_id.startswith("alerting/")):
                self._end(turn, key, life, REMOVED)
        for key in self.lives | turn.lives:
            turn.wanted[key] = self._wanted(key, wall)
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
        for key, life in (self.lives | turn.lives).items():
            fresh = tuple(name for name in turn.wanted[key] if name not in self.told.get(key, ()))
            if life is not None and life.firing and fresh:
                yield News(key, FIRING, fresh, "")
        for key, turned in turn.turned.items():
            if turned.after == RESOLVED and key in self.told:
                yield News(key, RESOLVED, tuple(self.told[key]), turned.ended)

    def apply(self, turn: Stage) -> None:
        """Let a turn take effect: it is on disk."""
        for key, life in turn.lives.items():
            if life is None:
                self.lives.pop(key, None)
            else:
                self.lives[key] = life
        for name, now in turn.judged.items():
            self._clock[name] = now
            self._skewed.pop(name, None)
            self._shaken.discard(name)

    def acknowledge(self, turn: Stage) -> None:
        """Take note that the program knows that a turn is on disk: the readings that it judged are done with."""
        self.heard = {name: fault for name, fault in self.heard.items() if turn.heard.get(name) != fault}

    def _wanted(self, key: Key, wall: int) -> tuple[str, ...]:
        """Say for whom an alert is, silences considered."""
        rules = self._behind(key.rule)
        labels = {**key.labels.as_dict(), "alertname": _name(key.rule)}
        for hush in self.silences.values():
            if hush.starts <= wall < hush.ends and labels.get(hush.name, "") == hush.value:
                return ()
        return tuple(dict.fromkeys(name for rule in rules for name in rule.notify))

    def _behind(self, rule_id: str) -> list[RuleDef]:
        """Give the rules whose receivers an alert is for."""
        if rule_id.startswith(SOURCE_DOWN):
            return self._readers(PLACE[rule_id.removeprefix(SOURCE_DOWN)].namespace)
        if rule_id == _BROKEN.rule:
            return list(self.rules.values())
        rule = self.rules.get(rule_id.removeprefix(RULE_BLIND))
        return [] if rule is None else [rule]

    def _readers(self, namespace: str) -> list[RuleDef]:
        return [rule for rule in self.rules.values() if rule.namespace == namespace]

    # ---------------------------------------------------------------------------------------- one rule

    def _judge(self, turn: Stage, rule: RuleDef, *, raised: bool) -> str:
        """Step the alerts of one rule; tell whether it is blind for a reason other than a failed source."""
        lives = turn.before.get(rule.id, {})
        gaps, blind = self._gaps(rule)
        true = {} if raised else self._true(rule)
        if lives or true or gaps or blind or raised:
            policy = Policy(rule.for_, rule.keep, OnMissing.KEEP if raised else rule.on_missing, rule.vanish)
            keys = dict.fromkeys((*(Key(rule.id, labels) for labels in true), *lives))
            for key in keys:
                truth = TRUE if key.labels in true else UNKNOWN if raised else self._truth(rule, key, lives[key])
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

    def _true(self, rule: RuleDef) -> dict[Labels, float]:
        seen = [self.seen.get(place.name) for place in BY_SPACE[rule.namespace]]
        return {
            labels: value
            for each in seen
            if each is not None and not each.fault
            for labels, value in each.series[rule.metric].items()
            if value > rule.limit and rule.zone in {"", labels.get("zone")}
        }

    def _truth(self, rule: RuleDef, key: Key, life: Life) -> str:
        """Judge an alert for which the condition does not hold."""
        failed, blind = self._gaps(rule)
        if life.no_data:
            return UNKNOWN if failed or blind else FALSE
        source = JOB[key.labels.get("job")] if rule.namespace == SHARED else rule.namespace
        seen = self.seen.get(source)
        if seen is None or seen.fault or blind:
            return UNKNOWN
        if key.labels not in seen.series[rule.metric] and any(self.seen[name].nameless for name in failed):
            return UNKNOWN  # which page has failed is not known
        return FALSE if key.labels in seen.series[rule.metric] else VANISHED

    def _step_builtin(self, turn: Stage, key: Key, truth: str, policy: Policy) -> None:
        """Step a built-in rule, where there is something to raise or something that was raised."""
        if truth == TRUE or key in self.lives:
            self._step(turn, key, truth, policy)
            turn.judged[key.rule] = turn.at

    # ---------------------------------------------------------------------------------------- one alert

    def _step(self, turn: Stage, key: Key, truth: str, policy: Policy) -> None:
        """DESIGN's table of an alert's life."""
        life = self.lives.get(key)
        passed, unseen = self._passed(turn.at, key)
        if life is not None and key.rule in self._shaken:
            life = replace(life, held=(0, life.held[1]), quiet=life.quiet and (0, life.quiet[1]))
        look = self._looked(truth, policy, life, passed, unseen=unseen)
        if look.said == PERHAPS:
            self._unsure_end(turn, key, life, look)
        elif life is None:
            if look.said == TRUE:
                self._begin(turn, key, look)
        elif not life.firing:
            self._pending(turn, key, life, look)
        else:
            self._firing(turn, key, life, look)

    @staticmethod
    def _looked(truth: str, policy: Policy, life: Life | None, passed: Span, *, unseen: bool | None) -> Look:
        """Apply what the rule says of missing data. `unseen`: time went by without evaluation (None: perhaps)."""
        if truth in {TRUE, FALSE}:
            return Look(truth, policy, passed)
        if policy.on_missing is OnMissing.FIRE:
            return Look(TRUE, policy, passed, missing=True)
        if policy.on_missing is OnMissing.RESOLVE:
            return Look(FALSE, policy, passed, ended=NO_DATA)
        if truth == UNKNOWN:
            return Look(UNKNOWN, policy, passed)
        before = life.gone if life is not None and unseen is not True else None
        gone = NONE if before is None else (0 if unseen is None else before[0] + passed[0], before[1] + passed[1])
        said = FALSE if gone[0] >= policy.vanish else PERHAPS if gone[1] >= policy.vanish else UNKNOWN
        return Look(said, policy, passed, gone, ended=NOT_REPORTED)

    @staticmethod
    def _begin(turn: Stage, key: Key, look: Look) -> None:
        turn.lives[key] = Life(firing=look.policy.for_ <= 0, no_data=look.missing)
        if turn.lives[key].firing:
            turn.turned[key] = Turned(FIRING)

    @staticmethod
    def _pending(turn: Stage, key: Key, life: Life, look: Look) -> None:
        held = _add(life.held, look.passed) if life.last == TRUE else life.held
        if look.said == FALSE:
            turn.lives[key] = None
        elif look.said == UNKNOWN or held[1] < look.policy.for_:
            turn.lives[key] = replace(life, held=held, last=look.said, gone=look.gone)
        else:
            sure = held[0] >= look.policy.for_
            still = Life(firing=False, held=(held[0], min(held[1], look.policy.for_ - 1)))
            turn.lives[key] = Life(firing=True, no_data=look.missing)
            turn.turned[key] = Turned(FIRING, "", sure, None if sure else still)

    def _firing(self, turn: Stage, key: Key, life: Life, look: Look) -> None:
        if look.said == TRUE:
            turn.lives[key] = Life(firing=True, no_data=life.no_data and look.missing)
            return
        quiet = life.quiet
        if quiet is not None and life.last == FALSE:
            quiet = _add(quiet, look.passed)
        if look.said == UNKNOWN:
            turn.lives[key] = replace(life, quiet=quiet, last=UNKNOWN, gone=look.gone)
            return
        keep = look.policy.keep
        quiet = NONE if quiet is None else quiet
        still = replace(life, quiet=(quiet[0], min(quiet[1], max(0, keep - 1))), last=FALSE, gone=look.gone)
        if quiet[1] < keep:
            turn.lives[key] = replace(still, quiet=quiet)
        elif quiet[0] >= keep:
            self._end(turn, key, life, look.ended)
        else:
            self._end(turn, key, life, look.ended, still)

    @staticmethod
    def _end(turn: Stage, key: Key, life: Life, ended: str, otherwise: Life | None = None) -> None:
        turn.lives[key] = None
        if life.firing:
            turn.turned[key] = Turned(RESOLVED, ended, otherwise is None, otherwise)

    def _unsure_end(self, turn: Stage, key: Key, life: Life | None, look: Look) -> None:
        """It may count as gone by now, or not yet."""
        if life is not None:
            still = replace(life, last=UNKNOWN, gone=look.gone)
            self._end(turn, key, life, look.ended, still)
            if not life.firing:
                turn.lives[key] = still

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
_BROKEN = Key("alerting/ConfigBroken", NO_LABELS)


def _name(rule_id: str) -> str:
    """Give the name that people see of a rule."""
    return rule_id.split("/")[1] if rule_id.startswith("alerting/") else rule_id.partition(":")[2]


@cache
def _blind(rule_id: str) -> Key:
    return Key(f"{RULE_BLIND}{rule_id}", Labels({"rule": rule_id.partition(":")[2]}))


def _add(span: Span, more: Span) -> Span:
    return span[0] + more[0], span[1] + more[1]
