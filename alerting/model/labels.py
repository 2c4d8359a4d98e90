"""Labels: the name=value pairs that tell one series from another."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Labels:
    """An immutable set of name=value pairs, kept sorted by name. Hashable; equal when the pairs are equal.

    An empty value means "no such label", as in Prometheus' data model, so such pairs are dropped.
    """

    __slots__ = ("_fingerprint", "_hash", "pairs")

    pairs: tuple[tuple[str, str], ...]

    def __init__(self, pairs: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> None:
        items = pairs.items() if hasattr(pairs, "items") else pairs
        self.pairs = tuple(sorted((name, value) for name, value in items if value != ""))
        self._hash = hash(self.pairs)
        self._fingerprint = ""

    @classmethod
    def from_sorted(cls, pairs: tuple[tuple[str, str], ...]) -> Labels:
        """Take pairs that are already sorted and without empty values; not checked (hot paths only)."""
        self = cls.__new__(cls)
        self.pairs = pairs
        self._hash = hash(pairs)
        self._fingerprint = ""
        return self

    @property
    def fingerprint(self) -> str:
        """32 hex digits that two different sets of pairs do not share: each text goes in with its length."""
        if not self._fingerprint:
            digest = hashlib.blake2b(digest_size=16)
            for name, value in self.pairs:
                for text in (name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")):
                    digest.update(len(text).to_bytes(8, "big"))
                    digest.update(text)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def get(self, name: str, default: str = "") -> str:
        """Give the value of `name`, or `default`."""
        for key, value in self.pairs:
            if key == name:
                return value
        return default

    def with_(self, **values: str) -> Labels:
        """Give a copy in which `values` replace or add; an empty value removes."""
        return self.merged(values)

    def merged(self, values: Mapping[str, str]) -> Labels:
        """Give a copy in which `values` replace or add; an empty value removes."""
        return Labels({**dict(self.pairs), **values}) if values else self

    def without(self, names: Iterable[str]) -> Labels:
        """Give a copy without `names`."""
        gone = frozenset(names)
        return Labels.from_sorted(tuple(pair for pair in self.pairs if pair[0] not in gone))

    def only(self, names: Iterable[str]) -> Labels:
        """Give a copy with none but `names`."""
        kept = frozenset(names)
        return Labels.from_sorted(tuple(pair for pair in self.pairs if pair[0] in kept))

    def includes(self, other: Labels) -> bool:
        """Tell whether every pair of `other` is here too."""
        return all(self.get(name) == value for name, value in other.pairs)

    def as_dict(self) -> dict[str, str]:
        """Give a new plain dict."""
        return dict(self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Labels) and self.pairs == other.pairs)

    def __repr__(self) -> str:
        return f"Labels({dict(self.pairs)!r})"

    def __str__(self) -> str:
        """Write as Prometheus does: `{a="b",c="d"}`; nothing for no labels."""
        if not self.pairs:
            return ""
        inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.pairs)
        return "{" + inner + "}"


NO_LABELS = Labels()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
