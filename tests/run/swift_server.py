"""OpenStack Swift on loopback: an S3 server that checks its signatures, and that keeps its objects on disk."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.run.s3 import free_ports, served

KEY, SECRET = "test%3Atester", "a-secret-of-swift"  # the key as a URI spells ``test:tester``

_RINGS = """
import sys
from swift.common.ring import RingBuilder
for name, port in zip(("account", "container", "object"), sys.argv[2:]):
    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    builder.add_dev(dict(id=0, region=0, zone=0, weight=1.0, ip="127.0.0.1", port=int(port), device="disk", meta="",
                         replication_ip="127.0.0.1", replication_port=int(port)))
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{name}.ring.gz")
"""

_FILTERS = ("catch_errors", "gatekeeper", "healthcheck", "s3api", "tempauth", "bulk", "slo")
# Sorted, so that tempauth is the last and its user can follow.
_SECTIONS = "\n".join(f"[filter:{name}]\nuse = egg:swift#{name}" for name in sorted(_FILTERS))
_PROXY = f"""
[pipeline:main]
pipeline = {" ".join(_FILTERS)} proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

{_SECTIONS}
user_test_tester = {SECRET} .admin
"""

_STORE = """
[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
"""


@contextmanager
def swift_server(folder: Path) -> Iterator[int]:
    """The port of a server for the time of the context, with its disk in `folder`; skips where Swift is missing.

    Its key is `KEY` and its secret `SECRET`.
    """
    if find_spec("swift") is None:
        pytest.skip("OpenStack Swift is not installed: pip install swift")
    _need_attributes(folder)
    ports = free_ports(4)
    (folder / "disk").mkdir()
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    subprocess.run([sys.executable, "-c", _RINGS, str(folder), *map(str, ports[1:])], check=True, capture_output=True)
    with ExitStack() as stack:
        for name, port in zip(("proxy", "account", "container", "object"), ports, strict=True):
            stack.enter_context(served(_command(folder, name, port), port, folder / f"{name}.log"))
        yield ports[0]


def swift_uri(port: int, place: str, secret: str = SECRET) -> str:
    """A bucket, or a folder of one, behind a port of this machine."""
    return f"s3://{KEY}:{secret}@{place}?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"


def _need_attributes(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.swift", b"")
    except OSError as error:
        pytest.skip(f"Swift keeps metadata in extended attributes, which {folder} does not take ({error})")


def _command(folder: Path, name: str, port: int) -> list[str]:
    """Write the settings of a server; returns what starts it."""
    head = (
        f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {getpass.getuser()}\n"
        f"swift_dir = {folder}\ndevices = {folder}\nmount_check = false\nfallocate_reserve = 0\nlog_address = /none\n"
    )
    (folder / f"{name}.conf").write_text(head + (_PROXY if name == "proxy" else _STORE.format(name=name)))
    script = f"from swift.{'obj' if name == 'object' else name}.server import main; main()"
    return [sys.executable, "-c", script, str(folder / f"{name}.conf"), "--verbose"]
