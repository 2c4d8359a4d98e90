"""`${NAME}`: a variable of this process's environment."""

from __future__ import annotations

import os

from alerting.errors import SecretError


def resolve(reference: str) -> str:
    """Give the variable's value, without a line end behind it. Raises SecretError when it is unset or empty."""
    value = os.environ.get(reference, "").rstrip("\r\n")
    if not value:
        state = "is empty" if reference in os.environ else "is not set"
        raise SecretError(f"environment variable {reference} {state}")
    return value
