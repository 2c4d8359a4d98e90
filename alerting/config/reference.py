"""Tables of keys for the documentation, made from the schemas, so that they cannot tell anything else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alerting.config import schema as schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDED = {
    "string": "text",
    "boolean": "true or false",
    "number": "number",
    "integer": "whole number",
    "object": "mapping",
    "array": "list",
}


def keys_table(part: Mapping[str, Any], home: str) -> str:
    """Give a Markdown table of the keys of a schema's part; `home` is the schema that it stands in."""
    required = set(part.get("required", ()))
    lines = ["| key | what it says | form | default |", "| --- | --- | --- | --- |"]
    for key, each in part["properties"].items():
        found = {**schemas.follow(each["$ref"], home)[0], **each} if "$ref" in each else each
        default = "required" if key in required else f"`{_short(found['default'])}`" if "default" in found else ""
        cells = (f"`{key}`", found["description"], _form(found), default)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def kinds_text(home: str) -> str:
    """Give a section for each kind of source or notifier: what it is, and its keys."""
    parts = schemas.load(home)["$defs"]
    return "\n".join(
        f"### `type: {kind}`\n\n{parts[kind]['description']}\n\n{keys_table(parts[kind], home)}"
        for kind in schemas.kinds(home)
    )


def variables_table() -> str:
    """Give a Markdown table of the variables that stand in for keys."""
    lines = ["| variable | stands in for |", "| --- | --- |"]
    for group, home in (("sources", "sources"), ("receivers", "notifiers")):
        for kind in schemas.kinds(home):
            for key, each in schemas.load(home)["$defs"][kind]["properties"].items():
                if "x-env" in each:
                    lines.append(f"| `{each['x-env']}` | `{key}` of {group} with `type: {kind}` |")
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """Put fresh tables between the marks of a documentation page, `<!-- keys: rules rule -->` and `<!-- end -->`."""
    pieces = page.split("<!-- ")
    made = [pieces[0]]
    inside = False
    for piece in pieces[1:]:
        mark, _, rest = piece.partition(" -->")
        made.append(f"<!-- {mark} -->\n\n{_table(mark)}\n" if mark != "end" else f"<!-- end -->{rest}")
        inside = mark != "end"
    if inside:
        raise ValueError("a mark has no <!-- end -->")
    return "".join(made)


def _table(mark: str) -> str:
    what, _, rest = mark.partition(": ")
    if what == "variables":
        return variables_table()
    if what == "kinds":
        return kinds_text(rest)
    name, _, definition = rest.partition(" ")
    part = schemas.load(name)
    if definition:
        return keys_table(part["$defs"][definition], name)
    found = {
        key: schemas.follow(each["$ref"], name)[0] if "$ref" in each else each
        for key, each in part["properties"].items()
    }
    inner = [(key, each) for key, each in found.items() if "properties" in each]
    return "\n".join(
        [keys_table(part, name), *(f"### Keys of `{key}`\n\n{keys_table(each, name)}" for key, each in inner)]
    )


def _form(part: Mapping[str, Any]) -> str:
    """Say in a few words how a value is written."""
    if part.get("x-type") == "duration":
        return f"duration, such as `{part['examples'][0]}`"
    if "enum" in part:
        return ", ".join(f"`{each}`" for each in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kinds = [part["type"]] if "type" in part else [each["type"] for each in part["anyOf"]]
    none = ("null", part.get("not", {}).get("type"))
    names = [each for kind in kinds for each in (kind if isinstance(kind, list) else [kind]) if each not in none]
    secret = ", a secret" if part.get("writeOnly") else ""
    shown = f", such as `{_short(part['examples'][0])}`" if "examples" in part else ""
    return f"{' or '.join(_WORDED[str(each)] for each in names)}{secret}{shown}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":  # python -m alerting.config.reference docs/rules.md docs/settings.md …
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
