"""`${aws:SECRET#KEY}` against moto's server, and against answers that moto does not give."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from alerting.errors import SecretError
from alerting.secrets import aws
from alerting.secrets._documents import Documents
from tests.fakes.ledger import Fake, Reply, Request, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

boto3 = pytest.importorskip("boto3", reason="the extra `aws` is not installed")
pytest.importorskip("moto.server", reason="moto[server] is not installed")

VALUE = "S3cretMarkerValue"
NAME = "vivaform/production"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "S3cretMarkerAccessKey"}
ELSEWHERE = ("AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECRET_NAME")
DOCUMENT = {"TOKEN": VALUE, "port": 5432, "ratio": 0.10, "tls": True, "none": None, "nested": {"a": 1}, "line": "x\n"}


class Refusing(Fake):
    """An AWS that answers every request with one error, and repeats all that it was sent."""

    name = "aws"

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__()
        self._code = code
        self._status = status

    def judge(self, request: Request) -> Reply:
        """Give the error in the JSON protocol of AWS."""
        said = {"__type": self._code, "Message": f"{VALUE} {dict(request.headers)} {request.body.decode()}"}
        return Reply(self._status, json.dumps(said), {"content-type": "application/x-amz-json-1.1"})


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Moto's server, a process of its own."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    """Credentials and a region, and nothing that this host may have of its own."""
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**KEYS, "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    return monkeypatch


@pytest.fixture
def manager(address: str, env: pytest.MonkeyPatch) -> Iterator[Any]:
    """Moto's Secrets Manager with a secret of each sort, and the environment that points to it."""
    env.setenv("AWS_ENDPOINT_URL", address)
    client = boto3.client("secretsmanager", region_name="eu-central-1")
    client.create_secret(Name=NAME, SecretString=json.dumps(DOCUMENT))
    client.create_secret(Name="plain", SecretString=f"{VALUE}\n")
    client.create_secret(Name="binary", SecretBinary=VALUE.encode())
    yield client
    for name in (NAME, "plain", "binary"):
        client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    client.close()


@pytest.fixture
def held() -> Documents:
    """Nothing is known yet."""
    return Documents(aws.fetch)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (f"{NAME}#TOKEN", VALUE),
        (f" {NAME} # TOKEN ", VALUE),
        (f"{NAME}#port", "5432"),
        (f"{NAME}#ratio", "0.1"),
        (f"{NAME}#tls", "true"),
        (f"{NAME}#line", "x"),
        ("plain", VALUE),
        (NAME, json.dumps(DOCUMENT)),
    ],
)
def test_a_reference_gives_a_field_or_the_whole(manager: Any, held: Documents, reference: str, expected: str) -> None:
    """Numbers as they stand there, without a line end behind."""
    assert aws.resolve(reference, held) == expected


def test_the_secret_may_be_named_by_the_environment(manager: Any, held: Documents, env: pytest.MonkeyPatch) -> None:
    """As the guide's deployment does with AWS_SECRET_NAME."""
    env.setenv("AWS_SECRET_NAME", NAME)
    assert aws.resolve("#TOKEN", held) == VALUE
    assert aws.document("#TOKEN") == NAME
    assert aws.document("plain") == "plain"


def test_an_arn_brings_its_region_along(manager: Any, held: Documents, env: pytest.MonkeyPatch) -> None:
    """Whatever AWS_REGION says; and without it AWS_DEFAULT_REGION does, as boto3 reads it."""
    arn = manager.describe_secret(SecretId=NAME)["ARN"]
    env.setenv("AWS_REGION", "us-east-1")
    assert aws.resolve(f"{arn}#TOKEN", held) == VALUE
    with pytest.raises(SecretError, match="no such secret in this region"):
        aws.resolve(f"{NAME}#TOKEN", held)
    env.delenv("AWS_REGION")
    env.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    held.refresh(NAME)
    assert aws.resolve(f"{NAME}#TOKEN", held) == VALUE


def test_a_rotated_secret_takes_effect_at_the_next_refresh(manager: Any, held: Documents) -> None:
    """And a binary one in its place is refused, so that the old values stay."""
    assert aws.resolve(f"{NAME}#TOKEN", held) == VALUE
    manager.put_secret_value(SecretId=NAME, SecretString='{"TOKEN": "new"}')
    assert aws.resolve(f"{NAME}#TOKEN", held) == VALUE
    held.refresh(NAME)
    assert aws.resolve(f"{NAME}#TOKEN", held) == "new"
    manager.put_secret_value(SecretId=NAME, SecretBinary=b"x")
    with pytest.raises(SecretError, match="is binary; store it as text; its last values stay in force"):
        held.refresh(NAME)
    assert aws.resolve(f"{NAME}#TOKEN", held) == "new"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("absent#KEY", "AWS secret absent: there is no such secret in this region and account"),
        ("binary", "AWS secret binary is binary; store it as text"),
        (f"{NAME}#ABSENT", f"AWS secret {NAME} has no key ABSENT"),
        (f"{NAME}#none", "what stands under none is no text"),
        (f"{NAME}#nested", "what stands under nested is no text"),
        ("plain#KEY", "AWS secret plain is no JSON object, so it has no key KEY"),
        (f"{NAME}#", "names no key; write"),
        ("", "names no secret; write"),
        ("#KEY", "AWS_SECRET_NAME is not set, and"),
    ],
)
def test_what_leads_nowhere_is_told_in_words(manager: Any, held: Documents, reference: str, message: str) -> None:
    """With what to write instead, and nothing of what stands there."""
    with pytest.raises(SecretError, match=message) as caught:
        aws.resolve(reference, held)
    assert VALUE not in str(caught.value)


CODES = {
    "ResourceNotFoundException": "there is no such secret",
    "AccessDeniedException": "may not read it: allow secretsmanager:GetSecretValue",
    "DecryptionFailure": "check its KMS key",
    "InvalidRequestException": "marked for deletion",
    "InvalidParameterException": "does not understand this name",
    "InternalServiceError": "the service itself fails",
    "ThrottlingException": "asked too often; raise secrets_refresh",
    "UnrecognizedClientException": "does not take these credentials",
    "ExpiredTokenException": "have expired; renew them",
    "InvalidSignatureException": "and the clock of this host",
    "SomethingNew": "AWS answered SomethingNew$",
    "<b>": "AWS answered an error$",
}


@pytest.mark.parametrize("code", sorted(CODES))
def test_f41_each_error_of_aws_has_its_sentence(code: str, held: Documents, env: pytest.MonkeyPatch) -> None:
    """One request, no retry of the library's own, and nothing of AWS' message, which may repeat anything."""
    with Refusing(code) as service:
        env.setenv("AWS_ENDPOINT_URL", service.url)
        with pytest.raises(SecretError, match=CODES[code]) as caught:
            aws.resolve("vivaform#KEY", held)
    assert len(service.requests) == 1
    assert "S3cretMarker" not in str(caught.value)


WIRES: dict[str, tuple[Step, str]] = {
    "reset": (Step(wire="reset"), "AWS broke the connection"),
    "closed": (Step(wire="close"), "AWS broke the connection"),
    "a page": (Step(500, f"<html>{VALUE}"), "AWS answered 500$"),
    "no JSON": (Step(200, f"<html>{VALUE}"), "came without a value: was it AWS?"),
    "empty": (Step(200, "{}"), "came without a value"),
}


@pytest.mark.slow
def test_f43_an_aws_that_hangs_is_given_up_in_time(held: Documents, env: pytest.MonkeyPatch) -> None:
    """Within the deadline, and said so."""
    with Refusing("x") as service:
        service.script(Step(delay=30))
        env.setenv("AWS_ENDPOINT_URL", service.url)
        with pytest.raises(SecretError, match="AWS gave no whole answer in time"):
            aws.resolve("vivaform#KEY", held)


@pytest.mark.parametrize("case", sorted(WIRES))
def test_f43_a_bad_wire_is_told_apart(case: str, held: Documents, env: pytest.MonkeyPatch) -> None:
    """Without what came."""
    step, message = WIRES[case]
    with Refusing("x") as service:
        service.script(step)
        env.setenv("AWS_ENDPOINT_URL", service.url)
        with pytest.raises(SecretError, match=message) as caught:
            aws.resolve("vivaform#KEY", held)
    assert "S3cretMarker" not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "there are no AWS credentials; set"),
        (("AWS_SECRET_ACCESS_KEY",), "the AWS credentials are incomplete"),
        (("AWS_REGION",), "the AWS region is not known; set AWS_REGION"),
    ],
)
def test_what_the_environment_lacks_is_said(
    missing: tuple[str, ...], message: str, held: Documents, env: pytest.MonkeyPatch
) -> None:
    """Nobody is asked."""
    env.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in missing:
        env.delenv(name)
    with pytest.raises(SecretError, match=message):
        aws.resolve("vivaform#KEY", held)


def test_an_aws_that_cannot_be_reached_is_said(held: Documents, env: pytest.MonkeyPatch) -> None:
    """Nothing listens there."""
    env.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SecretError, match="AWS cannot be reached"):
        aws.resolve("vivaform#KEY", held)


def test_f63_debug_logs_of_the_libraries_hold_no_secret(manager: Any, held: Documents, caplog: Any) -> None:
    """The botocore of this test's own client is heard no more either: it logs whole answers."""
    caplog.set_level("DEBUG")
    aws.resolve(f"{NAME}#TOKEN", held)
    logging.getLogger("alerting.tests").debug("listening")
    assert "listening" in caplog.text
    assert VALUE not in caplog.text
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in caplog.text


def test_nothing_of_boto3_is_loaded_by_who_only_looks_at_a_reference() -> None:
    """`check` and `validate` look at every reference."""
    program = "import sys; from alerting.secrets import aws; aws.document('a#b'); print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
