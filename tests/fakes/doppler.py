"""Doppler's download of a config's secrets, as strict as the service: method, path, format, token, ETag.

Facts: docs.doppler.com/reference/secrets-download. The answer is a flat object of texts with DOPPLER_PROJECT,
DOPPLER_ENVIRONMENT and DOPPLER_CONFIG among them; errors are `{"messages": [...], "success": false}`.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.fakes.ledger import Fake, Reply, Request, serve

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "dp.st.prd.S3cretMarkerDopplerToken0123456789abcdef"
PERSONAL = "dp.pt.S3cretMarkerPersonal0123456789abcdef"  # belongs to a person: project and config must be named


class Doppler(Fake):
    """One config, `prd` of project `vivaform`; `secrets` may be changed at any time."""

    name: ClassVar[str] = "doppler"

    def __init__(self, port: int = 0, ledger: Path | None = None, **secrets: str) -> None:
        super().__init__(port, ledger)
        self.secrets: dict[str, str] = secrets

    @property
    def environment(self) -> dict[str, str]:
        """What points a program here."""
        return {"DOPPLER_API_HOST": self.url, "DOPPLER_TOKEN": TOKEN}

    def judge(self, request: Request) -> Reply:
        """Give the secrets, or say why not."""
        address = urlsplit(request.path)
        if address.path != "/v3/configs/config/secrets/download":
            return _refused(404, "Could not find requested route")
        if request.method != "GET":
            return _refused(405, "Method not allowed")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in (TOKEN, PERSONAL):
            return _refused(401, f"Invalid Auth token {token}")
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if asked.pop("format", "") != "json" or not asked.keys() <= {"project", "config"}:
            return _refused(400, "Invalid format")
        if token == PERSONAL and asked.keys() != {"project", "config"}:
            return _refused(400, "Please specify a project and config")
        if asked.get("project", "vivaform") != "vivaform" or asked.get("config", "prd") != "prd":
            return _refused(404, "Could not find requested config")
        of = {"DOPPLER_PROJECT": "vivaform", "DOPPLER_ENVIRONMENT": "prd", "DOPPLER_CONFIG": "prd"}
        body = json.dumps({**self.secrets, **of})
        tag = f'W/"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Reply(304, "", {"etag": tag})
        return Reply(200, body, {"content-type": "application/json", "etag": tag}, accepted=True)


def _refused(status: int, message: str) -> Reply:
    said: Any = {"messages": [message], "success": False}
    return Reply.of(status, said, why=message)


if __name__ == "__main__":
    serve(Doppler)
