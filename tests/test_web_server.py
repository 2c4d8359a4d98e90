"""The web's own thread: it answers when the daemon's loop does not, and takes nothing from it."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.ward import Ward

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytest.importorskip("starlette", reason="the extra `web` is not installed")

from alerting.errors import AlertingError
from alerting.exposition import PageReader
from alerting.model import NO_LABELS
from alerting.web import app, exposition, server


def get(address: str, path: str) -> tuple[int, Any]:
    """Make one request."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=15)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.slow
def test_f68_a_blocked_event_loop_is_named() -> None:
    """F68: it cannot say so itself; here is who can. And when it goes on, all is well."""

    async def main() -> None:
        async with Ward() as ward:
            views = app.Views(server.Asking(asyncio.get_running_loop()), ward.vitals, None)
            made = server.Server("127.0.0.1:0", app.build(views, ()))
            made.start()
            try:
                well = await asyncio.to_thread(get, made.address, "/health")
                assert (well[0], well[1]["status"]) == (200, "ok")
                with ThreadPoolExecutor() as elsewhere:
                    asked = elsewhere.submit(lambda: (time.sleep(0.3), get(made.address, "/health"))[1])
                    time.sleep(5)  # noqa: ASYNC251  this is the fault
                    status, document = asked.result()
                assert status == 503
                assert [each["name"] for each in document["problems"]] == ["event loop"]
                assert document["problems"][0]["wedged"]
                assert document["database"]["status"] == "error"
                assert (await asyncio.to_thread(get, made.address, "/health"))[0] == 200
            finally:
                made.stop()

    asyncio.run(main())


class Body:
    """A request's body."""


def test_f62_what_a_refused_request_has_sent_is_let_go_of_at_once() -> None:
    """And not only when the collector comes by: hundreds a second would be held until then."""

    async def main(there: asyncio.AbstractEventLoop) -> bool:
        async def refuse(body: Body) -> None:
            raise ValueError(body)

        body = Body()
        seen = weakref.ref(body)
        works = [lambda body=body: refuse(body)]
        del body
        with suppress(ValueError):
            await server.Asking(there)(works.pop())
        await asyncio.to_thread(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), there).result)
        return seen() is None

    there = asyncio.new_event_loop()
    thread = threading.Thread(target=there.run_forever)
    thread.start()
    gc.disable()
    try:
        assert asyncio.run(main(there))
    finally:
        gc.enable()
        there.call_soon_threadsafe(there.stop)
        thread.join()
        there.close()


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:99999", "256.256.256.256:80", "no-such-host.invalid:80", "[::zz]:80", "192.0.2.1:9797"]
)
def test_an_address_that_cannot_be_had_is_one_sentence(listen: str) -> None:
    """With the address, and what is wrong with it."""
    with pytest.raises(AlertingError, match="cannot listen on"):
        server.Server(listen, app.build(app.Views(None, None, None), ()))  # type: ignore[arg-type]


ODD = ['a"b', "a\\b", "a\nb", 'x} 1\nfake{a="', "é", "\ud800", "", "{}", "\\n"]


@pytest.mark.parametrize("text", ODD)
def test_no_label_and_no_help_breaks_a_page(text: str) -> None:
    """What comes in is what the reference parser reads."""
    from prometheus_client.parser import text_string_to_metric_families

    point = exposition.Point(1.5, {"a": text, "b": "x"})
    page = exposition.page([exposition.Family("m", "gauge", f"help {text}", [point])])
    (family,) = text_string_to_metric_families(page)
    (sample,) = family.samples
    assert sample.labels == {"a": text.encode("utf-8", "replace").decode(), "b": "x"}
    assert sample.value == 1.5


@pytest.mark.parametrize(
    ("value", "written"),
    [(1, "1"), (True, "1"), (0.1, "0.1"), (float("nan"), "NaN"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"),
     (1e300, "1e+300"), (2**53, "9007199254740992.0"), (-0.0, "0"), (123456789, "123456789")],
)  # fmt: skip
def test_numbers_are_written_as_the_format_wants_them(value: float, written: str) -> None:
    """Whole ones without a point, large ones exactly."""
    page = exposition.page([exposition.Family("m", "gauge", "h", [exposition.Point(value)])])
    assert page.splitlines()[-1] == f"m {written}"


def test_a_family_without_lines_is_declared() -> None:
    """So a rule over it finds nothing; a name that is on no page would be unknown."""
    page = exposition.page([exposition.Family("m", "gauge", "h", [])])
    assert page == "# HELP m h\n# TYPE m gauge\n"
    reader = PageReader(NO_LABELS, 10)
    assert reader.read(page.encode() + b"other 1\n", 0, frozenset({"m"})) == []
    assert [each.name for each in reader.kinds] == ["m"]
