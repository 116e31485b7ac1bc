"""A run on an object store: a real S3 server on loopback, behind a proxy that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import pyarrow.fs as pafs
import pytest

from ig_worker.errors import StorageError, UsageError
from ig_worker.run.lease import Lease
from ig_worker.run.storage import Storage
from ig_worker.run.store import RunStore
from ig_worker.run.verify import verify_run
from tests.run.s3 import BUCKET, FaultyProxy, s3_server, uri
from tests.run.test_store import CHUNK, explained, quarantined
from tests.run.test_verify import make_run

_folders = count()


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultyProxy]:
    with s3_server() as port, FaultyProxy(port) as made:
        direct = uri(port, "").replace(f"{BUCKET}/", "x/", 1)
        system, _ = pafs.FileSystem.from_uri(direct + "&allow_bucket_creation=true")
        system.create_dir(BUCKET)
        yield made


@pytest.fixture
def place(proxy: FaultyProxy) -> Iterator[str]:
    proxy.mode, proxy.faults = "pass", 0
    yield uri(proxy.port, f"night-{next(_folders)}")
    proxy.mode = "pass"


def test_a_run_is_written_read_and_verified(place: str) -> None:
    make_run(place)
    store = RunStore(place)
    assert sorted(store.commits()) == [0, 1, 2, 3]
    assert store.read_quarantine().column("id").to_pylist() == ["r5"]
    found = verify_run(store)
    assert (found.faults, found.explained) == ([], 7)
    assert "testing" not in str(store.place)


def test_what_is_missing_is_none_and_what_is_deleted_stays_away(place: str) -> None:
    storage = Storage(place)
    assert storage.read("a") is None
    assert storage.list("nowhere") == []
    storage.write("a", b"x" * 100_000)
    assert storage.read_tail("a", 3) == b"xxx"
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")


@pytest.mark.parametrize("mode", ["down", "error"])
def test_a_storage_that_is_away_for_a_while_costs_only_time(place: str, proxy: FaultyProxy, mode: str) -> None:
    store = RunStore(place)
    store.write_chunk(0, CHUNK, {})
    store.storage.patience_s = 60.0
    timer = proxy.fail_for(4.0, mode)
    store.commit(0, explained("a"), quarantined(1, 2), "print")
    timer.join()
    assert proxy.faults > 0
    assert store.read_commit(0).rows == 1
    assert store.fault_of("attributions/chunk-00000.parquet") == ""


def test_a_slow_storage_is_no_fault(place: str, proxy: FaultyProxy) -> None:
    proxy.mode = "slow"
    storage = Storage(place)
    storage.write("a", b"content")
    assert storage.read("a") == b"content"
    assert proxy.faults > 0


def test_an_upload_that_is_cut_leaves_nothing_under_the_final_name(place: str, proxy: FaultyProxy) -> None:
    storage = Storage(place)
    storage.write("before", b"x")
    proxy.mode, proxy.cut_after = "cut", 50_000
    with pytest.raises(StorageError, match="cannot write"):
        storage.write("chunk", bytes(500_000))
    proxy.mode = "pass"
    assert proxy.faults > 0
    assert storage.read("chunk") is None
    storage.write("chunk", bytes(500_000))
    assert storage.read("chunk") == bytes(500_000)


def test_a_bucket_that_is_not_there_is_told_at_once(place: str) -> None:
    begun = time.monotonic()
    with pytest.raises(StorageError, match="cannot write"):
        Storage(place.replace(BUCKET, "no-such-bucket"), patience_s=120.0).write("a", b"x")
    assert time.monotonic() - begun < 60


def test_the_lease_works_on_an_object_store(place: str) -> None:
    with Lease(Storage(place)).held(), pytest.raises(UsageError, match="another driver"), Lease(Storage(place)).held():
        pass
    assert not Storage(place).exists("driver.json")
