"""Time zones by their IANA names, from the system's zone database."""

from __future__ import annotations

import os
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from alerting.core.lang.suggest import did_you_mean

if TYPE_CHECKING:
    from datetime import tzinfo

LOCAL = "Local"  # Alertmanager's name for the machine's own zone
_MACHINE = Path("/etc/localtime")


def find_zone(name: str) -> tzinfo:
    """Give a zone. Raises ValueError that says what is wrong, and what was probably meant."""
    if name == "UTC":
        return UTC  # of every machine, and without the import
    import zoneinfo  # noqa: PLC0415  15 ms: only where a window names a zone

    try:
        if name != LOCAL:
            return zoneinfo.ZoneInfo(name)
        if os.environ.get("TZ"):
            return zoneinfo.ZoneInfo(os.environ["TZ"].removeprefix(":"))
        with _MACHINE.open("rb") as file:
            return zoneinfo.ZoneInfo.from_file(file, key=LOCAL)
    except FileNotFoundError:
        return UTC  # what a machine without /etc/localtime runs on
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        return _unknown(name, ())
    except KeyError:
        return _unknown(name, zoneinfo.available_timezones())


def _unknown(name: str, known: set[str] | tuple[str, ...]) -> tzinfo:
    if not known:
        raise ValueError(f"no time zone {name!r} could be read; is the zone database (package tzdata) installed?")
    near = did_you_mean(name, known) or "write it such as Europe/Berlin"
    raise ValueError(f"no time zone {name!r}; {near}")
