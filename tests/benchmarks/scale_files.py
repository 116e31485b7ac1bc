"""What the files of many chunks cost the driver: listing, footers, checks, status; and preparing them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Self
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from ig_worker.data.plan import chunk_name
from ig_worker.run.config import DataConfig
from ig_worker.run.steps.preflight import check_commits, missing_chunks
from ig_worker.run.steps.prepare import Prepared, prepare
from ig_worker.run.steps.status import read_status
from ig_worker.run.store import run_files
from ig_worker.run.store.run_store import RunStore
from tests.benchmarks.process import peak_memory
from tests.run.made_runs import explained, quarantined
from tests.run.s3 import uri

LATENCY_S = 0.02  # of a request to an object store in the same region, about
_PAGE = 1000  # names in an answer to a listing
_MARK = "print"


class Files:
    """Makes and reads the files of runs; to be made in a `process.Child`."""

    def __init__(self, threads: int) -> None:
        pass

    def local(self, chunks: int, status: bool) -> dict[str, Any]:
        """Seconds that the steps of a resume take on a local disk with so many results, and the peak memory (bytes)."""
        with TemporaryDirectory() as place:
            store = RunStore(place)
            _fill(store, chunks)
            prepared = Prepared("stand-in", "data", chunks, chunks, 0)
            seconds = {"list": _timed(store.results.indexes)[0]}
            seconds["footers"], commits = _timed(store.results.commits)
            seconds["check"], _ = _timed(lambda: check_commits(store, commits, _MARK, prepared, 1))
            seconds["missing"], _ = _timed(lambda: missing_chunks(chunks, commits))
            assert len(commits) == chunks
            peak = peak_memory()
            if status:
                seconds["status"], found = _timed(lambda: read_status(store))
                assert found.chunks_done == chunks
        return {"chunks": chunks, **seconds, "peak_memory": peak}

    def object_store(self, chunks: int, readers: int) -> dict[str, float]:
        """Seconds to read the footers of so many results, so many at a time, where each request waits `LATENCY_S`."""
        with _Answers(_result_file(0), chunks) as answers, mock.patch.object(run_files, "_READERS", readers):
            store = RunStore(answers.uri)
            listed, indexes = _timed(store.results.indexes)
            before, files = answers.requests, run_files.RunFiles(store.storage)
            read, _ = _timed(lambda: files.read_each(lambda index: files.footer(_name(index)), indexes))
            requests = (answers.requests - before) / len(indexes)
        assert len(indexes) == chunks
        return {"chunks": chunks, "readers": readers, "list": listed, "footers": read, "requests_per_footer": requests}

    def prepare(self, rows: int, chunk_rows: int) -> dict[str, float]:
        """Seconds to shard made-up reviews of IMDB's mean length, and the peak memory (bytes)."""
        random = Random(7)
        words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 9))) for _ in range(5000)]
        with TemporaryDirectory() as place:
            path = Path(place) / "rows.jsonl"
            with path.open("w") as stream:
                for i in range(rows):
                    text = " ".join(random.choices(words, k=200))  # 1,300 bytes
                    stream.write(json.dumps({"id": f"row-{i}", "text": text, "label": 1}) + "\n")
            config = DataConfig(dataset=str(path), chunk_rows=chunk_rows)
            seconds, _ = _timed(lambda: prepare(RunStore(f"{place}/run"), config))
            size = sum(path.stat().st_size for path in Path(place, "run", "chunks").iterdir())
        return {
            "rows": rows,
            "chunk_rows": chunk_rows,
            "seconds": seconds,
            "rows_per_s": rows / seconds,
            "bytes_per_row": size / rows,
            "peak_memory": peak_memory(),
        }

    def seen(self, rows: int) -> dict[str, float]:
        """Bytes that a row's id takes while a data set is sharded, and the seconds."""
        from ig_worker.data.faults import FaultFinder

        finder, before = FaultFinder(), _resident()
        seconds, _ = _timed(
            lambda: [finder._repeated([f"row-{i}" for i in range(at, at + 256)]) for at in range(0, rows, 256)]
        )
        return {"rows": rows, "bytes_per_row": (_resident() - before) / rows, "seconds": seconds}


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.monotonic()
    result = action()
    return time.monotonic() - begun, result


def _resident() -> int:
    """Memory of this process now, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def _name(index: int) -> str:
    return f"attributions/{chunk_name(index)}.parquet"


def _result_file(index: int) -> bytes:
    """A committed result of one row."""
    with TemporaryDirectory() as place:
        store = RunStore(place)
        store.results.commit(index, explained("a"), quarantined(), _MARK)
        data = store.storage.read(_name(index))
    assert data is not None
    return data


def _fill(store: RunStore, chunks: int) -> None:
    """Results of so many chunks: one is committed for each number of digits, the others are it with their number."""
    folder = Path(store.storage.path("attributions"))
    folder.mkdir(parents=True)
    model: dict[int, tuple[bytes, bytes]] = {}
    for index in range(chunks):
        text = str(index).encode()
        if len(text) not in model:
            first = int("7" * len(text))
            model[len(text)] = str(first).encode(), _result_file(first)
        old, data = model[len(text)]
        head, key, tail = data.rpartition(b"ig_worker.chunk")
        (folder / f"{chunk_name(index)}.parquet").write_bytes(head + key + tail.replace(old, text, 1))
    data_of_run = {"name": "stand-in", "digest": "data", "rows": chunks, "chunks": chunks, "faults": 0}
    store.manifest.write({"state": "complete", "data": data_of_run, "fingerprint": _MARK})


class _Answers:
    """Answers like S3, each after `LATENCY_S`, with the same file under the name of every chunk."""

    def __init__(self, data: bytes, chunks: int) -> None:
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_HEAD(self) -> None:
                self._answer(200, b"", len(data), {"ETag": '"x"'})

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                if "list-type" in query:
                    return self._answer(200, _page(query, chunks, len(data)))
                first, _, last = self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")
                piece = data[int(first) : int(last or len(data)) + 1]
                about = f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"
                return self._answer(206, piece, more={"Content-Range": about})

            def _answer(
                self, code: int, body: bytes, size: int | None = None, more: dict[str, str] | None = None
            ) -> None:
                outer.requests += 1
                time.sleep(LATENCY_S)
                self.send_response(code)
                for name, value in {"Content-Length": str(len(body) if size is None else size), **(more or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = uri(self._server.server_port, "run")

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _page(query: dict[str, list[str]], chunks: int, size: int) -> bytes:
    """One answer to a listing of the results."""
    prefix = query.get("prefix", [""])[0]
    start = int(query.get("continuation-token", ["0"])[0])
    stop = min(chunks, start + _PAGE)
    found = "".join(
        f"<Contents><Key>{prefix}{chunk_name(index)}.parquet</Key><Size>{size}</Size>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for index in range(start, stop)
    )
    more = f"<NextContinuationToken>{stop}</NextContinuationToken>" if stop < chunks else ""
    truncated = str(stop < chunks).lower()
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>runs</Name>'
        f"<Prefix>{prefix}</Prefix><IsTruncated>{truncated}</IsTruncated>{more}{found}</ListBucketResult>"
    ).encode()
