"""Who drives a run: an advisory lease, so that two drivers do not do one night's work twice.

RUN/driver.json holds the driver's name and a counter that it raises every few seconds. Whoever finds one watches the
counter by its own monotonic clock, since clocks of two machines differ and jump: while it moves, its driver is alive;
when it has stood still for long enough, its driver is dead. A driver that finds another's name in the file, or no file
any more, has been taken for dead: it stops, and leaves the run's files to the other.

Of two drivers that start at once, one is refused. On one machine the folder's lock sees to that. Object stores offer
no conditional write here: there, whoever has written waits a moment and reads again. Should both go on all the same,
nothing is lost: the next beat tells them, and commits are idempotent.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

from ig_worker.errors import RunStoppedError, StorageError, UsageError
from ig_worker.run.store.filesystem import Storage

log = logging.getLogger(__name__)

LEASE = "driver.json"
BEAT_S = 4.0
DEAD_AFTER_S = 20.0  # a counter that stood still for so long is a dead driver's
_SETTLE_S = 1.0  # longer than a small write takes, where no lock keeps two of them apart
_LOCK_TRIES = 20
_JOIN_S = 2.0  # for a beat that is under way
_held: set[str] = set()  # names of the drivers in this process


@dataclass(frozen=True)
class LeaseRecord:
    """What a driver writes into the lease."""

    driver: str  # drawn at its start
    host: str  # for people
    machine: str  # boot and process namespace: where a process id means the same process
    process: int
    born: int  # of the process, in clock ticks since boot: ids are used again
    beat: int = 0

    @classmethod
    def own(cls) -> LeaseRecord:
        """Of this process."""
        process = os.getpid()
        return cls(secrets.token_hex(8), socket.gethostname(), _machine(), process, _born(process))

    @classmethod
    def parse(cls, data: bytes) -> LeaseRecord | None:
        """The record in a file; None where it holds none."""
        try:
            content = json.loads(data)
            record = cls(**{name: content[name] for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        numbers = (record.process, record.born, record.beat)
        return record if all(type(number) is int for number in numbers) else None

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def holder(storage: Storage) -> str | None:
    """The driver that holds the lease of a run; None where nobody does."""
    data = storage.read(LEASE)
    record = None if data is None else LeaseRecord.parse(data)
    return None if record is None else record.driver


class Verdict(Enum):
    """What to do about the record of another driver."""

    TAKE = "take"  # its driver has ended
    REFUSE = "refuse"  # its driver is alive
    WATCH = "watch"


def judge(
    first: LeaseRecord | None,
    now: LeaseRecord | None,
    waited: float,
    *,
    machine: str,
    alive: Callable[[LeaseRecord], bool],
) -> Verdict:
    """Whether the driver of a record is alive.

    Args:
        first: the record as it was found; None where there was none.
        now: the record as it is now; None where it has gone.
        waited: seconds between the two, by one clock.
        machine: this process's.
        alive: whether the process of a record of this machine is there.
    """
    if now is None:
        return Verdict.TAKE
    if machine and now.machine == machine:  # no need to guess
        return Verdict.REFUSE if alive(now) else Verdict.TAKE
    if first is None or (now.driver, now.beat) != (first.driver, first.beat):
        return Verdict.REFUSE
    return Verdict.TAKE if waited >= DEAD_AFTER_S else Verdict.WATCH


class Lease:
    """The lease of a run.

    Args:
        storage: of the run.
        beat_s: seconds between two beats.
    """

    def __init__(self, storage: Storage, beat_s: float = BEAT_S) -> None:
        self._storage = storage
        self._beat_s = beat_s
        self._record = LeaseRecord.own()
        self._lost = ""  # to whom, in words
        self._ended = threading.Event()

    @property
    def driver(self) -> str:
        """Name of this start of the run."""
        return self._record.driver

    @contextmanager
    def held(self, waiting: Callable[[str], None] = lambda _: None) -> Iterator[Lease]:
        """Hold the lease; it is given back at the end, whatever that is.

        Args:
            waiting: told, in words, while it is not clear whether another driver is alive.

        Raises:
            UsageError: another driver is at work on this run.
        """
        thread = threading.Thread(target=copy_context().run, args=(self._keep,), name="lease", daemon=True)
        _held.add(self.driver)
        try:
            self._acquire(waiting)
            thread.start()
            yield self
        finally:
            self._ended.set()
            if thread.ident is not None:
                thread.join(_JOIN_S)
            try:
                self._give_back()
            except StorageError as error:
                if thread.ident is not None:  # else it was never held, and the error itself is on its way
                    log.warning("the lease could not be given back: %s", error)
            finally:
                _held.discard(self.driver)

    @property
    def lost(self) -> bool:
        """Whether another driver has been seen to have taken the run over."""
        return bool(self._lost)

    def check(self) -> None:
        """Raise RunStoppedError once another driver is known to have taken the run over. Costs nothing."""
        if self._lost:
            raise RunStoppedError(self._lost, remedy="let it work; jobs.status shows how far it is")

    def confirm(self) -> None:
        """`check`, with a look at the file: a process that stood still for minutes may not know yet."""
        try:
            self._look()
        except StorageError as error:
            log.warning("the lease could not be read: %s", error)
        self.check()

    def _look(self) -> None:
        found = self._read()
        if found is None:
            self._lost = self._lost or "another driver has taken this run over, and has ended"
        elif found.driver != self.driver:
            self._lost = f"another driver ({found}) has taken this run over"

    def _acquire(self, waiting: Callable[[str], None]) -> None:
        first, begun = self._read(), time.monotonic()
        while not self._try(first, time.monotonic() - begun):
            waiting(f"seeing whether its last driver ({first}) is alive, up to {DEAD_AFTER_S:.0f} s")
            time.sleep(min(1.0, self._beat_s))

    def _try(self, first: LeaseRecord | None, waited: float) -> bool:
        """Whether the lease could be taken; False where it is not clear yet.

        Raises:
            UsageError: another driver is at work on this run.
        """
        with _alone(self._storage) as alone:
            now = self._read()
            verdict = judge(first, now, waited, machine=self._record.machine, alive=_alive)
            if verdict is Verdict.TAKE:
                self._write()
        if verdict is Verdict.TAKE and not alone:
            time.sleep(_SETTLE_S)
            now = self._read()
            verdict = Verdict.TAKE if now is not None and now.driver == self.driver else Verdict.REFUSE
        if verdict is Verdict.REFUSE:
            raise UsageError(
                f"another driver ({now or 'that has ended since'}) is at work on {self._storage}",
                remedy="wait for it, stop it, or give another --run",
            )
        return verdict is Verdict.TAKE

    def _give_back(self) -> None:
        found = None if self._lost else self._read()
        if found is not None and found.driver == self.driver:
            self._storage.delete(LEASE)

    def _keep(self) -> None:
        while not self._ended.wait(self._beat_s):
            try:
                self._look()
                if self._lost:
                    return
                self._record = replace(self._record, beat=self._record.beat + 1)
                self._write()
            except StorageError as error:  # the work itself will tell; a missed beat is none of its concern
                log.warning("the lease could not be renewed: %s", error)

    def _read(self) -> LeaseRecord | None:
        data = self._storage.read(LEASE)
        return None if data is None else LeaseRecord.parse(data)

    def _write(self) -> None:
        self._storage.write(LEASE, json.dumps(asdict(self._record), indent=2).encode() + b"\n")


@contextmanager
def _alone(storage: Storage) -> Iterator[bool]:
    """Keep the machine's other processes out for a moment; yields whether that was possible."""
    folder = storage.path("")
    with ExitStack() as stack:
        alone = False
        if storage.local:
            try:
                os.makedirs(folder, exist_ok=True)
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)  # gives the lock back, as the end of the process does
                alone = _lock(descriptor)
            except OSError as error:  # no locks on this network file system; or the write will tell what is wrong
                log.info("%s cannot be locked (%s)", storage, error)
        yield alone


def _lock(descriptor: int) -> bool:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_SETTLE_S / _LOCK_TRIES)
        else:
            return True
    return False  # who has it may have been stopped for good


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


def _alive(record: LeaseRecord) -> bool:
    """Whether the driver of a record of this machine is there; another process may have its id by now."""
    if not record.born or _born(record.process) != record.born:
        return False
    # Of this very process: one that could not give its lease back has ended all the same.
    return record.process != os.getpid() or record.driver in _held
