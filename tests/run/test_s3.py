"""A run on an object store: a real S3 server on loopback, behind a proxy that fails."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from ig_worker.errors import StorageError, UsageError
from ig_worker.insight.export.write import FORMATS, write_export
from ig_worker.run.steps.verify import file_fault, verify_run
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore
from ig_worker.run.store.streamed import streamed
from tests.run.made_runs import CHUNK, explained, make_run, quarantined
from tests.run.s3 import BUCKET, FaultyProxy, make_bucket, s3_server, uri
from tests.run.test_storage import write_half

_folders = count()


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultyProxy]:
    with s3_server() as port, FaultyProxy(port) as made:
        make_bucket(uri(port, ""))
        yield made


@pytest.fixture
def place(proxy: FaultyProxy) -> Iterator[str]:
    proxy.heal()
    yield uri(proxy.port, f"night-{next(_folders)}")
    proxy.heal()


def test_a_run_is_written_read_and_verified(place: str) -> None:
    make_run(place)
    store = RunStore(place)
    assert sorted(store.results.commits()) == [0, 1, 2, 3]
    assert store.results.quarantined().column("id").to_pylist() == ["r5"]
    found = verify_run(store)
    assert (found.faults, found.explained) == ([], 7)
    assert "testing" not in str(store.place)


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_is_exported_beside_itself(place: str, format: str, tmp_path: Path) -> None:
    found = write_export(make_run(place), format)
    path, _, options = place.partition("?")
    storage = Storage(f"{path}/export/{format}?{options}")
    local = make_run(tmp_path)
    write_export(local, format)
    assert found.written.rows == 7
    assert "testing" not in found.place
    names = [name for name in storage.list("") if name != "export.json"]
    assert {name: storage.read(name) for name in names} == {
        file.name: file.read_bytes() for file in (tmp_path / "export" / format).iterdir() if file.name != "export.json"
    }
    write_export(RunStore(place), format)  # again


def test_an_interrupted_stream_publishes_nothing(place: str) -> None:
    storage = Storage(place)
    with pytest.raises(KeyboardInterrupt):
        write_half(storage)
    assert storage.list("") == []
    with streamed(storage, "empty"):
        pass
    assert storage.read("empty") == b""


def test_a_large_stream_arrives_whole(place: str) -> None:
    storage, piece = Storage(place), bytes(range(256)) * 4096
    with streamed(storage, "a") as stream:
        for _ in range(70):
            stream.write(piece)
    assert storage.read("a") == piece * 70


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
    store.chunks.write(0, CHUNK, {})
    store.storage.patience_s = 60.0
    timer = proxy.fail_for(4.0, mode)
    store.results.commit(0, explained("a"), quarantined(1, 2), "print")
    timer.join()
    assert proxy.faults > 0
    assert store.results.read_commit(0).rows == 1
    assert file_fault(store, "attributions/chunk-00000.parquet") == ""


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


LARGE = bytes(11_000_000)  # two parts of a multipart upload


@pytest.mark.parametrize(
    ("mode", "only"),
    [
        pytest.param("refuse", rb"POST .*\?uploads", id="beginning"),
        pytest.param("refuse", rb"PUT .*partNumber=2", id="last part"),
        pytest.param("refuse", rb"POST .*\?uploadId", id="completion"),
        pytest.param("cut", rb"PUT .*partNumber=1", id="first part", marks=pytest.mark.heavy),
    ],
)
def test_a_multipart_upload_that_fails_leaves_nothing_under_the_final_name(
    place, proxy, mode: str, only: bytes
) -> None:
    storage = Storage(place)
    proxy.mode, proxy.only, proxy.cut_after = mode, only, 500_000
    with pytest.raises(StorageError, match="cannot write"):
        storage.write("chunk", LARGE)
    assert proxy.faults > 0
    proxy.heal()
    assert storage.read("chunk") is None
    storage.write("chunk", LARGE)
    assert holds(storage, "chunk", LARGE)


def holds(storage: Storage, name: str, data: bytes) -> bool:
    return storage.read(name) == data  # outside an assertion, which would compare millions of bytes for its message


class InterruptedFiles:
    """A file system whose user presses Ctrl-C as soon as a file is open."""

    def __init__(self, system: pafs.FileSystem) -> None:
        self._system = system

    def open_output_stream(self, path: str) -> pa.NativeFile:
        stream = self._system.open_output_stream(path)
        signal.raise_signal(signal.SIGINT)
        return stream


@pytest.mark.parametrize("data", [b"content", LARGE], ids=["one PUT", "multipart"])
def test_an_interruption_leaves_the_whole_file_and_no_part_of_it(place: str, data: bytes, monkeypatch) -> None:
    storage = Storage(place)
    for name in ("_fs", "_fs_for_large"):
        monkeypatch.setattr(storage, name, InterruptedFiles(getattr(storage, name)))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # the test runner may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            storage.write("run.json", data)
    finally:
        signal.signal(signal.SIGINT, before)
    assert holds(Storage(place), "run.json", data)


def test_an_interruption_while_the_uploading_thread_starts_leaves_nothing_under_way(place: str, monkeypatch) -> None:
    storage, upload, started = Storage(place), Storage._upload, []
    storage.write("run.json", b"before")

    class InterruptedThread(threading.Thread):
        def start(self) -> None:
            super().start()
            if threading.current_thread() is threading.main_thread():
                started.append(self)
                raise KeyboardInterrupt

    uploads = []

    def slow_upload(self: Storage, path: str, data: bytes) -> None:
        time.sleep(0.3)
        uploads.append(path)
        upload(self, path, data)

    monkeypatch.setattr(Storage, "_upload", slow_upload)
    monkeypatch.setattr(threading, "Thread", InterruptedThread)
    with pytest.raises(KeyboardInterrupt):
        storage.write("run.json", b"after")
    told = len(uploads)
    for thread in started:
        thread.join()
    assert len(uploads) == told


def test_a_bucket_that_is_not_there_is_told_at_once(place: str) -> None:
    begun = time.monotonic()
    with pytest.raises(StorageError, match="cannot write"):
        Storage(place.replace(BUCKET, "no-such-bucket"), patience_s=120.0).write("a", b"x")
    assert time.monotonic() - begun < 60


def test_the_lease_works_on_an_object_store(place: str) -> None:
    with Lease(Storage(place)).held(), pytest.raises(UsageError, match="another driver"), Lease(Storage(place)).held():
        pass
    assert not Storage(place).exists("driver.json")
