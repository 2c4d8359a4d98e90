"""`validate` tells a secret that stands in the settings file itself from a text that does not hold one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.config.cache import Cache
from alerting.config.exposed import is_token
from alerting.config.references import resolved
from alerting.config.settings import load_settings
from alerting.model import Secret
from alerting.redact import Redactor
from tests.circles import circles

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


def test_a_secret_that_is_a_part_of_a_text_is_starred_out_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services repeat a token without the `Bearer` before it; a host that came by a variable stays readable."""
    (tmp_path / "token").write_text("from-a-file")
    monkeypatch.setenv("API_TOKEN", "S3cretMarkerToken0123")
    monkeypatch.setenv("API_HOST", "api.internal.example.org")
    redact = Redactor()
    for text in (f"Bearer ${{file:{tmp_path}/token}}", "Bearer ${API_TOKEN}", "https://${API_HOST}/health"):
        secret = resolved(text)
        assert isinstance(secret, Secret)
        redact.watch([secret])
        secret.reveal()
    said = "tokens from-a-file and S3cretMarkerToken0123 at api.internal.example.org"
    assert redact(said) == "tokens *** and *** at api.internal.example.org"


def test_a_secret_of_the_settings_goes_with_the_last_who_has_it() -> None:
    """Each reload makes all of them anew."""
    with circles() as left:
        assert isinstance(resolved("https://${HOST}/${file:/run/secrets/x}"), Secret)
    assert left == []
