"""Did you mean: the nearest known word to one that is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST = 64  # characters; nobody mistypes a name longer than that only slightly
_SHORTEST_PART = 3  # characters of a part that says something


def distance(left: str, right: str) -> int:
    """Count the letters to insert, delete, replace or swap with their neighbour to turn one word into the other."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left):
        older, before = before, row
        row = [i + 1]
        for j, b in enumerate(right):
            cost = min(before[j] + (a != b), before[j + 1] + 1, row[j] + 1)
            if i and j and a == right[j - 1] and left[i - 1] == b:
                cost = min(cost, older[j - 1] + 1)
            row.append(cost)
    return row[-1]


def closest(word: str, known: Iterable[str], limit: int = 3) -> Sequence[str]:
    """Give the known words that `word` may stand for, nearest first: at most one slip in three letters."""
    if not word or len(word) > _LONGEST:
        return ()
    lowered = word.lower()
    allowed = max(1, len(word) // 3)
    found: list[tuple[int, str]] = []
    for candidate in sorted(set(known)):
        if abs(len(candidate) - len(word)) > allowed or candidate == word:
            continue
        slips = distance(lowered, candidate.lower())
        if slips <= allowed:
            found.append((slips, candidate))
    return [candidate for _, candidate in sorted(found)[:limit]]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give `did you mean x or y?`: the nearest words, else those that have it as a part; nothing when none does."""
    words = sorted(set(known))
    near = closest(word, words) or _with_part(word, words)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _with_part(word: str, known: Sequence[str], limit: int = 3) -> Sequence[str]:
    """Give the words that begin or go on with this one: `memory` is a part of `memory_usage`."""
    if len(word) < _SHORTEST_PART:
        return ()
    found = [each for each in known if word.lower() in each.lower().replace(".", "_").replace("-", "_").split("_")]
    return found[:limit]
