"""Whole runs on an object store behind a proxy that fails: the same bytes as on a disk, and no secret anywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from ig_worker.run.store.filesystem import Storage
from tests.run.s3 import FaultyProxy, make_bucket, s3_server, uri
from tests.run.swift_server import SECRET, swift_server, swift_uri

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["a good film", "a dull plot and bad acting", "joy", "the actor is never boring", "awful " * 5, ""]
SLOWER = ("port", "host", "scheme", "secret", "region")
HALF = {"chunks": 1500, "attributions": 4000}  # bytes of a request: its head, and about half of the file


@dataclass(frozen=True)
class Server:
    """An S3 server, and the proxy through which runs reach it."""

    proxy: FaultyProxy
    direct: str  # URI of the bucket
    secret: str

    def place(self, folder: str) -> str:
        """URI of a folder, behind the proxy."""
        return re.sub(r"^(.*)\?(.*):\d+&", rf"\1/{folder}?\2:{self.proxy.port}&", self.direct)

    def files(self, folder: str) -> dict[str, bytes]:
        """Everything in a folder, past the proxy."""
        system, root = pafs.FileSystem.from_uri(self.direct)
        found = system.get_file_info(pafs.FileSelector(f"{root}/{folder}", recursive=True))
        files = (info for info in found if info.type == pafs.FileType.File)
        return {info.path.partition(f"{folder}/")[2]: system.open_input_file(info.path).read() for info in files}


@pytest.fixture(
    scope="module",
    params=[pytest.param("moto", marks=pytest.mark.heavy), pytest.param("swift", marks=pytest.mark.heavy)],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "moto":
        secret, running = "a-secret-of-moto", s3_server()
    else:
        secret, running = SECRET, swift_server(tmp_path_factory.mktemp("swift"))
    with running as port, FaultyProxy(port) as proxy:
        direct = swift_uri(port, "runs") if secret == SECRET else uri(port, "").replace(":testing@", f":{secret}@", 1)
        make_bucket(direct)
        yield Server(proxy, direct.replace("/?", "?"), secret)


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultyProxy]:
    server.proxy.heal()
    yield server.proxy
    server.proxy.heal()


@pytest.fixture(scope="module")
def ray_files() -> Iterator[Path]:
    """Where Ray keeps its logs and sockets; a socket's path has to be short."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> list[str]:
    """24 rows in 6 chunks: 18 fine, 4 empty, 1 null, 1 with the id of another."""
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    rows = [{"id": f"r{i}", "text": TEXTS[i % 6], "label": i % 2} for i in range(24)]
    rows[7]["text"], rows[9]["id"] = None, "r3"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = ["--dataset", str(path), "--model", str(tiny_models["distilbert"]), "--chunk-rows", "4", "--actors", "2"]
    return [*made, "--max-length", "16", "--method", "gausslegendre", "--n-steps", "6", "--batch-tokens", "2048"]


def start(ray_files: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"jobs.{name}", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, "RAY_TMPDIR": str(ray_files)},
    )  # fmt: skip


def job(ray_files: Path, expected: int, name: str, *arguments: str) -> str:
    """What a job says, which has to end with the code that is `expected`."""
    process = start(ray_files, name, *arguments)
    told, _ = process.communicate()
    assert process.returncode == expected, told
    return told


@pytest.fixture(scope="module")
def calm(settings: list[str], ray_files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of a local run."""
    run = tmp_path_factory.mktemp("calm")
    job(ray_files, 3, "explain", *settings, "--run", str(run))
    return results({str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.parquet")})


def results(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.startswith(("attributions/", "quarantine/"))}


def disturb(proxy: FaultyProxy) -> None:
    """Errors for longer than pyarrow tries by itself, then resets, then one slow upload, from the first result on."""
    proxy.only, proxy.mode = rb"PUT .*/attributions/", "error"
    end = time.monotonic() + 120
    while proxy.faults < 35 and time.monotonic() < end:
        time.sleep(0.1)
    proxy.mode, proxy.only = "down", rb""
    time.sleep(1.0)
    proxy.mode, proxy.only = "slow", rb"PUT .*/attributions/chunk-00002"


def test_a_run_on_a_failing_store_is_the_local_one_byte_for_byte_and_keeps_its_secrets(
    server: Server, proxy: FaultyProxy, settings: list[str], calm: dict[str, bytes], ray_files: Path
) -> None:
    place = server.place("night")
    told = job(ray_files, 0, "prepare", *settings[:2], "--chunk-rows", "4", "--run", place)
    weather = threading.Thread(target=disturb, args=(proxy,))
    weather.start()
    told += job(ray_files, 3, "explain", *settings, "--run", place)
    weather.join()
    assert proxy.faults > 35
    proxy.heal()
    told += "".join(job(ray_files, 0, name, place) for name in ("aggregate", "report", "verify", "status"))
    files = server.files("night")
    assert results(files) == calm
    assert {"report/index.html", "aggregates/tokens.parquet", "summary.json"} <= files.keys()
    assert "18 of 24 rows explained, 6 quarantined" in told
    logs = {str(path): path.read_bytes() for path in ray_files.rglob("*") if path.is_file()}
    everything = {**files, **logs, "what the jobs say": told.encode()}
    assert logs
    assert [name for name, data in everything.items() if server.secret.encode() in data] == []


@pytest.mark.heavy
@pytest.mark.parametrize("target", ["driver", "actor", "both"])
def test_a_process_that_is_killed_in_mid_upload_leaves_no_object_and_costs_only_time(
    server: Server, proxy: FaultyProxy, settings: list[str], calm: dict[str, bytes], ray_files: Path, target: str
) -> None:
    folder = "chunks" if target == "driver" else "attributions"
    proxy.only = rf"PUT .*/killed-{target}/{folder}/chunk-00001".encode()
    proxy.mode, proxy.cut_after = "hold", HALF[folder]
    command = [*settings, "--run", server.place(f"killed-{target}")]
    process = start(ray_files, "explain", *command)
    uploader = process_at(proxy.held.get(timeout=120))
    proxy.mode = "pass"
    assert (uploader == process.pid) == (target == "driver")
    os.kill(uploader, signal.SIGKILL)
    if target == "both":
        process.kill()
    proxy.let_go.set()
    told, _ = process.communicate()
    if target == "actor":
        assert process.returncode == 3, told
    else:
        assert process.returncode == -signal.SIGKILL
        assert f"{folder}/chunk-00001.parquet" not in server.files(f"killed-{target}")
        job(ray_files, 3, "explain", *command)
    assert results(server.files(f"killed-{target}")) == calm


def process_at(port: int) -> int:
    """The process that has a connection from a port of this machine."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{words[9]}]" for words in lines if words[1].endswith(f":{port:04X}")}
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(path) in sockets and int(path.parts[2]) != os.getpid():
                return int(path.parts[2])
        except OSError:  # it has ended meanwhile
            continue
    raise AssertionError(f"nobody has a connection from port {port}")


@pytest.mark.parametrize("what", ["bucket", *(pytest.param(w, marks=pytest.mark.heavy) for w in SLOWER)])
def test_a_store_that_cannot_be_used_is_told_in_one_line_before_anything_starts(
    server: Server, proxy: FaultyProxy, settings: list[str], tmp_path: Path, what: str
) -> None:
    if what in ("secret", "region") and server.secret != SECRET:
        pytest.skip("moto checks neither secrets nor regions")
    wrong = {
        "bucket": ("@runs", "@none"),
        "port": (f":{proxy.port}", ":1"),
        "host": ("127.0.0.1", "no-such-host.invalid"),
        "scheme": ("scheme=http", "scheme=https"),
        "secret": (SECRET, "a-secret-that-is-wrong"),
        "region": ("us-east-1", "us-west-1"),
    }
    place = server.place(f"wrong-{what}").replace(*wrong[what])
    told = job(tmp_path, 1, "explain", *settings, "--run", place)
    assert [line[:6] for line in told.splitlines() if "error" in line.lower()] == ["error:"]
    assert "a-secret" not in told
    assert list(tmp_path.iterdir()) == [], "Ray was started"
    assert Storage(server.direct).list(f"wrong-{what}") == []
