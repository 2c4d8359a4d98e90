"""The schemas: the law, the fast check that agrees with it, and what every key must say of itself."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from alerting.config import schema as schemas
from alerting.config.complaints import complaints
from alerting.core.lang.units import UNITS
from alerting.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = ("rules", "settings", "sources", "notifiers")
RULE = {
    "alert": "A",
    "condition": "disk_usage > 85%",
    "notify": ["slack", "pagerduty"],
    "for": "5m",
    "on_missing": "keep",
    "severity": "critical",
    "labels": {"team": "infra", "tier": 1},
    "annotations": {"summary": "x"},
    "runbook_url": "https://wiki.example.org/x",
    "enabled": True,
    "id": "a",
}
GROUPS = {
    "groups": [
        {
            "name": "g",
            "interval": "1m",
            "limit": 3,
            "labels": {"a": "b"},
            "rules": [
                {"alert": "A", "expr": "up == 0", "for": 0, "labels": {"x": None}, "annotations": {"s": "t"}},
                {"record": "a:b", "expr": 1},
            ],
        }
    ]
}
SETTINGS = {
    "rules": ["rules/*.yaml"],
    "interval": "30s",
    "store": "sqlite:///alerting.db",
    "sources": {
        "app": {"type": "health", "url": "https://app.example.org/health", "units": {"a.b": "ms"}, "timeout": "5s"},
        "page": {"type": "prometheus", "url": "http://127.0.0.1:1/metrics", "series_limit": 5, "headers": {"a": "b"}},
        "sentry": {"type": "sentry", "organization": "o", "project": 4, "token": "t", "minimum_count": 3},
        "host": {"type": "host", "mounts": ["/"]},
    },
    "receivers": {
        "slack": {"type": "slack", "webhook_url": "${X}"},
        "chat": {"type": "slack", "token": "t", "channel": "#ops"},
        "pagerduty": {"type": "pagerduty", "routing_key": "k"},
        "hook": {"type": "webhook", "url": "https://h.example.org", "headers": {"a": "b"}},
        "out": {"type": "console"},
    },
    "route": {
        "receiver": "out",
        "group_by": ["alertname"],
        "group_wait": "30s",
        "repeat_interval": "never",
        "routes": [
            {
                "matchers": ["a=b"],
                "match": {"c": 1},
                "receiver": ["out", "chat"],
                "continue": True,
                "routes": [{"match_re": {"d": "e.*"}, "mute_time_intervals": ["w"]}],
            }
        ],
    },
    "inhibit_rules": [{"source_matchers": ["a=b"], "target_match": {"c": "d"}, "equal": ["e"]}],
    "time_intervals": [
        {
            "name": "w",
            "time_intervals": [
                {"times": [{"start_time": "22:00", "end_time": "06:00"}], "weekdays": ["monday"], "years": [2026]}
            ],
        }
    ],
    "flapping": {"firings": 4, "within": "30m"},
    "storm": {"messages": 5},
    "silence_warning": "15m",
    "external_labels": {"environment": "production"},
    "external_url": "https://alerting.example.org",
    "web": {"listen": "127.0.0.1:9797", "hosts": ["alerting.internal"]},
    "heartbeat": {"url": "https://hc.example.org/x", "sentry_monitor": "alerting", "every": "1m"},
}
DOCUMENTS: list[tuple[str, Any]] = [("rules", RULE), ("rules", [RULE]), ("rules", {"rules": [RULE]})]
DOCUMENTS += [("rules", GROUPS), ("settings", SETTINGS)]
ODD = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    1.5,
    "",
    "x",
    "5m",
    "30",
    "slack",
    "host",
    [],
    {},
    ["x"],
    {"type": "host"},
    "${X}",
)
KEYS = ("alert", "condition", "expr", "record", "for", "type", "token", "webhook_url", "url", "rules", "groups", "zzz")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place in a value: its container and the key or index."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def mutated(value: Any, chance: random.Random) -> Any:
    """Change, remove or add something somewhere, once to three times."""
    made = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        container, key = chance.choice(list(places(made)) or [(None, None)])
        if container is None:
            return chance.choice(ODD)
        match chance.randrange(4):
            case 0:
                container[key] = copy.deepcopy(chance.choice(ODD))
            case 1:
                del container[key]
            case 2 if isinstance(container, dict):
                container[chance.choice(KEYS)] = copy.deepcopy(chance.choice(ODD))
            case _ if isinstance(container, dict):
                container[chance.choice(KEYS)] = container.pop(key)
            case _:
                container.append(copy.deepcopy(chance.choice(ODD)))
    return made


@pytest.mark.parametrize("seed", range(20))
def test_the_fast_check_and_jsonschema_agree(seed: int) -> None:
    """On 1,000 documents with one to three changes: one verdict, and complaints exactly where it is no."""
    chance = random.Random(seed)
    for _ in range(50):
        name, document = chance.choice(DOCUMENTS)
        value = mutated(document, chance)
        found = complaints(value, name)
        assert schemas.fits(name)(value) == (not found), (value, found)


def test_the_mutations_reach_both_verdicts() -> None:
    """Else the test above would prove little."""
    chance = random.Random(1)
    verdicts = [schemas.fits(name)(mutated(value, chance)) for name, value in DOCUMENTS * 60]
    assert 0.05 < sum(verdicts) / len(verdicts) < 0.8
    assert all(schemas.fits(name)(value) for name, value in DOCUMENTS)


@pytest.mark.parametrize("name", schemas.NAMES)
def test_each_schema_is_one_and_its_examples_fit(name: str) -> None:
    """By the law of draft 2020-12; an example that does not fit would teach what is refused."""
    loaded = schemas.load(name)
    Draft202012Validator.check_schema(loaded)
    assert loaded["$id"] == f"{name}.schema.json"
    for pointer in ["", *(f"/$defs/{each}" for each in loaded.get("$defs", {}))]:
        part, _ = schemas.follow(f"#{pointer}", name)
        for example in part.get("examples", ()):
            assert complaints(example, name, pointer) == []


def described(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every part of a schema that stands for something that people write."""
    if not isinstance(schema, dict):
        return
    for key, part in schema.get("properties", {}).items():
        if "not" not in part:
            yield f"{path}/{key}", part
            yield from described(part, f"{path}/{key}")
    for key in ("items", "additionalProperties"):
        yield from described(schema.get(key), f"{path}/{key}")
    for key, part in schema.get("$defs", {}).items():
        yield f"{path}#{key}", part
        yield from described(part, f"{path}#{key}")


@pytest.mark.parametrize("name", OURS)
def test_every_key_says_what_it_is(name: str) -> None:
    """A title, a description and an example: they become the reference and the help of editors."""
    bare = {
        path: [each for each in ("title", "description", "examples") if not part.get(each)]
        for path, part in described(schemas.load(name))
    }
    assert {path: missing for path, missing in bare.items() if missing} == {}


@pytest.mark.parametrize("home", ["sources", "notifiers"])
def test_a_kind_has_its_part_of_the_schema(home: str) -> None:
    """The list of kinds, the parts, and the choice between them are one."""
    loaded = schemas.load(home)
    chosen = [each["if"]["properties"]["type"]["const"] for each in loaded["allOf"]]
    assert list(schemas.kinds(home)) == chosen
    for kind in chosen:
        part = loaded["$defs"][kind]
        assert part["properties"]["type"]["const"] == kind
        assert part["additionalProperties"] is False
        assert part["examples"]


def test_the_vocabulary_of_sources_is_made_of_known_kinds_and_units() -> None:
    """Each metric has a name of its own, a kind, a unit that conditions know, labels and a help text."""
    for kind in schemas.kinds("sources"):
        part = schemas.load("sources")["$defs"][kind]
        names = [metric["name"] for metric in part["x-metrics"]]
        assert len(set(names)) == len(names)
        for metric in part["x-metrics"]:
            assert metric["kind"] in set(Kind)
            assert metric["unit"] in ("", *UNITS), metric
            assert metric["help"]
        units = part["properties"].get("units", {}).get("additionalProperties", {}).get("enum", ())
        assert set(units) <= set(UNITS)


def test_an_unknown_keyword_is_an_error_and_never_passed_over() -> None:
    """A check that skipped a keyword would say yes where the law says no."""
    with pytest.raises(KeyError):
        schemas._compiled({"multipleOf": 2}, "rules")


@pytest.mark.parametrize("value", [1, True, "a", "ab", [], [1], {}, {"a": 1}, None, 1.0, 2.5])
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"type": ["integer", "boolean"]},
        {"type": ["number", "null"]},
        {"type": ["number", "boolean"]},
        {"enum": [1, "a", True]},
        {"const": 1},
        {"const": True},
        {"minLength": 2},
        {"maxLength": 1},
        {"minItems": 1},
        {"maxItems": 0},
        {"minProperties": 1},
        {"minimum": 2},
        {"maximum": 1},
        {"pattern": "^ab"},
        {"required": ["a"]},
        {"properties": {"a": {"type": "string"}}},
        {"additionalProperties": False},
        {"propertyNames": {"minLength": 2}},
        {"items": {"type": "string"}},
        {"not": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"minItems": 1}]},
        {"oneOf": [{"type": "integer"}, {"minimum": 1}]},
        {"allOf": [{"type": "integer"}, {"minimum": 1}]},
        {"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": "array"}},
        {"if": {"type": "string"}, "then": {"minLength": 2}},
        {"dependentSchemas": {"a": {"required": ["b"]}}},
        {},
    ],
)
def test_each_keyword_means_what_jsonschema_takes_it_for(schema: dict[str, Any], value: object) -> None:
    """One by one, with values of every type."""
    assert schemas._compiled(schema, "rules")(value) == Draft202012Validator(schema).is_valid(value)
