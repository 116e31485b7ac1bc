"""The faults, each as it is done to a run that is under way. A case returns the exit codes of its drivers."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.processes import actors_at_work, kill
from tests.faults.stage import Driver, Stage

SHARE = 0.3  # of the chunks that are done when the fault happens
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@dataclass(frozen=True)
class Case:
    """A fault.

    Args:
        name: for people.
        strike: does it; gets the stage and the place of the run, returns the drivers' exit codes.
        expected: those codes.
        like: the data set whose undisturbed run has the same rows.
        quarantined: rows that end there.
        storage: what it needs: ``disk``, ``s3``, ``tmpfs``, or a clock that can be set, ``faketime``.
    """

    name: str
    strike: Callable[[Stage, str], list[int]]
    expected: list[int]
    like: str = "good"
    quarantined: int = 0
    storage: str = "disk"


def calm(stage: Stage, place: str) -> list[int]:
    return [stage.start(place).wait()]


def under_way(stage: Stage, place: str) -> Driver:
    """A driver that has done a part of its run."""
    driver = stage.start(place)
    stage.wait_for(place, SHARE, driver)
    return driver


def busy_actors(count: int) -> list[int]:
    """So many actors, all at work."""
    end = time.monotonic() + 120
    while len(found := actors_at_work()) < count:
        assert time.monotonic() < end
        time.sleep(0.02)
    return found[:count]


def actor_killed(stage: Stage, place: str) -> list[int]:
    driver = under_way(stage, place)
    kill(busy_actors(1))
    return [driver.wait()]


def all_actors_killed(stage: Stage, place: str) -> list[int]:
    driver = under_way(stage, place)
    kill(busy_actors(3))
    return [driver.wait()]


def actor_stopped(stage: Stage, place: str) -> list[int]:
    driver = under_way(stage, place)
    hung = busy_actors(1)
    kill(hung, signal.SIGSTOP)
    code = driver.wait()
    kill(hung)
    return [code]


def node_killed(stage: Stage, place: str) -> list[int]:
    driver = under_way(stage, place)
    stage.kill_node()
    code = driver.wait()
    stage.add_node()
    return [code]


def raylet_killed(stage: Stage, place: str) -> list[int]:
    driver = under_way(stage, place)
    stage.kill_node(with_its_actors=False)
    code = driver.wait()
    stage.add_node()
    return [code]


def driver_killed(stage: Stage, place: str) -> list[int]:
    driver = under_way(stage, place)
    kill([driver.process.pid])
    return [driver.wait(), stage.start(place).wait()]


def driver_interrupted(stage: Stage, place: str) -> list[int]:
    driver = under_way(stage, place)
    kill([driver.process.pid], signal.SIGTERM)
    return [driver.wait(), stage.start(place).wait()]


def driver_twice(stage: Stage, place: str) -> list[int]:
    driver = under_way(stage, place)
    second = stage.start(place).wait()
    return [second, driver.wait()]


def poisoned(data: str) -> Callable[[Stage, str], list[int]]:
    return lambda stage, place: [stage.start(place, data, "tests.faults.poison").wait()]


def disk_full(stage: Stage, place: str) -> list[int]:
    """The run's file system has no room left, until someone makes some."""
    driver = under_way(stage, place)
    ballast = Path(place).parent / "ballast"
    with ballast.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    code = driver.wait()
    ballast.unlink()
    return [code, stage.start(place).wait()]


def storage_away(mode: str) -> Callable[[Stage, str], list[int]]:
    """The object store fails for half a minute."""

    def strike(stage: Stage, place: str) -> list[int]:
        driver = under_way(stage, place)
        assert stage.proxy is not None
        timer = stage.proxy.fail_for(30.0, mode)
        code = driver.wait()
        timer.join()
        return [code]

    return strike


@contextmanager
def tmpfs(folder: Path) -> Iterator[str]:
    """The place of a run on a small file system of its own."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    try:
        yield str(folder / "run")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def clock_jumps(stage: Stage, place: str) -> list[int]:
    """A day forward for all processes, then two back."""
    clock = Path(stage.environment["FAKETIME_TIMESTAMP_FILE"])
    driver = under_way(stage, place)
    clock.write_text("+1d\n")
    stage.wait_for(place, 2 * SHARE, driver)
    clock.write_text("-1d\n")
    code = driver.wait()
    clock.write_text("+0\n")
    return [code]


CASES = (
    Case("an actor: SIGKILL", actor_killed, [0]),
    Case("all three actors at once: SIGKILL", all_actors_killed, [0]),
    Case("an actor hangs: SIGSTOP", actor_stopped, [0]),
    Case("a worker node: SIGKILL of all its processes", node_killed, [0]),
    Case("a raylet: SIGKILL, its actor an orphan", raylet_killed, [0]),
    Case("the driver: SIGKILL, the same command again", driver_killed, [-9, 0]),
    Case("the driver: SIGTERM, the same command again", driver_interrupted, [4, 0]),
    Case("a second driver on the same run", driver_twice, [1, 0]),
    Case("two rows that raise", poisoned("raises"), [3], "null", 2),
    Case("two rows that end their process: SIGKILL", poisoned("kills"), [3], "null", 2),
    Case("disk full, room made, the same command again", disk_full, [4, 0], storage="tmpfs"),
    Case("S3 resets every connection for 30 s", storage_away("down"), [0], storage="s3"),
    Case("S3 answers 500 for 30 s", storage_away("error"), [0], storage="s3"),
    Case("clock jumps: a day ahead, then two back", clock_jumps, [0], storage="faketime"),
)
