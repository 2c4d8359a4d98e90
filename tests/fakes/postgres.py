"""A real PostgreSQL, if this machine has one: a private cluster in a temporary folder, on 127.0.0.1 alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

PASSWORD = "0wner-pw"


def missing() -> str:
    """Say why there can be none; empty: there can."""
    if not (shutil.which("initdb") and shutil.which("postgres")):
        return "PostgreSQL is not installed (Debian: apt-get install postgresql; initdb and postgres in PATH)"
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        return "PostgreSQL refuses root, and there is no user postgres"
    return ""


class Cluster:
    """One server with one superuser `owner`; ended by its process id."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="alerting-pg-"))
        self._user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(self._folder, **self._user)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, user: str = "owner", password: str = PASSWORD, database: str = "postgres") -> str:
        """The address for a user."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        data = str(self._folder / "data")
        options = ["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username=owner"]
        made = ["initdb", "-D", data, *options, f"--pwfile={secret}"]
        subprocess.run(made, cwd="/", check=True, capture_output=True, **self._user)  # type: ignore[call-overload]
        flags = ["-k", str(self._folder), "-h", "127.0.0.1", "-p", str(self.port), "-c", "fsync=off"]
        self._process = subprocess.Popen(
            ["postgres", "-D", data, *flags],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._user,  # type: ignore[arg-type]
        )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(20)
        shutil.rmtree(self._folder)

    def execute(self, *statements: str) -> None:
        """Run statements as the owner."""
        import psycopg

        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _wait(self) -> None:
        import psycopg

        for _ in range(200):
            try:
                psycopg.connect(self.dsn()).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("PostgreSQL did not come up")
