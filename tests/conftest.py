"""What holds for every test: it is judged by results and not by a busy machine's clock, and leaves no cache at home."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests import figures
from tests.figures import figure
from tests.full import rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["figure"]

BEGUN = pytest.StashKey[float]()

EXAMPLES = rounds(100, full=1000)
settings.register_profile(
    "alerting", deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("alerting")


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give processes that inherit this environment a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the fault rows that are asked for."""
    figures.select(config, items)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the figures of the fault rows."""
    figures.kept(report)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Keep where and when the figures are made."""
    if os.environ.get("ALERTING_FIGURES"):
        session.config.stash[BEGUN] = time.monotonic()
        figures.begun()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep how long it took."""
    if BEGUN in session.config.stash:
        figures.finished(time.monotonic() - session.config.stash[BEGUN])
