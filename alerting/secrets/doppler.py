"""`${doppler:NAME}`: a secret of the Doppler config that DOPPLER_TOKEN belongs to.

A service token belongs to one config. Other tokens belong to a person, so DOPPLER_PROJECT and DOPPLER_CONFIG must say
which config is meant. DOPPLER_API_HOST is another address of the API, as for Doppler's own command line. All secrets
of the config come in one answer; while nothing has changed the answer is a 304 without any.
API: https://docs.doppler.com/reference/secrets-download
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import alerting
from alerting.errors import SecretError
from alerting.net.http import HttpClient, HttpFailed
from alerting.net.reach import SystemResolver, trouble_with
from alerting.secrets._documents import DEADLINE, Documents, Fetched, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.ports import HttpAnswer

_HOST = "https://api.doppler.com"
_PATH = "/v3/configs/config/secrets/download"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MOST = 1024 * 1024  # bytes; a config holds a few KiB
_TIME = int(DEADLINE * 900)  # ms for the request: what goes wrong in it is then said by name
_RESOLVE = SystemResolver()  # its threads are shared by all fetches
_REASONS: Mapping[int, str] = {
    400: "it does not understand the request; a personal token needs DOPPLER_PROJECT and DOPPLER_CONFIG",
    401: "DOPPLER_TOKEN is not valid: revoked, expired or mistyped",
    403: "DOPPLER_TOKEN may not read this config",
    404: "there is no such project or config; check DOPPLER_PROJECT and DOPPLER_CONFIG",
    429: "asked too often; raise secrets_refresh",
}


def fetch(_name: str, known: Fetched | None) -> Fetched:
    """Ask for all secrets of the config once; gives `known` where nothing has changed. Raises SecretError."""
    env = os.environ
    url = (env.get("DOPPLER_API_HOST") or _HOST).rstrip("/") + _PATH
    if trouble := trouble_with(url):
        raise SecretError(f"DOPPLER_API_HOST cannot be used: {trouble}")
    address = urlsplit(url)
    if address.scheme != "https" and address.hostname not in _LOOPBACK:
        raise SecretError("DOPPLER_API_HOST must begin with https://: secrets would be readable on the way")
    headers = {"authorization": f"Bearer {env.get('DOPPLER_TOKEN', '').strip()}", "accept": "application/json"}
    if known is not None and known.tag:
        headers["if-none-match"] = known.tag
    named = {"project": env.get("DOPPLER_PROJECT"), "config": env.get("DOPPLER_CONFIG")}
    params = [("format", "json"), *((key, value) for key, value in named.items() if value)]
    try:
        answer = asyncio.run(_get(url, headers, params))
    except HttpFailed as error:
        raise SecretError(f"Doppler: {error}") from None
    if answer.status == 304 and known is not None:  # noqa: PLR2004  not modified
        return known
    return _understood(answer)


async def _get(url: str, headers: Mapping[str, str], params: list[tuple[str, str]]) -> HttpAnswer:
    client = HttpClient(f"alerting/{alerting.__version__}", _RESOLVE)
    try:
        return await client.request("GET", url, headers=headers, params=params, deadline=_TIME, limit=_MOST)
    finally:
        await client.close()


def _understood(answer: HttpAnswer) -> Fetched:
    """Take the secrets out of an answer. What the service says of an error is not repeated: it may hold the token."""
    if answer.status != 200:  # noqa: PLR2004
        reason = "the service itself fails" if answer.status >= 500 else _REASONS.get(answer.status, "")  # noqa: PLR2004
        raise SecretError(f"Doppler answered {answer.status}{': ' + reason if reason else ''}")
    try:
        fields = json.loads(answer.body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise SecretError("Doppler's answer is not understood: is it Doppler that answers at DOPPLER_API_HOST?")
    return Fetched("", fields, answer.headers.get("etag", ""))


DOCUMENTS = Documents(fetch)  # all that this process holds


def document(reference: str) -> str:
    """Give the name of the document that a reference leads into: there is one. Raises SecretError; asks nobody."""
    if not (reference.isascii() and reference.isidentifier()):
        raise SecretError("${doppler:…} must name one secret, such as ${doppler:SLACK_WEBHOOK_URL}")
    if not os.environ.get("DOPPLER_TOKEN"):
        raise SecretError(f"DOPPLER_TOKEN is not set, so ${{doppler:{reference}}} cannot be had")
    return ""


def resolve(reference: str, documents: Documents = DOCUMENTS) -> str:
    """Give the value from what is held of the config. Raises SecretError."""
    held = documents.read(document(reference))
    value = field(held, reference, "the Doppler config").rstrip("\r\n")
    if not value:
        raise SecretError(f"{reference} is empty in the Doppler config")
    return value


def refresh(document: str, documents: Documents = DOCUMENTS) -> None:
    """Ask for the config now; blocks for a bounded time. Raises SecretError; what was held stays."""
    documents.refresh(document)
