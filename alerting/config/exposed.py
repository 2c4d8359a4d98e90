"""Secrets that stand in a settings file itself, as far as their look or their key tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting.config import schema as schemas
from alerting.config.references import SECRET_LENGTH, is_literal
from alerting.config.sections import OBJECTS, SECTIONS, secrets_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alerting.config.sections import Steps

_TOKENS = ("AKIA", "ASIA", "dp.st.", "dp.pt.", "dp.ct.", "dp.sa.", "xoxb-", "xoxp-", "xapp-", "sntrys_", "sntryu_")


def is_token(text: str) -> bool:
    """Tell whether some word of a text begins as the tokens of AWS, Doppler, Slack or Sentry do, whatever the key."""
    words = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in text).split()
    return any(len(word) >= SECRET_LENGTH and word.startswith(_TOKENS) for word in words)


def has_password(text: str) -> bool:
    """Tell whether an address holds `user:password@` in plain."""
    scheme, found, rest = text.partition("://")
    user, at, _ = rest.split("/")[0].rpartition("@")
    password = user.partition(":")[2]
    return bool(scheme and found and at and password) and "${" not in password


def holds_secrets(tree: Mapping[str, Any]) -> bool:
    """Tell whether the file itself may hold a secret: any text under a secret key that is no reference counts."""
    plain = any("${" not in text or is_literal(text.replace("${", " ")) for _, text in secrets_of(tree))
    return plain or any(("://" in text and "@" in text) or is_token(text) for _, text in texts_of(tree))


def secrets_of(tree: Mapping[str, Any]) -> list[tuple[Steps, str]]:
    """Find the texts under secret keys, with their paths."""
    keys = schemas.load("settings")["properties"]
    in_objects = [secrets_in(tree[key], keys[key], "settings", (key,)) for key in OBJECTS if key in tree]
    in_sections = [
        secrets_in(entry, schemas.load(home)["$defs"][entry["type"]], home, (group, name))
        for group, home in SECTIONS.items()
        for name, entry in tree.get(group, {}).items()
    ]
    return [each for found in (*in_objects, *in_sections) for each in found]


def texts_of(value: Any, path: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """Give all texts with their paths."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts_of(item, (*path, key))
