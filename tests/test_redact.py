"""No secret in any output: what was revealed is starred out in every shape."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from alerting.errors import SecretError
from alerting.model import Secret
from alerting.redact import Redactor

VALUE = 'xoxb-1/2 3"é&='
SHAPES = {
    "plain": VALUE,
    "percent": quote(VALUE),
    "form": quote_plus(VALUE),
    "whole percent": quote(VALUE, safe=""),
    "json": json.dumps(VALUE)[1:-1],
    "base64": base64.b64encode(VALUE.encode()).decode(),
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_revealed_secret_is_starred_out_in_every_shape(shape: str) -> None:
    """Logs of libraries show values encoded."""
    secret = Secret.literal(VALUE)
    redact = Redactor()
    redact.watch([secret])
    secret.reveal()
    assert redact(f"before {SHAPES[shape]} after") == "before *** after"


def test_the_path_of_a_secret_address_is_starred_out_by_itself() -> None:
    """A webhook's secret is its path, and libraries name host and path apart."""
    secret = Secret.literal("https://hooks.slack.example/services/T0/B0/abcdef")
    redact = Redactor()
    redact.watch([secret])
    secret.reveal()
    assert redact("host hooks.slack.example url /services/T0/B0/abcdef") == "host hooks.slack.example url /***"


def test_a_rotated_secret_stays_known() -> None:
    """The old value may still stand in an error that comes late."""
    values = ["first-value", "second-value"]
    secret = Secret(lambda: values[0], "${X}")
    redact = Redactor()
    redact.watch([secret])
    secret.reveal()
    values.pop(0)
    secret.reveal()
    assert redact("first-value second-value") == "*** ***"


def test_a_secret_never_prints_itself() -> None:
    """Not by str, repr or formatting."""
    secret = Secret.literal("hush-hush")
    assert "hush" not in f"{secret} {secret!r} {[secret]}"


def test_an_empty_secret_names_its_reference_only() -> None:
    """The error says what to set."""
    with pytest.raises(SecretError, match=r"\$\{TOKEN\} is empty"):
        Secret(lambda: "", "${TOKEN}").reveal()


def test_secrets_that_are_no_more_are_forgotten_and_what_they_gave_out_is_not() -> None:
    """Each reload makes new ones: what is looked for must not grow with their number, nor lose what was revealed."""
    redact = Redactor()
    for number in range(200):
        secret = Secret.literal(f"value-{number % 3}")
        redact.watch([secret])
        secret.reveal()
    del secret
    last = Secret.literal("value-9")
    redact.watch([last])
    last.reveal()
    assert len(redact._watched) == 1
    assert [redact(f"value-{number}") for number in (0, 1, 2, 9)] == ["***"] * 4
