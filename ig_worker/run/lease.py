"""Who drives a run: an advisory lease, so that two drivers do not do one night's work twice.

RUN/driver.json holds the driver's name and a counter that it raises every few seconds. Whoever finds one watches the
counter by its own monotonic clock, since clocks of two machines differ and jump: while it moves, its driver is alive;
when it has stood still for long enough, its driver is dead. Object stores offer no conditional write here, so two
drivers that start in the same second may both go on until the next beat. Nothing is lost by that: commits are
idempotent, and the driver that finds another's name in the file stops.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

from ig_worker.errors import RunStoppedError, StorageError, UsageError
from ig_worker.run.storage import Storage

log = logging.getLogger(__name__)

LEASE = "driver.json"
BEAT_S = 4.0
PATIENCE_S = 20.0  # a counter that stood still for so long is a dead driver's


@dataclass(frozen=True)
class Mark:
    """What a driver writes into the lease."""

    driver: str  # drawn at its start
    host: str  # for people
    machine: str  # boot and process namespace: where a process id means the same process
    process: int
    born: int  # of the process, in clock ticks since boot: ids are used again
    beat: int = 0

    @classmethod
    def own(cls) -> Mark:
        """Of this process."""
        process = os.getpid()
        return cls(secrets.token_hex(8), socket.gethostname(), _machine(), process, _born(process))

    @classmethod
    def parse(cls, data: bytes) -> Mark | None:
        """The mark in a file; None where it holds none."""
        try:
            content = json.loads(data)
            return cls(**{name: content[name] for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class Verdict(Enum):
    """What to do about the mark of another driver."""

    TAKE = "take"  # its driver has ended
    REFUSE = "refuse"  # its driver is alive
    WATCH = "watch"


def judge(first: Mark, now: Mark | None, waited: float, *, machine: str, alive: Callable[[Mark], bool]) -> Verdict:
    """Whether the driver of a mark is alive.

    Args:
        first: the mark as it was found.
        now: the mark as it is now; None where it has gone.
        waited: seconds between the two, by one clock.
        machine: this process's.
        alive: whether the process of a mark of this machine is there.
    """
    if now is None:
        return Verdict.TAKE
    if machine and now.machine == machine:  # no need to guess
        return Verdict.REFUSE if alive(now) else Verdict.TAKE
    if (now.driver, now.beat) != (first.driver, first.beat):
        return Verdict.REFUSE
    return Verdict.TAKE if waited >= PATIENCE_S else Verdict.WATCH


class Lease:
    """The lease of a run.

    Args:
        storage: of the run.
        beat_s: seconds between two beats.
    """

    def __init__(self, storage: Storage, beat_s: float = BEAT_S) -> None:
        self._storage = storage
        self._beat_s = beat_s
        self._mark = Mark.own()
        self._lost: Mark | None = None
        self._ended = threading.Event()

    @property
    def driver(self) -> str:
        """Name of this start of the run."""
        return self._mark.driver

    @contextmanager
    def held(self, waiting: Callable[[str], None] = lambda _: None) -> Iterator[Lease]:
        """Hold the lease; it is given back at the end, whatever that is.

        Args:
            waiting: told, in words, while it is not clear whether another driver is alive.

        Raises:
            UsageError: another driver is at work on this run.
        """
        self._acquire(waiting)
        thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join(timeout=2 * self._beat_s)
            if self._lost is None:
                try:
                    self._storage.delete(LEASE)
                except StorageError as error:
                    log.warning("the lease could not be given back: %s", error)

    def check(self) -> None:
        """Raise RunStoppedError once another driver has taken the run over."""
        if self._lost is not None:
            raise RunStoppedError(
                f"another driver ({self._lost}) has taken this run over",
                remedy="let it work; jobs.status shows how far it is",
            )

    def _acquire(self, waiting: Callable[[str], None]) -> None:
        first, begun = self._read(), time.monotonic()
        while first is not None:
            now = self._read()
            verdict = judge(first, now, time.monotonic() - begun, machine=self._mark.machine, alive=_alive)
            if verdict is Verdict.REFUSE:
                raise UsageError(
                    f"another driver ({now}) is at work on {self._storage}",
                    remedy="wait for it, stop it, or give another --run",
                )
            if verdict is Verdict.TAKE:
                break
            waiting(f"seeing whether its last driver ({first}) is alive, up to {PATIENCE_S:.0f} s")
            time.sleep(min(1.0, self._beat_s))
        self._write()

    def _keep(self) -> None:
        while not self._ended.wait(self._beat_s):
            try:
                found = self._read()
                if found is not None and found.driver != self._mark.driver:
                    self._lost = found
                    return
                self._mark = replace(self._mark, beat=self._mark.beat + 1)
                self._write()
            except StorageError as error:  # the work itself will tell; a missed beat is none of its concern
                log.warning("the lease could not be renewed: %s", error)

    def _read(self) -> Mark | None:
        data = self._storage.read(LEASE)
        return None if data is None else Mark.parse(data)

    def _write(self) -> None:
        self._storage.write(LEASE, json.dumps(asdict(self._mark), indent=2).encode() + b"\n")


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(process: int) -> int:
    """When a process started, in clock ticks since boot; 0 where it has ended."""
    try:
        state, *numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return 0 if state == "Z" else int(numbers[18])
    except (OSError, IndexError, ValueError):
        return 0


def _alive(mark: Mark) -> bool:
    return bool(mark.born) and _born(mark.process) == mark.born
