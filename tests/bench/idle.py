"""What an idle daemon takes, four rules at 30 s: `python -m tests.bench.idle [SECONDS]`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.bench.pairs import process
from tests.whole.scene import Scene


def main() -> None:
    """Print CPU as a share of one core, and resident memory."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 90
    with tempfile.TemporaryDirectory(prefix="alerting-bench-") as name, Scene(Path(name)) as scene:
        with scene.daemon() as daemon:
            daemon.ready()
            time.sleep(5)
            before, _ = process(daemon.process.pid)
            began = time.monotonic()
            time.sleep(seconds)
            after, resident = process(daemon.process.pid)
            share = 100 * (after - before) / (time.monotonic() - began)
        print("idle daemon, 4 rules at 30 s (aims: 0.5 % of a core, 80 MiB):")
        print(f"  {share:.2f} % of a core over {seconds} s, {resident:.0f} MiB resident", flush=True)


if __name__ == "__main__":
    main()
