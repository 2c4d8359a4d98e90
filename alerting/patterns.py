"""Regular expressions for conditions and matchers: RE2, so that no pattern and no text takes exponential time."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alerting.model import Pattern

_PATTERN_BYTES = 8 * 1024  # longer ones are no pattern that a person wrote


class Re2Pattern:
    """The Pattern port over google-re2."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def fullmatch(self, text: str) -> bool:
        """Tell whether the whole text fits."""
        return self._compiled.fullmatch(text) is not None

    def expand(self, text: str, template: str) -> str | None:
        """Fill `$1`, `${name}`, `$$` of the template as Go's regexp.Expand does; None when the text does not fit."""
        match = self._compiled.fullmatch(text)
        return None if match is None else _expanded(template, match)

    def search(self, text: str) -> bool:
        """Tell whether some part of the text fits."""
        return self._compiled.search(text) is not None

    def replace_all(self, text: str, template: str, limit: int) -> str:
        """Replace each part that fits by the filled template. Raises ValueError beyond `limit` characters."""
        out: list[str] = []
        length = at = 0
        for match in self._compiled.finditer(text):
            out += (text[at : match.start()], _expanded(template, match))
            length += len(out[-1]) + len(out[-2])
            at = match.end()
            if length > limit:
                break
        if length + len(text) - at > limit:
            raise ValueError(f"the text grows over {limit:,} characters")
        return "".join(out) + text[at:]


def _expanded(template: str, match: Any) -> str:
    named: dict[str, str] = {name: value or "" for name, value in match.groupdict().items()}
    groups: list[str] = [match.group(0), *(value or "" for value in match.groups())]
    out: list[str] = []
    at = 0
    while at < len(template):
        dollar = template.find("$", at)
        if dollar < 0:
            break
        out.append(template[at:dollar])
        name, at = _reference(template, dollar + 1)
        if name is None:
            out.append("$")
        elif name.isdigit():
            out.append(groups[int(name)] if int(name) < len(groups) else "")
        else:
            out.append(named.get(name, ""))
    return "".join(out) + template[at:]


def _reference(template: str, at: int) -> tuple[str | None, int]:
    """Read the name after a `$`; None and the next position where there is none (`$$` gives one `$`)."""
    if template.startswith("$", at):
        return None, at + 1
    if template.startswith("{", at):
        end = template.find("}", at)
        name = template[at + 1 : end] if end > 0 else ""
        return (name, end + 1) if name.replace("_", "a").isalnum() else (None, at)
    end = at
    while end < len(template) and (template[end].isalnum() or template[end] == "_"):
        end += 1
    return (template[at:end], end) if end > at else (None, at)


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Pattern:
    """Compile (the Patterns port). Raises ValueError, with RE2's reason, when the pattern is not valid."""
    import re2  # noqa: PLC0415  costs start-up time; most processes have no pattern

    if len(pattern.encode()) > _PATTERN_BYTES:
        raise ValueError(f"longer than {_PATTERN_BYTES} bytes")
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.max_mem = 4 * 1024 * 1024
    try:
        return Re2Pattern(re2.compile(pattern, options))
    except re2.error as error:
        reason = error.args[0] if error.args else "not valid"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
