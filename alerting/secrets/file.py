"""`${file:/run/secrets/NAME}`: what stands in a file, as container platforms mount secrets."""

from __future__ import annotations

import os
import stat

from alerting.errors import SecretError

_MOST_BYTES = 64 * 1024


def resolve(reference: str) -> str:
    """Give the file's text, without line ends behind it. Raises SecretError; a pipe or device never blocks."""
    if not reference.startswith("/"):
        raise SecretError(f"secret file {reference!r}: write a path that begins with /")
    try:
        handle = os.open(reference, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise SecretError(f"secret file {reference} is not a regular file")
            with open(handle, "rb", closefd=False) as file:
                data = file.read(_MOST_BYTES + 1)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "this is no name of a file"
        raise SecretError(f"secret file {reference} cannot be read: {reason}") from None
    if len(data) > _MOST_BYTES:
        raise SecretError(f"secret file {reference} is larger than {_MOST_BYTES // 1024} KiB")
    try:
        value = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretError(f"secret file {reference} is not UTF-8") from None
    if not value:
        raise SecretError(f"secret file {reference} is empty")
    return value
