"""F66: nothing is read from, sent to or asked of a server whose certificate proves nothing."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from alerting import registry
from alerting.errors import SecretError
from alerting.model import Need, Secret, Section
from alerting.secrets import doppler
from alerting.secrets._documents import Documents
from tests.fakes.certificates import Authority
from tests.fakes.doppler import TOKEN
from tests.fakes.pagerduty import ROUTING_KEY
from tests.fakes.slack import HOOK
from tests.fakes.slack import TOKEN as BOT
from tests.fakes.wire import Wire
from tests.notifiers.desk import new_tools, telling
from tests.sources.reading import read

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.figures import Figure

MINUTE = 60_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that clients are told to trust."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that nobody knows."""
    return Authority(tmp_path_factory.mktemp("stranger"))


def _old(context: ssl.SSLContext) -> ssl.SSLContext:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that nobody should speak it is the point
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


SHOWN = {
    "expired": lambda ours, _: ours.server("expired", begin="20200101000000Z", end="20200201000000Z"),
    "not yet valid": lambda ours, _: ours.server("early", begin="20980101000000Z", end="20990101000000Z"),
    "self-signed": lambda ours, _: ours.server("alone", alone=True),
    "of another name": lambda ours, _: ours.server("other", "DNS:example.org"),
    "of an unknown authority": lambda _, theirs: theirs.server("theirs"),
    "of TLS 1.1": lambda ours, _: _old(ours.server("old")),
}


def reading(kind: str, *needs: Need, **values: Any) -> Callable[[str, str], object]:
    """Read from a server; `URL` in the settings is its address, `CA` the file of the authority that it should have."""

    def act(url: str, authority: str) -> object:
        return read(kind, needs, **_filled(values, url, authority))

    return act


def telling_by(kind: str, **values: Any) -> Callable[[str, str], object]:
    """Send a message to a server."""

    def act(url: str, authority: str) -> object:
        async def run() -> object:
            tools = new_tools()
            settings = {"timeout": 5000, **_filled(values, url, authority)}
            notifier = registry.build_notifier(Section("ops", kind, settings), tools)
            try:
                return await notifier.deliver(telling(), None)
            finally:
                await notifier.close()
                await tools.http.close()

        return asyncio.run(run())

    return act


def asking_doppler(url: str, _: str) -> None:
    """Ask the secret store."""
    with pytest.MonkeyPatch.context() as patch, suppress(SecretError):
        patch.setenv("DOPPLER_TOKEN", TOKEN)
        patch.setenv("DOPPLER_API_HOST", url)
        doppler.resolve("NAME", Documents(doppler.fetch))


def _filled(values: dict[str, Any], url: str, authority: str) -> dict[str, Any]:
    host, _, port = url.removeprefix("https://").partition(":")
    places = {"URL": url, "CA": authority, "HOST": host, "PORT": int(port), "TARGETS": [f"{host}:{port}"]}
    hook = {"HOOK": Secret.literal(f"{url}{HOOK}")}
    return {
        name: (places | hook).get(value, value) if isinstance(value, str) else value for name, value in values.items()
    }


ERRORS = Need("sentry", "error_count", bucket=5 * MINUTE)
SENTRY = {"organization": "acme", "project": "backend", "token": Secret.literal("x")}
PEOPLE = {"from": "alerting@example.org", "to": ["ann@example.org"]}
QUERY = {"metrics": {"load": {"query": "load"}}}
CLIENTS = {  # who cannot be told of an authority knows this one as little as any other
    "health": reading("health", url="URL", ca_file="CA"),
    "prometheus": reading("prometheus", url="URL", ca_file="CA"),
    "sentry": reading("sentry", ERRORS, url="URL", **SENTRY),
    "tcp": reading("tcp", targets="TARGETS", tls=True, send="PING", expect="PONG", ca_file="CA"),
    "webhook": telling_by("webhook", url="URL", ca_file="CA"),
    "slack webhook": telling_by("slack", webhook_url="HOOK"),
    "slack bot": telling_by("slack", token=Secret.literal(BOT), channel="#ops", base_url="URL"),
    "pagerduty": telling_by("pagerduty", routing_key=Secret.literal(ROUTING_KEY), base_url="URL"),
    "mail": telling_by("email", host="HOST", port="PORT", tls="implicit", ca_file="CA", **PEOPLE),
    "doppler": asking_doppler,
}
TOLD = {"health", "prometheus", "tcp", "webhook", "mail"}


def taken_by(context: ssl.SSLContext, act: Callable[[str, str], object], authority: str) -> int:
    """Let a client meet a server; give how often the handshake came to its end, as it does for what is trusted."""
    ended: list[str | None] = []

    def listen(line: socket.socket) -> None:
        ended.append(line.version() if isinstance(line, ssl.SSLSocket) else None)

    with Wire(listen, context) as server:
        act(f"https://{server.target}", authority)
        assert server.came(1) or server.came(2), "nobody called"
    return len(ended)


@pytest.mark.parametrize("client", CLIENTS)
def test_f66_no_client_goes_on_after_a_bad_certificate(
    client: str, authority: Authority, stranger: Authority, figure: Figure
) -> None:
    """Sources, receivers and secret stores: over at the handshake, whatever is wrong with it."""
    accepted = [
        shown for shown, made in SHOWN.items() if taken_by(made(authority, stranger), CLIENTS[client], authority.file)
    ]
    figure("certificates accepted", len(accepted), at_most=0, n=len(SHOWN))


@pytest.mark.parametrize("client", sorted(TOLD))
def test_a_good_certificate_is_taken(client: str, authority: Authority) -> None:
    """So it is the certificate that makes the difference above."""
    assert taken_by(authority.server("good"), CLIENTS[client], authority.file) == 1
