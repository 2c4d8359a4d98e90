"""Who hears, in which message, under which key: routing and digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from alerting.core.telling.digest import Announced, Bundle, Reason, digest, group_key_of
from alerting.core.telling.routing import directions, receivers_of
from alerting.model import Receiver, RuleSpec, Step, Told
from tests.core.subjects import key, owed, subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.core.telling.owing import Owed

GROUP = Receiver("group")
STANDS: Mapping[str, Receiver] = {"chat": GROUP, "pager": Receiver("alert"), "mail": GROUP}


def made(told: Announced, *steps: Owed) -> list[Bundle]:
    """Digest, and have it take effect."""
    bundles = digest(steps, told, STANDS, "inst")
    told.take(bundles, 1)
    return bundles


# ------------------------------------------------------------------------------------------- routing


def test_a_firing_goes_to_notify_each_name_once_and_else_to_the_fallback() -> None:
    """And says how the receiver was chosen."""
    both = directions(subject("1", notify=("chat", "pager", "chat")), None, ("console",))
    assert [(each.receiver, each.why) for each in both] == [
        ("chat", "the rule's notify"),
        ("pager", "the rule's notify"),
    ]
    fallback = directions(subject("1"), None, ("console",))
    assert [(each.receiver, each.why) for each in fallback] == [("console", "the rule names nobody: told by default")]


def test_receivers_of_many_rules_are_each_named_once() -> None:
    """In order, with the fallback for those that name nobody."""
    specs = [RuleSpec("1", "", "", notify=("b", "a")), RuleSpec("2", "", ""), RuleSpec("3", "", "", notify=("a",))]
    assert receivers_of(specs, ("console",)) == ("b", "a", "console")


# ------------------------------------------------------------------------------------------- digest


def test_each_reason_for_a_message() -> None:
    """The five things that a message may say of beginnings and ends."""
    told = Announced({})
    seen = [
        made(told, owed("chat", "1"), owed("chat", "2")),
        made(told, owed("chat", "3")),
        made(told, owed("chat", "1", Step.RESOLVED)),
        made(told, owed("chat", "2", Step.RESOLVED), owed("chat", "4")),
        made(told, owed("chat", "3", Step.RESOLVED), owed("chat", "4", Step.RESOLVED)),
    ]
    assert [(bundles[0].reason, bundles[0].counts()) for bundles in seen] == [
        (Reason.FIRST, "2 new"),
        (Reason.MORE, "1 new, 2 still firing"),
        (Reason.SOME_RESOLVED, "1 resolved, 2 still firing"),
        (Reason.BOTH, "1 new, 1 resolved, 1 still firing"),
        (Reason.ALL_RESOLVED, "2 resolved"),
    ]
    assert len({bundles[0].group_key for bundles in seen}) == 1
    assert made(told, owed("chat", "1", at=9))[0].group_key != seen[0][0].group_key


def test_a_pager_has_one_message_and_one_key_per_episode() -> None:
    """The key of a resolve is that of its page."""
    told = Announced({})
    one, two = made(told, owed("pager", "1"), owed("pager", "2"))
    assert one.group_key != two.group_key
    (over,) = made(told, owed("pager", "1", Step.RESOLVED))
    assert (over.group_key, over.ongoing, over.reason) == (one.group_key, (), Reason.ALL_RESOLVED)
    (again,) = made(told, owed("pager", "1", at=5))
    assert again.group_key not in (one.group_key, two.group_key)


def test_two_installations_never_share_a_key() -> None:
    """Hosts that run the same rules never close each other's incidents."""
    assert group_key_of("one", "r", "e") != group_key_of("two", "r", "e")
    assert group_key_of("a", "bc", "d") != group_key_of("ab", "c", "d")
    assert len(group_key_of("i" * 1000, "r" * 5000, "e")) == 41


def test_groups_of_different_rules_are_different_messages() -> None:
    """One message per rule, whoever else fires."""
    assert len(made(Announced({}), owed("chat", "1"), owed("chat", "1", rule_id="other"))) == 2


def test_a_receiver_that_nobody_knows_any_more_keeps_the_group_it_was_told() -> None:
    """The key says who belongs together, not the settings of today."""
    told = Announced({(key("1"), "gone"): Told("k"), (key("2"), "gone"): Told("k")})
    (bundle,) = digest([owed("gone", "1", Step.RESOLVED)], told, {}, "inst")
    assert (bundle.group_key, bundle.ongoing) == ("k", (key("2"),))


def test_an_id_is_what_is_owed_and_nothing_else() -> None:
    """Replayed in another order it is the same; another receiver, step or episode is another."""
    steps = [owed("chat", "1"), owed("chat", "2")]
    (one,) = digest(steps, Announced({}), STANDS, "inst")
    (same,) = digest(steps[::-1], Announced({}), STANDS, "inst")
    assert one.id == same.id
    others = [owed("mail", "1"), owed("chat", "1"), owed("chat", "1", at=2)]
    ids = {bundle.id for step in others for bundle in digest([step], Announced({}), STANDS, "inst")}
    assert len(ids | {one.id}) == 4


STEPS = st.lists(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["r", "s"])), unique=True), max_size=12)


@given(STEPS)
def test_every_owed_step_is_in_exactly_one_message_and_every_end_under_the_key_of_its_beginning(
    rounds: list[list[tuple[str, str]]],
) -> None:
    """A partition: nothing lost, nothing doubled, whatever fires and resolves together."""
    told, firing, keys = Announced({}), {}, {}
    for number, flips in enumerate(rounds):
        steps = []
        for flip in flips:
            began = firing.pop(flip, None)
            if began is None:
                firing[flip] = began = number
                step = Step.FIRING
            else:
                step = Step.RESOLVED
            steps += [owed(receiver, flip[0], step, began, flip[1]) for receiver in ("chat", "pager")]
        bundles = made(told, *steps)
        out = [(bundle, each) for bundle in bundles for each in (*bundle.changed, *bundle.resolved)]
        assert sorted(map(repr, (each for _, each in out))) == sorted(map(repr, steps))
        for bundle, each in out:
            place = (bundle.receiver, each.key, each.subject.alert.episode)
            assert keys.setdefault(place, bundle.group_key) == bundle.group_key
        for bundle in bundles:
            members = {each.key for each in bundle.changed} | set(bundle.ongoing)
            assert members == set(told.members(bundle.receiver, bundle.group_key))
    assert {alert for alert, _ in ((k, v) for k, v in told.told.items())} == {key(*flip) for flip in firing}
