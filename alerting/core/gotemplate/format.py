"""How Go writes values as text: `fmt.Sprint`, `fmt.Sprintf` and the `%v` of floats.

Annotations written for Prometheus must read here as they read there, so this follows package `fmt`
(https://pkg.go.dev/fmt) for the values that a template can hold. A verb that does not fit its value is no
error in Go but a mark in the text (`%!d(float64=5)`), and so it is here. Left out, and marked likewise:
`%p`, `%U`, `% x`, `%#q`, explicit argument indexes and hexadecimal floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import copysign, isinf, isnan
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alerting.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_OUTPUT: Final = 64 * 1024  # characters of one rendered text, and of every text on the way to it
_MAX_WIDTH: Final = 1_000  # of a width or precision in printf
_EXPONENT_FROM: Final = 6  # %v and %g write 1e+06, but 100000
_EXPONENT_TO: Final = -4  # and 0.0001, but 1e-05
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ESCAPES: Final = {
    ord("\\"): "\\\\",
    ord('"'): '\\"',
    ord("\n"): "\\n",
    ord("\t"): "\\t",
    ord("\r"): "\\r",
    ord("\a"): "\\a",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
    ord("\v"): "\\v",
}


class GoTime(NamedTuple):
    """A moment in UTC, as `toTime` gives it; seconds since 1970."""

    seconds: float

    def __str__(self) -> str:
        """Write as Go does: `2026-01-02 03:04:05.678 +0000 UTC`."""
        moment = _EPOCH + timedelta(milliseconds=round(self.seconds * 1000))
        fraction = f".{moment.microsecond // 1000:03d}".rstrip("0") if moment.microsecond else ""
        return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


class Element(NamedTuple):
    """One series of a query's result: `.Labels` and `.Value`."""

    labels: Mapping[str, str]
    value: float | str


def type_name(value: Any) -> str:
    """Name the type as Go would."""
    if value is None:
        return "<nil>"
    for kind, name in ((bool, "bool"), (str, "string"), (int, "int"), (float, "float64"), (GoTime, "time.Time")):
        if isinstance(value, kind):
            return name
    if isinstance(value, Mapping):
        return "map[string]string"
    return "template.queryResult" if isinstance(value, list) else "template.sample"


def a_type(value: Any) -> str:
    """Name the type for a message, with its article."""
    name = type_name(value)
    return f"an {name}" if name == "int" else f"a {name}"


def format_value(value: Any) -> str:
    """Write as `%v` does."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format_float(value, "g", None)
    if isinstance(value, Element):
        return "{" + f"{format_value(value.labels)} {format_value(value.value)}" + "}"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{format_value(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(format_value(each) for each in value) + "]"
    return str(value)


def format_float(value: float, verb: str, precision: int | None) -> str:
    """Write as strconv.FormatFloat does, with a plus before Inf; `precision` None: as many digits as are needed."""
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if precision is not None:
        return f"{value:.{precision}{verb}}"  # Python and C write as Go does, rounding included
    if verb.lower() != "g":
        return f"{value:.6{verb}}"
    sign = "-" if copysign(1.0, value) < 0 else ""
    digits, exponent = _shortest(abs(value))
    if _EXPONENT_TO <= exponent < _EXPONENT_FROM:
        return sign + _positional(digits, exponent)
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    letter = "e" if verb == "g" else "E"
    return f"{sign}{digits[0]}{fraction}{letter}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _shortest(value: float) -> tuple[str, int]:
    """Give the fewest digits that mean `value`, and the exponent of the first: 0.0012 is ("12", -3)."""
    mantissa, _, written = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return "0", 0
    leading = len(whole + fraction) - len(digits)
    return digits.rstrip("0"), len(whole) - 1 - leading + int(written or 0)


def _positional(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    fraction = digits[exponent + 1 :]
    return f"{whole}.{fraction}" if fraction else whole


def sprint(values: Sequence[Any]) -> str:
    """Join as fmt.Sprint does: a space between two values of which neither is a text."""
    out: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out.append(" ")
        out.append(format_value(value))
    return limited("".join(out))


def quoted(text: str) -> str:
    """Write as strconv.Quote does."""
    return '"' + "".join(each if each.isprintable() else _code(each) for each in text.translate(_ESCAPES)) + '"'


def _code(character: str) -> str:
    number = ord(character)
    if number < 0x80:  # noqa: PLR2004  ASCII
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004  the basic plane


def limited(text: str) -> str:
    """Give `text` back. Raises TemplateError where it is longer than a rendered text may be."""
    if len(text) > MAX_OUTPUT:
        raise TemplateError(f"the text grows over {MAX_OUTPUT:,} characters")
    return text


# ------------------------------------------------------------------------------------------- printf


class _Directive(NamedTuple):
    """What stands between `%` and the verb."""

    flags: str = ""
    width: int = 0
    precision: int | None = None


def sprintf(template: str, values: Sequence[Any]) -> str:
    """Fill `template` as fmt.Sprintf does, marks for what does not fit included."""
    out: list[str] = []
    length = at = used = 0
    while (percent := template.find("%", at)) >= 0:
        out.append(template[at:percent])
        directive, at, used = _directive(template, percent + 1, values, used)
        verb = template[at : at + 1]
        at += 1
        if not verb:
            out.append("%!(NOVERB)")
        elif verb == "%":
            out.append("%")
        elif used >= len(values):
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_filled(verb, values[used], directive))
            used += 1
        length += len(out[-1]) + len(out[-2])
        if length > MAX_OUTPUT:
            raise TemplateError(f"the text grows over {MAX_OUTPUT:,} characters")
    out.append(template[at:])
    if used < len(values):
        extra = ", ".join(f"{type_name(value)}={format_value(value)}" for value in values[used:])
        out.append(f"%!(EXTRA {extra})")
    return limited("".join(out))


def _directive(template: str, at: int, values: Sequence[Any], used: int) -> tuple[_Directive, int, int]:
    start = at
    while template[at : at + 1] in ("+", "-", "#", " ", "0"):
        at += 1
    flags = template[start:at]
    width, at, used = _size(template, at, values, used)
    precision = None
    if template[at : at + 1] == ".":
        precision, at, used = _size(template, at + 1, values, used)
    if width is not None and width < 0:
        flags, width = flags + "-", -width
    return _Directive(flags, width or 0, 0 if template[at - 1 : at] == "." else precision), at, used


def _size(template: str, at: int, values: Sequence[Any], used: int) -> tuple[int | None, int, int]:
    """Read a number, or take it from the values where `*` stands."""
    size: int | None = None
    if template[at : at + 1] == "*":
        at += 1
        if used < len(values) and isinstance(values[used], int):
            size = values[used]
        used += 1
    else:
        start = at
        while template[at : at + 1].isascii() and template[at : at + 1].isdigit():
            at += 1
        size = int(template[start : min(at, start + 9)]) if at > start else None
    if size is not None and abs(size) > _MAX_WIDTH:
        raise TemplateError(f"a width or precision over {_MAX_WIDTH:,}")
    return size, at, used


def _filled(verb: str, value: Any, directive: _Directive) -> str:
    text = _verb(verb, value, directive)
    if text is None:
        mark = f"{type_name(value)}={format_value(value)}" if value is not None else "<nil>"
        return f"%!{verb}({mark})"
    return _padded(text, value, directive)


def _verb(verb: str, value: Any, directive: _Directive) -> str | None:
    """Write `value` by `verb`, without padding; None where they do not fit."""
    if verb == "T":
        return type_name(value)
    if isinstance(value, bool):
        return format_value(value) if verb in "tv" else None
    if isinstance(value, float):
        if verb not in "vgGeEfF":
            return None
        letter = {"v": "g", "F": "f"}.get(verb, verb)
        flags = directive.flags.replace("+", "") if verb == "v" else directive.flags  # %+v is for structs
        return _signed(format_float(value, letter, directive.precision), flags)
    if isinstance(value, int):
        return _integer(verb, value, directive)
    if isinstance(value, str):
        return _string(verb, value, directive)
    return format_value(value) if verb in "vs" and value is not None else ("<nil>" if verb == "v" else None)


def _signed(text: str, flags: str) -> str:
    if text.startswith("+"):  # Inf: printf writes the sign always
        return text
    if "+" in flags and not text.startswith("-"):
        return f"+{text}"
    return f" {text}" if " " in flags and not text.startswith("-") else text


def _integer(verb: str, value: int, directive: _Directive) -> str | None:
    if verb == "c":
        return chr(value) if 0 <= value <= 0x10FFFF else "\ufffd"  # noqa: PLR2004  Unicode ends there
    if verb == "q":
        return f"'{chr(value)}'" if 0 <= value <= 0x10FFFF else "'\ufffd'"  # noqa: PLR2004  the same
    base = {"v": "d", "d": "d", "b": "b", "o": "o", "x": "x", "X": "X"}.get(verb)
    if base is None:
        return None
    digits = f"{abs(value):{base}}".rjust(directive.precision or 0, "0")
    prefix = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(base, "") if "#" in directive.flags else ""
    return _signed(f"{'-' if value < 0 else ''}{prefix}{digits}", directive.flags)


def _string(verb: str, value: str, directive: _Directive) -> str | None:
    text = value if directive.precision is None else value[: directive.precision]
    if verb in "vs":
        return text
    if verb == "q":
        return quoted(text)
    if verb in "xX":
        digits = text.encode("utf-8", "surrogatepass").hex()
        return digits if verb == "x" else digits.upper()
    return None


def _padded(text: str, value: Any, directive: _Directive) -> str:
    if "-" in directive.flags:
        return text.ljust(directive.width)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if "0" not in directive.flags or (isinstance(value, float) and text[-1:].isalpha()):
        return text.rjust(directive.width)
    sign = text[:1] if number and text[:1] in ("+", "-", " ") else ""
    return sign + text[len(sign) :].rjust(directive.width - len(sign), "0")
