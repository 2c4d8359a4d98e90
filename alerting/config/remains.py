"""What can still be read of settings that do not load, for commands that need little of them: where the state is.

Each part counts that would load by itself: a key of the file, or one of its sources. Where the text is no YAML, it is
cut at the lines that begin in the first column, as keys of settings do, and each piece is read alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alerting.config import schema as schemas
from alerting.config.documents import parse
from alerting.config.files import read_bytes, shown
from alerting.config.placed import Document, File, Map
from alerting.config.settings import Settings, settings_within
from alerting.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_STORE = "store"
_WANTED = ("external_labels", "flapping", "lookback", "sources")  # what such commands show something by, or read
_PIECE = re.compile(rb"^(?=[^\s#\]}-])", re.MULTILINE)  # where a key of the file may begin
_KEY = re.compile(rb"[\"']?(%s)[\"']?\s*:" % "|".join((_STORE, *_WANTED)).encode())
_COMMENT = re.compile(rb"^[ \t]*#.*$", re.MULTILINE)
_SCHEME = "sqlite:"  # what a place of a state begins with


def remains(path: Path, env: Mapping[str, str], cwd: Path) -> Settings | None:
    """Give what can be read of a settings file that does not load, the rest by default; None: no one place of a state.

    The default place counts only where nothing that is not understood might name another.
    """
    name = shown(path, cwd)
    try:
        data = read_bytes(path, name)
    except ConfigError:
        data = b""
    parts, rest = _parts(data, name)
    found: dict[str, list[Settings]] = {}
    for key, file, tree in parts:
        found.setdefault(key, []).extend(_loaded(key, file, tree, path, env, cwd))
    places = {each.store for each in found.get(_STORE, ())}
    if len(places) > 1 or (not places and (_STORE in found or any(_SCHEME in each for each in rest))):
        return None
    made = Settings(path=path, root=path.parent, cwd=cwd, partial=True)
    for store in places:
        made = made._replace(store=store)
    for key in _WANTED:
        for each in found.get(key, ()):
            value = getattr(each, key)
            made = made._replace(**{key: {**made.sources, **value} if key == "sources" else value})
    return made


def _parts(data: bytes, name: str) -> tuple[Sequence[tuple[str, File, Map]], Sequence[str]]:
    """Give the wanted keys, each with a mapping of it alone and the file where it stands, and what is not understood.

    A key that stands there and cannot be read has an empty mapping.
    """
    file = parse(data, name)
    if not file.problems and len(file.documents) == 1 and isinstance(tree := file.documents[0].value, Map):
        known = schemas.load("settings")["properties"]
        parts = [(key, file, _only(tree, key)) for key in (_STORE, *_WANTED) if key in tree]
        return parts, [str(value) for key, value in tree.items() if key not in known]
    parts, rest = [], []
    for piece in _PIECE.split(_COMMENT.sub(b"", data.removeprefix(b"\xef\xbb\xbf"))):
        key = match[1].decode() if (match := _KEY.match(piece)) else ""
        alone = parse(piece, name) if key else File(name, piece)
        value = alone.documents[0].value if alone.documents and not alone.problems else None
        if isinstance(value, Map) and key in value:
            parts.append((key, alone, _only(value, key)))
            continue
        rest.append(piece.decode("utf-8", "replace"))
        if key:
            parts.append((key, alone, Map()))
    return parts, rest


def _only(whole: Map, key: str) -> Map:
    """Give a mapping of one key of another."""
    part = Map({key: whole[key]})
    part.at, part.marks = whole.at, [whole.key_at(key), whole.value_at(key)]
    return part


def _loaded(key: str, file: File, tree: Map, path: Path, env: Mapping[str, str], cwd: Path) -> Iterator[Settings]:
    """Load one key by itself; sources one by one where they do not load together."""
    trees = [tree] if tree else []
    while trees:
        part = trees.pop()
        try:
            yield settings_within(File(file.name, file.data, (Document(part, part.at),)), path, env, cwd)
        except ConfigError:
            entries = part[key]
            if key == "sources" and isinstance(entries, Map) and len(entries) > 1:
                for name in reversed(entries):
                    alone = _only(part, key)
                    alone[key] = _only(entries, name)
                    trees.append(alone)
