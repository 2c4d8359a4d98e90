"""YAML text to values that know where they stand, within limits.

The law: nothing is guessed. Only `true`/`false`, `null`/`~` and numbers as JSON writes them are more than text;
what YAML versions read differently (`no`, `012`, `1:30`, `0o7`, `1_000`) stays the text that was written, so the
schema refuses it where a number or a truth value belongs. Duplicate keys and tags are errors. Anchors, aliases
and merge keys work, but count as what they expand to. Values are built from the parser's events (libyaml's where
PyYAML has it), never by a constructor that could run code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from alerting.config.collector import paused
from alerting.config.encoding import refused
from alerting.config.files import MOST_BYTES, too_large
from alerting.config.placed import COLUMN_BITS, At, Document, File, Map, Seq, Value, place, position
from alerting.config.scalars import TYPED_START, typed
from alerting.config.syntax import TEMPLATE, explained
from alerting.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable


MOST_NODES = 400_000  # values and keys, aliases counted as what they expand to
MOST_LEVELS = 64
MOST_PROBLEMS = 200  # in one file; whoever has more mends these first

_MOST_ANCHORS = 10_000  # in one document
_LONGEST_TEXT = 64 * 1024  # characters of one scalar; conditions are limited to that too
_STR_TAG = "tag:yaml.org,2002:str"
_QUOTE = "put quotes around a text that begins with ! or *"
_TOO_MANY = f"holds more than {MOST_NODES} values up to here, aliases counted as what they expand to"
_NODE_EVENTS = frozenset(
    (ScalarEvent, AliasEvent, MappingStartEvent, MappingEndEvent, SequenceStartEvent, SequenceEndEvent)
)


def parse(data: bytes, name: str) -> File:
    """Read all documents of a text. What is wrong stands in `problems`; nothing is raised."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    unreadable = _unreadable(File(name, data))
    if unreadable:
        return File(name, data, problems=(unreadable,))
    builder = _Builder(File(name, data))
    try:
        with paused():
            builder.run(_events(data))
    except yaml.YAMLError as error:
        builder.problems.append(_syntax(builder.file, error))
    except _Stop as error:
        builder.problems.append(error.problem)
    documents = builder.documents()
    if not documents and not builder.problems:
        builder.problems.append(Problem("holds nothing", name, 1, hint="write a rule or settings, or remove the file"))
    return File(name, data, documents, tuple(builder.problems))


def _unreadable(file: File) -> Problem | None:
    """Find what makes a text no text, before the parser sees it."""
    if len(file.data) > MOST_BYTES:
        return too_large(file.name)
    found = refused(file.data)
    return found and file.problem(found.message, _byte_at(file.data, found.offset), hint=found.hint)


def _byte_at(data: bytes, index: int) -> At:
    start = data.rfind(b"\n", 0, index) + 1
    return position(data.count(b"\n", 0, index), len(data[start:index].decode("utf-8", "replace")))


def _events(data: bytes) -> Callable[[], Any]:
    """Give the function that gives the next event: libyaml's parser, or PyYAML's own where that is absent."""
    try:
        from yaml._yaml import CParser  # noqa: PLC0415  absent where PyYAML was built without libyaml
    except ImportError:
        return python_events(data)
    following: Callable[[], Any] = CParser(data).get_event
    return following


def python_events(data: bytes) -> Callable[[], Any]:
    """Give the function that gives the next event, in pure Python."""
    loader = yaml.BaseLoader(data)
    following: Callable[[], Any] = loader.get_event
    return following


class _Stop(Exception):  # noqa: N818  not an error of anybody: the reading ends here
    """One problem after which the rest of a file is not read."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


class _Open(NamedTuple):
    """A collection that is being read: what stands outside it, to go on with when it ends."""

    items: list[Value]
    marks: list[At]
    in_map: bool
    at: At
    before: int  # nodes read before it
    anchor: str | None


class _Builder:
    """Turns events into values; keeps its own stack, so that no nesting can exhaust Python's."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.values: list[Value] = []  # of the documents that ended
        self.marks: list[At] = []
        self.anchors: dict[str, tuple[Value, int]] = {}  # value, and how many nodes it is
        self.keys: dict[str, str] = {}  # each key once: rule files repeat few

    def run(self, following: Callable[[], Any]) -> None:
        """Read all events. Raises _Stop where a limit is passed, and what the parser raises."""
        stack: list[_Open] = []
        items, marks = self.values, self.marks  # of the innermost collection; in a mapping keys and values take turns
        in_map = False
        nodes = 0
        while (event := following()) is not None:
            kind = event.__class__
            if kind not in _NODE_EVENTS:
                if kind is DocumentStartEvent:
                    self.anchors.clear()
                    nodes += 1
                continue
            mark = event.start_mark
            at = mark.line << COLUMN_BITS | mark.column
            if kind is ScalarEvent:
                value: Value = event.value
                if len(value) > _LONGEST_TEXT:
                    raise _Stop(self.file.problem(f"a text longer than {_LONGEST_TEXT} characters begins here", at))
                if event.anchor is not None or event.tag is not None:
                    value = self._decorated(event, at)
                elif (
                    (not value or value[0] in TYPED_START) and event.implicit[0] and not (in_map and not len(items) & 1)
                ):
                    value = typed(value)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                value = self._mapping(items, marks) if in_map else Seq(items)
                value.marks = marks
                items, marks, in_map, value.at, before, anchor = stack.pop()
                at = value.at
                if anchor is not None:
                    self._anchor(anchor, value, nodes - before, at)
            elif kind is AliasEvent:
                value, weight = self._alias(event.anchor, at)
                nodes += weight
            else:
                if event.tag is not None:
                    self._tag(at)
                if len(stack) == MOST_LEVELS:
                    raise _Stop(self.file.problem(f"is nested deeper than {MOST_LEVELS} levels", at))
                stack.append(_Open(items, marks, in_map, at, nodes, event.anchor))
                items, marks, in_map = [], [], kind is MappingStartEvent
                continue
            items.append(value)
            marks.append(at)
            nodes += 1
            if nodes > MOST_NODES:
                raise _Stop(self.file.problem(_TOO_MANY, at))

    def documents(self) -> tuple[Document, ...]:
        """Give the documents that were read whole; those without a value are none."""
        both = zip(self.values, self.marks, strict=True)
        return tuple(Document(value, at) for value, at in both if value is not None)

    def _mapping(self, items: list[Value], marks: list[At]) -> Map:
        """Make the mapping of keys and values in turn; report keys that are no texts or stand there twice."""
        shared = self.keys
        try:
            made = Map(zip([shared.setdefault(key, key) for key in items[::2]], items[1::2], strict=True))
        except TypeError:
            made = Map()
        if 2 * len(made) == len(items) and "<<" not in made:
            return made
        made.clear()
        kept: list[At] = []
        for index in range(0, len(items), 2):
            key, at = items[index], marks[index]
            if not isinstance(key, str):
                line, column = place(at)
                template = self.file.line(line - 1)[:column].endswith("{{")
                self._report("a key must be a plain text", at, hint=TEMPLATE if template else "")
            elif key in made:
                line = place(kept[2 * list(made).index(key)])[0]
                self._report(
                    f"key {key!r} stands here again", at, hint=f"it stands in line {line} already", width=len(key)
                )
            else:
                made[key] = items[index + 1]
                kept += (at, marks[index + 1])
        if "<<" in made:
            self._merge(made, kept)
        marks[:] = kept
        return made

    def _merge(self, made: Map, marks: list[At]) -> None:
        """Put in what the merge key `<<` names, for keys that are not there."""
        index = list(made).index("<<")
        at = marks[2 * index + 1]
        del marks[2 * index : 2 * index + 2]
        merged = made.pop("<<")
        for each in merged if isinstance(merged, Seq) else [merged]:
            if not isinstance(each, Map):
                self._report("`<<` merges mappings, this is none", at)
                continue
            for key, value in each.items():
                if key not in made:
                    made[key] = value
                    marks += (at, at)

    def _decorated(self, event: Any, at: At) -> Value:
        """Read a scalar that has an anchor or a tag."""
        value: Value = event.value
        if event.tag is None:
            value = typed(value) if event.implicit[0] else value
        elif event.tag not in ("!", _STR_TAG):
            self._tag(at)
        if event.anchor is not None:
            self._anchor(event.anchor, value, 1, at)
        return value

    def _anchor(self, name: str, value: Value, weight: int, at: At) -> None:
        if len(self.anchors) == _MOST_ANCHORS:
            raise _Stop(self.file.problem(f"has more than {_MOST_ANCHORS} anchors", at))
        self.anchors[name] = (value, weight)

    def _alias(self, name: str, at: At) -> tuple[Value, int]:
        if name not in self.anchors:
            raise _Stop(self.file.problem("this alias has no anchor that ended before it", at, hint=_QUOTE))
        return self.anchors[name]

    def _tag(self, at: At) -> None:
        self._report("a tag stands here, and tags are not taken", at, hint=_QUOTE)

    def _report(self, message: str, at: At, *, hint: str = "", width: int = 1) -> None:
        self.problems.append(self.file.problem(message, at, hint=hint, width=width))
        if len(self.problems) >= MOST_PROBLEMS:
            raise _Stop(self.file.problem("has more problems than are listed", at))


def _syntax(file: File, error: yaml.YAMLError) -> Problem:
    said = str(getattr(error, "problem", "") or "")
    marks = [getattr(error, "problem_mark", None), getattr(error, "context_mark", None)]
    mark = next((each for each in (reversed(marks) if "unexpected" in said else marks) if each is not None), None)
    line, column = (mark.line, mark.column) if mark else (0, 0)
    above = next((each for at in range(line - 1, -1, -1) if (each := file.line(at)).strip()), "")
    message, hint = explained(said, file.line(line), column, above)
    return file.problem(message, position(line, column), hint=hint)
