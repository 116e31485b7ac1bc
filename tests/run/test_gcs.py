"""A run on Google's kind of object store: an emulator on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count

import pytest

from ig_worker.errors import StorageError
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.filesystem import Storage, transient
from ig_worker.run.store.run_store import RunStore
from tests.run.made_runs import make_run
from tests.run.s3 import BUCKET, FaultyProxy, free_ports, served

# By itself it serves one connection at a time, and pyarrow keeps its own open.
_SERVER = """
import http.server, sys
http.server.HTTPServer = http.server.ThreadingHTTPServer
from gcp_storage_emulator.__main__ import main
main(sys.argv[1:])
"""
_folders = count()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    (port,) = free_ports(1)
    options = ["--host=127.0.0.1", f"--port={port}", "--in-memory", "--quiet", f"--default-bucket={BUCKET}"]
    with served([sys.executable, "-c", _SERVER, "start", *options], port):
        yield port


@pytest.fixture
def place(port: int) -> str:
    return uri(port, f"night-{next(_folders)}")


def uri(port: int, folder: str) -> str:
    return f"gs://anonymous@{BUCKET}/{folder}?endpoint_override=127.0.0.1:{port}&scheme=http"


def test_a_run_is_written_read_and_verified(place: str) -> None:
    make_run(place)
    store = RunStore(place)
    assert sorted(store.results.commits()) == [0, 1, 2, 3]
    found = verify_run(store)
    assert (found.faults, found.explained) == ([], 7)


def test_what_is_missing_is_none_and_what_is_deleted_stays_away(place: str) -> None:
    storage = Storage(place)
    assert storage.read("a") is None
    assert storage.list("nowhere") == []
    storage.write("a", bytes(11_000_000) + b"end")
    assert storage.read_tail("a", 3) == b"end"
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")


@pytest.mark.parametrize(
    ("mode", "only"), [("refuse", rb"POST /upload"), ("cut", rb"PUT /upload")], ids=["beginning", "middle"]
)
def test_an_upload_that_fails_leaves_nothing_under_the_final_name(port: int, mode: str, only: bytes) -> None:
    with FaultyProxy(port) as proxy:
        storage = Storage(f"{uri(proxy.port, 'cut')}&retry_limit_seconds=1")
        proxy.mode, proxy.only, proxy.cut_after = mode, only, 50_000
        with pytest.raises(StorageError, match="cannot write"):
            storage.write("chunk", bytes(11_000_000))
        assert proxy.faults > 0
    assert Storage(uri(port, "cut")).read("chunk") is None


@pytest.mark.heavy
def test_a_server_that_is_not_there_is_told_and_may_come_back() -> None:
    with pytest.raises(StorageError, match="UNAVAILABLE") as caught:  # not within the quarter of an hour of the client
        Storage(uri(1, "night")).write("run.json", b"x")
    assert transient(caught.value.__cause__, local=False)


def test_a_bucket_that_is_not_there_is_told_without_waiting(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waits for what will not pass"))
    with pytest.raises(StorageError, match="NOT_FOUND"):
        Storage(place.replace(BUCKET, "no-such-bucket"), patience_s=600.0).write("run.json", b"x")
