"""How much memory this process could still take, as far as the system says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes that can be taken without swapping, within a container's limit; None if unknown."""
    return min((*_machine(meminfo), *_container(cgroup)), default=None)


def _machine(meminfo: Path) -> Iterator[int]:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10


def _container(cgroup: Path) -> Iterator[int]:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        statistics = (cgroup / "memory.stat").read_text().split()
    except (OSError, ValueError):  # no cgroup v2, or none with a limit
        return
    if limit == "max":
        return
    # pages of files count as used, and are given back when memory runs short
    reclaimable = int(statistics[statistics.index("inactive_file") + 1])
    yield max(int(limit) - used + reclaimable, 0)
