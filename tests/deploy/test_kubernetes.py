"""The Kubernetes manifest: against Kubernetes' own schemas, and its settings as the kubelet would lay them out."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.deploy.container import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = ROOT / "deploy" / "kubernetes.yaml"
VERSIONS = ("1.27", "1.31", "1.37")


def objects() -> dict[str, Any]:
    """The manifest's objects by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text())}


def pod() -> Any:
    """The pod's description."""
    return objects()["Deployment"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_fits_the_schema_of_kubernetes(version: str) -> None:
    """Strictly: a key that it does not know is an error."""
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for each in yaml.safe_load_all(MANIFEST.read_text()):
        validate.validate(each, version, strict=True)


def test_a_mistake_would_be_found() -> None:
    """The test above is able to fail."""
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    broken = objects()["Deployment"]
    broken["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(validate.ValidationError):
        validate.validate(broken, VERSIONS[-1], strict=True)


def test_there_are_never_two_at_once() -> None:
    """The state has one holder; the old pod is gone before the new one starts."""
    spec = objects()["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert objects()["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_the_pod_meets_the_restricted_standard() -> None:
    """Pod Security Standards, level restricted; and no token of the cluster's API."""
    (container,) = pod()["containers"]
    own, shared = container["securityContext"], pod()["securityContext"]
    assert shared["runAsNonRoot"] is True
    assert shared["runAsUser"] == shared["fsGroup"] == 10001
    assert shared["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["automountServiceAccountToken"] is False


def test_a_restart_leaves_the_mode_of_the_state_alone() -> None:
    """Otherwise each mount would open the state to the group, and it would be refused."""
    assert pod()["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_each_mount_has_its_volume_and_each_secret_its_file() -> None:
    """Nothing refers to what is not there."""
    (container,) = pod()["containers"]
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod()["volumes"]}
    settings = objects()["ConfigMap"]["data"]["alerting.yaml"]
    for name in objects()["Secret"]["stringData"]:
        assert f"${{file:/run/secrets/{name}}}" in settings
    assert settings.count("${file:/run/secrets/") == len(objects()["Secret"]["stringData"])
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "health"}
    assert f":{container['ports'][0]['containerPort']}" in settings


def test_settings_and_rules_work_as_the_kubelet_lays_them_out(tmp_path: Path) -> None:
    """Files are links through `..data`; an update swaps that one link, and is taken."""
    data = objects()["ConfigMap"]["data"]
    (volume,) = [each["configMap"] for each in pod()["volumes"] if each["name"] == "settings"]
    settings, secrets = tmp_path / "settings", tmp_path / "secrets"
    secrets.mkdir()
    for name in objects()["Secret"]["stringData"]:
        (secrets / name).write_text("x")
    texts = {each["path"]: data[each["key"]].replace("/run/secrets", str(secrets)) for each in volume["items"]}
    _lay_out(settings, "..2026_01", texts)
    assert _validate(settings) == "no problems"
    _lay_out(settings, "..2026_02", {**texts, "rules/rules.yaml": "alert: X\ncondition: ]\n"})
    assert "rules/rules.yaml:2" in _validate(settings)


def _lay_out(volume: Path, stamp: str, texts: dict[str, str]) -> None:
    """Write a volume as the kubelet's AtomicWriter does."""
    for path, text in texts.items():
        made = volume / stamp / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
    fresh = volume / "..data_tmp"
    fresh.symlink_to(stamp)
    fresh.rename(volume / "..data")
    for top in {path.partition("/")[0] for path in texts}:
        if not (volume / top).is_symlink():
            (volume / top).symlink_to(f"..data/{top}")


def _validate(settings: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "alerting", "validate", "--config", str(settings / "alerting.yaml")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(settings.parent / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return (done.stdout + done.stderr).strip()
