"""An S3 server on loopback, and a proxy in front of it that fails on demand."""

from __future__ import annotations

import os
import queue
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Self

import pyarrow.fs as pafs

BUCKET = "runs"
_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) /")
_ANSWERS = {"error": b"500 Internal Server Error", "refuse": b"403 Forbidden"}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, of the system's choice, which is outside Ray's 10002 to 19999."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(made.getsockname()[1]) for made in sockets]


@contextmanager
def served(command: list[str], port: int, log: Path | None = None) -> Iterator[None]:
    """A server that has begun to listen at `port`, for the time of the context."""
    with open(log or os.devnull, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
    try:
        end = time.monotonic() + 120
        while True:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                break
            assert process.poll() is None, log.read_text() if log else command
            assert time.monotonic() < end, command
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server for the time of the context; it takes any key and secret."""
    (port,) = free_ports(1)
    with served([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        yield port


def uri(port: int, folder: str) -> str:
    """A folder of the bucket, behind a port of this machine."""
    return f"s3://testing:testing@{BUCKET}/{folder}?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"


def make_bucket(place: str) -> None:
    """Make the bucket of the URI `place`."""
    system, path = pafs.FileSystem.from_uri(f"{place}&allow_bucket_creation=true")
    system.create_dir(path.partition("/")[0])


class FaultyProxy:
    """Passes requests on to a port, or does to those whose first line matches `only` what `mode` says.

    ``pass``; ``down``: reset the connection; ``error``: answer 500; ``refuse``: answer 403; ``cut``: reset it after
    `cut_after` bytes of the request; ``hold``: the same, but wait for `let_go` first; ``slow``: wait at each piece.
    """

    def __init__(self, port: int) -> None:
        self.mode = "pass"
        self.only = rb""
        self.cut_after = 0
        self.faults = 0
        self.seen: list[bytes] = []  # first lines of all requests
        self.held: queue.Queue[int] = queue.Queue()  # ports from which requests came that are held
        self.let_go = threading.Event()
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._listener.close()

    def heal(self) -> None:
        """Be as new."""
        self.let_go.set()
        self.mode, self.only, self.cut_after, self.faults = "pass", rb"", 0, 0
        self.seen, self.held, self.let_go = [], queue.Queue(), threading.Event()

    def fail_for(self, seconds: float, mode: str) -> threading.Timer:
        """Fail from now on for so long."""
        self.mode = mode
        timer = threading.Timer(seconds, lambda: setattr(self, "mode", "pass"))
        timer.start()
        return timer

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            suppress(OSError),
            closing(client),
            closing(socket.create_connection(("127.0.0.1", self._target))) as server,
        ):
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            sent, line = 0, b""
            while piece := client.recv(1 << 16):
                if _REQUEST.match(piece):  # a client sends none before the answer to the last one
                    sent, line = 0, piece.partition(b"\r\n")[0]
                    self.seen.append(line)
                mode = self.mode if re.search(self.only, line) else "pass"
                if not self._pass_on(mode, sent, piece, client, server):
                    return
                sent += len(piece)

    def _pass_on(self, mode: str, sent: int, piece: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Whether the connection goes on after this piece of a request, of which `sent` bytes went before."""
        if mode in ("cut", "hold") and sent + len(piece) <= self.cut_after:
            mode = "pass"
        self.faults += mode != "pass"
        if mode in _ANSWERS:
            client.sendall(b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % _ANSWERS[mode])
            return False
        if mode in ("cut", "hold"):
            server.sendall(piece[: self.cut_after - sent])
        if mode == "hold":
            let_go = self.let_go
            self.held.put(client.getpeername()[1])
            let_go.wait()
        if mode in ("down", "cut", "hold"):
            # A reset instead of an orderly end.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if mode == "slow":
            time.sleep(1.0)
        server.sendall(piece)
        return True


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
