"""Finding the processes of a Ray cluster that this process has started, and ending those only."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def actors_at_work() -> list[int]:
    """Process ids of actors that are at a chunk, in a cluster that this process started."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _is_actor_of_ours(path)]


def _is_actor_of_ours(process: Path) -> bool:
    try:
        if not (process / "cmdline").read_bytes().startswith(b"ray::Actor.explain"):
            return False
        return os.getpid() in list(_ancestors(process))
    except (OSError, IndexError):  # it has ended meanwhile
        return False


def _ancestors(process: Path) -> Iterator[int]:
    parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    while parent > 1:
        yield parent
        parent = int((process.parent / str(parent) / "stat").read_text().rpartition(")")[2].split()[1])


def family(process: int) -> list[int]:
    """A process and all that it has started."""
    found = [process]
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            if process in list(_ancestors(path)):
                found.append(int(path.name))
    return found


def kill(processes: list[int], with_signal: signal.Signals = signal.SIGKILL) -> None:
    """Signal processes; those that have ended are passed over."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, with_signal)
