"""`alerting query`: evaluate an expression now and print what it gives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.cli.exit import Exit
from alerting.cli.loading import load_settings_only
from alerting.cli.reading import read
from alerting.cli.terminal import say, say_json, table, warn
from alerting.clock import SystemClock
from alerting.config.vocabulary import names_of
from alerting.core.alertseries import as_reading
from alerting.core.lang.condition import compile_condition, evaluate_expression
from alerting.core.lang.running.values import NAME
from alerting.core.lang.units import format_value
from alerting.core.samples import Samples
from alerting.core.telling.render import Context
from alerting.errors import AlertingError, ConditionError, Problem
from alerting.model import ALERTS, NO_LABELS, SHARED
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from alerting.config.settings import Settings
    from alerting.core.lang.condition import CompiledCondition
    from alerting.errors import Diagnostic
    from alerting.model import Labels, Reading, Value


def main(arguments: Namespace) -> int:
    """Print the series; exit 3 where something that the expression needs could not be read."""
    settings = load_settings_only(arguments.config)
    text = arguments.expression
    try:
        condition, warnings = compile_condition(text, names_of(settings), compile_pattern, purpose="query")
    except ConditionError as error:
        wrong = [each for each in error.diagnostics if not each.warning]
        raise AlertingError("\n".join(str(_problem(text, each)) for each in wrong)) from None
    warn(*(str(_problem(text, each)) for each in warnings))
    readings = asyncio.run(read(settings, condition.needs, arguments.wait))
    if any(need.namespace == SHARED and need.name in (ALERTS, "") for need in condition.needs):
        readings = [*readings, _alerts(settings)]
    found, gaps = _evaluate(condition, readings)
    if arguments.output == "json":
        series = [{"labels": labels.as_dict(), "value": value} for labels, value in found]
        say_json({"expression": text, "unit": condition.unit, "series": series, "unknown": gaps})
    else:
        if found:
            rows = [(_series(labels), _text(value, condition.unit)) for labels, value in found]
            say(*table(("SERIES", "VALUE"), rows))
        elif not gaps:
            say("no series: nothing fits, or no comparison holds")
        warn(*(f"unknown: {why}" for why in gaps))
        if any("no reading has ever held" in why for why in gaps):
            from alerting.cli.online import near  # noqa: PLC0415  asks the sources once more, only for a hint

            warn(*near(settings, condition.needs))
        if gaps and not arguments.wait and any(need.window and not need.bucket for need in condition.needs):
            warn("a range needs more than the one reading made here; `--wait 30s` makes a second one, 30 s later")
    return Exit.INCOMPLETE if gaps else Exit.OK


def _alerts(settings: Settings) -> Reading:
    """Give the alerts that the state holds, as rules see them."""
    from alerting.cli.state import seen  # noqa: PLC0415  few expressions need the state

    found = asyncio.run(seen(settings))
    known = () if found is None else ((each, found.specs.get(each.key.rule_id)) for each in found.snapshot.alerts)
    alerts = [(alert, spec) for alert, spec in known if spec is not None]
    external = {} if found is None else found.external
    context = Context(external, patterns=compile_pattern, external_url=settings.external_url)
    return as_reading(alerts, context, SystemClock().now())


def _evaluate(
    condition: CompiledCondition, readings: Sequence[Reading]
) -> tuple[Sequence[tuple[Labels, Value]], list[str]]:
    samples = Samples()
    samples.require(condition.needs, compile_pattern)
    for reading in readings:
        samples.append(reading)
    now = SystemClock().now()
    outcome = evaluate_expression(condition, samples, now)
    if isinstance(outcome, str):
        return [(NO_LABELS, outcome)], []  # a text by itself is a value, though it is no condition
    if isinstance(outcome, (int, float)):
        outcome = [(NO_LABELS, outcome)]
    return outcome, [gap.why for gap in condition.evaluate(samples, now).gaps]


def _problem(text: str, each: Diagnostic) -> Problem:
    """Show a diagnostic under the line of the expression that it is about."""
    line = text.count("\n", 0, each.span.start) + 1
    column = each.span.start - text.rfind("\n", 0, each.span.start)
    width = max(1, each.span.end - each.span.start)
    shown = text.split("\n")[line - 1]
    return Problem(
        each.message, "EXPR", line, column, each.hint, shown, min(width, len(shown) - column + 1), each.warning
    )


def _series(labels: Labels) -> str:
    """Write a series as Prometheus does: its name, then its labels."""
    return f"{labels.get(NAME)}{labels.without((NAME,))}" or "(no labels)"


def _text(value: Value, unit: str) -> str:
    return repr(value) if isinstance(value, str) else format_value(value, unit)
