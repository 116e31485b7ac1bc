"""The lease: one driver at a time, taken over from the dead, and from nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ig_worker.errors import RunStoppedError, UsageError
from ig_worker.run import lease as lease_module
from ig_worker.run.lease import LEASE, PATIENCE_S, Lease, Mark, Verdict, judge
from ig_worker.run.storage import Storage

ROOT = Path(__file__).resolve().parents[2]
THERE = Mark("d1", "host", "machine", 7, 70, beat=3)


@pytest.mark.parametrize(
    ("now", "waited", "alive", "expected"),
    [
        (None, 0.0, True, Verdict.TAKE),
        (THERE, 0.0, True, Verdict.WATCH),
        (THERE, PATIENCE_S - 0.1, True, Verdict.WATCH),
        (THERE, PATIENCE_S, True, Verdict.TAKE),
        (replace(THERE, beat=4), 0.0, True, Verdict.REFUSE),
        (replace(THERE, beat=2), PATIENCE_S, True, Verdict.REFUSE),
        (replace(THERE, driver="d2"), PATIENCE_S, True, Verdict.REFUSE),
        (replace(THERE, machine="mine"), 0.0, True, Verdict.REFUSE),
        (replace(THERE, machine="mine"), 0.0, False, Verdict.TAKE),
    ],
)
def test_a_counter_that_moves_is_life_and_one_that_stands_is_death(now, waited, alive, expected: Verdict) -> None:
    assert judge(THERE, now, waited, machine="mine", alive=lambda _: alive) is expected


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


def test_a_file_that_is_no_lease_is_in_nobodys_way(storage: Storage) -> None:
    storage.write(LEASE, b"{}")
    with Lease(storage).held():
        assert Mark.parse(storage.read(LEASE) or b"") is not None


def hold_in_another_process(place: Path) -> subprocess.Popen[str]:
    code = (
        "import sys, time; from ig_worker.run.lease import Lease; from ig_worker.run.storage import Storage\n"
        "with Lease(Storage(sys.argv[1]), beat_s=0.1).held(): print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(place)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
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
        assert time.monotonic() - begun < PATIENCE_S / 2


def test_a_driver_of_another_machine_is_judged_by_its_counter(storage: Storage, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lease_module, "_machine", lambda: "elsewhere")
    monkeypatch.setattr(lease_module, "PATIENCE_S", 3.0)
    process = hold_in_another_process(tmp_path)
    with pytest.raises(UsageError, match="another driver"), Lease(storage).held():
        pass
    os.kill(process.pid, signal.SIGSTOP)
    told: list[str] = []
    with Lease(storage).held(told.append):
        assert told
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
