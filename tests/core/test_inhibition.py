"""Inhibition: who is kept back by what fires, by Alertmanager's rule."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.telling.inhibition import Inhibitor
from alerting.core.telling.matchers import Matchers
from alerting.model import AlertKey, Cause, Inhibition, Labels, Matcher
from alerting.patterns import compile_pattern


def key(labels: dict[str, str]) -> AlertKey:
    """Make the key of an alert."""
    return AlertKey("r", Labels(labels).fingerprint)


def rule(number: int) -> Inhibition:
    """Make one of many inhibitions."""
    sources, targets = (Matcher("alertname", "=", f"{what}{number}") for what in ("Down", "Slow"))
    return Inhibition((sources,), (targets,), ("node",))


def why(inhibitions: list[Inhibition], firing: list[dict[str, str]], labels: dict[str, str]) -> tuple[str, str] | None:
    """Look at what fires, and ask for one of it."""
    seen = Inhibitor(inhibitions, compile_pattern).look([(key(each), each) for each in firing])
    return seen.why(key(labels), labels)


CRITICAL = {"alertname": "NodeDown", "severity": "critical", "node": "a"}
WARNING = {"alertname": "Slow", "severity": "warning", "node": "a"}
SEVERITY = Inhibition(
    (Matcher("severity", "=", "critical"),), (Matcher("severity", "=~", "warning|info"),), ("node",), "by severity"
)


def test_what_fires_keeps_back_what_follows_from_it_and_says_so() -> None:
    """The reason names the alert; the inhibition has a name of its own."""
    told = why([SEVERITY], [CRITICAL, WARNING], WARNING)
    assert told == ('NodeDown{node="a", severity="critical"} fires', "by severity")
    assert why([SEVERITY], [CRITICAL, WARNING], CRITICAL) is None
    assert why([SEVERITY], [WARNING], WARNING) is None


FEEDS = Inhibition(
    (Matcher("feed", "=", "a"),),
    (Matcher("alertname", "=", "HostDown"),),
    ("rack",),
    "both feeds",
    more=(Cause((Matcher("feed", "=", "b"),), ("room",)),),
)


def test_where_several_must_fire_one_alone_keeps_nothing_back() -> None:
    """Each has labels of its own that must agree; the reason names all of them."""
    host = {"alertname": "HostDown", "rack": "1", "room": "x"}
    a, b = {"alertname": "Feed", "feed": "a", "rack": "1"}, {"alertname": "Feed", "feed": "b", "room": "x"}
    both = 'Feed{feed="a", rack="1"} and Feed{feed="b", room="x"} fire'
    assert why([FEEDS], [a, b, host], host) == (both, "both feeds")
    assert why([FEEDS], [a, host], host) is None
    assert why([FEEDS], [b, host], host) is None
    assert why([FEEDS], [a, b | {"room": "y"}, host], host) is None
    assert why([FEEDS], [a | {"rack": "2"}, b, host], host) is None
    one = {"alertname": "Power", "feed": "a", "rack": "1", "room": "x"}
    twice = FEEDS._replace(more=(Cause((Matcher("alertname", "=", "Power"),)),))
    assert why([twice], [one, host], host) == ('Power{feed="a", rack="1", room="x"} fires', "both feeds")


@pytest.mark.parametrize(
    ("node", "expected"),
    [({"node": "a"}, True), ({"node": "b"}, False), ({"node": ""}, False), ({}, False)],
)
def test_labels_under_equal_must_agree(node: dict[str, str], expected: bool) -> None:
    """One value against another, or against none."""
    other = {"alertname": "Slow", "severity": "warning", **node}
    assert (why([SEVERITY], [CRITICAL, other], other) is not None) is expected


def test_a_label_that_both_lack_agrees() -> None:
    """As Alertmanager's documentation warns; an empty one is a missing one."""
    source, target = {"severity": "critical"}, {"severity": "warning", "node": ""}
    assert why([SEVERITY], [source, target], target) is not None
    two = SEVERITY._replace(equal=("node", "rack"))
    assert why([two], [source, target], target) is not None
    assert why([two], [{**source, "rack": "1"}, target], target) is None


def test_an_alert_on_both_sides_is_kept_back_by_none_that_is_on_both_sides_too() -> None:
    """Not by itself, nor by its like; but by one that is only a source."""
    both = Inhibition((Matcher("a", "=~", "x|y"),), (Matcher("a", "=~", "y|z"),), name="n")
    first, second = {"alertname": "1", "a": "y"}, {"alertname": "2", "a": "y"}
    assert why([both], [first], first) is None
    assert why([both], [first, second], first) is None
    assert why([both], [first, {"a": "x"}], first) == ('an alert{a="x"} fires', "n")
    assert why([both], [first], {"a": "z"}) is not None  # a mere target is kept back by any source


def test_a_reason_names_no_more_labels_than_people_read() -> None:
    """The rest is left out, and a mark says so."""
    many = {**CRITICAL, **{f"l{number}": "x" for number in range(20)}}
    reason, _ = why([SEVERITY], [many], WARNING) or ("", "")
    assert reason.startswith('NodeDown{l0="x", l1="x"')
    assert reason.endswith(", …} fires")


VALUES = st.sampled_from(["", "1", "2"])
ALERTS = st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3)
SIDES = st.lists(st.builds(Matcher, st.sampled_from("xyz"), st.sampled_from(["=", "!="]), VALUES), max_size=2)
EQUAL = st.lists(st.sampled_from("xyz"), unique=True, max_size=2).map(tuple)
MORE = st.lists(st.builds(Cause, SIDES.map(tuple), EQUAL), max_size=2).map(tuple)
RULES = st.builds(Inhibition, SIDES.map(tuple), SIDES.map(tuple), EQUAL, more=MORE)


def by_the_book(each: Inhibition, firing: list[dict[str, str]], labels: dict[str, str]) -> bool:
    """Tell by going through all that fires whether one inhibition keeps an alert back."""
    targets = Matchers(each.targets, compile_pattern)
    causes = [(Matchers(cause.matchers, compile_pattern), cause.equal) for cause in each.causes]
    return targets.fits(labels) and all(
        any(
            sources.fits(other)
            and not (sources.fits(labels) and targets.fits(other))
            and all(other.get(name, "") == labels.get(name, "") for name in equal)
            for other in firing
        )
        for sources, equal in causes
    )


@given(st.lists(RULES, max_size=3), st.lists(ALERTS, max_size=5))
def test_any_set_gives_what_going_through_all_of_it_gives(
    rules: list[Inhibition], firing: list[dict[str, str]]
) -> None:
    """The index changes nothing; and never is each of several alerts kept back by the others of one inhibition."""
    for labels in firing:
        assert (why(rules, firing, labels) is not None) == any(by_the_book(each, firing, labels) for each in rules)
    for each in rules:
        kept_back = [labels for labels in firing if by_the_book(each, firing, labels)]
        assert len(kept_back) < len(firing) or not firing


def test_ten_thousand_alerts_are_looked_at_in_a_moment() -> None:
    """Each costs a few microseconds, both ways together, with fifty inhibitions; the bound is far above that."""
    inhibitor = Inhibitor([*map(rule, range(49)), SEVERITY], compile_pattern)
    firing = [
        {"alertname": f"Slow{number % 60}", "severity": ("critical", "warning")[number % 2], "node": f"n{number // 2}"}
        for number in range(10_000)
    ]
    keyed = [(key(labels), labels) for labels in firing]
    began = process_time()
    seen = inhibitor.look(keyed)
    kept_back = sum(seen.why(*each) is not None for each in keyed)
    took = process_time() - began
    assert kept_back == 5_000
    assert took < 0.5
    print(f"{took / 10_000 * 1e6:.2f} us for an alert")
