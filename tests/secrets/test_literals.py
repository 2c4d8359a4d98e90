"""`validate` tells a secret that stands in the settings file itself from a text that does not hold one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.config.cache import Cache
from alerting.config.settings import is_token, load_settings

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = [
    "AKIAIOSFODNN7EXAMPLE",
    "key=ASIAIOSFODNN7EXAMPLE;",
    "Bearer dp.st.prd.aBcDeFgHiJkLmNoP",
    "dp.pt.aBcDeFgHiJkLmNoP",
    "dp.ct.aBcDeFgHiJkLmNoP ${REST}",
    "xoxb-1234567890-abcdef",
    "https://hooks.example.org/?token=sntrys_abcdefghijkl",
]
PLAIN = [
    "AKIA",
    "ASIA is a part of the world",
    "dp.st.",
    "dp.st.short",
    "xoxb-",
    "notdp.st.prd.aBcDeFgHiJkL",
    "${AKIA}",
    "",
]


@pytest.mark.parametrize(("text", "expected"), [*((each, True) for each in TOKENS), *((each, False) for each in PLAIN)])
def test_tokens_are_known_by_how_they_begin(text: str, expected: bool) -> None:
    """Whatever stands around them; a word alone is none."""
    assert is_token(text) == expected


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("health", "url: https://a.example.org/?key={}"),
        ("prometheus", 'url: https://a.example.org, headers: {{Authorization: "Bearer {}"}}'),
        ("prometheus", "url: https://a.example.org, job: {}"),
    ],
)
def test_a_token_is_warned_of_once_under_any_key_and_never_shown(tmp_path: Path, kind: str, key: str) -> None:
    """Also where the schema does not say that the key holds a secret; and it is written into no cache."""
    token = "AKIAIOSFODNN7EXAMPLE"
    path = tmp_path / "alerting.yaml"
    path.write_text(f"sources:\n  a: {{type: {kind}, {key.format(token)}}}\n")
    warnings = load_settings(path, {}, tmp_path, Cache(tmp_path / "cache")).warnings
    assert len(warnings) == 1
    assert "looks like a secret in the file itself" in warnings[0].message
    assert token not in f"{warnings}"
    kept = [each.read_text() for each in (tmp_path / "cache").rglob("*") if each.is_file()]
    assert token not in "".join(kept)
