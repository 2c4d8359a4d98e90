"""The image and docker-compose.yml, as far as they can be tried where no Docker engine runs.

The build stage's own commands are run as they stand, in folders of the test's, and what they install is started on a
read-only file system without any capability. What is not tried here: the base image and the second stage's users.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from alerting.config.references import Reference, parts
from tests.deploy.container import ROOT, health_check, let_in, stages

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = ROOT / "deploy" / "container" / "alerting.yaml"
USER = 10001


def tool(name: str) -> str:
    """The path of a program beside this Python or on the PATH; skips where it is absent."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def service() -> Any:
    """The service as Compose itself understands the file."""
    line = [tool("docker-compose"), "-f", str(ROOT / "docker-compose.yml"), "config", "--format", "json"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "Compose warns of something"
    return json.loads(done.stdout)["services"]["alerting"]


def test_the_linter_of_dockerfiles_is_content() -> None:
    """Without exceptions."""
    line = [tool("hadolint"), "--no-color", str(ROOT / "Dockerfile")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_the_image_runs_as_a_user_that_is_a_number_and_nobody_special() -> None:
    """Kubernetes' runAsNonRoot can judge no name."""
    last = {step.word: step.rest for step in stages()[-1]}
    assert last["USER"] == f"{USER}:{USER}"
    assert last["ENTRYPOINT"] == '["alerting"]'
    assert "pip uninstall" in next(step.rest for step in stages()[-1] if step.word == "RUN")


@pytest.mark.parametrize("name", ["alerting/model/alerts.py", "schemas/rules.schema.json", "README.md"])
def test_what_the_wheel_is_made_of_comes_into_the_build(name: str) -> None:
    """As .dockerignore says."""
    assert let_in(name)


@pytest.mark.parametrize(
    "name", [".git/config", ".venv/bin/python", "secrets/slack_webhook_url", "alerting.db", "tests/demo.py", ".env"]
)
def test_nothing_else_comes_into_the_build(name: str) -> None:
    """No secret, no state, no history in any layer."""
    assert not let_in(name)
    assert not let_in("alerting/__pycache__/model.cpython-313.pyc")


def test_the_image_holds_the_extras_that_the_guide_says() -> None:
    """Nobody can install one into it later; the guide names each, and what needs it."""
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    made = re.search(r"(?m)^EXTRAS := (\S+)$", (ROOT / "Makefile").read_text())
    assert made is not None
    assert set(made[1].split(",")) == extras - {"apprise"}
    guide = (ROOT / "docs/deployment.md").read_text()
    table = guide.partition("| extra | for |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == sorted(extras)


def test_everything_that_is_copied_is_there_and_let_in() -> None:
    """Each source of each COPY of the build stage."""
    sources = [name for step in stages()[0] if step.word == "COPY" for name in step.rest.split()[:-1]]
    assert len(sources) == 7
    assert [name for name in sources if not (ROOT / name).exists() or not let_in(name)] == []


def test_compose_gives_the_container_no_more_than_it_needs(service: Any) -> None:
    """Read-only, without capabilities, bounded, nothing published, and time to finish what is being sent."""
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"] == "20s"
    assert int(service["mem_limit"]) == 256 * 1024 * 1024
    assert "ports" not in service
    assert "privileged" not in service


def test_compose_mounts_what_is_there_and_keeps_the_state_in_a_volume(service: Any) -> None:
    """Settings and rules from the tree, read-only."""
    mounts = {each["target"]: each for each in service["volumes"]}
    assert mounts["/var/lib/alerting"]["type"] == "volume"
    binds = [each for each in mounts.values() if each["type"] == "bind"]
    assert {each["target"] for each in binds} == {"/etc/alerting/alerting.yaml", "/etc/alerting/rules"}
    assert all(each["read_only"] and Path(each["source"]).exists() for each in binds)


def test_compose_provides_each_reference_of_its_settings_and_no_secret_by_environment(service: Any) -> None:
    """Variables in `environment`, files in `secrets`; and a secret is never a variable."""
    pieces = [each for text in _texts() for each in parts(text) if isinstance(each, Reference)]
    named = {each.name for each in pieces if each.kind == "env"}
    assert named == {"HEALTH_URL", "METRICS_URL", "SENTRY_ORG", "SENTRY_PROJECT"}
    assert named <= set(service["environment"])
    files = {each.name for each in pieces if each.kind == "file"}
    assert files == {f"/run/secrets/{each['source']}" for each in service["secrets"]}
    assert not [name for name in service["environment"] if re.search("TOKEN|KEY|SECRET|PASSWORD", name)]


def test_compose_rules_fit_its_settings(tmp_path: Path) -> None:
    """The shipped rules, with the settings that are mounted beside them."""
    shutil.copy(SETTINGS, tmp_path)
    shutil.copytree(ROOT / "rules", tmp_path / "rules", ignore=shutil.ignore_patterns("self"))
    line = [sys.executable, "-m", "alerting", "validate"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nobody_can_commit_the_secrets_of_compose() -> None:
    """The folder that docker-compose.yml names is ignored, and the package of the same name is not."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    assert "/secrets/" in lines
    assert "secrets/" not in lines


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts and users need root on Linux")
def test_what_the_build_stage_installs_runs_read_only_and_is_found_healthy() -> None:
    """Its RUN lines as they stand; then the daemon, without capabilities and with nothing to write to but its state."""
    with TemporaryDirectory(prefix="alerting-image-") as name:
        home = Path(name)
        home.chmod(0o755)
        _build(home)
        assert not list((home / "opt/alerting/bin").glob("pip*")), "build tools in the image"
        port = _free_port()
        with _daemon(home, port) as process:
            assert _health(home, port, within=30) == 0, (home / "log").read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, (home / "log").read_text()
        assert _health(home, port) != 0, "the check cannot fail"
        state = home / "state" / "alerting.db"
        assert state.stat().st_mode & 0o777 == 0o600
        assert "Read-only file system" not in (home / "log").read_text()


def _build(home: Path) -> None:
    """Do what the build stage does, with its paths moved under `home`."""
    subprocess.run([sys.executable, "-m", "venv", str(home / "base")], check=True)
    source = home / "src"
    source.mkdir()
    for step in stages()[0]:
        if step.word == "COPY":
            for each in step.rest.split()[:-1]:
                _copy(ROOT / each, source / each)
    (run,) = (step.rest for step in stages()[0] if step.word == "RUN")
    for path in ("/dist", "/opt/alerting"):
        run = run.replace(path, f"{home}{path}")
    environment = {"PATH": f"{home}/base/bin:/usr/bin:/bin", "HOME": str(home)}
    environment |= {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_", "HTTP"))}
    line = ["sh", "-ec", run]
    done = subprocess.run(line, cwd=source, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    uninstall = next(step.rest for step in stages()[-1] if step.word == "RUN").partition(" && ")[0]
    subprocess.run(["sh", "-ec", uninstall], env=environment, capture_output=True, timeout=60, check=True)
    assert not (home / "base/bin/pip").exists()


def _copy(source: Path, target: Path) -> None:
    """Copy what .dockerignore lets in."""
    if source.is_file():
        shutil.copy(source, target)
        return
    for path in source.rglob("*"):
        if path.is_file() and let_in(path.relative_to(ROOT).as_posix()):
            made = target / path.relative_to(source)
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, made)


@contextmanager
def _daemon(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start the installed daemon as the image would, by settings that differ from the shipped ones in paths only."""
    text = SETTINGS.read_text().replace("/run/secrets", f"{home}/secrets").replace("/var/lib/alerting", f"{home}/state")
    (home / "etc/rules").mkdir(parents=True)
    (home / "etc/alerting.yaml").write_text(text.replace("web: {}", f'web: {{listen: "127.0.0.1:{port}"}}'))
    shutil.copy(ROOT / "rules/disk-space-low.yaml", home / "etc/rules")
    (home / "secrets").mkdir()
    for secret in ("sentry_auth_token", "slack_webhook_url", "pagerduty_routing_key"):
        (home / "secrets" / secret).write_text("http://127.0.0.1:9/x")
    user = USER if _anybody_can_run(sys.base_prefix) else 0
    (home / "state").mkdir(mode=0o700)
    os.chown(home / "state", user, user)
    inside = f'mount --bind {home}/state {home}/state && mount -o remount,bind,ro / && exec "$@"'
    as_image = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    as_image += ["--inh-caps=-all", "--bounding-set=-all"]
    line = ["unshare", "--mount", "sh", "-ec", inside, "sh", *as_image, f"{home}/opt/alerting/bin/alerting", "run"]
    environment = {"PATH": f"{home}/opt/alerting/bin:/usr/bin:/bin", "ALERTING_CONFIG": f"{home}/etc/alerting.yaml"}
    environment |= {"HEALTH_URL": "http://127.0.0.1:9/", "METRICS_URL": "http://127.0.0.1:9/", "PYTHONUNBUFFERED": "1"}
    environment |= {"SENTRY_ORG": "o", "SENTRY_PROJECT": "p"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(line, env=environment, stdout=log, stderr=log, cwd=home)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def _health(home: Path, port: int, within: float = 0) -> int:
    """The HEALTHCHECK's exit code; asked again until it is 0 or the time is over."""
    words = [word.replace("9797", str(port)) for word in health_check()]
    words[0] = f"{home}/opt/alerting/bin/{words[0]}"
    ends = time.monotonic() + within
    while True:
        code = subprocess.run(words, capture_output=True, timeout=20, check=False).returncode
        if code == 0 or time.monotonic() > ends:
            return code
        time.sleep(0.3)


def _anybody_can_run(path: str) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (Path(path), *Path(path).parents))


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
    return port


def _texts() -> list[str]:
    return re.findall(r"\$\{[^}]*\}", SETTINGS.read_text())
