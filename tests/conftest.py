"""What holds for every test: Hypothesis judges by results and not by the clock of a busy machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("alerting", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("alerting")
