"""The functions that templates may call: Prometheus' own and those of Go's text/template.

Each takes what was written and gives a value; none reads a clock, a file or a server. What a function needs
besides its arguments (queries, regular expressions, the page's address) comes in `Context`. Sources:
https://prometheus.io/docs/prometheus/latest/configuration/template_reference/ and
https://pkg.go.dev/text/template#hdr-Functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from alerting.core.gotemplate import numbers
from alerting.core.gotemplate.format import (
    MAX_OUTPUT,
    Element,
    GoTime,
    a_type,
    format_value,
    limited,
    sprint,
    sprintf,
)
from alerting.core.gotemplate.numbers import text_of
from alerting.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from alerting.model import Patterns

Query: TypeAlias = "Callable[[str], Iterable[tuple[Mapping[str, str], float | str]]]"


class Args(dict[str, Any]):
    """The map that `args` gives: a missing key is nil there, while a missing label is an empty text."""


class Context(NamedTuple):
    """What functions need besides their arguments."""

    query: Query | None = None
    patterns: Patterns | None = None
    external_url: str = ""


# ------------------------------------------------------------------------------------------- texts


def _title(raw: Any) -> str:
    """Capitalize each letter that stands after anything but a letter, a digit or `_`, as strings.Title does."""
    out: list[str] = []
    inside = False
    for each in text_of(raw):
        out.append(each if inside else each.title())
        inside = each.isalnum() or each == "_"
    return "".join(out)


def _split_port(text: str) -> tuple[str, str] | None:
    """Split `host:port` and `[host]:port`; None where there is no port."""
    host, colon, port = text.rpartition(":")
    if not colon:
        return None
    if host.startswith("["):
        return (host[1:-1], port) if host.endswith("]") and "]" not in host[1:-1] else None
    return None if ":" in host or "]" in host or "[" in host else (host, port)


def _strip_port(raw: Any) -> str:
    text = text_of(raw)
    parts = _split_port(text)
    return text if parts is None else parts[0]


def _strip_domain(raw: Any) -> str:
    from ipaddress import ip_address  # noqa: PLC0415  3 ms to import, for the few templates that call this

    text = text_of(raw)
    host, port = _split_port(text) or (text, "")
    try:
        ip_address(host)
    except ValueError:
        host = host.split(".")[0]
        return f"{host}:{port}" if port else host
    return text


def _url_query(*values: Any) -> str:
    from urllib.parse import quote_plus  # noqa: PLC0415  5 ms to import, for the few templates that call this

    return quote_plus(sprint(values), safe="", errors="replace")


def _html(*values: Any) -> str:
    text = sprint(values).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&#34;").replace("'", "&#39;")


def _graph_link(expression: Any) -> str:
    return f"/graph?g0.expr={_url_query(text_of(expression))}&g0.tab=0"


def _table_link(expression: Any) -> str:
    return f"/graph?g0.expr={_url_query(text_of(expression))}&g0.tab=1"


# ------------------------------------------------------------------------------------------- values


def truth(value: Any) -> bool:
    """Tell whether Go takes it as true: not 0, not empty, not nil."""
    return True if isinstance(value, Element | GoTime) else bool(value)


def field(value: Any, name: str) -> Any:
    """Give a field of a value. Only maps and series have any; nothing else can be reached."""
    if isinstance(value, Args):
        return value.get(name)
    if isinstance(value, Mapping):
        return value.get(name, "")
    if isinstance(value, Element) and name in ("Labels", "Value"):
        return value.labels if name == "Labels" else value.value
    raise TemplateError(f"{a_type(value)} has no field {name}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = field(value, text_of(key))
        elif isinstance(value, list | str):
            items: Sequence[Any] = value.encode("utf-8", "replace") if isinstance(value, str) else value
            if not isinstance(key, int) or not 0 <= key < len(items):
                raise TemplateError(f"index {format_value(key)} is outside a length of {len(items)}")
            value = items[key]
        else:
            raise TemplateError(f"{a_type(value)} cannot be indexed")
    return value


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Mapping | list):
        return len(value)
    raise TemplateError(f"{a_type(value)} has no length")


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, str | list) or len(bounds) > 2:  # noqa: PLR2004  from and to
        raise TemplateError(f"{a_type(value)} cannot be sliced so")
    if any(not isinstance(each, int) or not 0 <= each <= len(value) for each in bounds):
        raise TemplateError("slice goes outside its value")
    start, end = (*bounds, len(value))[:2] if bounds else (0, len(value))
    return value[start:end]


_BASIC: Final = (bool, str, int, float)


def _kind(value: Any) -> type:
    for kind in _BASIC:
        if isinstance(value, kind):
            return kind
    raise TemplateError(f"{a_type(value)} cannot be compared")


def _same_kind(one: Any, other: Any) -> None:
    if _kind(one) is not _kind(other):
        hint = "; write 5.0 against a float" if {_kind(one), _kind(other)} == {int, float} else ""
        raise TemplateError(f"{a_type(one)} cannot be compared with {a_type(other)}{hint}")


def _eq(one: Any, *others: Any) -> bool:
    for other in others:
        if one is None or other is None:
            if one is other:
                return True
            continue
        _same_kind(one, other)
        if one == other:
            return True
    return False


def _lt(one: Any, other: Any) -> bool:
    _same_kind(one, other)
    if isinstance(one, bool):
        raise TemplateError("a bool has no order")
    return bool(one < other)


def _le(one: Any, other: Any) -> bool:
    return _lt(one, other) or one == other


def _series(value: Any) -> list[Element]:
    if not isinstance(value, list):
        raise TemplateError(f"the result of a query was expected, not {a_type(value)}")
    return value


def _first(value: Any) -> Element:
    series = _series(value)
    if not series:
        raise TemplateError("first of a query that found no series")
    return series[0]


def _element(value: Any) -> Element:
    if not isinstance(value, Element):
        raise TemplateError(f"one series of a query was expected, not {a_type(value)}")
    return value


def _sorted_by(name: Any, value: Any) -> list[Element]:
    key = text_of(name)
    return sorted(_series(value), key=lambda each: each.labels.get(key, ""))


# ------------------------------------------------------------------------------------------- what needs the context


def _query(context: Context, expression: Any) -> list[Element]:
    if context.query is None:
        raise TemplateError("no query can be made here")
    return [Element(dict(labels), value) for labels, value in context.query(text_of(expression))]


def _match(context: Context, pattern: Any, text: Any) -> bool:
    if context.patterns is None:
        raise TemplateError("no regular expressions here")
    try:
        return context.patterns(f"(?-s:{text_of(pattern)})").search(text_of(text))
    except ValueError as error:
        raise TemplateError(str(error)) from None


def _replace_all(context: Context, pattern: Any, replacement: Any, text: Any) -> str:
    if context.patterns is None:
        raise TemplateError("no regular expressions here")
    try:
        return context.patterns(f"(?-s:{text_of(pattern)})").replace_all(
            text_of(text), text_of(replacement), MAX_OUTPUT
        )
    except ValueError as error:
        raise TemplateError(str(error)) from None


def _path_prefix(context: Context) -> str:
    rest = context.external_url.partition("://")[2] or context.external_url
    return f"/{rest.partition('/')[2]}".rstrip("/")


def _absent(_: Context, *_values: Any) -> Any:
    raise TemplateError("this function has no meaning here; write the text without it")


PURE: Final[Mapping[str, Callable[..., Any]]] = {
    "args": lambda *values: Args({f"arg{index}": value for index, value in enumerate(values)}),
    "eq": _eq,
    "first": _first,
    "ge": lambda one, other: not _lt(one, other),
    "graphLink": _graph_link,
    "gt": lambda one, other: not _le(one, other),
    "html": _html,
    "humanize": numbers.humanize,
    "humanize1024": numbers.humanize1024,
    "humanizeDuration": numbers.humanize_duration,
    "humanizePercentage": numbers.humanize_percentage,
    "humanizeTimestamp": numbers.humanize_timestamp,
    "index": _index,
    "label": lambda name, series: _element(series).labels.get(text_of(name), ""),
    "le": _le,
    "len": _len,
    "lt": _lt,
    "ne": lambda one, other: not _eq(one, other),
    "not": lambda value: not truth(value),
    "parseDuration": numbers.parse_duration,
    "print": lambda *values: sprint(values),
    "printf": lambda template, *values: sprintf(text_of(template), values),
    "println": lambda *values: limited(" ".join(format_value(value) for value in values) + "\n"),
    "safeHtml": text_of,
    "slice": _slice,
    "sortByLabel": _sorted_by,
    "stripDomain": _strip_domain,
    "stripPort": _strip_port,
    "strvalue": lambda series: _element(series).labels.get("__value__", ""),
    "tableLink": _table_link,
    "title": _title,
    "toLower": lambda text: text_of(text).lower(),
    "toTime": numbers.to_time,
    "toUpper": lambda text: text_of(text).upper(),
    "urlquery": _url_query,
    "value": lambda series: _element(series).value,
}
CONTEXTUAL: Final[Mapping[str, Callable[..., Any]]] = {
    "call": _absent,
    "externalURL": lambda context: context.external_url,
    "js": _absent,
    "match": _match,
    "now": _absent,
    "pathPrefix": _path_prefix,
    "query": _query,
    "reReplaceAll": _replace_all,
    "toDuration": _absent,
}
SHORT_CIRCUIT: Final = ("and", "or")  # the runner's: they look at no argument that does not matter
FUNCTIONS: Final = frozenset((*PURE, *CONTEXTUAL, *SHORT_CIRCUIT))
