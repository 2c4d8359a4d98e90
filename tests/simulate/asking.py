"""What people ask of the program while it runs: silences and acknowledgements, as the commands write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.telling.keeping import (
    ACK,
    ack_name,
    ack_text,
    read_ack,
    read_silence,
    silence_name,
    silence_text,
)
from alerting.model import SHARED, Ack, AlertKey, Matcher, Silence
from tests.simulate.known import Taken
from tests.simulate.laws import Laws
from tests.simulate.model import JOB, Hush, name_of
from tests.simulate.people import WARNING
from tests.simulate.ways import severity_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulate.judge import Judge
    from tests.simulate.model import Key
    from tests.simulate.process import Process
    from tests.simulate.run import Run


def silence(run: Run, process: Process, label: str, value: str, duration: int) -> None:
    """Silence what a label fits, or end the last silence."""
    known = run.judge.model.silences
    if not label:
        for name in list(known)[-1:]:
            run.loop.create_task(process.take({name: None}))
        return
    now = process.clock.now()
    waiting = [run.judge.created[id_][1] for id_, *_ in run.disk.unsettled()]
    if waiting:  # people silence what they are just being told
        notice = (*waiting[0].firing, *waiting[0].resolved)[0]
        label, value = "alertname", name_of(notice.key.rule_id)
    made = Silence(f"s{len(known)}-{run.loop.at}", (Matcher(label, "=", value),), now, now + duration, "ann", "", now)
    run.loop.create_task(process.take({silence_name(made.id): silence_text(made)}))


def take_on(run: Run, process: Process, which: float, duration: int) -> None:
    """Have somebody take on an alert that fires, or give it back."""
    telling, rules = run.judge.telling, run.judge.model.rules
    if not isinstance(telling, Laws):
        return
    now = process.clock.now()
    if telling.acks and which < 0.2:
        run.loop.create_task(process.take({ack_name(_place(next(iter(telling.acks)))): None}))
    elif telling.firing:
        may_get_worse = [each for each in telling.firing.items() if each[1].level == WARNING]
        options = may_get_worse if may_get_worse and which > 0.5 else list(telling.firing.items())
        key, fires = options[int(which * len(options))]
        if options is may_get_worse and key.rule in rules:
            rule, labels = rules[key.rule], key.labels
            source = JOB[labels.get("job")] if rule.namespace == SHARED else rule.namespace
            run.world.surge(source, rule.metric, labels.get("zone"), run.loop.at + duration // 3)
        severity = severity_of(rules, key, fires.level) if key.rule in rules else ""
        ack = Ack(_place(key), fires.episode, "ann", now, now + duration, severity)
        run.loop.create_task(process.take({ack_name(ack.key): ack_text(ack)}))


def kept(judge: Judge, texts: Mapping[str, str | None]) -> None:
    """Silences and acknowledgements are on disk, or gone from there."""
    silences, telling = judge.model.silences, judge.telling
    for name, text in texts.items():
        if isinstance(telling, Laws):
            telling.disturbed = True
            if name.startswith(ACK):
                _taken_on(judge, telling, name, text)
                continue
        silences.pop(name, None)
        if text is not None:
            made = read_silence(text)
            (matcher,) = made.matchers
            silences[name] = Hush(matcher.name, matcher.value, made.starts, made.ends)
        judge.recalls.kept(name, silences.get(name))


def _taken_on(judge: Judge, telling: Laws, name: str, text: str | None) -> None:
    for key in [each for each in telling.acks if ack_name(_place(each)) == name]:
        del telling.acks[key]
    if text is not None:
        ack = read_ack(text)
        key = judge.model.key_of(*ack.key)
        assert key is not None
        telling.acks[key] = Taken(ack.episode, ack.until, ack.severity)


def _place(key: Key) -> AlertKey:
    return AlertKey(key.rule, key.labels.fingerprint)
