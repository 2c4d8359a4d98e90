"""What is said of messages that were overtaken: all that they had to say, in one, with the true end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.telling.folding import folded
from alerting.model import AlertKey, Notice, Notification, Step

AT = 1_764_000_000_000
NAMES = "abc"


def notice(name="a", step="firing", episode=1, **more):
    """One alert as a message has it."""
    ended = {"resolved_at": AT + episode * 60_000 + 30_000, "ended": "recovered"} if step == "resolved" else {}
    given_ = {
        "key": AlertKey("rule", name),
        "episode": f"{name}{episode}",
        "step": step,
        "name": "High",
        "labels": {"a": name},
        "severity": "error",
        "value": "20",
        "why": f"v{{a={name}}} = 20 > 10",
        "fired_at": AT + episode * 60_000,
    }
    return Notice(**{**given_, **ended, **more})


def message(*notices, **more):
    """A message of these; those that resolved stand among what is over."""
    firing = tuple(each for each in notices if each.step != "resolved")
    resolved = tuple(each for each in notices if each.step == "resolved")
    loud = any(each.step in ("firing", "worse", "reminder") for each in firing)
    receiver = more.pop("receiver", "chat")
    return Notification("id", receiver, "key", "1 new", AT, "title", firing, resolved, **{"loud": loud, **more})


def words(told):
    """The steps of a message, by alert."""
    return [f"{each.step} {each.key.fingerprint}" for each in (*told.firing, *told.resolved)]


ONGOING = Step.ONGOING
GROUPS = [
    ("one", [[notice()]], ["firing a"], 0),
    ("what goes on was never told", [[notice()], [notice(step=ONGOING), notice("b")]], ["firing a", "firing b"], 0),
    (
        "what goes on was told",
        [[notice("b")], [notice(step=ONGOING), notice("b", ONGOING)]],
        ["firing b", "ongoing a"],
        0,
    ),
    ("it came and went", [[notice()], [notice(step="resolved")]], ["resolved a"], 1),
    ("it ended", [[notice("b")], [notice(step="resolved"), notice("b", ONGOING)]], ["firing b", "resolved a"], 0),
    ("and fires again", [[notice()], [notice(step="resolved")], [notice(episode=2)]], ["firing a"], 1),
    ("in one turn", [[notice()], [notice(step="resolved"), notice(episode=2)]], ["firing a"], 1),
    (
        "of whose earlier end nobody was told",
        [[notice(step=ONGOING), notice("b", "resolved")], [notice(step="resolved", episode=2)]],
        ["resolved b", "resolved a"],
        0,
    ),
    (
        "twice over",
        [[notice()], [notice(step="resolved")], [notice(episode=2)], [notice(step="resolved", episode=2)]],
        ["resolved a"],
        2,
    ),
    ("worse at once", [[notice()], [notice(step="worse", was="warning")]], ["firing a"], 0),
    ("worse", [[notice(step="worse")], [notice(step=ONGOING), notice("b")]], ["worse a", "firing b"], 0),
    ("taken on", [[notice()], [notice(step="acknowledged", acked="ann")]], ["firing a"], 0),
]


@pytest.mark.parametrize(("waiting", "says", "notes"), [each[1:] for each in GROUPS], ids=[each[0] for each in GROUPS])
def test_a_group_is_told_everything_in_one_message(waiting, says, notes) -> None:
    """How things stand now, as news where nobody was told, and a note for each episode that came and went."""
    count, told = folded([message(*each) for each in waiting], "group")
    assert count == len(waiting)
    assert words(told) == says
    assert len([each for each in told.notes if each.startswith("over before it could be told")]) == notes
    assert told.loud == any(each.startswith(("firing", "worse")) for each in says)
    assert all(not each.was for each in told.firing if each.step == "firing")


PAGES = [
    ("one", [[notice()]], 1, ["firing a"], False),
    ("it came and went", [[notice()], [notice(step="resolved")]], 1, ["firing a"], True),
    ("it got worse", [[notice()], [notice(step="worse")]], 2, ["firing a"], False),
    ("worse and over", [[notice()], [notice(step="worse")], [notice(step="resolved")]], 2, ["firing a"], True),
    ("taken on", [[notice()], [notice(step="acknowledged", acked="ann")]], 1, ["firing a"], False),
    ("over", [[notice(step="resolved")]], 1, ["resolved a"], False),
]


@pytest.mark.parametrize(("waiting", "count", "says", "over"), [each[1:] for each in PAGES], ids=[e[0] for e in PAGES])
def test_a_page_is_never_folded_into_its_end(waiting, count, says, over) -> None:
    """PagerDuty drops the end of what was never begun: so the beginning goes first, and says that it is over."""
    number, told = folded([message(*each, urgent=True) for each in waiting], "alert")
    assert (number, words(told)) == (count, says)
    assert told.urgent != over
    assert any("its resolve follows" in each for each in told.notes) == over
    again = folded([told, *[message(*each, urgent=True) for each in waiting[number:]]], "alert").told
    assert again.notes == told.notes


def test_a_hundred_episodes_are_no_hundred_lines() -> None:
    """The newest notes are kept, and it is said that there were more."""
    waiting = [message(notice(step=step, episode=n)) for n in range(100) for step in ("firing", "resolved")]
    told = folded(waiting, "group").told
    assert len(told.notes) == 10
    assert "left out" in told.notes[0]


CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), min_size=1, max_size=12)


@given(changes=CHANGES, cuts=st.lists(st.integers(1, 4), max_size=12))
def test_folding_in_steps_ends_in_the_true_state(changes, cuts) -> None:
    """Law: however a backlog is cut up and folded again, what fires in the end fires in the message, and no more."""
    firing, episodes, messages = {}, dict.fromkeys(NAMES, 0), []
    for name, fires in changes:
        others = [each._replace(step=ONGOING) for key, each in firing.items() if key != name]
        if fires and name not in firing:
            episodes[name] += 1
            firing[name] = notice(name, episode=episodes[name])
            messages.append(message(firing[name], *others))
        elif not fires and name in firing:
            messages.append(message(notice(name, "resolved", episodes[name]), *others))
            del firing[name]
    if not messages:
        return
    waiting = messages
    for cut in cuts:
        waiting = [folded(waiting[:cut], "group").told, *waiting[cut:]] if waiting[:cut] else waiting
    told = folded(waiting, "group").told
    assert {each.key.fingerprint: each.episode for each in told.firing} == {
        name: each.episode for name, each in firing.items()
    }
    assert all(each.step == "firing" for each in told.firing)
    assert not {each.key for each in told.firing} & {each.key for each in told.resolved}
    said = {(each.key.fingerprint, each.fired_at) for each in (*told.firing, *told.resolved)}
    noted = len([each for each in told.notes if "over before" in each])
    assert len(told.notes) == 10 or len(said) + noted - len(told.resolved) == sum(episodes.values())
