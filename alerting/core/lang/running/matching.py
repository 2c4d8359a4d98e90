"""Binary operators between two vectors: how their series are paired, and what is unknown when one is missing.

Its law for `and`, `or`, `unless`: three truth values. A series that a gap may hide is neither there nor not
there, so what depends on it becomes a gap too; what does not depend on it is decided all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.lang.running.values import NAME, Projection, mistyped, named
from alerting.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.core.lang.running.values import Entry, Moment, Vector, VectorOf
    from alerting.core.lang.tree import Matching
    from alerting.model import Gap, Labels, Millis, Value


class Keys:
    """The part of the labels by which two sides are paired; the metric's name only where `on` names it."""

    __slots__ = ("_named", "project")

    def __init__(self, matching: Matching | None) -> None:
        on = matching is not None and matching.on
        self.project = Projection(matching.labels if matching else (), only=on)
        self._named = on and matching is not None and NAME in matching.labels

    def of(self, entry: Entry) -> object:
        """Give the key of an entry."""
        key = self.project.of(entry[0])
        return (key, entry[2]) if self._named else key

    def may_hide(self, gap: Gap, entry: Entry) -> bool:
        """Tell whether the series missing by `gap` could have the key of `entry`."""
        return self.project.of(entry[0]).includes(self.project.of(gap.labels))


def and_(left: VectorOf, right: VectorOf, keys: Keys) -> VectorOf:
    """`left and right`: the series of the left that have a partner on the right."""

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        ours = left(m, t)
        middle = len(m.gaps)
        if not ours and middle == mark:
            return ours
        theirs = right(m, t)
        m.spend(2 * (len(ours) + len(theirs)))
        there = {keys.of(entry) for entry in theirs}
        found = [entry for entry in ours if keys.of(entry) in there] if there else []
        if len(m.gaps) > mark:
            _and_gaps(m, mark, middle, ours, theirs, keys, there)
        return found

    return run


def _and_gaps(  # noqa: PLR0917  both sides, and what is known of each
    m: Moment, mark: int, middle: int, ours: Vector, theirs: Vector, keys: Keys, there: set[object]
) -> None:
    left_gaps, right_gaps = m.gaps[mark:middle], m.gaps[middle:]
    kept = [
        gap
        for gap in left_gaps  # false when nothing on the right can be its partner, known or not
        if right_gaps or any(keys.may_hide(gap, entry) for entry in theirs)
    ]
    for entry in ours:
        if keys.of(entry) not in there:
            kept += [gap._replace(labels=entry[0]) for gap in right_gaps if keys.may_hide(gap, entry)]
    m.gaps[mark:] = kept


def or_(left: VectorOf, right: VectorOf, keys: Keys) -> VectorOf:
    """`left or right`: all of the left, and those of the right that have no partner there. Gaps of both stay."""

    def run(m: Moment, t: Millis) -> Vector:
        ours, theirs = left(m, t), right(m, t)
        if not ours or not theirs:
            return ours or theirs
        m.spend(2 * (len(ours) + len(theirs)))
        there = {keys.of(entry) for entry in ours}
        return [*ours, *(entry for entry in theirs if keys.of(entry) not in there)]

    return run


def unless(left: VectorOf, right: VectorOf, keys: Keys) -> VectorOf:
    """`left unless right`: the series of the left that have no partner; where that is unknown, so are they."""

    def run(m: Moment, t: Millis) -> Vector:
        ours = left(m, t)
        middle = len(m.gaps)
        if not ours:
            return ours
        theirs = [] if m.wide else right(m, t)  # judging: what the left looks at is what counts
        m.spend(2 * (len(ours) + len(theirs)))
        there = {keys.of(entry) for entry in theirs}
        found = [entry for entry in ours if keys.of(entry) not in there] if there else ours
        if len(m.gaps) > middle:
            right_gaps = m.gaps[middle:]
            del m.gaps[middle:]
            decided = []
            for entry in found:
                hidden = [gap for gap in right_gaps if keys.may_hide(gap, entry)]
                m.gaps += [gap._replace(labels=entry[0]) for gap in hidden]
                if not hidden:
                    decided.append(entry)
            found = decided
        return found

    return run


def paired(
    left: VectorOf,
    right: VectorOf,
    matching: Matching | None,
    operate: Callable[[Value, Value], Value | bool],
    *,
    compares: bool,
    bool_: bool,
) -> VectorOf:
    """Arithmetic or comparison between vectors. Raises EvaluationError when labels do not pair as they must."""
    keys = Keys(matching)
    group = matching.group if matching else ""
    include = matching.include if matching else ()
    result = _result_labels(matching, include, keys)
    drops = bool_ or not compares

    def run(m: Moment, t: Millis) -> Vector:
        mark = len(m.gaps)
        lefts, rights = left(m, t), right(m, t)
        if len(m.gaps) > mark:
            m.gaps[mark:] = [_hidden(gap, keys, group, include) for gap in m.gaps[mark:]]
        if not lefts or not rights:
            return []
        m.spend(4 * (len(lefts) + len(rights)))
        many, ones = (rights, lefts) if group == "right" else (lefts, rights)
        partners = _partners(ones, keys, "left" if group == "right" else "right")
        found: Vector = []
        seen: set[object] = set()
        for entry in many:
            key = keys.of(entry)
            partner = partners.get(key)
            if partner is None:
                continue
            if not group:  # an error even where the comparison would have filtered one of the two
                if key in seen:
                    raise EvaluationError(_TWICE)
                seen.add(key)
            first, second = (partner, entry) if group == "right" else (entry, partner)
            try:
                value = operate(first[1], second[1])
            except TypeError:
                m.gaps.append(_wrong(first, second))
                continue
            if bool_:
                value = 1.0 if value else 0.0
            elif compares:
                if not value and not m.wide:
                    continue
                value = first[1]
            labels, name = result(entry, partner)
            if group:
                if (labels, name) in seen:
                    raise EvaluationError(_TWICE_GROUPED)
                seen.add((labels, name))
            found.append((labels, value, name, drops or entry[3]))
        return found

    return run


_TWICE = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
_TWICE_GROUPED = "multiple matches for labels: grouping labels must ensure unique matches"


def _partners(ones: Vector, keys: Keys, side: str) -> dict[object, Entry]:
    partners: dict[object, Entry] = {}
    for entry in ones:
        key = keys.of(entry)
        if key in partners:
            group = keys.project.of(entry[0])
            both = f"{named(partners[key][0], partners[key][2])}, {named(entry[0], entry[2])}"
            raise EvaluationError(
                f"found duplicate series for the match group {group or '{}'} on the {side} hand-side of the operation: "
                f"[{both}];many-to-many matching not allowed: matching labels must be unique on one side"
            )
        partners[key] = entry
    return partners


def _result_labels(
    matching: Matching | None, include: tuple[str, ...], keys: Keys
) -> Callable[[Entry, Entry], tuple[Labels, str]]:
    """Make the function that gives the labels and name of a result from the many and the one side."""
    if matching is None or not matching.group:
        if matching is None or not (matching.on or matching.labels):
            return lambda entry, _: (entry[0], entry[2])
        if matching.on is (NAME in matching.labels):
            return lambda entry, _: (keys.project.of(entry[0]), entry[2])
        return lambda entry, _: (keys.project.of(entry[0]), "")
    plain = tuple(name for name in include if name != NAME)

    def grouped(entry: Entry, partner: Entry) -> tuple[Labels, str]:
        labels = entry[0]
        if plain:
            labels = labels.merged({name: partner[0].get(name) for name in plain})
        return labels, partner[2] if NAME in include else entry[2]

    return grouped


def _hidden(gap: Gap, keys: Keys, group: str, include: tuple[str, ...]) -> Gap:
    """Say which results a missing series of either side leaves out: at most its key is sure to be there."""
    if not gap.labels:
        return gap
    labels = keys.project.of(gap.labels)
    return gap._replace(labels=labels.without(include) if group and include else labels)


def _wrong(left: Entry, right: Entry) -> Gap:
    """Say which side is a text where the other is a number."""
    text, other = (left, right) if isinstance(left[1], str) else (right, left)
    if isinstance(other[1], str):
        return mistyped(text[0], text[2], text[1])
    where = named(other[0], other[2])
    return mistyped(text[0], text[2], text[1], wanted=f"a number like {where}")
