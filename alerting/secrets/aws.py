"""`${aws:SECRET#KEY}`: one field of a secret in AWS Secrets Manager that is a JSON object, as its console makes them.

`${aws:SECRET}` is the whole text. `${aws:#KEY}` is a field of the secret that AWS_SECRET_NAME names. Credentials are
found by boto3's own chain; the region is that of an ARN, else AWS_REGION's, else what boto3 finds.
Codes of errors: AWS Secrets Manager API Reference, GetSecretValue and Common Errors.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from alerting.errors import SecretError
from alerting.secrets._documents import Documents, Fetched, field

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOCK = threading.Lock()
_CLIENTS: dict[tuple[str | None, str | None], Any] = {}  # by region and endpoint; safe to share between threads
_FORMS = "write ${aws:SECRET#KEY}, ${aws:SECRET}, or ${aws:#KEY} where AWS_SECRET_NAME names the secret"
_LIBRARIES = ("boto3", "botocore", "urllib3")  # at the level debug they log whole answers
_CREDENTIALS = "AWS does not take these credentials; check or renew them"
_REASONS: Mapping[str, str] = {
    "ResourceNotFoundException": "there is no such secret in this region and account",
    "AccessDeniedException": "these credentials may not read it: allow secretsmanager:GetSecretValue"
    " (and kms:Decrypt of its key)",
    "DecryptionFailure": "AWS cannot decrypt it: check its KMS key and the right to use it",
    "InvalidRequestException": "it cannot be read now: it is marked for deletion, or has no value yet",
    "InvalidParameterException": "AWS does not understand this name of a secret",
    "ValidationException": "AWS does not understand this name of a secret",
    "InternalServiceError": "the service itself fails",
    "InternalFailure": "the service itself fails",
    "ServiceUnavailable": "the service itself fails",
    "ThrottlingException": "asked too often; raise secrets_refresh",
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSignatureException": f"{_CREDENTIALS}, and the clock of this host",
    "ExpiredTokenException": "these AWS credentials have expired; renew them",
    "IncompleteSignature": _CREDENTIALS,
}
_FAILURES: Mapping[str, str] = {  # by the class of the library
    "NoCredentialsError": "there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run"
    " where AWS gives a role",
    "PartialCredentialsError": "the AWS credentials are incomplete; set both AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY",
    "CredentialRetrievalError": "the AWS credentials cannot be had from where the AWS settings say",
    "ProfileNotFound": "there is no AWS profile of the name that AWS_PROFILE has",
    "NoRegionError": "the AWS region is not known; set AWS_REGION",
    "InvalidRegionError": "the AWS region is not valid; check AWS_REGION",
    "EndpointConnectionError": "AWS cannot be reached",
    "ConnectTimeoutError": "AWS cannot be reached",
    "ReadTimeoutError": "AWS gave no whole answer in time",
    "ConnectionClosedError": "AWS broke the connection",
    "SSLError": "TLS to AWS was refused",
    "ProxyConnectionError": "the proxy before AWS cannot be reached",
}


def fetch(name: str, _known: Fetched | None) -> Fetched:
    """Ask for a secret once, by its name or ARN. Raises SecretError, in which nothing stands that AWS said."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  heavy: only who refers to AWS pays for it

    place = _region(name), os.environ.get("AWS_ENDPOINT_URL")
    answer: Mapping[str, Any] = {}
    try:
        client = _client(place)
        answer = client.get_secret_value(SecretId=name)
        client.close()  # its connections only: one that was idle until the next refresh may be dead by then
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        reason = _REASONS.get(code) or f"AWS answered {code if code.isascii() and code.isalnum() else 'an error'}"
        raise SecretError(f"AWS secret {name}: {reason}") from None
    except BotoCoreError as error:
        kind = type(error).__name__
        raise SecretError(f"AWS secret {name}: {_FAILURES.get(kind) or f'it cannot be read: {kind}'}") from None
    finally:
        if not answer:  # the next try begins afresh: credentials in a file may have been renewed
            _CLIENTS.pop(place, None)
    text = answer.get("SecretString")
    if not isinstance(text, str):
        why = "is binary; store it as text" if "SecretBinary" in answer else "came without a value: was it AWS?"
        raise SecretError(f"AWS secret {name} {why}")
    return Fetched(text, _fields(text), str(answer.get("VersionId", "")))


def _client(place: tuple[str | None, str | None]) -> Any:
    """Give the client for a region and endpoint; kept, as making one costs 70 ms and a MiB."""
    from boto3.session import Session  # noqa: PLC0415  heavy, as above
    from botocore.config import Config  # noqa: PLC0415

    with _LOCK:
        if place not in _CLIENTS:
            for library in _LIBRARIES:
                logging.getLogger(library).setLevel(logging.CRITICAL)
            limits = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})
            _CLIENTS[place] = Session().client("secretsmanager", region_name=place[0], config=limits)
        return _CLIENTS[place]


def _fields(text: str) -> Mapping[str, Any] | None:
    """Read a JSON object, its numbers as they are written; None for anything else."""
    try:
        whole = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return whole if isinstance(whole, dict) else None


def _region(name: str) -> str | None:
    """Give the region of an ARN (`arn:aws:secretsmanager:REGION:…`), else AWS_REGION's; None: boto3 may know."""
    if name.startswith("arn:"):
        return name.split(":")[3] or None if name.count(":") >= 3 else None  # noqa: PLR2004  the field of the region
    return os.environ.get("AWS_REGION") or None


DOCUMENTS = Documents(fetch)  # all that this process holds


def document(reference: str) -> str:
    """Give the name of the secret that a reference leads into; asks nobody. Raises SecretError."""
    return _parts(reference)[0]


def resolve(reference: str, documents: Documents = DOCUMENTS) -> str:
    """Give the value from what is held of the secret. Raises SecretError."""
    name, key = _parts(reference)
    held = documents.read(name)
    what = f"AWS secret {name}"
    value = (held.text if key is None else field(held, key, what)).rstrip("\r\n")
    if not value:
        raise SecretError(f"{what}{'' if key is None else f', key {key},'} is empty")
    return value


def refresh(document: str, documents: Documents = DOCUMENTS) -> None:
    """Ask for a secret now; blocks for a bounded time. Raises SecretError; what was held stays."""
    documents.refresh(document)


def _parts(reference: str) -> tuple[str, str | None]:
    if find_spec("boto3") is None:
        raise SecretError("${aws:…} needs boto3: pip install 'alerting[aws]'")
    name, hash_, key = (each.strip() for each in reference.partition("#"))
    if hash_ and not key:
        raise SecretError(f"${{aws:{reference}}} names no key; {_FORMS}")
    if not name and not hash_:
        raise SecretError(f"${{aws:}} names no secret; {_FORMS}")
    name = name or os.environ.get("AWS_SECRET_NAME", "")
    if not name:
        raise SecretError(f"AWS_SECRET_NAME is not set, and ${{aws:{reference}}} names no secret; {_FORMS}")
    return name, key if hash_ else None
