"""What can still be read of settings that do not load, for commands that need little of them: where the state is.

Each part counts that would load by itself: a key of the file, or one of its sources. Where the text is no YAML, it is
cut at the lines that begin in the first column, as keys of settings do, and each piece is read alone.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from alerting.config import schema as schemas
from alerting.config.documents import parse
from alerting.config.exposed import texts_of
from alerting.config.files import read_bytes, shown
from alerting.config.placed import Document, File, Map
from alerting.config.settings import Settings, settings_within
from alerting.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from alerting.config.placed import At
    from alerting.config.sections import Steps

_STORE, _SOURCES = "store", "sources"
_SHOWN = ("external_labels", "flapping", "lookback")  # what such commands show something by
_WANTED = (_STORE, _SOURCES, *_SHOWN)
_PIECE = re.compile(rb"^(?=[^\s#\]}-])", re.MULTILINE)  # where a key of the file may begin
_KEY = re.compile(rb"[\"']?(%s)[\"']?\s*:" % "|".join(_WANTED).encode())
_COMMENT = re.compile(rb"^[ \t]*#.*$", re.MULTILINE)
_SCHEME = "sqlite:"  # what a place of a state begins with
_MOST = 100  # pieces that are read; no file that people mend has as many


class _Part(NamedTuple):
    """One key of the settings, as the only one of a mapping."""

    key: str
    file: File
    tree: Map  # empty: the key stands there and cannot be read


def remains(path: Path, env: Mapping[str, str], cwd: Path) -> Settings | None:
    """Give what can be read of a settings file that does not load, the rest by default; None: no one place of a state.

    The default place counts only where nothing that is not understood might name another.
    """
    name = shown(path, cwd)
    try:
        data = read_bytes(path, name)
    except ConfigError:
        data = b""

    def load(part: _Part) -> Settings:
        document = Document(part.tree, part.tree.at)
        return settings_within(File(name, part.file.data, (document,)), path, env, cwd)

    parts, rest = _parts(data, name)
    found: dict[str, list[Settings]] = {}
    for each in parts:
        found.setdefault(each.key, []).extend(_loaded(each, load))
    places = {each.store for each in found.get(_STORE, ())}
    unread = sum(each.key == _STORE for each in parts) > len(found.get(_STORE, ()))
    if unread or len(places) > 1 or (not places and any(_SCHEME in each for each in rest)):
        return None
    base = load(_Part("", File(name, b""), _map(0)))
    labels, flapping, lookback = (next(iter(found.get(key, ())), base) for key in _SHOWN)
    sources = found.get(_SOURCES, [base])
    return base._replace(
        store=next(iter(places), base.store),
        external_labels=labels.external_labels,
        flapping=flapping.flapping,
        lookback=lookback.lookback,
        sources={entry: section for each in sources for entry, section in each.sources.items()},
        warnings=(),
        partial=True,
    )


def _parts(data: bytes, name: str) -> tuple[Sequence[_Part], Sequence[str]]:
    """Give the keys that are wanted, as far as they are there, and the text of what is not understood."""
    file = parse(data, name)
    if not file.problems and len(file.documents) == 1 and isinstance(tree := file.documents[0].value, Map):
        known = schemas.load("settings")["properties"]
        parts = [_Part(key, file, _only(tree, key)) for key in _WANTED if key in tree]
        return parts, [text for path, text in texts_of(tree) if path[0] not in known or _is_stray(path)]
    parts, rest = [], []
    for piece in _PIECE.split(_COMMENT.sub(b"", data.removeprefix(b"\xef\xbb\xbf"))):
        key = match[1].decode() if len(parts) < _MOST and (match := _KEY.match(piece)) else ""
        alone = parse(piece, name) if key else File(name, piece)
        value = alone.documents[0].value if alone.documents and not alone.problems else None
        if isinstance(value, Map) and key in value:
            parts.append(_Part(key, alone, _only(value, key)))
            rest += [text for path, text in texts_of(value) if _is_stray(path)]
            continue
        rest.append(piece.decode("utf-8", "replace"))
        if key:
            parts.append(_Part(key, alone, _map(0)))
    return parts, rest


def _is_stray(path: Steps) -> bool:
    """Tell whether this is a `store` that stands too deep, as under a key before it."""
    return len(path) > 1 and path[-1] == _STORE


def _loaded(part: _Part, load: Callable[[_Part], Settings]) -> Iterator[Settings]:
    """Load a key by itself; the sources one by one where they do not load together."""
    if not part.tree:
        return
    try:
        yield load(part)
    except ConfigError:
        entries = part.tree[part.key]
        if part.key != _SOURCES or not isinstance(entries, Map):
            return
        for name in entries:
            alone = _only(part.tree, part.key)
            alone[part.key] = _only(entries, name)
            with suppress(ConfigError):
                yield load(part._replace(tree=alone))


def _only(whole: Map, key: str) -> Map:
    """Give a mapping of one key of another."""
    part = _map(whole.at)
    part[key] = whole[key]
    part.marks += (whole.key_at(key), whole.value_at(key))
    return part


def _map(at: At) -> Map:
    made = Map()
    made.at, made.marks = at, []
    return made
