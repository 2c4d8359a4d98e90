r"""What Nagios' plugins print behind `|`: `'label'=value[unit];warn;crit;min;max`, several with blanks between.

By the Monitoring Plugins' guidelines (https://www.monitoring-plugins.org/doc/guidelines.html). Durations become
seconds and sizes bytes; KB is 1,000 bytes and KiB 1,024. All or nothing: half of it would be guessing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alerting.model import Kind, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

_ITEM = re.compile(r"\s*(?:'((?:[^']|'')+)'|([^\s'=]+))=([^\s;]*)(?:;(\S*))?(?=\s|$)")
_VALUE = re.compile(r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)([A-Za-zµ%]*)")
_RANGE = re.compile(r"(?:(~|[-+.0-9eE]*):)?([-+.0-9eE]*)")
_UNDETERMINED = "U"
_COUNTER = "c"
_TIMES = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZES = {"b": 1.0} | {
    f"{letter}{mark}b": float(base**power)
    for power, letter in enumerate("kmgtp", 1)
    for mark, base in (("", 1000), ("i", 1024))
}


def read_performance(output: str, namespace: str) -> tuple[dict[str, float], tuple[Metric, ...]]:
    """Give the values by label, and what the units tell about them. Raises ValueError with a clause for people.

    Thresholds stand beside their value: `load.warn` and `load.crit` are the upper ends, `load.warn_low` and
    `load.crit_low` the lower ones; `load.min`, `load.max`. Inside-out ranges (`@`) are left out.
    """
    values: dict[str, float] = {}
    kinds: dict[str, Metric] = {}
    for label, text, rest in _items(_behind_bar(output)):
        if text == _UNDETERMINED:
            continue
        fitting = _VALUE.fullmatch(text)
        if fitting is None:
            hint = "; numbers have a point, not a comma" if "," in text else ""
            raise ValueError(f"its figure {label[:80]!r} is {text[:30]!r}, which is no number{hint}")
        factor, metric = _unit(label, fitting[2], namespace)
        found = {label: float(fitting[1]) * factor}
        found |= {f"{label}.{name}": limit * factor for name, limit in _limits(label, rest)}
        if found.keys() & values.keys():
            raise ValueError(f"its figure {label[:80]!r} stands twice")
        if any(value - value != 0 for value in found.values()):
            raise ValueError(f"its figure {label[:80]!r} is too large")
        values |= found
        kinds |= {name: metric._replace(name=name, kind=metric.kind if name == label else Kind.GAUGE) for name in found}
    return values, tuple(kinds.values())


def _behind_bar(output: str) -> str:
    """Give what stands behind the bar of the first line, and behind the bar of the long text, if there is one."""
    first, _, rest = output.partition("\n")
    return f"{first.partition('|')[2]} {rest.partition('|')[2]}".strip()


def _items(text: str) -> Iterator[tuple[str, str, str]]:
    at = 0
    while at < len(text):
        item = _ITEM.match(text, at)
        if item is None:
            raise ValueError(f"its figures cannot be read from {text[at : at + 30].strip()!r} on")
        quoted, bare, value, rest = item.groups()
        yield quoted.replace("''", "'") if quoted else bare, value, rest or ""
        at = item.end()


def _unit(label: str, unit: str, namespace: str) -> tuple[float, Metric]:
    """Give what a unit multiplies by, and the kind and unit that come of it; an unknown one is passed over."""
    if unit == _COUNTER:
        return 1.0, Metric(label, namespace, Kind.COUNTER)
    if unit == "%":
        return 1.0, Metric(label, namespace, Kind.GAUGE, "percent")
    if unit in _TIMES:
        return _TIMES[unit], Metric(label, namespace, Kind.GAUGE, "s")
    bits = unit.endswith("b") and (unit == "b" or not unit.islower())  # Mb are megabits; `mb` is a MB badly written
    if unit.lower() in _SIZES and not bits:
        return _SIZES[unit.lower()], Metric(label, namespace, Kind.GAUGE, "bytes")
    return 1.0, Metric(label, namespace, Kind.GAUGE)


def _limits(label: str, rest: str) -> Iterator[tuple[str, float]]:
    """Read `warn;crit;min;max`; each may be empty. Raises ValueError."""
    for name, text in zip(("warn", "crit", "min", "max"), rest.split(";"), strict=False):
        if not text or text.startswith("@"):
            continue
        fitting = _RANGE.fullmatch(text)
        try:
            low, high = fitting.groups() if fitting else (None, "?")
            if low and low != "~":
                yield f"{name}_low", float(low)
            if high:
                yield name, float(high)
        except ValueError:
            raise ValueError(f"the threshold {text[:30]!r} of its figure {label[:80]!r} cannot be read") from None
