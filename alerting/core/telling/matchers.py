"""Which labels fit: what routes, inhibitions and silences ask.

Words and meaning are Alertmanager's: all matchers must fit, a label that is missing counts as empty, and a pattern
must fit the whole value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from alerting.model import Matcher, Patterns

_PLAIN = frozenset("-_:/ ")  # besides letters and digits: characters that stand for themselves in a pattern


class Matchers:
    """Several conditions on labels, compiled."""

    __slots__ = ("_equal", "_patterns", "_sets", "_unequal", "matchers")

    def __init__(self, matchers: Sequence[Matcher], patterns: Patterns) -> None:
        """Compile. Raises ValueError for a pattern that is not valid."""
        self.matchers = tuple(matchers)
        self._equal = tuple((each.name, each.value) for each in matchers if each.op == "=")
        self._unequal = tuple((each.name, each.value) for each in matchers if each.op == "!=")
        sets: list[tuple[str, frozenset[str], bool]] = []
        others: list[tuple[str, Callable[[str], bool], bool]] = []
        for name, op, value in matchers:
            if op in ("=~", "!~"):
                choice = choices(value)
                if choice is not None:
                    sets.append((name, choice, op == "=~"))
                else:
                    others.append((name, patterns(value).fullmatch, op == "=~"))
        self._sets, self._patterns = tuple(sets), tuple(others)

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether all fit; without matchers everything does."""
        get = labels.get
        for name, value in self._equal:
            if get(name, "") != value:
                return False
        for name, value in self._unequal:
            if get(name, "") == value:
                return False
        for name, values, wanted in self._sets:
            if (get(name, "") in values) is not wanted:
                return False
        return not self._patterns or all(
            fullmatch(get(name, "")) is wanted for name, fullmatch, wanted in self._patterns
        )

    @property
    def written(self) -> str:
        """Write them as people do: `severity="critical", team=~"db|web"`."""
        return written(self.matchers)


class MatcherIndex:
    """Many `Matchers`, of which those that fit are found without asking each: by the value that one label must have."""

    __slots__ = ("_by_label", "_many", "_others")

    def __init__(self, many: Sequence[Matchers]) -> None:
        self._many = tuple(many)
        self._by_label: dict[str, dict[str, list[int]]] = {}
        self._others: list[int] = []  # those that must be asked each time
        for number, each in enumerate(self._many):
            name, value = next(((name, value) for name, op, value in each.matchers if op == "="), ("", ""))
            if name:
                self._by_label.setdefault(name, {}).setdefault(value, []).append(number)
            else:
                self._others.append(number)

    def fitting(self, labels: Mapping[str, str]) -> Iterator[int]:
        """Give the numbers of those that fit, in no particular order."""
        many = self._many
        for name, by_value in self._by_label.items():
            for number in by_value.get(labels.get(name, ""), ()):
                if many[number].fits(labels):
                    yield number
        for number in self._others:
            if many[number].fits(labels):
                yield number


def written(matchers: Sequence[Matcher]) -> str:
    """Write matchers as Alertmanager and `parse_matchers` read them."""
    return ", ".join(f"{_name(name)}{op}{quoted(value)}" for name, op, value in matchers)


def quoted(text: str) -> str:
    """Write a text between double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def choices(pattern: str) -> frozenset[str] | None:
    """Give the texts that a pattern fits where it only lists some, as `db|web` does; None for any other."""
    if all(letter == "|" or letter in _PLAIN or (letter.isascii() and letter.isalnum()) for letter in pattern):
        return frozenset(pattern.split("|"))
    return None


def _name(name: str) -> str:
    plain = name.isascii() and name.replace(":", "_").isidentifier()
    return name if plain else quoted(name)
