"""Rules that read alerts, and the address of the installation: real processes, from a settings file to a webhook."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.fakes.sink import Sink
from tests.whole.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "https://alerting.example.org/prod"
SETTINGS = """
external_url: https://${{PUBLIC_HOST}}/prod
sources: {{host: {{type: host}}}}
receivers: {{hook: {{type: webhook, url: "{hook}"}}}}
"""
RULES = """
alert: Mild
condition: disk_usage{mount="/"} >= 0%
severity: info
notify: hook
---
alert: InfoInhibitor
condition: count by (severity) (ALERTS{severity="info", alertstate="firing"}) > 0
labels: {severity: none}
annotations: {where: "{{ $externalURL }}/alerts"}
notify: hook
"""


def test_a_rule_reads_alerts_and_its_message_says_where_to_look(tmp_path: Path) -> None:
    """One `check` is enough, as rules that read alerts come last; no metrics page is needed, nothing is warned of."""
    with Sink() as sink, Scene(tmp_path) as scene:
        scene.environment["PUBLIC_HOST"] = "alerting.example.org"
        scene.settings(SETTINGS.format(hook=sink.hook))
        scene.rules(RULES)
        assert scene.run("validate", "--online", code=0).stdout == "no problems\n"
        assert json.loads(scene.run("query", "-o", "json", "ALERTS", code=0).stdout)["series"] == []
        scene.run("check", code=1)
        told = {each["alerts"][0]["labels"]["alertname"]: each for each in sink.accepted}
        assert set(told) == {"Mild", "InfoInhibitor"}
        assert told["InfoInhibitor"]["externalURL"] == ADDRESS
        assert told["InfoInhibitor"]["alerts"][0]["annotations"]["where"] == f"{ADDRESS}/alerts"
        seen = json.loads(scene.run("query", "-o", "json", "ALERTS", code=0).stdout)["series"]
        assert sorted((x["labels"]["alertname"], x["labels"]["alertstate"], x["value"]) for x in seen) == [
            ("InfoInhibitor", "firing", 1.0),
            ("Mild", "firing", 1.0),
        ]
