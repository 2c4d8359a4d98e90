"""A real browser without a window, where this machine has one: what a page runs, and what its policy refuses.

Driven by the DevTools protocol, https://chromedevtools.github.io/devtools-protocol/. A script that runs calls `ran()`,
which is there on every page; an alert counts as well.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from websockets.sync.client import connect

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests run as root, on pages of their own
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",  # nothing beyond this host
    "--remote-debugging-port=0",
)


class Seen(NamedTuple):
    """What one page did."""

    ran: list[str]  # by scripts
    refused: list[str]  # by a policy
    type: str  # of what was shown


class Browser:
    """One browser with one page. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        line = [PROGRAM, *_FLAGS, f"--user-data-dir={self._folder}", "about:blank"]
        with ExitStack() as stack:
            process = stack.enter_context(
                subprocess.Popen(
                    line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
                )
            )
            stack.callback(os.killpg, process.pid, signal.SIGKILL)  # the program may be a script that starts another
            assert process.stderr is not None
            found = next(filter(None, (re.search(r"ws://\S+", said) for said in process.stderr)), None)
            assert found is not None, "the browser did not start"
            self._line = stack.enter_context(connect(found[0], max_size=2**24, proxy=None))
            self._greet()
            self._stack = stack.pop_all()
        return self

    def _greet(self) -> None:
        page = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self._call(f"{domain}.enable")
        self._call("Runtime.addBinding", name="told")  # takes nothing but texts
        self._call("Page.addScriptToEvaluateOnNewDocument", source="window.ran = what => window.told(String(what))")

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def visit(self, url: str, wait: float = 0.02) -> Seen:
        """Go to an address, and give what happened until `wait` s after it was loaded."""
        self._events.clear()
        answer = self._call("Page.navigate", url=url)
        frame = answer["frameId"]
        ends = time.monotonic() + 10
        while not any(
            each["method"] == "Page.frameStoppedLoading" and each["params"]["frameId"] == frame for each in self._events
        ):
            assert time.monotonic() < ends, f"{url} does not end to load"
            self._hear(0.1)
        ends = time.monotonic() + wait
        while time.monotonic() < ends:
            self._hear(max(0, ends - time.monotonic()))
        return Seen(
            *self._told(), str(self._call("Runtime.evaluate", expression="document.contentType")["result"]["value"])
        )

    def _told(self) -> tuple[list[str], list[str]]:
        ran, refused = [], []
        for each in self._events:
            name, said = each["method"], each["params"]
            if name in ("Runtime.bindingCalled", "Page.javascriptDialogOpening"):
                ran.append(str(said.get("payload") or said.get("message")))
            elif name == "Runtime.exceptionThrown":
                ran.append(f"failed: {said['exceptionDetails']['text']}")
            elif name == "Log.entryAdded" and said["entry"]["source"] == "security":
                refused.append(said["entry"]["text"])
            elif name == "Audits.issueAdded" and said["issue"]["code"] == "ContentSecurityPolicyIssue":
                refused.append(json.dumps(said["issue"]["details"]))
        return ran, refused

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            call["sessionId"] = self._session
        self._line.send(json.dumps(call))
        ends = time.monotonic() + 15
        while time.monotonic() < ends:
            answer = self._hear(1)
            if answer is not None and answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
        raise AssertionError(f"no answer to {method}")

    def _hear(self, patience: float) -> dict[str, Any] | None:
        try:
            heard: dict[str, Any] = json.loads(self._line.recv(timeout=patience))
        except TimeoutError:
            return None
        if "method" in heard:
            self._events.append(heard)
            if heard["method"] == "Page.javascriptDialogOpening":
                self._number += 1
                close = {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                self._line.send(json.dumps({**close, "sessionId": self._session}))
        return heard
