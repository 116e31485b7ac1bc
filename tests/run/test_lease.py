"""The lease: one driver at a time, taken over from the dead, and from nobody else."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ig_worker.errors import RunStoppedError, StorageError, UsageError
from ig_worker.run.store import lease as lease_module
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.lease import DEAD_AFTER_S, LEASE, Lease, LeaseRecord, Verdict, judge

ROOT = Path(__file__).resolve().parents[2]
THERE = LeaseRecord("d1", "host", "machine", 7, 70, beat=3)


@pytest.mark.parametrize(
    ("now", "waited", "alive", "expected"),
    [
        (None, 0.0, True, Verdict.TAKE),
        (THERE, 0.0, True, Verdict.WATCH),
        (THERE, DEAD_AFTER_S - 0.1, True, Verdict.WATCH),
        (THERE, DEAD_AFTER_S, True, Verdict.TAKE),
        (replace(THERE, beat=4), 0.0, True, Verdict.REFUSE),
        (replace(THERE, beat=2), DEAD_AFTER_S, True, Verdict.REFUSE),
        (replace(THERE, driver="d2"), DEAD_AFTER_S, True, Verdict.REFUSE),
        (replace(THERE, machine="mine"), 0.0, True, Verdict.REFUSE),
        (replace(THERE, machine="mine"), 0.0, False, Verdict.TAKE),
    ],
)
def test_a_counter_that_moves_is_life_and_one_that_stands_is_death(now, waited, alive, expected: Verdict) -> None:
    assert judge(THERE, now, waited, machine="mine", alive=lambda _: alive) is expected


def test_a_driver_that_appears_while_one_looks_is_alive() -> None:
    assert judge(None, THERE, DEAD_AFTER_S, machine="mine", alive=lambda _: False) is Verdict.REFUSE


def test_a_process_that_has_the_id_of_a_dead_driver_is_not_taken_for_it() -> None:
    """Ids are used again, and the first process of a container that starts anew always has the same one."""
    living = LeaseRecord("d1", "host", "mine", os.getppid(), lease_module._born(os.getppid()))
    assert lease_module._alive(living)
    assert not lease_module._alive(replace(living, born=living.born - 1))


def test_machines_that_do_not_know_themselves_are_not_the_same() -> None:
    nameless = replace(THERE, machine="")
    assert judge(nameless, nameless, 0.0, machine="", alive=lambda _: False) is Verdict.WATCH


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def test_the_lease_is_given_back_even_after_an_error(storage: Storage) -> None:
    def work() -> None:
        with Lease(storage).held():
            assert storage.exists(LEASE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert not storage.exists(LEASE)


def at_once(storage: Storage, drivers: int) -> list[str]:
    """What becomes of so many drivers that start in the same moment."""
    start, ended = threading.Barrier(drivers), threading.Barrier(drivers)
    results: list[str] = []

    def drive() -> None:
        start.wait()
        try:
            with Lease(storage).held():
                results.append("held")
                ended.wait(60)
        except UsageError:
            results.append("refused")
            ended.wait(60)

    threads = [threading.Thread(target=drive) for _ in range(drivers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results)


def test_of_drivers_that_start_at_once_only_one_goes_on(storage: Storage) -> None:
    for _ in range(5):
        assert at_once(storage, 6) == ["held", *["refused"] * 5]


def test_where_nothing_can_be_locked_the_one_whose_name_stays_goes_on(storage: Storage, monkeypatch) -> None:
    monkeypatch.setattr(lease_module, "_lock", lambda _: False)
    assert at_once(storage, 3) == ["held", "refused", "refused"]


def test_a_lease_that_could_not_be_given_back_is_not_in_the_way_of_its_own_process(storage, monkeypatch) -> None:
    def away(name: str) -> None:
        raise StorageError("the storage is away")

    with monkeypatch.context() as patch, Lease(storage).held():
        patch.setattr(storage, "delete", away)
    assert storage.exists(LEASE)
    with Lease(storage).held(), pytest.raises(UsageError, match="another driver"), Lease(storage).held():
        pass
    assert not storage.exists(LEASE)


def test_a_clock_that_jumps_changes_nothing(storage: Storage, monkeypatch) -> None:
    monkeypatch.setattr(lease_module, "_machine", lambda: "")  # so that the counter is all there is
    storage.write(LEASE, json.dumps(asdict(THERE)).encode())
    days = itertools.cycle([0.0, 1e5, -1e5])
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + next(days))
    monkeypatch.setattr(lease_module, "DEAD_AFTER_S", 0.5)
    told: list[str] = []
    with Lease(storage, beat_s=0.05).held(told.append) as lease:
        assert len(told) > 1
        time.sleep(0.3)
        lease.confirm()


def test_the_counter_goes_up(storage: Storage) -> None:
    with Lease(storage, beat_s=0.02).held():
        end = time.monotonic() + 10
        while json.loads(storage.read(LEASE) or b"{}")["beat"] < 3:
            assert time.monotonic() < end


def test_a_driver_that_was_taken_for_dead_stops_and_leaves_the_other_alone(storage: Storage) -> None:
    other = json.dumps(asdict(THERE)).encode()
    with Lease(storage, beat_s=0.02).held() as lease:
        lease.check()
        storage.write(LEASE, other)
        time.sleep(0.5)  # some beats
        with pytest.raises(RunStoppedError, match=r"another driver \(process 7 on host\) has taken this run over"):
            lease.check()
    assert storage.read(LEASE) == other


def test_a_driver_that_stood_still_looks_before_it_writes_anything(storage: Storage) -> None:
    other = json.dumps(asdict(THERE)).encode()
    with Lease(storage, beat_s=600).held() as lease:
        lease.confirm()
        storage.write(LEASE, other)
        lease.check()  # there was no beat yet
        with pytest.raises(RunStoppedError, match="has taken this run over"):
            lease.confirm()
    assert storage.read(LEASE) == other


def test_a_lease_that_has_gone_was_anothers_in_the_meantime(storage: Storage) -> None:
    with Lease(storage, beat_s=600).held() as lease:
        storage.delete(LEASE)
        with pytest.raises(RunStoppedError, match="taken this run over, and has ended"):
            lease.confirm()
    assert not storage.exists(LEASE)


def test_a_file_that_is_no_lease_is_in_nobodys_way(storage: Storage) -> None:
    storage.write(LEASE, b"{}")
    with Lease(storage).held():
        assert LeaseRecord.parse(storage.read(LEASE) or b"") is not None


def hold_in_another_process(place: Path) -> subprocess.Popen[str]:
    """A driver that works until it is told to stop, and then says why."""
    code = (
        "import sys, time\n"
        "from ig_worker.run.store.filesystem import Storage\n"
        "from ig_worker.run.store.lease import Lease\n"
        "with Lease(Storage(sys.argv[1]), beat_s=0.1).held() as lease:\n"
        "    print('held', flush=True)\n"
        "    while True: time.sleep(0.02); lease.check()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(place)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_killed_driver_of_this_machine_is_taken_over_at_once(storage: Storage, tmp_path: Path) -> None:
    process = hold_in_another_process(tmp_path)
    with pytest.raises(UsageError, match=f"another driver .process {process.pid} on"), Lease(storage).held():
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    begun = time.monotonic()
    with Lease(storage).held():
        assert time.monotonic() - begun < DEAD_AFTER_S / 2


def test_a_driver_of_another_machine_is_judged_by_its_counter(storage: Storage, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lease_module, "_machine", lambda: "elsewhere")
    monkeypatch.setattr(lease_module, "DEAD_AFTER_S", 3.0)
    process = hold_in_another_process(tmp_path)
    with pytest.raises(UsageError, match="another driver"), Lease(storage).held():
        pass
    os.kill(process.pid, signal.SIGSTOP)
    told: list[str] = []
    with Lease(storage).held(told.append) as lease:
        assert told
        os.kill(process.pid, signal.SIGCONT)
        _, error = process.communicate(timeout=60)  # it finds that it was taken for dead, and stops without harm
        assert f"another driver (process {os.getpid()} on" in error.splitlines()[-1]
        lease.confirm()
