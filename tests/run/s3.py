"""An S3 server on loopback, and a proxy in front of it that fails on demand."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Self

BUCKET = "runs"
_FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server for the time of the context. Its keys are ``testing`` and ``testing``."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        end = time.monotonic() + 60
        while True:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                break
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def uri(port: int, folder: str) -> str:
    """A folder of the bucket, behind a port of this machine."""
    return f"s3://testing:testing@{BUCKET}/{folder}?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"


class FaultyProxy:
    """Passes connections on to a port, or does what `mode` says.

    ``pass``; ``down``: every connection is reset; ``error``: every request is answered by 500; ``cut``: a request is
    reset after `cut_after` bytes of it have gone through; ``slow``: every piece waits a second.
    """

    def __init__(self, port: int) -> None:
        self.mode = "pass"
        self.cut_after = 0
        self.faults = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

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
            sent = 0
            while piece := client.recv(1 << 16):
                if self.mode == "down" or (self.mode == "cut" and sent + len(piece) > self.cut_after):
                    self.faults += 1
                    if self.mode == "cut":
                        server.sendall(piece[: max(0, self.cut_after - sent)])
                    # A reset instead of an orderly end.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if self.mode == "error":
                    self.faults += 1
                    client.sendall(_FAILURE)
                    return
                if self.mode == "slow":
                    self.faults += 1
                    time.sleep(1.0)
                server.sendall(piece)
                sent += len(piece)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
