"""A local server in a process of its own, so that what it costs is not counted with what is measured."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


async def serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    """Serve on a free port of loopback, print its number, never end. For `python -m MODULE serve`."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def served(module: str) -> Iterator[str]:
    """Run `python -m MODULE serve`; give its address."""
    line, home = [sys.executable, "-m", module, "serve"], Path(__file__).parents[2]
    with subprocess.Popen(line, cwd=home, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()
