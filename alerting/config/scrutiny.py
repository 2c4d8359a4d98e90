"""What no schema can judge of settings: names and references that lead nowhere, secrets in the file, odd templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alerting.config.exposed import has_password, is_token, secrets_of, texts_of
from alerting.config.names import names_in, unknown
from alerting.config.references import Reference, has_bare, is_literal, parts
from alerting.config.sections import OBJECTS, SECTIONS
from alerting.errors import SecretError
from alerting.registry import notifier_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerting.config.noted import Noted
    from alerting.model import Section


def names(receivers: Mapping[str, Section], canary: str | None, noted: Noted) -> None:
    """Note receivers that others refer to and that are not there."""
    if canary is not None and canary not in receivers:
        noted.at(("canary", "receiver"), f"no receiver {canary!r}", hint=unknown(canary, "receivers", receivers))
    for receiver, section in receivers.items():
        path = ("receivers", receiver, "fallback")
        for name in names_in(section.values.get("fallback", ())):
            if name == receiver:
                noted.at(path, f"{name!r} cannot be its own fallback", hint="name another receiver")
            elif name not in receivers:
                noted.at(path, f"no receiver {name!r}", hint=unknown(name, "receivers", receivers))


def kinds(receivers: Mapping[str, Section], noted: Noted) -> None:
    """Note what each kind of receiver has against its own section, such as templates that cannot be rendered."""
    for name, each in receivers.items():
        for path, message in notifier_problems(each):
            noted.at(("receivers", name, *path), message)


def references(tree: Mapping[str, Any], noted: Noted) -> None:
    """Warn of references that lead nowhere, as far as nobody need be asked."""
    for path, text in texts_of({key: tree.get(key) for key in (*SECTIONS, *OBJECTS)}):
        try:
            found = [each for each in parts(text) if isinstance(each, Reference)]
        except ValueError:
            continue  # said where the section was made
        for each in found:
            try:
                each.look()
            except SecretError as error:
                noted.at(path, str(error), hint="what needs it will not work until it is set", warning=True)
        if has_bare(text):
            hint = "write ${NAME} for a variable, $$ for a plain dollar sign"
            noted.at(path, "`$` without braces stays as it is", hint=hint, warning=True)


def secrets(tree: Mapping[str, Any], noted: Noted) -> None:
    """Warn of secrets that stand in the file itself."""
    secret_keys = {path for path, _ in secrets_of(tree)}
    for path, text in texts_of(tree):
        if is_token(text) or (path in secret_keys and is_literal(text)):
            hint = f"write ${{NAME}} and set NAME in the environment, or ${{file:/run/secrets/{path[-1]}}}"
            noted.at(path, f"{str(path[-1])!r} looks like a secret in the file itself", hint=hint, warning=True)
        if has_password(text):
            hint = f"write ${{NAME}} in its place{'' if path[-1] == 'dsn' else ', or use `headers`'}"
            noted.at(path, f"{str(path[-1])!r} has a password in the file itself", hint=hint, warning=True)
