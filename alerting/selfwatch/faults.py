"""Faults of alerting itself, reported to Sentry: only where SENTRY_DSN is set, and nothing but faults.

The SDK's own habits are switched off: it watches no library, reads no local variables, adds nothing to requests of
ours, and what it would send goes through `before_send`, where known secrets in every shape, cookies and
authorization are taken out. If that fails, the event is not sent.

`SENTRY_ENVIRONMENT`, `SENTRY_RELEASE`, `SENTRY_SAMPLE_RATE` and `SENTRY_TRACES_SAMPLE_RATE` mean what they mean to
every program with that SDK.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import alerting
from alerting.core.lasting import kind_of
from alerting.log import LOGGER
from alerting.redact import STARS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from alerting.model import Redact

FLUSH = 2.0  # s that the last events have
_PRIVATE = frozenset(
    ("authorization", "proxy-authorization", "cookie", "cookies", "set-cookie", "x-api-key", "api-key")
)
_DEEPEST = 20
_AGAIN = 3600.0  # s between two reports of one kind of fault: a fault in a rule comes at every tick


def start(
    env: Mapping[str, str], redact: Redact | None, environment: str, say: Callable[[str], None] = lambda _why: None
) -> bool:
    """Report what is logged with a trace from now on; tell whether it is reported. `say` hears why it is not.

    `redact` None: which secrets there are is not known, so no text of a fault is sent, only its kind and its place.
    """
    dsn = env.get("SENTRY_DSN", "")
    if not dsn:
        return False
    try:
        import sentry_sdk  # noqa: PLC0415  heavy: only processes that report pay for it
    except ImportError:
        say("SENTRY_DSN is set, but faults are not reported: install alerting[sentry]")
        return False
    try:
        sentry_sdk.init(
            dsn=dsn,
            environment=environment or None,
            release=env.get("SENTRY_RELEASE") or f"alerting@{alerting.__version__}",
            sample_rate=_rate(env, "SENTRY_SAMPLE_RATE", "1"),
            traces_sample_rate=_rate(env, "SENTRY_TRACES_SAMPLE_RATE", "0"),
            before_send=_cleaned(redact),
            before_send_transaction=_cleaned(redact),
            max_breadcrumbs=0,
            include_local_variables=False,
            send_default_pii=False,
            default_integrations=False,
            auto_enabling_integrations=False,
            trace_propagation_targets=[],
            shutdown_timeout=0,
        )
    except Exception as error:  # noqa: BLE001  the SDK's own kinds; whatever it is, alerting goes on
        say(f"SENTRY_DSN or its companions cannot be used ({type(error).__name__}): faults are not reported")
        return False
    logging.getLogger(LOGGER).addHandler(_Reporting())
    return True


def report(
    found: Iterable[tuple[str, BaseException]], env: Mapping[str, str], redact: Redact, environment: str
) -> None:
    """Report the faults that a command has met, each with where it was. Blocks, no longer than FLUSH."""
    if start(env, redact, environment):
        for where, error in found:
            _report(error, where)
        flush()


def report_end(error: BaseException, env: Mapping[str, str]) -> None:
    """Report the fault that ends a command."""
    if start(env, None, env.get("SENTRY_ENVIRONMENT", "")):
        _report(error, "")
        flush()


def _report(error: BaseException, where: str) -> None:
    """Report a fault; `where` says in which part of alerting it was."""
    import sentry_sdk  # noqa: PLC0415  loaded by `start`

    with sentry_sdk.new_scope() as scope:
        if where:
            scope.set_context("alerting", {"where": where})
        scope.capture_exception(error)


def flush(seconds: float = FLUSH) -> None:
    """Send what waits, for no longer than so many seconds. Blocks."""
    import sentry_sdk  # noqa: PLC0415  loaded by `start`

    sentry_sdk.flush(seconds)


class _Reporting(logging.Handler):
    """Reports the log records that come with a trace: of each kind of fault one in an hour."""

    def __init__(self) -> None:
        super().__init__()
        self._reported: dict[str, float] = {}  # kind -> when, by the monotonic clock

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return
        kind, now = kind_of(error), time.monotonic()
        if now - self._reported.get(kind, -_AGAIN) >= _AGAIN:
            self._reported[kind] = now
            _report(error, record.getMessage())


def _rate(env: Mapping[str, str], name: str, otherwise: str) -> float:
    """Read a share from 0 to 1. Raises ValueError."""
    rate = float(env.get(name) or otherwise)
    if not 0 <= rate <= 1:
        raise ValueError(name)
    return rate


def _cleaned(redact: Redact | None) -> Callable[[Any, Any], Any]:
    def before_send(event: Any, _hint: Any) -> Any:
        try:
            if redact is None:
                for each in event.get("exception", {}).get("values", ()):
                    each["value"] = STARS
            return _clean(event, redact or str, 0)
        except Exception:  # noqa: BLE001  better no report than one that was not looked through
            return None

    return before_send


def _clean(value: Any, redact: Redact, depth: int) -> Any:
    if depth > _DEEPEST:
        return STARS
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            key: STARS if str(key).lower() in _PRIVATE else _clean(item, redact, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(item, redact, depth + 1) for item in value]
    return value
