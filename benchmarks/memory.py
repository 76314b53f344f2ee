"""How much memory this process has taken; it needs nothing but Python."""

from __future__ import annotations

import re
from pathlib import Path

KB_A_MB = 1024


def peak_mb() -> float:
    """Peak resident memory of this process in MB; not a number where there is no /proc.

    Not getrusage: on Linux its peak of a new process begins with that of its parent.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return float("nan")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found.group(1)) / KB_A_MB if found else float("nan")
