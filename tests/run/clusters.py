"""Ray clusters for tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

STORE_BYTES = 200_000_000  # object store: nothing but small records passes through it


def head_options(cpus: int, store_bytes: int = STORE_BYTES) -> dict[str, Any]:
    """Of a head node that is in nobody's way: a second cluster on this machine would want the same dashboard port."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {"num_cpus": cpus, "object_store_memory": store_bytes, "include_dashboard": False, "dashboard_port": port}


@contextmanager
def one_node(cpus: int) -> Iterator[str]:
    """The address of a cluster of one node."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=head_options(cpus))
    try:
        yield cluster.address
    finally:
        cluster.shutdown()
