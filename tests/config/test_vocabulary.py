"""The names that conditions may use, as the settings' own keys make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.config.rules import load_rules
from alerting.config.settings import load_settings
from alerting.patterns import compile_pattern
from tests.config.reading import told

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = """
sources:
  one: {type: health, url: "http://a/"}
  apps: {type: health, targets: {shop: "http://a/", pay: "http://b/"}}
  node: {type: prometheus, labels: {env: x}, targets: {w: {url: "http://a/", labels: {zone: b}}}}
receivers: {desk: {type: console}}
route: {receiver: desk}
"""
CONDITIONS = [
    ('apps.up{target="shop"} == 0', ""),
    ('apps.response_time_p95{target="shop"} > 1s', ""),
    ('one.up{target="shop"} == 0', "one.up has no label target, its labels: none"),
    ('apps.up{target="shop",zone="b"} == 0', "apps.up has no label zone, its labels: target"),
    ('up{job="node",instance="w",env="x",zone="b"} == 0', ""),
]


@pytest.mark.parametrize(("condition", "warning"), CONDITIONS)
def test_labels_that_an_entry_adds_are_known(condition: str, warning: str, tmp_path: Path) -> None:
    """Those of `targets` and `labels`; a label that nothing has is warned of."""
    (tmp_path / "alerting.yaml").write_text(SETTINGS)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(f"alert: A\ncondition: {condition}\n")
    settings = load_settings(tmp_path / "alerting.yaml", {}, tmp_path)
    found = told(load_rules(settings, None, compile_pattern).problems)
    assert len(found) == bool(warning)
    assert all(warning in each for each in found)
