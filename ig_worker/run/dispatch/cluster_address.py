"""Which Ray a job is to use, by `--address` and RAY_ADDRESS, and how long it tries to reach a cluster. Without Ray."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ig_worker.data.files import without_secrets
from ig_worker.errors import UsageError
from ig_worker.run.deadline import Deadline

CONNECT_S = 60.0  # a head that is started anew is back by then
_PAUSE_S = 2.0
_LOCAL = ("", "local")
_EXPECTED = "HOST:PORT of the cluster's head, such as 10.0.0.5:6379, ray://HOST:PORT of its client server, or auto"
CLIENT = "ray://"


@dataclass(frozen=True)
class Wanted:
    """The cluster that a job is to use."""

    address: str  # HOST:PORT, ray://HOST:PORT, or auto: one that runs on this machine
    source: str  # --address or RAY_ADDRESS

    def __str__(self) -> str:
        return f"{self.address} ({self.source})"

    @property
    def otherwise(self) -> str:
        """How to do without it."""
        return (
            f"{'unset RAY_ADDRESS' if self.source.startswith('RAY_ADDRESS') else 'leave --address out'} for a local Ray"
        )


def wanted_cluster(address: str | None, environment: Mapping[str, str]) -> Wanted | None:
    """The cluster of `--address`, else of RAY_ADDRESS; None where a local Ray is started.

    Raises:
        UsageError: it is no address of a cluster.
    """
    wanted = _wanted(address, environment)
    if wanted.address in _LOCAL:
        return None
    if wanted.address != "auto":
        _check_form(wanted)
    return wanted


def is_local(address: str | None, environment: Mapping[str, str]) -> bool:
    """Whether no cluster is asked for."""
    return _wanted(address, environment).address in _LOCAL


def _wanted(address: str | None, environment: Mapping[str, str]) -> Wanted:
    found = environment.get("RAY_ADDRESS", "")
    if address == "auto" and found:  # Ray itself reads it so
        address = None
    return Wanted(address, "--address") if address else Wanted(found, "RAY_ADDRESS")


def _check_form(wanted: Wanted) -> None:
    shown = f"{wanted.source} is {without_secrets(wanted.address)}"
    if "://" not in wanted.address and "@" in wanted.address:  # user:password@host
        shown = f"{wanted.source} is ...@{wanted.address.rpartition('@')[2]}"
    scheme, mark, rest = wanted.address.rpartition("://")
    if scheme in ("http", "https"):
        remedy = f"submit the job there (ray job submit --address …), or give the head's port; or {wanted.otherwise}"
        raise UsageError(f"{shown}, the address of a dashboard", expected=_EXPECTED, remedy=remedy)
    host, colon, port = rest.rpartition(":")
    right = host and colon and port.isdecimal() and 0 < int(port[:6]) < 65536 and scheme == ("ray" if mark else "")
    if not right or set(host) & set("@/ \t\n") or (":" in host and not host.startswith("[")):
        raise UsageError(shown, expected=_EXPECTED, remedy=f"mend it, or {wanted.otherwise}")


def is_connected() -> bool:
    """Whether this process has a connection to Ray already. Does not import Ray, which takes a second."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


class Answer(NamedTuple):
    """What came of an attempt to reach a cluster."""

    alive: bool
    reason: str = ""  # why not
    final: bool = False  # another attempt will not end otherwise


def await_cluster(
    wanted: Wanted,
    ask: Callable[[str], Answer],
    deadline: Deadline,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until a cluster answers, for `CONNECT_S` at most.

    Args:
        wanted: the cluster.
        ask: tries to reach an address.
        deadline: of the job.
        tell: told, in words, why it is not reached yet.
        clock: seconds.
        sleep: waits so many seconds.

    Raises:
        UsageError: it did not answer, or what answered is no cluster of this kind.
        RunStoppedError: the deadline has passed.
    """
    end = clock() + CONNECT_S
    while True:
        deadline.check()
        answer = ask(wanted.address)
        if answer.alive:
            return
        if answer.final or clock() + _PAUSE_S >= end:
            raise _not_reached(wanted, answer)
        tell(f"{answer.reason}; trying for {end - clock():.0f} s more")
        sleep(max(0.0, min(_PAUSE_S, deadline.left)))


def _not_reached(wanted: Wanted, answer: Answer) -> UsageError:
    """What to say of a cluster that does not answer, or is of another kind."""
    if answer.final:
        return UsageError(
            f"{wanted.source} is {wanted.address}, and {answer.reason}",
            expected=_EXPECTED,
            remedy=f"mend it, or {wanted.otherwise}",
        )
    return UsageError(
        f"no Ray cluster answers at {wanted} ({answer.reason}; tried for {CONNECT_S:.0f} s)",
        expected="a head that runs and can be reached from here",
        remedy=f"start it, mend the address, or {wanted.otherwise}",
    )
