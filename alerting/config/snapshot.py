"""The last good set of rules as text, for the store: it stays in force while the files are broken."""

from __future__ import annotations

import json
import zlib
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING

from alerting.config.identity import keep_ids
from alerting.config.rules import RuleSet, compiled, recorded_by, vocabulary
from alerting.config.specs import rows_of, specs_of
from alerting.errors import ConditionError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alerting.config.settings import Settings
    from alerting.model import Patterns, RuleSpec

_FORM = 2
_MOST_BYTES = 256 * 1024 * 1024  # of rules unpacked; far more than any set has

_encoded = json.JSONEncoder(separators=(",", ":")).encode


def dump_good(ruleset: RuleSet) -> str:
    """Give a good set as text. Rules only: settings may hold secrets, and the store is found by those of now.

    It is packed to a tenth: 50,000 rules are 12 MB, which would be written, read and held as that.
    """
    packer = zlib.compressobj(1)
    lines = (f"{_encoded(row)}\n".encode() for row in rows_of(rule.spec for rule in ruleset.rules))
    packed = b"".join([*map(packer.compress, lines), packer.flush()])
    return json.dumps({"form": _FORM, "rules": b2a_base64(packed, newline=False).decode()})


def specs_in(text: str) -> list[RuleSpec]:
    """Give the rules of a set that `dump_good` gave. Raises ValueError when it is of another release or damaged."""
    try:
        kept = json.loads(text)
        if kept["form"] == _FORM:
            packed = zlib.decompressobj()
            lines = packed.decompress(a2b_base64(kept["rules"]), _MOST_BYTES).splitlines()
            if packed.eof:
                return specs_of(map(json.loads, lines))
    except (TypeError, KeyError, ValueError, zlib.error):
        pass
    raise ValueError("the last good set of rules was kept by another release, or is damaged")


def load_good(text: str, settings: Settings, patterns: Patterns) -> RuleSet:
    """Compile a set that `dump_good` gave under the settings of now. A rule that does not go with them is a problem."""
    try:
        specs = specs_in(text)
    except ValueError as error:
        return RuleSet(problems=(Problem(str(error)),))
    names = vocabulary(settings, None, recorded_by(specs))
    rules, problems = [], []
    for spec in specs:
        try:
            rules.append(compiled(spec, names, patterns, settings.lookback)[0])
        except ConditionError as error:
            problems.append(Problem(f"{spec.name}: {error}", spec.origin.file, spec.origin.line, spec.origin.column))
    return RuleSet(tuple(rules), tuple(problems), recorded_by(specs))


def with_kept_ids(ruleset: RuleSet, previous: Iterable[RuleSpec]) -> RuleSet:
    """Give rules that only moved to another file the ids that they had in the previous set."""
    before = [rule.spec for rule in ruleset.rules]
    after = keep_ids(before, previous)
    if after is before:
        return ruleset
    return ruleset._replace(
        rules=tuple(rule._replace(spec=spec) for rule, spec in zip(ruleset.rules, after, strict=True))
    )
