"""What the YAML parser did not understand, in words for who wrote it."""

from __future__ import annotations

TEMPLATE = "put quotes around the whole of a text that begins with {{"
COMMENT = "`#` begins a comment; put quotes around a text that begins with it"

_UNCLOSED = ("expected node content", "expected ',' or '}'", "expected ',' or ']'")

# A part of the parser's message -> what to say, and what to do.
_EXPLAINED = (
    (
        "mapping values are not allowed",
        "a ':' is not expected here",
        "check the indentation; put quotes around a text that holds ': '",
    ),
    (
        "cannot start any token",
        "this character cannot begin a value",
        "put quotes around the text; indent with spaces, not tabs",
    ),
    ("unexpected end of stream", "a quote is opened and not closed", "close it"),
    ("unexpected document", "a quote is opened and not closed before the document ends", "close it"),
    ("could not find expected ':'", "a key without its ':'", "write `key: value`"),
    ("unknown escape", "an unknown escape in double quotes", "use single quotes, or double the backslash"),
    (
        "did not find expected key",
        "a key is expected here",
        "check the indentation; put quotes around the whole of a text that begins with a quote",
    ),
    (
        "did not find expected ',' or ']'",
        "a list in [ ] goes on without ',' or does not end",
        "put quotes around a text that begins with [",
    ),
    (
        "did not find expected ',' or '}'",
        "a mapping in { } goes on without ',' or does not end",
        "put quotes around a text that holds { or }",
    ),
    (
        "expected comment or line break",
        "`>` and `|` begin a block of text here",
        "put quotes around the whole of a text that begins with a quote, { or [",
    ),
    ("did not find expected '-'", "a list item is expected here", "check the indentation"),
    (
        "did not find expected <document start>",
        "the value before this has ended",
        "put quotes around the whole of a text that begins with { or [ or a quote",
    ),
)


def explained(said: str, line: str, column: int, above: str = "") -> tuple[str, str]:
    """Put the parser's message about a place (column from 0) into our words: message and hint.

    `above` is the line before, where a bracket may have been opened that a comment swallowed the end of.
    The parser's own texts quote nothing of the file, so one that is not in the table may be repeated.
    """
    before = line[:column]
    if before.endswith("$") and line[column : column + 1] == "{":
        return "`${` begins a mapping here", 'put quotes around it: "${NAME}"'
    if ": {{" in before:
        return "`{{` begins a mapping here", TEMPLATE
    if "\t" in before and not before.strip():
        return "a tab indents this line", "indent with spaces"
    if line[column : column + 1] == "\t" and not before.strip():
        return "a tab indents this line", "indent with spaces"
    if any(each in said for each in _UNCLOSED) and ": #" in above and ("{" in above or "[" in above):
        return "the { or [ in the line above is not closed", COMMENT
    for part, message, hint in _EXPLAINED:
        if part in said:
            return message, hint
    return f"is not YAML: {said or 'it cannot be read'}", ""
